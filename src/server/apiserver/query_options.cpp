#include "server/apiserver/query_options.h"

#include <charconv>
#include <string>

#include "api/field_error.h"
#include "api/go_text.h"
#include "base/json.h"

namespace orch::server {

using api::FieldErrors;
using api::FieldPath;
using base::Code;
using base::Result;
using base::Status;

namespace {

constexpr std::string_view kMetaGroup = "meta.k8s.io";
constexpr size_t kMaxManagerLength = 128;

/// The first value of a parameter is the one that counts.
const std::string* first_value(const http::Query& query, std::string_view name) {
  for (const auto& [key, value] : query.items()) {
    if (key == name) return &value;
  }
  return nullptr;
}

void check_manager(const http::Query& query, FieldErrors& errors) {
  if (query.get("fieldManager").size() > kMaxManagerLength)
    errors.too_long(FieldPath("fieldManager"), kMaxManagerLength);
}

void check_validation(const http::Query& query, FieldValidation& out, FieldErrors& errors) {
  const std::string_view v = query.get("fieldValidation");
  if (v.empty() || v == "Warn") return;
  if (v == "Ignore") {
    out = FieldValidation::kIgnore;
  } else if (v == "Strict") {
    out = FieldValidation::kStrict;
  } else {
    errors.not_supported(FieldPath("fieldValidation"), v, {"", "Ignore", "Strict", "Warn"});
  }
}

void check_list_match(const ListOptions& o, bool versioned, bool zero, FieldErrors& errors) {
  const FieldPath path("resourceVersionMatch");
  if (!o.match.empty()) {
    if (!versioned)
      errors.forbidden(path, "resourceVersionMatch is forbidden unless resourceVersion is provided");
    if (!o.token.empty())
      errors.forbidden(path, "resourceVersionMatch is forbidden when continue is provided");
    if (o.match != "Exact" && o.match != "NotOlderThan")
      errors.not_supported(path, o.match, {"Exact", "NotOlderThan", ""});
    if (o.match == "Exact" && zero)
      errors.forbidden(path, "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"");
  }
  if (o.initial_events)
    errors.forbidden(FieldPath("sendInitialEvents"), "sendInitialEvents is forbidden for list");
}

void check_watch_match(const ListOptions& o, FieldErrors& errors) {
  const FieldPath path("resourceVersionMatch");
  if (o.initial_events && o.match != "NotOlderThan")
    errors.forbidden(path, "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan");
  if (o.match.empty()) return;
  if (!o.initial_events)
    errors.forbidden(path,
                     "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided");
  if (o.match != "NotOlderThan") errors.not_supported(path, o.match, {"NotOlderThan"});
  if (!o.token.empty()) errors.forbidden(path, "resourceVersionMatch is forbidden when continue is provided");
}

}  // namespace

Result<int64_t> get_revision(std::string_view text) {
  if (text.empty()) return int64_t{-1};
  uint64_t n = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), n);
  if (error == std::errc() && end == text.data() + text.size() && n <= INT64_MAX)
    return static_cast<int64_t>(n);
  const bool range = error == std::errc::result_out_of_range || (error == std::errc() && n > INT64_MAX);
  return Status(Code::kUnknown, base::cat("resourceVersion: Invalid value: ", api::go_quote(text),
                                          ": strconv.ParseUint: parsing ", api::go_quote(text),
                                          range ? ": value out of range" : ": invalid syntax"));
}

void check_dry_run(const std::vector<std::string_view>& values, bool& dry_run, FieldErrors& errors) {
  bool known = true;
  std::string all;
  for (const std::string_view v : values) {
    dry_run = true;
    known = known && v == "All";
    all += base::cat(all.empty() ? "" : ",", api::go_quote(v));
  }
  if (known) return;
  errors.add({"FieldValueNotSupported",
              base::cat("Unsupported value: [", all, "]: supported values: \"All\""), "dryRun"});
}

