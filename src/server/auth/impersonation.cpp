#include "server/auth/impersonation.h"

#include <algorithm>
#include <cctype>
#include <map>

#include "api/names.h"
#include "server/auth/forbidden.h"

namespace orch::server {
namespace {

constexpr std::string_view kExtraPrefix = "impersonate-extra-";
constexpr std::string_view kAuthenticationVersion = "authentication.k8s.io/v1";

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return out;
}

/// One thing to become; the members are those of the ObjectReference that Kubernetes makes of it.
struct Wish {
  std::string kind, ns, name, api_version, extra_key;
};

std::vector<Wish> read_headers(const http::Request& request) {
  std::vector<Wish> wishes;
  if (const std::string_view user = request.header("Impersonate-User"); !user.empty()) {
    if (const auto account = split_service_account(user)) {
      wishes.push_back({"ServiceAccount", std::string(account->first), std::string(account->second), {}, {}});
    } else {
      wishes.push_back({"User", {}, std::string(user), {}, {}});
    }
  }
  for (std::string_view group : request.header_values("Impersonate-Group")) {
    wishes.push_back({"Group", {}, std::string(group), {}, {}});
  }
  for (const auto& [name, value] : request.headers) {
    const std::string key = lower(name);
    if (!key.starts_with(kExtraPrefix)) continue;
    const std::string encoded = key.substr(kExtraPrefix.size());
    std::string decoded;
    if (!http::percent_decode(encoded, false, decoded)) decoded = encoded;
    wishes.push_back({"UserExtra", {}, value, std::string(kAuthenticationVersion), decoded});
  }
  if (const std::string_view uid = request.header("Impersonate-Uid"); !uid.empty()) {
    wishes.push_back({"UID", {}, std::string(uid), std::string(kAuthenticationVersion), {}});
  }
  return wishes;
}

base::Status without_user(const std::vector<Wish>& wishes) {
  std::string text;
  for (const Wish& w : wishes) {
    if (!text.empty()) text += ' ';
    text += base::cat("{", w.kind, " ", w.ns, " ", w.name, "  ", w.api_version, "  ", w.extra_key, "}");
  }
  return {base::Code::kBadRequest, base::cat("requested [", text, "] without impersonating a user")};
}

Attributes attributes_of(const Wish& wish, const UserInfo& requestor) {
  Attributes a;
  a.user = &requestor;
  a.verb = "impersonate";
  a.resource_request = true;
  a.name = wish.name;
  if (wish.kind == "ServiceAccount") {
    a.resource = "serviceaccounts";
    a.ns = wish.ns;
  } else if (wish.kind == "User") {
    a.resource = "users";
  } else if (wish.kind == "Group") {
    a.resource = "groups";
  } else {
    a.group = "authentication.k8s.io";
    a.version = "v1";
    a.resource = wish.kind == "UID" ? "uids" : "userextras";
    a.subresource = wish.extra_key;
  }
  if (a.version.empty()) a.version = "v1";
  return a;
}

void grant(const Wish& wish, bool groups_given, UserInfo& user) {
  if (wish.kind == "ServiceAccount") {
    user.name = service_account_user_name(wish.ns, wish.name);
    if (!groups_given) {
      user.groups = {std::string(kGroupServiceAccounts), base::cat(kGroupServiceAccounts, ":", wish.ns)};
    }
  } else if (wish.kind == "User") {
    user.name = wish.name;
  } else if (wish.kind == "Group") {
    user.groups.push_back(wish.name);
  } else if (wish.kind == "UserExtra") {
    user.extra[wish.extra_key].push_back(wish.name);
  } else {
    user.uid = wish.name;
  }
}

void add_authentication_group(UserInfo& user) {
  if (user.in_group(kGroupUnauthenticated)) return;
  if (user.name == kUserAnonymous) {
    user.groups.emplace_back(kGroupUnauthenticated);
  } else if (!user.in_group(kGroupAuthenticated)) {
    user.groups.emplace_back(kGroupAuthenticated);
  }
}

}  // namespace

std::optional<std::pair<std::string_view, std::string_view>> split_service_account(std::string_view name) {
  constexpr std::string_view kPrefix = "system:serviceaccount:";
  if (!name.starts_with(kPrefix)) return std::nullopt;
  name.remove_prefix(kPrefix.size());
  const size_t colon = name.find(':');
  if (colon == std::string_view::npos) return std::nullopt;
  const std::pair parts(name.substr(0, colon), name.substr(colon + 1));
  if (!api::check_dns1123_label(parts.first).empty() || !api::check_dns1123_subdomain(parts.second).empty()) {
    return std::nullopt;
  }
  return parts;
}

base::Result<std::optional<UserInfo>> impersonate(const http::Request& request, const UserInfo& requestor,
                                                  Authorizer& authorizer) {
  const std::vector<Wish> wishes = read_headers(request);
  if (wishes.empty()) return std::optional<UserInfo>();
  if (wishes[0].kind != "User" && wishes[0].kind != "ServiceAccount") return without_user(wishes);
  const bool groups_given =
      std::any_of(wishes.begin(), wishes.end(), [](const Wish& w) { return w.kind == "Group"; });
  UserInfo user;
  for (const Wish& wish : wishes) {
    const Attributes attributes = attributes_of(wish, requestor);
    const Verdict verdict = authorizer.authorize(attributes);
    if (verdict.decision != Decision::kAllow) return forbidden_status(attributes, verdict.reason);
    grant(wish, groups_given, user);
  }
  add_authentication_group(user);
  return std::optional<UserInfo>(std::move(user));
}

}  // namespace orch::server
