// get, list and watch of stored resources: answered from the watch cache's own bytes.
#include <algorithm>
#include <utility>

#include "base/json.h"
#include "pki/pki.h"
#include "server/apiserver/call.h"

namespace orch::server {

using base::Code;
using base::Result;
using base::Status;

Status too_large_revision(int64_t wanted, int64_t current, int retry_seconds) {
  base::StatusDetails details;
  details.causes.push_back({"ResourceVersionTooLarge", "Too large resource version", ""});
  details.retry_after_seconds = retry_seconds;
  return Status(Code::kTimeout,
                base::cat("Timeout: Too large resource version: ", wanted, ", current: ", current), details);
}

namespace {

/// What a continue token carries: the revision the first page was exact at, and the last object given.
struct Continue {
  int64_t revision = 0;
  std::string after;
};

std::string encode_continue(const Continue& c) {
  Json tree = {{"v", "meta.k8s.io/v1"}, {"rv", c.revision}, {"start", c.after}};
  return pki::base64url_encode(base::dump_json(tree));
}

/// As a path within the list, cleaned it would be the same.
bool clean_path(std::string_view path) {
  size_t at = path.substr(0, 1) == "/" ? 1 : 0;
  while (true) {
    const size_t end = std::min(path.find('/', at), path.size());
    const std::string_view step = path.substr(at, end - at);
    if (step.empty() || step == "." || step == "..") return false;
    if (end == path.size()) return true;
    at = end + 1;
  }
}

Status bad_token(std::string_view why) {
  return {Code::kBadRequest, base::cat("invalid continue token: continue key is not valid", why)};
}

/// A token that this server did not give for this list is refused: it would lead to other namespaces'
/// objects.
Result<Continue> decode_continue(std::string_view token, const Filter& filter, int64_t now) {
  constexpr std::string_view kVersion = "meta.k8s.io/v1";
  constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  const size_t wrong = token.find_first_not_of(kAlphabet);
  std::string text(token);
  for (char& ch : text) ch = ch == '-' ? '+' : ch == '_' ? '/' : ch;
  while (text.size() % 4 != 0) text += '=';
  auto bytes = pki::base64_decode(text);
  if (wrong != std::string_view::npos || !bytes.ok()) {
    return bad_token(base::cat(": illegal base64 data at input byte ",
                               wrong != std::string_view::npos ? wrong : token.size()));
  }
  auto tree = base::parse_json(*bytes);
  if (!tree.ok()) return bad_token(base::cat(": ", json_syntax_error(*bytes, tree.error())));
  if (!tree->is_object()) return bad_token({});
  if (base::string_at(*tree, {"v"}) != kVersion) {
    return bad_token(
        base::cat(": server does not recognize this encoded version ", base::string_at(*tree, {"v"})));
  }
  Continue c{base::int_at(*tree, {"rv"}), std::string(base::string_at(*tree, {"start"}))};
  if (c.revision == 0)
    return bad_token(base::cat(": incorrect encoded start resourceVersion (version ", kVersion, ")"));
  if (c.after.empty()) return bad_token(base::cat(": encoded start key empty (version ", kVersion, ")"));
  if (!clean_path(c.after)) return bad_token(base::cat(": ", c.after));
  if (c.revision > now) return bad_token({});
  if (!filter.ns.empty() && c.after.rfind(filter.ns + "/", 0) != 0) return bad_token({});
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

}  // namespace

http::Response ApiServer::do_get(Call& call) {
  auto wanted = get_revision(call.info.query.get("resourceVersion"));
  if (!wanted.ok()) return http::Response::from_status(wanted.error());
  if (int64_t now = registry_.revision(); *wanted > now) {
    return http::Response::from_status(too_large_revision(*wanted, now));
  }
  auto object = registry_.get(*call.storage, call.info.ns, call.info.name);
  if (!object.ok()) return http::Response::from_status(object.error());
  return encode_object(call.encoding(*this), *object);
}

/// The list as it was at an older revision: from the store's history, not the cache.
Result<Page> ApiServer::list_at(const WatchCache& cache, const Filter& filter, int64_t revision,
                                std::string_view after, int64_t limit) {
  const api::Resource& row = cache.resource();
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
      auto object = cache.read(range.items[i]);
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
  auto options = parse_list_options(query, false);
  if (!options.ok()) return http::Response::from_status(options.error());
  const WatchCachePtr cache = registry_.cache(*call.storage);
  if (cache == nullptr) return no_such_resource();
  const api::Resource& kept = cache->resource();
  auto filter = parse_filter(query, *call.resource, kept, call.info.ns);
  if (!filter.ok()) return http::Response::from_status(filter.error());
  int64_t limit = options->limit;
  const int64_t wanted = options->revision;
  // What is selected by is known once somebody else has converted the objects.
  api::FieldSelector later;
  if (selects_converted(*call.resource, *filter)) {
    later = std::exchange(filter->fields, {});
    limit = 0;
  }
  const int64_t now = registry_.revision();

  Page page;
  const std::string_view token = options->token;
  if (!token.empty()) {
    if (wanted > 0) {
      return http::Response::from_status(
          Status(Code::kBadRequest, "specifying resource version is not allowed when using continue"));
    }
    auto from = decode_continue(token, *filter, now);
    if (!from.ok()) return http::Response::from_status(from.error());
    if (from->revision < 0) {
      // The token of an expired list: go on with what is there now.
      page = cache->list(*filter, from->after, limit);
    } else {
      auto older = list_at(*cache, *filter, from->revision, from->after, limit);
      if (!older.ok()) {
        if (older.error().code() != Code::kExpired) return http::Response::from_status(older.error());
        return expired_list(older.error(), encode_continue({-1, from->after}));
      }
      page = std::move(*older);
    }
  } else if (options->match == "Exact" || (wanted > 0 && limit > 0 && options->match.empty())) {
    if (wanted > now) return http::Response::from_status(too_large_revision(wanted, now, 0));
    auto older = list_at(*cache, *filter, wanted, {}, limit);
    if (!older.ok()) {
      Status status = older.error();
      if (status.code() == Code::kExpired) {
        status = Status(Code::kExpired, base::cat("The resourceVersion for the provided list is too old."));
      }
      return http::Response::from_status(status);
    }
    page = std::move(*older);
  } else {
    if (wanted > now) return http::Response::from_status(too_large_revision(wanted, now));
    page = cache->list(*filter, {}, limit);
  }
  if (!later.empty()) {
    auto selected = select_converted(*call.resource, page.items, later);
    if (!selected.ok()) return http::Response::from_status(selected.error());
    page.items = std::move(*selected);
    page.remaining = -1;
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
