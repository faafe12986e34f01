#include "server/apiserver/request_info.h"

#include <algorithm>
#include <cctype>
#include <vector>

#include "api/selector.h"

namespace orch::server {

using base::Code;
using base::Result;
using base::Status;

namespace {

/// Deeper paths than any API has; proxies keep their rest unsplit.
constexpr size_t kMaxSegments = 64;

struct Segment {
  std::string text;    // decoded
  size_t raw_end = 0;  // offset in the raw path behind this segment
};

Result<std::vector<Segment>> split(std::string_view raw) {
  std::vector<Segment> out;
  size_t at = 0;
  while (at < raw.size() && out.size() < kMaxSegments) {
    while (at < raw.size() && raw[at] == '/') ++at;
    size_t end = std::min(raw.find('/', at), raw.size());
    if (end == at) break;
    std::string text;
    if (!http::percent_decode(raw.substr(at, end - at), false, text)) {
      return Status(Code::kBadRequest, "invalid URL escape in the request path");
    }
    // An escaped slash separates like any other, as in Go's decoded paths.
    for (size_t from = 0; from <= text.size() && out.size() < kMaxSegments;) {
      const size_t slash = std::min(text.find('/', from), text.size());
      if (slash > from) out.push_back({text.substr(from, slash - from), end});
      from = slash + 1;
    }
    at = end;
  }
  return out;
}

std::string verb_of(const std::string& method, bool named, const http::Query& query) {
  if (method == "POST") return "create";
  if (method == "PUT") return "update";
  if (method == "PATCH") return "patch";
  if (method == "DELETE") return named ? "delete" : "deletecollection";
  if (method != "GET" && method != "HEAD") return {};
  if (named) return "get";
  std::string_view watch = query.get("watch");
  return query.has("watch") && watch != "false" && watch != "0" ? "watch" : "list";
}

}  // namespace

bool RequestInfo::long_running() const {
  if (verb == "watch" || verb == "proxy") return true;
  for (const char* s : {"log", "exec", "attach", "portforward", "proxy"}) {
    if (subresource == s) return true;
  }
  return false;
}

Attributes RequestInfo::attributes(const UserInfo& user) const {
  Attributes a;
  a.user = &user;
  a.verb = verb;
  a.resource_request = resource_request;
  a.group = group;
  a.version = version;
  a.resource = resource;
  a.subresource = subresource;
  a.ns = ns;
  a.name = name;
  if (verb == "list" || verb == "watch" || verb == "deletecollection") {
    a.field_selector = query.get("fieldSelector");
    // A list or watch of one name is authorized as that name.
    auto selector = api::FieldSelector::parse(a.field_selector);
    if (name.empty() && selector.ok()) a.name = std::string(selector->exact("metadata.name"));
  }
  a.path = path;
  return a;
}

Result<RequestInfo> parse_request(const http::Request& request) {
  RequestInfo info;
  info.query = http::Query::parse(request.query);
  auto segments = split(request.path);
  if (!segments.ok()) return segments.error();
  const auto& seg = *segments;
  if (!http::percent_decode(request.path, false, info.path)) {
    return Status(Code::kBadRequest, "invalid URL escape in the request path");
  }
  info.verb = request.method;
  std::transform(info.verb.begin(), info.verb.end(), info.verb.begin(),
                 [](unsigned char c) { return std::tolower(c); });
  size_t i = 0;
  if (seg.size() >= 3 && seg[0].text == "api") {
    info.version = seg[1].text;
    i = 2;
  } else if (seg.size() >= 4 && seg[0].text == "apis") {
    info.group = seg[1].text;
    info.version = seg[2].text;
    i = 3;
  } else {
    return info;
  }
  info.resource_request = true;
  // The deprecated /watch/ prefix.
  const bool watch_prefix = seg[i].text == "watch" && i + 1 < seg.size();
  if (watch_prefix) ++i;
  if (seg[i].text == "namespaces" && i + 1 < seg.size()) {
    info.ns = seg[i + 1].text;
    const bool within = i + 2 < seg.size() && seg[i + 2].text != "status" && seg[i + 2].text != "finalize";
    if (within) i += 2;
  }
  info.resource = seg[i].text;
  if (i + 1 < seg.size()) info.name = seg[i + 1].text;
  if (i + 2 < seg.size()) {
    info.subresource = seg[i + 2].text;
    info.rest = request.path.substr(seg[i + 2].raw_end);
  }
  std::string verb = verb_of(request.method, !info.name.empty(), info.query);
  if (!verb.empty()) info.verb = verb;
  if (watch_prefix) info.verb = "watch";
  return info;
}

}  // namespace orch::server
