// get, list and watch of stored resources: answered from the watch cache's own bytes.
#include <charconv>

#include "base/json.h"
#include "pki/pki.h"
#include "server/apiserver/call.h"

namespace orch::server {

using base::Code;
using base::Result;
using base::Status;

namespace {

Status bad_version(std::string_view text) {
  return Status(Code::kBadRequest, base::cat("invalid resourceVersion: \"", text, "\""));
}

/// Absent: -1.
Result<int64_t> parse_revision(std::string_view text) {
  if (text.empty()) return int64_t{-1};
  int64_t n = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), n);
  if (error != std::errc() || end != text.data() + text.size() || n < 0) return bad_version(text);
  return n;
}

/// A resource version from the future: the client is ahead (of another server, or of a restored store).
Status too_large(int64_t wanted, int64_t current) {
  base::StatusDetails details;
  details.causes.push_back({"ResourceVersionTooLarge", "Too large resource version", ""});
  details.retry_after_seconds = 1;
  return Status(Code::kTimeout, base::cat("Too large resource version: ", wanted, ", current: ", current),
                details);
}

/// What a continue token carries: the revision the first page was exact at, and the last object given.
struct Continue {
  int64_t revision = 0;
  std::string after;
};

std::string encode_continue(const Continue& c) {
  Json tree = {{"v", "meta.k8s.io/v1"}, {"rv", c.revision}, {"start", c.after}};
  return pki::base64url_encode(base::dump_json(tree));
}

/// A token that this server did not give for this list is refused: it would lead to other namespaces'
/// objects.
Result<Continue> decode_continue(std::string_view token, const Filter& filter, int64_t now) {
  const Status bad(Code::kBadRequest, "continue key is not valid");
  std::string text(token);
  for (char& ch : text) ch = ch == '-' ? '+' : ch == '_' ? '/' : ch;
  while (text.size() % 4 != 0) text += '=';
  auto bytes = pki::base64_decode(text);
  if (!bytes.ok()) return bad;
  auto tree = base::parse_json(*bytes);
  if (!tree.ok() || !tree->is_object() || base::string_at(*tree, {"v"}) != "meta.k8s.io/v1") return bad;
  Continue c{base::int_at(*tree, {"rv"}), std::string(base::string_at(*tree, {"start"}))};
  if (c.revision == 0 || c.revision > now || c.after.empty()) return bad;
  if (!filter.ns.empty() && c.after.rfind(filter.ns + "/", 0) != 0) return bad;
  return c;
}

/// Pages go on at the revision of the first one only while the history is kept.
Status continue_expired() {
  return Status(
      Code::kExpired,
      "The provided continue parameter is too old to display a consistent list result. You can start a "
      "new list without the continue parameter, or use the continue token in this response to retrieve "
      "the remainder of the results. Continuing with the provided token results in an inconsistent list "
      "- objects that were created, modified, or deleted between the time the first chunk was returned "
      "and now may show up in the list.");
}

int64_t parse_limit(std::string_view text) {
  int64_t n = 0;
  std::from_chars(text.data(), text.data() + text.size(), n);
  return n > 0 ? n : 0;
}

Status check_match(const http::Query& query, int64_t wanted, bool watch) {
  std::string_view match = query.get("resourceVersionMatch");
  if (match.empty()) return {};
  if (match != "Exact" && match != "NotOlderThan") {
    return Status(Code::kInvalid, base::cat("resourceVersionMatch: Unsupported value: \"", match,
                                            "\": supported values: \"Exact\", \"NotOlderThan\", \"\""));
  }
  if (wanted < 0 && !watch) {
    return Status(Code::kInvalid,
                  "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden unless resourceVersion "
                  "is provided");
  }
  if (match == "Exact" && wanted == 0) {
    return Status(Code::kInvalid,
                  "resourceVersionMatch: Forbidden: resourceVersionMatch \"exact\" is forbidden for "
                  "resourceVersion \"0\"");
  }
  return {};
}

}  // namespace

http::Response ApiServer::do_get(Call& call) {
  auto wanted = parse_revision(call.info.query.get("resourceVersion"));
  if (!wanted.ok()) return http::Response::from_status(wanted.error());
  auto object = registry_.get(*call.storage, call.info.ns, call.info.name);
  if (!object.ok()) return http::Response::from_status(object.error());
  if (int64_t now = registry_.revision(); *wanted > now) {
    return http::Response::from_status(too_large(*wanted, now));
  }
  return encode_object(call.encoding(*this), *object);
}

