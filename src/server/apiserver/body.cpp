// Request bodies and the query options shared by handlers.
#include "api/schema/decode.h"
#include "api/schema/protobuf.h"
#include "api/schema/schema.h"
#include "api/yaml.h"
#include "server/apiserver/call.h"

namespace orch::server {

using base::Code;
using base::Result;
using base::Status;

namespace {

enum class FieldValidation { kIgnore, kWarn, kStrict };

Result<FieldValidation> field_validation(const http::Query& query) {
  std::string_view v = query.get("fieldValidation");
  if (v.empty() || v == "Warn") return FieldValidation::kWarn;
  if (v == "Ignore") return FieldValidation::kIgnore;
  if (v == "Strict") return FieldValidation::kStrict;
  return Status(Code::kInvalid,
                base::cat("CreateOptions.meta.k8s.io \"\" is invalid: fieldValidation: Unsupported value: \"",
                          v, "\": supported values: \"\", \"Ignore\", \"Strict\", \"Warn\""));
}

Status unsupported_media(std::string_view got) {
  return Status(Code::kUnsupportedMediaType,
                base::cat("the body of the request was in an unknown format - accepted media types include: "
                          "application/json, application/yaml, application/vnd.kubernetes.protobuf (got \"",
                          got, "\")"));
}

struct RawBody {
  Json tree;
  std::vector<std::string> strict_errors;
};

Result<RawBody> parse_body(const http::Request& request, const api::Schema& schema, const api::Type* type) {
  RawBody out;
  std::string type_header = media_type(request.header("Content-Type"));
  std::vector<std::string> duplicates;
  base::JsonParseOptions options;
  options.duplicates = &duplicates;
  if (type_header.empty() || type_header == "application/json" || type_header == "*/*") {
    auto tree = base::parse_json(request.body, options);
    if (!tree.ok()) {
      return Status(Code::kBadRequest, base::cat("the object provided is unrecognized (must be of type ",
                                                 "a JSON object", "): ", tree.error().message()));
    }
    out.tree = std::move(*tree);
  } else if (type_header == "application/yaml") {
    auto tree = api::parse_yaml(request.body, &duplicates);
    if (!tree.ok()) return tree.error();
    out.tree = std::move(*tree);
  } else if (type_header == "application/vnd.kubernetes.protobuf") {
    auto tree = api::schema::decode_protobuf(schema, type, request.body);
    if (!tree.ok()) return tree.error();
    out.tree = std::move(*tree);
  } else {
    return unsupported_media(type_header);
  }
  for (const auto& path : duplicates)
    out.strict_errors.push_back(base::cat("duplicate field \"", path, "\""));
  return out;
}

/// Types and unknown fields; `problems` are the strict errors found before.
Status check_tree(const api::Schema& schema, const api::Type* type, std::string_view kind,
                  std::string_view version, FieldValidation validation, std::vector<std::string> problems,
                  Json& tree, std::vector<std::string>& warnings) {
  auto refused = [&](std::string_view why) {
    return Status(Code::kBadRequest,
                  base::cat(kind, " in version \"", version, "\" cannot be handled as a ", kind, ": ", why));
  };
  if (type != nullptr) {
    auto found = api::schema::decode(schema, *type, tree);
    if (!found.ok()) return refused(found.error().message());
    for (auto& p : *found) problems.push_back(std::move(p));
  }
  if (problems.empty() || validation == FieldValidation::kIgnore) return {};
  if (validation == FieldValidation::kWarn) {
    for (auto& p : problems) warnings.push_back(std::move(p));
    return {};
  }
  std::string all;
  for (const auto& p : problems) all += (all.empty() ? "" : ", ") + p;
  return refused(base::cat("strict decoding error: ", all));
}

}  // namespace

Result<DecodedBody> decode_body(const http::Request& request, const http::Query& query,
                                const api::Schema& schema, const api::Type* type, std::string_view kind,
                                std::string_view api_version, std::vector<std::string>& warnings) {
  auto validation = field_validation(query);
  if (!validation.ok()) return validation.error();
  auto raw = parse_body(request, schema, type);
  if (!raw.ok()) return raw.error();
  DecodedBody out;
  out.tree = std::move(raw->tree);
  if (!out.tree.is_object()) return Status(Code::kBadRequest, "the body of the request is not an object");
  out.kind = base::string_at(out.tree, {"kind"});
  out.api_version = base::string_at(out.tree, {"apiVersion"});
  if (!kind.empty()) {
    // Typed clients may leave both out; the path says what is meant.
    if (out.kind.empty()) out.tree["kind"] = std::string(kind);
    if (out.api_version.empty()) out.tree["apiVersion"] = std::string(api_version);
    if ((!out.kind.empty() && out.kind != kind) ||
        (!out.api_version.empty() && out.api_version != api_version)) {
      auto [group, version] = api::split_api_version(out.api_version.empty() ? api_version : out.api_version);
      auto [want_group, want_version] = api::split_api_version(api_version);
      return Status(Code::kBadRequest,
                    base::cat(out.kind.empty() ? std::string(kind) : out.kind, " in version \"", version,
                              "\" cannot be handled as a ", kind, ": converting (", group, ".", out.kind,
                              ") to (", want_group, ".", kind, "): unknown conversion"));
    }
  }
  auto [group, version] = api::split_api_version(api_version);
  ORCH_RETURN_IF_ERROR(check_tree(schema, type, kind, version, *validation, std::move(raw->strict_errors),
                                  out.tree, warnings));
  return out;
}

Status prune_tree(const api::Schema& schema, const api::Type* type, std::string_view kind,
                  std::string_view version, const http::Query& query, Json& tree,
                  std::vector<std::string>& warnings) {
  auto validation = field_validation(query);
  if (!validation.ok()) return validation.error();
  return check_tree(schema, type, kind, version, *validation, {}, tree, warnings);
}

Result<bool> parse_dry_run(const http::Query& query) {
  bool dry = false;
  for (std::string_view v : query.all("dryRun")) {
    if (v != "All") {
      return Status(Code::kInvalid,
                    base::cat("dryRun: Unsupported value: \"", v, "\": supported values: \"All\""));
    }
    dry = true;
  }
  return dry;
}

Result<Filter> parse_filter(const http::Query& query, const api::Resource& resource, std::string_view ns) {
  Filter filter;
  filter.ns = ns;
  auto labels = api::LabelSelector::parse(query.get("labelSelector"));
  if (!labels.ok()) {
    return Status(Code::kBadRequest, base::cat("unable to parse requirement: ", labels.error().message()));
  }
  auto fields = api::FieldSelector::parse(query.get("fieldSelector"));
  if (!fields.ok()) return fields.error();
  std::string unknown = fields->unknown_path(resource.selectable_fields);
  if (!unknown.empty()) {
    return Status(Code::kBadRequest, base::cat("field label not supported: ", unknown));
  }
  filter.labels = std::move(*labels);
  filter.fields = std::move(*fields);
  return filter;
}

}  // namespace orch::server
