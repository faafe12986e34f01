#include "server/auth/oidc.h"

#include <algorithm>

#include "api/field_error.h"
#include "api/go_text.h"
#include "api/yaml.h"
#include "base/json.h"
#include "pki/pki.h"

namespace orch::server {

using api::FieldErrors;
using api::FieldPath;
using base::Code;
using base::Result;
using base::Status;

namespace {

constexpr std::chrono::seconds kFetchPause{10};
constexpr std::chrono::minutes kNotBeforeLeeway{5};

Status refused(std::string why) { return {Code::kUnauthorized, "oidc: " + std::move(why)}; }

std::vector<std::string> strings_of(const Json* value) {
  std::vector<std::string> out;
  if (value == nullptr) return out;
  if (value->is_string()) out.push_back(value->get<std::string>());
  if (!value->is_array()) return out;
  for (const Json& v : *value) {
    if (v.is_string()) out.push_back(v.get<std::string>());
  }
  return out;
}

bool intersects(const std::vector<std::string>& a, const std::vector<std::string>& b) {
  return std::any_of(a.begin(), a.end(),
                     [&](const std::string& x) { return std::find(b.begin(), b.end(), x) != b.end(); });
}

/// {claim, prefix} of the mappings; a claim without prefix is not allowed, lest two issuers' users be one.
ClaimMapping read_mapping(const Json& mappings, const char* name, bool required, const FieldPath& parent,
                          FieldErrors& errors) {
  const FieldPath path = parent.child(name);
  const Json& m = base::object_at(mappings, {name});
  ClaimMapping out{std::string(base::string_at(m, {"claim"})), std::string(base::string_at(m, {"prefix"}))};
  if (out.claim.empty() && required && base::string_at(m, {"expression"}).empty())
    errors.required(path, "claim or expression is required");
  if (!out.claim.empty() && !m.contains("prefix") && base::string_at(m, {"expression"}).empty())
    errors.required(path.child("prefix"),
                    "prefix is required when claim is set. It can be set to an empty string to "
                    "disable prefixing");
  return out;
}

JwtIssuer read_issuer(const Json& jwt, const FieldPath& path, FieldErrors& errors) {
  JwtIssuer out;
  const Json& issuer = base::object_at(jwt, {"issuer"});
  const FieldPath at = path.child("issuer");
  out.url = base::string_at(issuer, {"url"});
  out.discovery_url = base::string_at(issuer, {"discoveryURL"});
  out.ca_pem = base::string_at(issuer, {"certificateAuthority"});
  out.audiences = strings_of(base::find_path(issuer, {"audiences"}));
  if (out.url.empty()) {
    errors.required(at.child("url"), "URL is required");
  } else if (out.url.rfind("https://", 0) != 0) {
    errors.invalid(at.child("url"), out.url, "URL scheme must be https");
  }
  if (!out.discovery_url.empty() && out.discovery_url.rfind("https://", 0) != 0)
    errors.invalid(at.child("discoveryURL"), out.discovery_url, "URL scheme must be https");
  if (out.audiences.empty())
    errors.required(at.child("audiences"), "at least one jwt.issuer.audiences is required");
  const std::string policy(base::string_at(issuer, {"audienceMatchPolicy"}));
  if (out.audiences.size() > 1 && policy != "MatchAny")
    errors.invalid(at.child("audienceMatchPolicy"), policy,
                   "audienceMatchPolicy must be MatchAny for multiple audiences");
  if (!out.ca_pem.empty() && !pki::parse_certificate(out.ca_pem).ok())
    errors.invalid(at.child("certificateAuthority"), "<omitted>",
                   "data does not contain any valid certificates");
  for (const Json& rule : base::array_at(jwt, {"claimValidationRules"})) {
    const std::string claim(base::string_at(rule, {"claim"}));
    if (!claim.empty()) out.required_claims[claim] = base::string_at(rule, {"requiredValue"});
  }
  const Json& mappings = base::object_at(jwt, {"claimMappings"});
  const FieldPath mapped = path.child("claimMappings");
  out.username = read_mapping(mappings, "username", true, mapped, errors);
  out.groups = read_mapping(mappings, "groups", false, mapped, errors);
  out.uid_claim = base::string_at(base::object_at(mappings, {"uid"}), {"claim"});
  out.expressions = read_claim_expressions(jwt, path, errors);
  return out;
}

}  // namespace

Result<AuthenticationConfig> parse_authentication_config(std::string_view text) {
  auto tree = api::parse_yaml(text);
  if (!tree.ok()) return Status(Code::kBadRequest, tree.error().message());
  const std::string_view version = base::string_at(*tree, {"apiVersion"});
  if (base::string_at(*tree, {"kind"}) != "AuthenticationConfiguration" ||
      (version != "apiserver.config.k8s.io/v1" && version != "apiserver.config.k8s.io/v1beta1"))
    return Status(Code::kBadRequest, "not an AuthenticationConfiguration of apiserver.config.k8s.io/v1");
  AuthenticationConfig out;
  FieldErrors errors;
  const Json& list = base::array_at(*tree, {"jwt"});
  for (size_t i = 0; i < list.size(); ++i) {
    const FieldPath path = FieldPath("jwt").index(i);
    out.issuers.push_back(read_issuer(list[i], path, errors));
    for (size_t j = 0; j < i; ++j) {
      if (out.issuers[j].url == out.issuers[i].url)
        errors.duplicate(path.child("issuer").child("url"), out.issuers[i].url);
    }
  }
  if (const Json* anonymous = base::find_path(*tree, {"anonymous"});
      anonymous != nullptr && !anonymous->is_null()) {
    AnonymousOptions o;
    o.enabled = base::bool_at(*anonymous, {"enabled"});
    for (const Json& c : base::array_at(*anonymous, {"conditions"}))
      o.paths.emplace_back(base::string_at(c, {"path"}));
    if (!o.enabled && !o.paths.empty())
      errors.invalid(FieldPath("anonymous.conditions"), o.paths,
                     "enabled should be set to true when conditions are defined");
    out.anonymous = std::move(o);
  }
  if (!errors.empty()) return Status(Code::kBadRequest, errors.text());
  return out;
}

Result<UserInfo> user_of_claims(const JwtIssuer& issuer, const Json& claims, base::WallTime now) {
  const auto time = [&claims](const char* key) -> std::optional<base::WallTime> {
    const auto it = claims.find(key);
    if (it == claims.end() || !it->is_number()) return std::nullopt;
    return base::WallTime(std::chrono::seconds(static_cast<int64_t>(it->get<double>())));
  };
  if (!claims.is_object()) return refused("the token's payload is no object");
  if (base::string_at(claims, {"iss"}) != issuer.url)
    return refused("id token issued by a different provider");
  if (!intersects(strings_of(base::find_path(claims, {"aud"})), issuer.audiences))
    return refused(
        base::cat("verify token: oidc: expected audience in [", api::join(issuer.audiences, " "), "]"));
  const auto expiry = time("exp"), begin = time("nbf");
  if (!expiry || *expiry < now) return refused("verify token: oidc: token is expired");
  if (begin && now + kNotBeforeLeeway < *begin)
    return refused("current time is before the nbf (not before) time");

  UserInfo user;
  if (issuer.expressions == nullptr || !issuer.expressions->names_user()) {
    const std::string_view name = base::string_at(claims, {issuer.username.claim});
    if (name.empty())
      return refused(
          base::cat("parse username claims ", api::go_quote(issuer.username.claim), ": claim not present"));
    if (issuer.username.claim == "email" && claims.contains("email_verified") &&
        !base::bool_at(claims, {"email_verified"}))
      return refused("email not verified");
    user.name = issuer.username.prefix + std::string(name);
  }
  if (!issuer.groups.claim.empty()) {
    if (const Json* groups = base::find_path(claims, {issuer.groups.claim})) {
      if (!groups->is_string() && !groups->is_array())
        return refused(base::cat("parse groups claim ", api::go_quote(issuer.groups.claim),
                                 ": neither text nor a list"));
      for (const std::string& group : strings_of(groups)) user.groups.push_back(issuer.groups.prefix + group);
    }
  }
  if (issuer.expressions != nullptr) ORCH_RETURN_IF_ERROR(issuer.expressions->map(claims, user));
  for (const auto& [claim, value] : issuer.required_claims) {
    const Json* found = base::find_path(claims, {claim});
    if (found == nullptr) return refused(base::cat("required claim ", claim, " not present in ID token"));
    if (!found->is_string() || found->get_ref<const std::string&>() != value)
      return refused(base::cat("required claim ", claim, " value does not match"));
  }
  if (!issuer.uid_claim.empty()) {
    user.uid = base::string_at(claims, {issuer.uid_claim});
    if (user.uid.empty())
      return refused(base::cat("parse uid claim ", api::go_quote(issuer.uid_claim), ": claim not present"));
  }
  if (const std::string_view id = base::string_at(claims, {"jti"}); !id.empty())
    user.extra["authentication.kubernetes.io/credential-id"] = {base::cat("JTI=", id)};
  if (issuer.expressions != nullptr) ORCH_RETURN_IF_ERROR(issuer.expressions->check(claims, user));
  return user;
}

OidcAuthenticator::OidcAuthenticator(JwtIssuer issuer, std::vector<std::string> api_audiences, Fetch fetch,
                                     const base::Clock& clock)
    : issuer_(std::move(issuer)),
      api_audiences_(std::move(api_audiences)),
      fetch_(std::move(fetch)),
      clock_(clock) {}

Status OidcAuthenticator::fetch_keys() {
  if (fetched_at_ && clock_.mono() - *fetched_at_ < kFetchPause) return last_;
  fetched_at_ = clock_.mono();
  last_ = [this]() -> Status {
    std::string url = issuer_.discovery_url;
    if (url.empty()) {
      url = issuer_.url;
      while (url.back() == '/') url.pop_back();
      url += "/.well-known/openid-configuration";
    }
    auto document = fetch_(url, issuer_.ca_pem);
    if (!document.ok()) return document.error();
    auto tree = base::parse_json(*document);
    if (!tree.ok()) return refused("the discovery document is not JSON");
    if (base::string_at(*tree, {"issuer"}) != issuer_.url)
      return refused(base::cat("issuer did not match the issuer returned by provider, expected ",
                               api::go_quote(issuer_.url), " got ",
                               api::go_quote(base::string_at(*tree, {"issuer"}))));
    const std::string keys_url(base::string_at(*tree, {"jwks_uri"}));
    if (keys_url.rfind("https://", 0) != 0) return refused("the discovery document has no jwks_uri by https");
    auto text = fetch_(keys_url, issuer_.ca_pem);
    if (!text.ok()) return text.error();
    auto keys = pki::JwkSet::parse(*text);
    if (!keys.ok()) return keys.error();
    keys_ = std::make_shared<const pki::JwkSet>(std::move(*keys));
    return {};
  }();
  return last_;
}

Result<std::string> OidcAuthenticator::verify(std::string_view token) {
  std::shared_ptr<const pki::JwkSet> keys;
  {
    std::lock_guard lock(mutex_);
    if (!keys_) ORCH_RETURN_IF_ERROR(fetch_keys());
    if (!keys_) return last_;
    keys = keys_;
  }
  auto payload = keys->verify(token, issuer_.algorithms);
  if (payload.ok()) return payload;
  {
    // Signed by a newer key, perhaps.
    std::lock_guard lock(mutex_);
    if (keys_ == keys) ORCH_RETURN_IF_ERROR(fetch_keys());
    if (keys_ == keys) return payload;
    keys = keys_;
  }
  return keys->verify(token, issuer_.algorithms);
}

Result<std::optional<TokenUser>> OidcAuthenticator::authenticate_token(
    std::string_view token, const std::vector<std::string>& audiences) {
  const std::optional<TokenUser> nobody;
  auto peeked = pki::peek_jwt(token);
  if (!peeked.ok()) return nobody;
  auto unverified = base::parse_json(*peeked);
  if (!unverified.ok() || base::string_at(*unverified, {"iss"}) != issuer_.url) return nobody;
  TokenUser out;
  for (const std::string& audience : audiences) {
    if (std::find(api_audiences_.begin(), api_audiences_.end(), audience) != api_audiences_.end())
      out.audiences.push_back(audience);
  }
  if (out.audiences.empty() && !audiences.empty()) return nobody;
  auto payload = verify(token);
  if (!payload.ok()) return refused(payload.error().message());
  auto claims = base::parse_json(*payload);
  if (!claims.ok()) return refused("the token's payload is not JSON");
  auto user = user_of_claims(issuer_, *claims, clock_.now());
  if (!user.ok()) return user.error();
  out.user = std::move(*user);
  return std::optional(std::move(out));
}

}  // namespace orch::server
