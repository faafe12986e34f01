#include "server/auth/authenticators.h"

#include <algorithm>
#include <cctype>

#include "base/log.h"
#include "pki/pki.h"

namespace orch::server {
namespace {

constexpr std::string_view kSubprotocolPrefix = "base64url.bearer.authorization.k8s.io.";

bool equal_ignoring_case(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](unsigned char x, unsigned char y) { return std::tolower(x) == std::tolower(y); });
}

std::string_view trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

/// Browsers cannot set headers on a WebSocket, so its token travels as one of the offered subprotocols.
std::string subprotocol_token(const http::Request& request) {
  for (std::string_view header : request.header_values("Sec-WebSocket-Protocol")) {
    while (!header.empty()) {
      const size_t comma = std::min(header.find(','), header.size());
      const std::string_view protocol = trim(header.substr(0, comma));
      header.remove_prefix(std::min(comma + 1, header.size()));
      if (!protocol.starts_with(kSubprotocolPrefix)) continue;
      if (base::Result<std::string> token = pki::base64url_decode(protocol.substr(kSubprotocolPrefix.size()));
          token.ok())
        return *token;
    }
  }
  return {};
}

std::optional<UserInfo> certificate_user(const http::PeerIdentity& peer) {
  if (peer.common_name.empty() || !peer.client) return std::nullopt;
  UserInfo user;
  user.name = peer.common_name;
  user.groups = peer.organizations;
  if (!peer.credential_id.empty()) {
    user.extra["authentication.kubernetes.io/credential-id"] = {"X509SHA256=" + peer.credential_id};
  }
  return user;
}

void add_authenticated(UserInfo& user) {
  if (user.name == kUserAnonymous || user.in_group(kGroupAuthenticated) ||
      user.in_group(kGroupUnauthenticated)) {
    return;
  }
  user.groups.emplace_back(kGroupAuthenticated);
}

}  // namespace

std::string bearer_token(const http::Request& request) {
  const std::string_view header = trim(request.header("Authorization"));
  const size_t space = header.find(' ');
  if (space == std::string_view::npos) return header.empty() ? subprotocol_token(request) : std::string();
  std::string_view token = trim(header.substr(space + 1));
  token = token.substr(0, token.find(' '));
  if (equal_ignoring_case(header.substr(0, space), "Bearer")) return std::string(token);
  if (equal_ignoring_case(header.substr(0, space), "Basic")) {
    base::Result<std::string> credentials = pki::base64_decode(token);
    if (credentials.ok()) return *credentials;
  }
  return {};
}

std::optional<UserInfo> FrontProxies::user(const http::Request& request) const {
  if (!request.peer.front_proxy) return std::nullopt;
  if (!allowed_names.empty() &&
      std::find(allowed_names.begin(), allowed_names.end(), request.peer.common_name) == allowed_names.end())
    return std::nullopt;
  const auto first = [&](const std::vector<std::string>& names) {
    for (const std::string& name : names) {
      if (const std::string_view value = request.header(name); !value.empty()) return std::string(value);
    }
    return std::string();
  };
  UserInfo user;
  user.name = first(username_headers);
  if (user.name.empty()) return std::nullopt;
  user.uid = first(uid_headers);
  for (const std::string& name : group_headers) {
    for (const std::string_view group : request.header_values(name)) {
      if (!group.empty()) user.groups.emplace_back(group);
    }
  }
  for (const std::string& prefix : extra_prefixes) {
    for (const auto& [name, value] : request.headers) {
      if (name.size() < prefix.size() || !http::equal_fold({name.data(), prefix.size()}, prefix)) continue;
      std::string key = name.substr(prefix.size()), decoded;
      for (char& c : key) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
      user.extra[http::percent_decode(key, false, decoded) ? decoded : key].push_back(value);
    }
  }
  return user;
}

void FrontProxies::strip(http::Request& request) const {
  std::erase_if(request.headers, [this](const auto& header) {
    const std::string_view name = header.first;
    for (const auto* names : {&username_headers, &uid_headers, &group_headers}) {
      for (const std::string& own : *names) {
        if (http::equal_fold(name, own)) return true;
      }
    }
    return std::any_of(extra_prefixes.begin(), extra_prefixes.end(), [&](const std::string& prefix) {
      return name.size() >= prefix.size() && http::equal_fold(name.substr(0, prefix.size()), prefix);
    });
  });
}

RequestAuthenticator::RequestAuthenticator(std::vector<std::unique_ptr<TokenAuthenticator>> tokens,
                                           AnonymousOptions anonymous, FrontProxies proxies)
    : tokens_(std::move(tokens)), anonymous_(std::move(anonymous)), proxies_(std::move(proxies)) {}

base::Result<std::optional<UserInfo>> RequestAuthenticator::anonymous(const http::Request& request) const {
  const auto& paths = anonymous_.paths;
  if (!anonymous_.enabled ||
      (!paths.empty() && std::find(paths.begin(), paths.end(), request.path) == paths.end())) {
    return base::Status(base::Code::kUnauthorized, "Unauthorized");
  }
  UserInfo user;
  user.name = kUserAnonymous;
  user.groups = {std::string(kGroupUnauthenticated)};
  return std::optional<UserInfo>(std::move(user));
}

base::Result<std::optional<UserInfo>> RequestAuthenticator::authenticate(const http::Request& request) {
  std::optional<UserInfo> user = proxies_.user(request);
  if (!user) user = certificate_user(request.peer);
  if (!user) {
    const std::string token = bearer_token(request);
    if (token.empty()) {
      if (request.peer.error.empty() && request.peer.client) return anonymous(request);
      base::log_debug("auth", "client certificate refused",
                      {{"from", request.remote_address},
                       {"reason", request.peer.client ? request.peer.error : "it is a proxy's"}});
      return base::Status(base::Code::kUnauthorized, "Unauthorized");
    }
    base::Result<std::optional<TokenUser>> found = authenticate_token(token, {});
    if (!found.ok()) {
      base::log_debug("auth", "request refused",
                      {{"from", request.remote_address}, {"reason", found.error().message()}});
      return base::Status(base::Code::kUnauthorized, "Unauthorized");
    }
    return std::optional<UserInfo>(std::move((*found)->user));
  }
  add_authenticated(*user);
  return user;
}

base::Result<std::optional<TokenUser>> RequestAuthenticator::authenticate_token(
    std::string_view token, const std::vector<std::string>& audiences) {
  for (const auto& authenticator : tokens_) {
    base::Result<std::optional<TokenUser>> found = authenticator->authenticate_token(token, audiences);
    if (!found.ok()) return found;
    if (!found->has_value()) continue;
    add_authenticated((*found)->user);
    return found;
  }
  return base::Status(base::Code::kUnauthorized, "invalid bearer token");
}

}  // namespace orch::server
