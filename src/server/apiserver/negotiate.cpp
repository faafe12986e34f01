#include "server/apiserver/negotiate.h"

#include <algorithm>
#include <cctype>
#include <vector>

namespace orch::server {

using base::Code;
using base::Result;
using base::Status;

namespace {

std::string_view trim(std::string_view s) {
  while (!s.empty() && (s.front() == ' ' || s.front() == '\t')) s.remove_prefix(1);
  while (!s.empty() && (s.back() == ' ' || s.back() == '\t')) s.remove_suffix(1);
  return s;
}

std::vector<std::string_view> split(std::string_view s, char separator) {
  std::vector<std::string_view> out;
  while (true) {
    size_t at = s.find(separator);
    out.push_back(trim(s.substr(0, at)));
    if (at == std::string_view::npos) return out;
    s.remove_prefix(at + 1);
  }
}

struct As {
  std::string_view kind, group, version;
};

As parse_as(const std::vector<std::string_view>& parameters) {
  As as;
  for (std::string_view p : parameters) {
    size_t eq = p.find('=');
    if (eq == std::string_view::npos) continue;
    std::string_view key = p.substr(0, eq), value = trim(p.substr(eq + 1));
    if (key == "as") as.kind = value;
    if (key == "g") as.group = value;
    if (key == "v") as.version = value;
  }
  return as;
}

/// Fills `out` from one Accept clause; false if it cannot be served.
bool accept_clause(std::string_view clause, Serves serves, Negotiated& out) {
  auto parts = split(clause, ';');
  const std::string type = media_type(parts[0]);
  Negotiated n;
  if (type == "application/yaml") {
    if (serves == Serves::kWatch) return false;
    n.format = Format::kYaml;
  } else if (type == "application/vnd.kubernetes.protobuf") {
    n.format = Format::kProtobuf;
  } else if (type != "application/json" && type != "*/*" && type != "application/*") {
    return false;
  }
  const As as = parse_as(parts);
  if (as.group == "apidiscovery.k8s.io") {
    if (n.format != Format::kJson || (as.version != "v2" && as.version != "v2beta1")) return false;
    n.discovery_version = as.version;
  } else if (!as.kind.empty()) {
    if (as.group != "meta.k8s.io" || (as.version != "v1" && as.version != "v1beta1")) return false;
    if (as.kind == "Table") {
      if (n.format == Format::kProtobuf || serves == Serves::kNoTable) return false;
      n.form = Form::kTable;
    } else if (as.kind == "PartialObjectMetadata" || as.kind == "PartialObjectMetadataList") {
      n.form = Form::kPartial;
    } else {
      return false;
    }
    n.form_version = as.version;
  }
  out = n;
  return true;
}

/// Any of the media types that are served is among the clauses, in whatever form.
bool accepts_any(std::string_view accept) {
  for (auto clause : split(accept, ',')) {
    const std::string type = media_type(clause);
    for (std::string_view served : {"application/json", "application/yaml", "*/*", "application/*",
                                    "application/vnd.kubernetes.protobuf"}) {
      if (type == served) return true;
    }
  }
  return false;
}

}  // namespace

std::string_view Negotiated::content_type() const {
  switch (format) {
    case Format::kYaml:
      return "application/yaml";
    case Format::kProtobuf:
      return "application/vnd.kubernetes.protobuf";
    case Format::kJson:
      break;
  }
  return "application/json";
}

std::string media_type(std::string_view header) {
  std::string out(trim(header.substr(0, header.find(';'))));
  std::transform(out.begin(), out.end(), out.begin(), [](unsigned char c) { return std::tolower(c); });
  return out;
}

Result<Negotiated> negotiate(const http::Request& request, const http::Query& query, Serves serves) {
  Negotiated out;
  std::string_view accept = request.header("Accept");
  bool found = accept.empty();
  if (!found) {
    for (auto clause : split(accept, ',')) {
      if (!clause.empty() && accept_clause(clause, serves, out)) {
        found = true;
        break;
      }
    }
  }
  if (!found && serves == Serves::kWatch && accepts_any(accept)) {
    return Status(Code::kNotAcceptable,
                  "only the following media types are accepted: application/json;stream=watch, "
                  "application/vnd.kubernetes.protobuf;stream=watch");
  }
  if (!found && accepts_any(accept)) {
    return Status(Code::kNotAcceptable,
                  "only the following media types are accepted: application/json, application/yaml, "
                  "application/vnd.kubernetes.protobuf");
  }
  if (!found) {
    return Status(Code::kNotAcceptable,
                  "406: Not Acceptable\n\nAvailable representations: application/json, application/yaml, "
                  "application/vnd.kubernetes.protobuf",
                  {});
  }
  if (query.has("pretty")) {
    out.pretty = query.get("pretty") != "false" && query.get("pretty") != "0";
  } else {
    // People who look with their own eyes.
    const std::string_view agent = request.header("User-Agent");
    out.pretty =
        agent.rfind("curl", 0) == 0 || agent.rfind("Wget", 0) == 0 || agent.rfind("Mozilla/5.0", 0) == 0;
  }
  return out;
}

}  // namespace orch::server