Result<std::optional<int64_t>> query_int(const http::Query& query, std::string_view name) {
  const std::string* text = first_value(query, name);
  if (text == nullptr) return std::optional<int64_t>();
  int64_t n = 0;
  const std::string_view digits = text->size() > 1 && text->front() == '+' && (*text)[1] != '-'
                                      ? std::string_view(*text).substr(1)
                                      : std::string_view(*text);
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), n);
  if (error == std::errc() && end == digits.data() + digits.size()) return std::optional<int64_t>(n);
  return Status(Code::kBadRequest,
                base::cat("strconv.ParseInt: parsing ", api::go_quote(*text),
                          error == std::errc::result_out_of_range && end == digits.data() + digits.size()
                              ? ": value out of range"
                              : ": invalid syntax"));
}

std::optional<bool> query_bool(const http::Query& query, std::string_view name) {
  const std::string* text = first_value(query, name);
  if (text == nullptr) return std::nullopt;
  return !http::equal_fold(*text, "false") && *text != "0";
}

Result<WriteOptions> parse_write_options(const http::Query& query, std::string_view kind, bool apply) {
  WriteOptions out;
  FieldErrors errors;
  out.manager = query.get("fieldManager");
  if (apply) {
    out.force = query_bool(query, "force").value_or(false);
    if (out.manager.empty()) errors.required(FieldPath("fieldManager"), "is required for apply patch");
  } else if (kind == "PatchOptions" && query.has("force")) {
    errors.forbidden(FieldPath("force"), "may not be specified for non-apply patch");
  }
  check_manager(query, errors);
  check_dry_run(query.all("dryRun"), out.dry_run, errors);
  check_validation(query, out.validation, errors);
  ORCH_RETURN_IF_ERROR(errors.to_status(kMetaGroup, kind, ""));
  return out;
}

Result<ListOptions> parse_list_options(const http::Query& query, bool watch) {
  ListOptions out;
  auto timeout = query_int(query, "timeoutSeconds");
  if (!timeout.ok()) return timeout.error();
  out.timeout_seconds = *timeout;
  auto limit = query_int(query, "limit");
  if (!limit.ok()) return limit.error();
  if (*limit && **limit > 0) out.limit = **limit;
  out.match = query.get("resourceVersionMatch");
  out.token = query.get("continue");
  out.bookmarks = query_bool(query, "allowWatchBookmarks").value_or(false);
  out.initial_events = query_bool(query, "sendInitialEvents");
  const std::string_view version = query.get("resourceVersion");
  FieldErrors errors;
  if (watch) {
    check_watch_match(out, errors);
  } else {
    check_list_match(out, !version.empty(), version == "0", errors);
  }
  ORCH_RETURN_IF_ERROR(errors.to_status(kMetaGroup, "ListOptions", ""));
  auto revision = get_revision(version);
  if (!revision.ok()) {
    if (watch) return revision.error();
    return Status(Code::kBadRequest, base::cat("invalid resource version: ", revision.error().message()));
  }
  out.revision = *revision;
  return out;
}

Result<Filter> parse_filter(const http::Query& query, const api::Resource& requested,
                            const api::Resource& stored, std::string_view ns) {
  Filter filter;
  filter.ns = ns;
  auto labels = api::LabelSelector::parse(query.get("labelSelector"));
  if (!labels.ok()) return labels.error();
  auto fields = api::FieldSelector::parse(query.get("fieldSelector"));
  if (!fields.ok()) return fields.error();
  const std::string unknown = fields->unknown_path(requested.selectable_fields);
  if (!unknown.empty()) return Status(Code::kBadRequest, requested.unknown_field_message(unknown));
  fields->rename(requested.selectable_fields, stored.selectable_fields);
  filter.labels = std::move(*labels);
  filter.fields = std::move(*fields);
  return filter;
}

}  // namespace orch::server
