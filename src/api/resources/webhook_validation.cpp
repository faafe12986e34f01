#include "api/resources/webhook_validation.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>

#include "api/go_text.h"
#include "api/names.h"
#include "api/resources/common_validation.h"
#include "api/resources/tree.h"
#include "base/json.h"

namespace orch::api {
namespace {

using base::Code;
using base::Result;
using base::Status;

bool is_hex(char c) { return std::isxdigit(static_cast<unsigned char>(c)) != 0; }

/// The first escape that is none, as Go quotes it; "" when all are.
std::string bad_escape(std::string_view text) {
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') continue;
    if (i + 2 < text.size() && is_hex(text[i + 1]) && is_hex(text[i + 2])) continue;
    return std::string(text.substr(i, 3));
  }
  return {};
}

/// What Go allows of a host besides letters, digits and escapes.
bool host_character(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || static_cast<unsigned char>(c) >= 0x80 ||
         std::string_view("-_.~!$&'()*+,;=:[]<>\"%").find(c) != std::string_view::npos;
}

bool valid_port(std::string_view port) {
  return port.empty() || (port[0] == ':' && std::all_of(port.begin() + 1, port.end(),
                                                        [](char c) { return c >= '0' && c <= '9'; }));
}

/// Why an authority without its user is no host; "" when it is one.
std::string host_problem(std::string_view host) {
  size_t colon = host.rfind(':');
  if (!host.empty() && host[0] == '[') {
    const size_t end = host.rfind(']');
    if (end == std::string_view::npos) return "missing ']' in host";
    colon = end + 1 < host.size() ? end + 1 : std::string_view::npos;
  }
  if (colon != std::string_view::npos && !valid_port(host.substr(colon)))
    return base::cat("invalid port ", go_quote(host.substr(colon)), " after host");
  const auto bad = std::find_if_not(host.begin(), host.end(), host_character);
  if (bad != host.end())
    return base::cat("invalid character ", go_quote(std::string_view(&*bad, 1)), " in host name");
  std::string escape = bad_escape(host);
  // Of a host only what is no ASCII may be escaped.
  for (size_t at = host.find('%'); escape.empty() && at != std::string_view::npos;
       at = host.find('%', at + 1)) {
    if (host[at + 1] < '8' && host.substr(at, 3) != "%25") escape = host.substr(at, 3);
  }
  return escape.empty() ? std::string() : base::cat("invalid URL escape ", go_quote(escape));
}

/// Takes the scheme off; what is wrong, "" when nothing.
std::string take_scheme(std::string_view& rest, std::string& scheme) {
  for (size_t i = 0; i < rest.size(); ++i) {
    const char c = rest[i];
    if (std::isalpha(static_cast<unsigned char>(c)) != 0) continue;
    if ((c >= '0' && c <= '9') || c == '+' || c == '-' || c == '.') {
      if (i == 0) return {};
      continue;
    }
    if (c != ':') return {};
    if (i == 0) return "missing protocol scheme";
    scheme = rest.substr(0, i);
    std::transform(scheme.begin(), scheme.end(), scheme.begin(),
                   [](unsigned char letter) { return std::tolower(letter); });
    rest.remove_prefix(i + 1);
    return {};
  }
  return {};
}

std::string split_url(std::string_view rest, UrlParts& out) {
  if (const size_t hash = rest.find('#'); hash != std::string_view::npos) {
    out.fragment = rest.substr(hash + 1);
    rest = rest.substr(0, hash);
  }
  if (std::any_of(rest.begin(), rest.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; }))
    return "net/url: invalid control character in URL";
  if (std::string problem = take_scheme(rest, out.scheme); !problem.empty()) return problem;
  if (const size_t mark = rest.find('?'); mark != std::string_view::npos) {
    out.query = rest.substr(mark + 1);
    rest = rest.substr(0, mark);
  }
  if (rest.substr(0, 1) != "/") {
    if (!out.scheme.empty()) return {};  // opaque
    const std::string_view first = rest.substr(0, rest.find('/'));
    if (first.find(':') != std::string_view::npos) return "first path segment in URL cannot contain colon";
  }
  if (rest.substr(0, 2) == "//" && (!out.scheme.empty() || rest.substr(0, 3) != "///")) {
    rest.remove_prefix(2);
    const size_t end = std::min(rest.find('/'), rest.size());
    std::string_view authority = rest.substr(0, end);
    rest.remove_prefix(end);
    if (const size_t at = authority.rfind('@'); at != std::string_view::npos) {
      out.has_user = true;
      out.user = authority.substr(0, at);
      authority.remove_prefix(at + 1);
    }
    if (std::string problem = host_problem(authority); !problem.empty()) return problem;
    out.host = authority;
  }
  if (const std::string escape = bad_escape(rest); !escape.empty())
    return base::cat("invalid URL escape ", go_quote(escape));
  out.path = rest;
  return {};
}

}  // namespace

