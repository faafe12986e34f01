#include "agent/kubelet/image_name.h"

#include <fnmatch.h>

#include <algorithm>

#include "base/json.h"
#include "pki/pki.h"

namespace orch::agent {
namespace {

using base::Code;
using base::Result;
using base::Status;
using base::string_at;

bool is_lower_alnum(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }

/// Components of lower-case letters and digits with single . or _, double __ or any - between.
bool valid_repository(std::string_view path) {
  size_t at = 0;
  while (at <= path.size()) {
    const size_t end = std::min(path.find('/', at), path.size());
    const auto part = path.substr(at, end - at);
    if (part.empty() || !is_lower_alnum(part.front()) || !is_lower_alnum(part.back())) return false;
    for (size_t i = 0; i < part.size(); ++i) {
      const char c = part[i];
      if (is_lower_alnum(c) || c == '-') continue;
      if (c != '.' && c != '_') return false;
      if (c == '.' && part[i + 1] == '.') return false;
    }
    at = end + 1;
  }
  return true;
}

bool valid_tag(std::string_view tag) {
  if (tag.empty() || tag.size() > 128 || tag.front() == '.' || tag.front() == '-') return false;
  return std::all_of(tag.begin(), tag.end(), [](char c) {
    return is_lower_alnum(c) || (c >= 'A' && c <= 'Z') || c == '_' || c == '.' || c == '-';
  });
}

bool valid_digest(std::string_view digest) {
  const size_t colon = digest.find(':');
  if (colon == std::string_view::npos || colon == 0) return false;
  const auto hex = digest.substr(colon + 1);
  return hex.size() >= 32 && std::all_of(hex.begin(), hex.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

/// Without scheme and the paths of the registry API.
std::string clean_pattern(std::string pattern) {
  for (const char* scheme : {"https://", "http://"}) {
    if (pattern.rfind(scheme, 0) == 0) pattern.erase(0, std::string_view(scheme).size());
  }
  for (const char* suffix : {"/v1/", "/v2/", "/v1", "/v2", "/"}) {
    const std::string_view s(suffix);
    if (pattern.size() > s.size() && pattern.compare(pattern.size() - s.size(), s.size(), s) == 0) {
      pattern.resize(pattern.size() - s.size());
      break;
    }
  }
  if (pattern == "index.docker.io" || pattern == "registry-1.docker.io") pattern = "docker.io";
  return pattern;
}

bool host_matches(std::string_view pattern, std::string_view host) {
  const auto split = [](std::string_view text) {
    const size_t colon = text.rfind(':');
    return colon == std::string_view::npos ? std::pair(text, std::string_view())
                                           : std::pair(text.substr(0, colon), text.substr(colon + 1));
  };
  const auto [pattern_host, pattern_port] = split(pattern);
  const auto [name, port] = split(host);
  if (pattern_port != port) return false;
  if (std::count(pattern_host.begin(), pattern_host.end(), '.') !=
      std::count(name.begin(), name.end(), '.')) {
    return false;
  }
  return ::fnmatch(std::string(pattern_host).c_str(), std::string(name).c_str(), 0) == 0;
}

bool pattern_matches(const std::string& pattern, const ImageName& image) {
  const size_t slash = pattern.find('/');
  if (!host_matches(std::string_view(pattern).substr(0, slash), image.domain)) return false;
  if (slash == std::string::npos) return true;
  return image.repository.rfind(pattern.substr(slash + 1), 0) == 0;
}

}  // namespace

std::string ImageName::full() const {
  std::string out = domain + "/" + repository;
  if (!tag.empty()) out += ":" + tag;
  if (!digest.empty()) out += "@" + digest;
  return out;
}

Result<ImageName> parse_image_name(std::string_view text) {
  const auto invalid = [&] {
    return Status(Code::kBadRequest,
                  base::cat("couldn't parse image name \"", text, "\": invalid reference format"));
  };
  ImageName out;
  std::string_view rest = text;
  if (const size_t at = rest.find('@'); at != std::string_view::npos) {
    out.digest = rest.substr(at + 1);
    rest = rest.substr(0, at);
    if (!valid_digest(out.digest)) return invalid();
  }
  if (const size_t colon = rest.rfind(':');
      colon != std::string_view::npos && rest.find('/', colon) == std::string_view::npos) {
    out.tag = rest.substr(colon + 1);
    rest = rest.substr(0, colon);
    if (!valid_tag(out.tag)) return invalid();
  }
  const size_t slash = rest.find('/');
  const auto first = rest.substr(0, slash);
  if (slash != std::string_view::npos &&
      (first.find_first_of(".:") != std::string_view::npos || first == "localhost")) {
    out.domain = first;
    out.repository = rest.substr(slash + 1);
  } else {
    out.domain = "docker.io";
    out.repository = slash == std::string_view::npos ? base::cat("library/", rest) : std::string(rest);
  }
  if (out.domain == "index.docker.io") out.domain = "docker.io";
  if (!valid_repository(out.repository)) return invalid();
  if (out.tag.empty() && out.digest.empty()) out.tag = "latest";
  return out;
}

std::vector<RegistryAuth> registry_auths(const Json& secret) {
  std::vector<RegistryAuth> out;
  for (const char* key : {".dockerconfigjson", ".dockercfg"}) {
    const auto encoded = string_at(secret, {"data", key});
    if (encoded.empty()) continue;
    const auto text = pki::base64_decode(encoded);
    if (!text.ok()) continue;
    const auto parsed = base::parse_json(*text);
    if (!parsed.ok()) continue;
    const Json& entries =
        std::string_view(key) == ".dockercfg" ? *parsed : base::object_at(*parsed, {"auths"});
    if (!entries.is_object()) continue;
    for (const auto& [pattern, entry] : entries.items()) {
      RegistryAuth auth;
      auth.pattern = clean_pattern(pattern);
      auth.auth.username = string_at(entry, {"username"});
      auth.auth.password = string_at(entry, {"password"});
      auth.auth.identity_token = string_at(entry, {"identitytoken"});
      auth.auth.registry_token = string_at(entry, {"registrytoken"});
      if (const auto packed = string_at(entry, {"auth"}); !packed.empty()) {
        const auto pair = pki::base64_decode(packed);
        const size_t colon = pair.ok() ? pair->find(':') : std::string::npos;
        if (colon != std::string::npos) {
          auth.auth.username = pair->substr(0, colon);
          auth.auth.password = pair->substr(colon + 1);
        }
      }
      out.push_back(std::move(auth));
    }
  }
  return out;
}

std::vector<ImageAuth> matching_auths(const ImageName& image, const std::vector<RegistryAuth>& auths) {
  std::vector<const RegistryAuth*> found;
  for (const RegistryAuth& auth : auths) {
    if (pattern_matches(auth.pattern, image)) found.push_back(&auth);
  }
  std::stable_sort(found.begin(), found.end(), [](const RegistryAuth* a, const RegistryAuth* b) {
    return a->pattern.size() > b->pattern.size();
  });
  std::vector<ImageAuth> out;
  out.reserve(found.size());
  for (const RegistryAuth* auth : found) out.push_back(auth->auth);
  return out;
}

}  // namespace orch::agent
