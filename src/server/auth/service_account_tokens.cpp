#include "server/auth/service_account_tokens.h"

#include <algorithm>

#include "api/go_text.h"
#include "base/json.h"
#include "pki/pki.h"
#include "server/auth/impersonation.h"

namespace orch::server {
namespace {

constexpr std::string_view kLegacyIssuer = "kubernetes/serviceaccount";
constexpr auto kLeeway = std::chrono::minutes(1);
constexpr size_t kCacheSize = 2048;

base::Status refused(std::string message) { return {base::Code::kUnauthorized, std::move(message)}; }

struct Ref {
  std::string name, uid;
  bool present = false;
};

Ref ref_at(const Json& payload, const char* key) {
  const Json* ref = base::find_path(payload, {"kubernetes.io", key});
  if (ref == nullptr || !ref->is_object()) return {};
  return {std::string(base::string_at(*ref, {"name"})), std::string(base::string_at(*ref, {"uid"})), true};
}

std::vector<std::string> audiences_of(const Json& payload) {
  std::vector<std::string> out;
  const auto it = payload.find("aud");
  if (it == payload.end()) return out;
  if (it->is_string()) out.push_back(it->get<std::string>());
  if (!it->is_array()) return out;
  for (const Json& a : *it) {
    if (a.is_string()) out.push_back(a.get<std::string>());
  }
  return out;
}

std::string quoted_list(const std::vector<std::string>& values) {
  std::vector<std::string> quoted;
  quoted.reserve(values.size());
  for (const std::string& v : values) quoted.push_back(api::go_quote(v));
  return "[" + api::join(quoted, " ") + "]";
}

std::vector<std::string> intersection(const std::vector<std::string>& a, const std::vector<std::string>& b) {
  std::vector<std::string> out;
  for (const std::string& v : a) {
    if (std::find(b.begin(), b.end(), v) != b.end()) out.push_back(v);
  }
  return out;
}

/// JWT times may have fractions.
int64_t seconds_at(const Json& payload, const char* key) {
  const auto it = payload.find(key);
  if (it == payload.end() || !it->is_number()) return 0;
  const double value = it->get<double>();
  return value > 0 && value < 1e15 ? static_cast<int64_t>(value) : 0;
}

}  // namespace

std::string token_date(base::WallTime time) { return base::format_time(time).substr(0, 10); }

struct ServiceAccountAuthenticator::Claims {
  std::string issuer, subject, jti;
  std::vector<std::string> audiences;
  int64_t expiry = 0, not_before = 0, issued_at = 0;  // seconds since 1970, 0 = not set
  std::string ns;
  Ref account, pod, secret, node;
};

ServiceAccountAuthenticator::ServiceAccountAuthenticator(ServiceAccountTokenOptions options,
                                                         const Lookup& lookup, const base::Clock& clock)
    : options_(std::move(options)), lookup_(lookup), clock_(clock) {}

ServiceAccountAuthenticator::~ServiceAccountAuthenticator() = default;

bool ServiceAccountAuthenticator::remembered(const std::string& key, ClaimsPtr& claims) {
  const std::lock_guard lock(mutex_);
  const auto it = cache_.find(key);
  if (it == cache_.end()) return false;
  claims = it->second;
  return true;
}

/// Null claims: not a token of ours.
base::Result<ServiceAccountAuthenticator::ClaimsPtr> ServiceAccountAuthenticator::verified_claims(
    std::string_view token) {
  if (std::count(token.begin(), token.end(), '.') != 2) return ClaimsPtr();
  const std::string key = pki::sha256_hex(token);
  ClaimsPtr cached;
  if (remembered(key, cached)) return cached;
  const base::Result<std::string> peeked = pki::peek_jwt(token);
  if (!peeked.ok()) return ClaimsPtr();
  const base::Result<Json> unverified = base::parse_json(*peeked);
  if (!unverified.ok()) return ClaimsPtr();
  const std::string_view issuer = base::string_at(*unverified, {"iss"});
  const auto& own = options_.issuers;
  if (issuer != kLegacyIssuer && std::find(own.begin(), own.end(), issuer) == own.end()) return ClaimsPtr();

  const base::Result<std::string> verified = options_.verifier.verify(token);
  if (!verified.ok()) return refused(verified.error().message());
  const base::Result<Json> parsed = base::parse_json(*verified);
  if (!parsed.ok() || !parsed->is_object())
    return refused("service account token claims could not be validated");
  const Json& payload = *parsed;
  auto claims = std::make_shared<Claims>();
  claims->issuer = base::string_at(payload, {"iss"});
  claims->subject = base::string_at(payload, {"sub"});
  claims->jti = base::string_at(payload, {"jti"});
  claims->audiences = audiences_of(payload);
  claims->expiry = seconds_at(payload, "exp");
  claims->not_before = seconds_at(payload, "nbf");
  claims->issued_at = seconds_at(payload, "iat");
  if (claims->issuer == kLegacyIssuer) {
    claims->ns = base::string_at(payload, {"kubernetes.io/serviceaccount/namespace"});
    claims->account.name = base::string_at(payload, {"kubernetes.io/serviceaccount/service-account.name"});
    claims->account.uid = base::string_at(payload, {"kubernetes.io/serviceaccount/service-account.uid"});
    claims->secret.name = base::string_at(payload, {"kubernetes.io/serviceaccount/secret.name"});
  } else {
    claims->ns = base::string_at(payload, {"kubernetes.io", "namespace"});
    claims->account = ref_at(payload, "serviceaccount");
    claims->pod = ref_at(payload, "pod");
    claims->secret = ref_at(payload, "secret");
    claims->node = ref_at(payload, "node");
  }
  const std::lock_guard lock(mutex_);
  if (cache_.size() >= kCacheSize) cache_.clear();  // rare, and only costs verifying again
  cache_[key] = claims;
  return ClaimsPtr(claims);
}

base::Status ServiceAccountAuthenticator::check_times(const Claims& c) const {
  using std::chrono::seconds;
  const base::WallTime now = clock_.now();
  if (c.not_before != 0 && now + kLeeway < base::WallTime(seconds(c.not_before))) {
    return refused("service account token is not valid yet");
  }
  if (c.expiry != 0 && now - kLeeway > base::WallTime(seconds(c.expiry))) {
    return refused("service account token has expired");
  }
  if (c.issued_at != 0 && now + kLeeway < base::WallTime(seconds(c.issued_at))) {
    return refused("service account token is issued in the future");
  }
  return {};
}

/// Deleted for longer than clocks may differ.
bool ServiceAccountAuthenticator::gone(const api::Object& object) const {
  if (!object.deleting()) return false;
  const base::Result<base::WallTime> when =
      base::parse_time(base::string_at(object.tree(), {"metadata", "deletionTimestamp"}));
  return when.ok() && *when < clock_.now() - kLeeway;
}

base::Result<UserInfo> ServiceAccountAuthenticator::bound_user(const Claims& c) const {
  const api::ObjectPtr account = lookup_.get("serviceaccounts", c.ns, c.account.name);
  if (!account) return refused(base::cat("serviceaccounts ", api::go_quote(c.account.name), " not found"));
  if (account->uid() != c.account.uid) {
    return refused(
        base::cat("service account UID (", account->uid(), ") does not match claim (", c.account.uid, ")"));
  }
  if (gone(*account)) {
    return refused(base::cat("service account ", c.ns, "/", c.account.name, " has been deleted"));
  }
  const auto check = [&](const Ref& ref, std::string_view resource, std::string_view ns,
                         std::string_view title, std::string_view claim) -> base::Status {
    if (!ref.present) return {};
    const api::ObjectPtr object = lookup_.get(resource, ns, ref.name);
    if (!object) return refused("service account token has been invalidated");
    if (object->uid() != ref.uid) {
      return refused(base::cat(title, " UID (", object->uid(), ") does not match service account ", claim,
                               " ref claim (", ref.uid, ")"));
    }
    if (gone(*object)) return refused("service account token has been invalidated");
    return {};
  };
  ORCH_RETURN_IF_ERROR(check(c.secret, "secrets", c.ns, "secret", "secret"));
  ORCH_RETURN_IF_ERROR(check(c.pod, "pods", c.ns, "pod", "pod"));
  // A pod's token names the pod's node too: that is information, not a binding.
  if (!c.pod.present) ORCH_RETURN_IF_ERROR(check(c.node, "nodes", "", "node", "node"));

  UserInfo user;
  user.name = service_account_user_name(c.ns, c.account.name);
  user.uid = c.account.uid;
  user.groups = {std::string(kGroupServiceAccounts), base::cat(kGroupServiceAccounts, ":", c.ns)};
  if (c.pod.present) {
    user.extra["authentication.kubernetes.io/pod-name"] = {c.pod.name};
    user.extra["authentication.kubernetes.io/pod-uid"] = {c.pod.uid};
  }
  if (!c.jti.empty()) user.extra["authentication.kubernetes.io/credential-id"] = {"JTI=" + c.jti};
  if (c.node.present && !c.node.name.empty()) {
    user.extra["authentication.kubernetes.io/node-name"] = {c.node.name};
    if (!c.node.uid.empty()) user.extra["authentication.kubernetes.io/node-uid"] = {c.node.uid};
  }
  return user;
}

void ServiceAccountAuthenticator::note_use(const api::ObjectPtr& secret) const {
  const base::WallTime now = clock_.now();
  const std::string today = token_date(now);
  if (!options_.on_legacy_use || today < kTokenTrackingBegan) return;
  const std::string_view last = secret->label(kTokenLastUsed);
  // Another server's clock may be ahead by a little.
  if (last != today && last != token_date(now + std::chrono::hours(24)))
    options_.on_legacy_use(secret, today);
}

base::Result<UserInfo> ServiceAccountAuthenticator::legacy_user(const Claims& c,
                                                                std::string_view token) const {
  if (c.subject.empty()) return refused("sub claim is missing");
  if (c.ns.empty()) return refused("namespace claim is missing");
  if (c.secret.name.empty()) return refused("secretName claim is missing");
  if (c.account.name.empty()) return refused("serviceAccountName claim is missing");
  if (c.account.uid.empty()) return refused("serviceAccountUID claim is missing");
  if (c.subject != service_account_user_name(c.ns, c.account.name)) return refused("sub claim is invalid");
  const api::ObjectPtr secret = lookup_.get("secrets", c.ns, c.secret.name);
  if (!secret || secret->deleting()) return refused("Token has been invalidated");
  const base::Result<std::string> stored =
      pki::base64_decode(base::string_at(secret->tree(), {"data", "token"}));
  if (!stored.ok() || !pki::equal_constant_time(*stored, token)) {
    return refused("Token does not match server's copy");
  }
  const api::ObjectPtr account = lookup_.get("serviceaccounts", c.ns, c.account.name);
  if (!account) return refused(base::cat("serviceaccounts ", api::go_quote(c.account.name), " not found"));
  if (account->deleting())
    return refused(base::cat("ServiceAccount ", c.ns, "/", c.account.name, " has been deleted"));
  if (account->uid() != c.account.uid) {
    return refused(
        base::cat("ServiceAccount UID (", account->uid(), ") does not match claim (", c.account.uid, ")"));
  }
  note_use(secret);
  if (!secret->label(kTokenInvalidSince).empty()) {
    return refused(base::cat(
        "the token in secret ", c.ns, "/", c.secret.name, " for service account ", c.ns, "/", c.account.name,
        " has been marked invalid. Use tokens from the TokenRequest API or manually created "
        "secret-based tokens, or remove the 'kubernetes.io/legacy-token-invalid-since' label "
        "from the secret to temporarily allow use of this token"));
  }
  UserInfo user;
  user.name = c.subject;
  user.uid = c.account.uid;
  user.groups = {std::string(kGroupServiceAccounts), base::cat(kGroupServiceAccounts, ":", c.ns)};
  return user;
}

base::Result<std::optional<TokenUser>> ServiceAccountAuthenticator::authenticate_token(
    std::string_view token, const std::vector<std::string>& audiences) {
  base::Result<ClaimsPtr> verified = verified_claims(token);
  if (!verified.ok()) return verified.error();
  if (!*verified) return std::optional<TokenUser>();
  const Claims& claims = **verified;

  // Tokens without audiences are older than audiences and mean the API server.
  const auto& own = claims.audiences.empty() ? options_.audiences : claims.audiences;
  const auto& wanted = audiences.empty() ? options_.audiences : audiences;
  std::vector<std::string> matched = intersection(own, wanted);
  if (matched.empty() && !options_.audiences.empty()) {
    return refused(base::cat("token audiences ", quoted_list(own), " is invalid for the target audiences ",
                             quoted_list(wanted)));
  }
  const bool legacy = claims.issuer == kLegacyIssuer;
  ORCH_RETURN_IF_ERROR(check_times(claims));
  base::Result<UserInfo> user = legacy ? legacy_user(claims, token) : bound_user(claims);
  if (!user.ok()) return user.error();
  return std::optional<TokenUser>(TokenUser{std::move(*user), std::move(matched)});
}

}  // namespace orch::server