/// The list as it was at an older revision: from the store's history, not the cache.
Result<Page> ApiServer::list_at(const api::Resource& row, const Filter& filter, int64_t revision,
                                std::string_view after, int64_t limit) {
  std::string start = row.key_prefix(), end;
  if (revision < registry_.store().history_begins(start)) return continue_expired();
  if (row.namespaced && !filter.ns.empty()) start += filter.ns + "/";
  end = datastore::prefix_end(start);
  if (!after.empty()) start = row.key_prefix() + std::string(after) + '\0';
  Page page;
  page.revision = revision;
  const bool plain = filter.labels.empty() && filter.fields.empty();
  constexpr int64_t kChunk = 1000;
  while (true) {
    int64_t want = plain && limit > 0 ? limit - static_cast<int64_t>(page.items.size()) : kChunk;
    datastore::Range range = registry_.store().range(start, end, revision, want);
    if (range.outcome == datastore::Outcome::kCompacted) return continue_expired();
    if (range.outcome != datastore::Outcome::kOk)
      return Status(Code::kInternal, base::cat("storage: ", range.message));
    for (size_t i = 0; i < range.items.size(); ++i) {
      auto object =
          api::Object::from_stored(range.items[i].value, range.items[i].mod_revision, row.selectable_fields);
      if (!object.ok()) continue;
      if (!filter.labels.matches(**object) || !filter.fields.matches(**object, row.selectable_fields))
        continue;
      page.items.push_back(*object);
      if (limit > 0 && static_cast<int64_t>(page.items.size()) == limit) {
        if (range.more || i + 1 < range.items.size()) {
          page.next = range.items[i].key.substr(row.key_prefix().size());
          if (plain) page.remaining = range.remaining;
        }
        return page;
      }
    }
    if (!range.more || range.items.empty()) return page;
    start = range.items.back().key + '\0';
  }
}

http::Response ApiServer::do_list(Call& call) {
  const http::Query& query = call.info.query;
  auto filter = parse_filter(query, *call.storage, call.info.ns);
  if (!filter.ok()) return http::Response::from_status(filter.error());
  auto wanted = parse_revision(query.get("resourceVersion"));
  if (!wanted.ok()) return http::Response::from_status(wanted.error());
  Status match = check_match(query, *wanted, false);
  if (!match.ok()) return http::Response::from_status(match);
  const int64_t limit = parse_limit(query.get("limit"));
  WatchCache* cache = registry_.cache(*call.storage);
  const int64_t now = registry_.revision();

  Page page;
  std::string_view token = query.get("continue");
  const bool exact = query.get("resourceVersionMatch") == "Exact";
  if (!token.empty()) {
    if (*wanted > 0) {
      return http::Response::from_status(
          Status(Code::kBadRequest, "specifying resource version is not allowed when using continue"));
    }
    auto from = decode_continue(token, *filter, now);
    if (!from.ok()) return http::Response::from_status(from.error());
    if (from->revision < 0) {
      // The token of an expired list: go on with what is there now.
      page = cache->list(*filter, from->after, limit);
    } else {
      auto older = list_at(*call.storage, *filter, from->revision, from->after, limit);
      if (!older.ok()) {
        if (older.error().code() != Code::kExpired) return http::Response::from_status(older.error());
        return expired_list(older.error(), encode_continue({-1, from->after}));
      }
      page = std::move(*older);
    }
  } else if (exact || (*wanted > 0 && limit > 0 && query.get("resourceVersionMatch").empty())) {
    if (*wanted > now) return http::Response::from_status(too_large(*wanted, now));
    auto older = list_at(*call.storage, *filter, *wanted, {}, limit);
    if (!older.ok()) {
      Status status = older.error();
      if (status.code() == Code::kExpired) {
        status = Status(Code::kExpired, base::cat("The resourceVersion for the provided list is too old."));
      }
      return http::Response::from_status(status);
    }
    page = std::move(*older);
  } else {
    if (*wanted > now) return http::Response::from_status(too_large(*wanted, now));
    page = cache->list(*filter, {}, limit);
  }
  ListMeta meta{page.revision, {}, page.remaining};
  if (!page.next.empty()) meta.continue_token = encode_continue({page.revision, page.next});
  return encode_list(call.encoding(*this), page.items, meta);
}

http::Response ApiServer::expired_list(const Status& status, const std::string& token) {
  auto tree = base::parse_json(status.to_json());
  if (!tree.ok()) return http::Response::from_status(status);
  (*tree)["metadata"]["continue"] = token;
  return http::Response::json(base::dump_json(*tree), status.http_code());
}

}  // namespace orch::server