std::string UrlParts::host_name() const {
  if (!host.empty() && host[0] == '[') return host.substr(1, host.find(']') - 1);
  return host.substr(0, host.rfind(':'));
}

int UrlParts::port() const {
  const size_t colon = host.rfind(':');
  if (colon == std::string::npos || host.find(']', colon) != std::string::npos) return 0;
  return std::atoi(host.c_str() + colon + 1);
}

Result<UrlParts> parse_url(std::string_view text) {
  UrlParts out;
  const std::string problem = split_url(text, out);
  if (problem.empty()) return out;
  return Status(Code::kBadRequest, base::cat("parse ", go_quote(text), ": ", problem));
}

void validate_webhook_url(std::string_view url, const FieldPath& path, FieldErrors& errors,
                          bool force_https) {
  constexpr std::string_view kForm = "; desired format: https://host[/path]";
  auto parts = parse_url(url);
  if (!parts.ok()) {
    errors.required(path, base::cat("url must be a valid URL: ", parts.error().message(), kForm));
    return;
  }
  if (force_https && parts->scheme != "https")
    add_invalid(errors, path, parts->scheme, base::cat("'https' is the only allowed URL scheme", kForm));
  if (parts->host.empty()) add_invalid(errors, path, parts->host, base::cat("host must be specified", kForm));
  if (parts->has_user) add_invalid(errors, path, parts->user, "user information is not permitted in the URL");
  if (!parts->fragment.empty())
    add_invalid(errors, path, parts->fragment, "fragments are not permitted in the URL");
  if (!parts->query.empty())
    add_invalid(errors, path, parts->query, "query parameters are not permitted in the URL");
}

namespace {

void validate_service_path(std::string_view text, const FieldPath& path, FieldErrors& errors) {
  if (text.empty() || text == "/") return;
  if (text == "//") {
    add_invalid(errors, path, text, "segment[0] may not be empty");
    return;
  }
  if (text[0] != '/') add_invalid(errors, path, text, "must start with a '/'");
  std::string_view rest = text.substr(1);
  if (!rest.empty() && rest.back() == '/') rest.remove_suffix(1);
  for (size_t i = 0;; ++i) {
    const size_t slash = rest.find('/');
    const std::string_view step = rest.substr(0, slash);
    if (step.empty()) {
      add_invalid(errors, path, text, base::cat("segment[", i, "] may not be empty"));
    } else {
      for (const std::string& problem : check_dns1123_subdomain(step))
        add_invalid(errors, path, text, base::cat("segment[", i, "]: ", problem));
    }
    if (slash == std::string_view::npos) return;
    rest.remove_prefix(slash + 1);
  }
}

}  // namespace

void validate_webhook_service(const Json& service, const FieldPath& path, FieldErrors& errors) {
  // kube-apiserver mixes the two up, in what it checks as well as in what it says.
  if (text_of(service, "namespace").empty()) errors.required(path.child("name"));
  if (text_of(service, "name").empty()) errors.required(path.child("namespace"));
  const int64_t port = number_of(service, "port");
  if (const Problems problems = check_port_number(port); !problems.empty())
    errors.invalid(path.child("port"), port, "port is not valid: " + join(problems, ", "));
  if (has(service, "path")) validate_service_path(text_of(service, "path"), path.child("path"), errors);
}

void validate_webhook_client(const Json& client, const FieldPath& path, FieldErrors& errors,
                             std::string_view required) {
  const bool url = has(client, "url");
  if (url == has(client, "service")) {
    errors.required(path, required);
  } else if (url) {
    validate_webhook_url(text_of(client, "url"), path.child("url"), errors);
  } else {
    validate_webhook_service(map_of(client, "service"), path.child("service"), errors);
  }
}

}  // namespace orch::api
