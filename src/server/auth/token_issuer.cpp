#include "server/auth/token_issuer.h"

#include <algorithm>
#include <set>

#include "api/field_error.h"
#include "api/go_text.h"
#include "base/json.h"
#include "pki/pki.h"
#include "server/auth/auth.h"

namespace orch::server {
namespace {

constexpr std::string_view kGroup = "authentication.k8s.io";
constexpr int64_t kDefaultSeconds = 3600;
constexpr int64_t kKubeletSeconds = 3607;  // only tokens asked for exactly this are extended
constexpr int64_t kExtendedSeconds = 365 * 24 * 3600;
constexpr int64_t kMinSeconds = 600;

base::Status not_found(std::string_view resource, std::string_view name) {
  base::StatusDetails details;
  details.name = name;
  details.kind = resource;
  return {base::Code::kNotFound, base::cat(resource, " ", api::go_quote(name), " not found"),
          std::move(details)};
}

base::Status conflict(std::string_view group, std::string_view kind, std::string_view name,
                      std::string_view reason) {
  base::StatusDetails details;
  details.name = name;
  details.group = group;
  details.kind = kind;
  const std::string what = group.empty() ? std::string(kind) : base::cat(kind, ".", group);
  return {base::Code::kConflict,
          base::cat("Operation cannot be fulfilled on ", what, " ", api::go_quote(name), ": ", reason),
          std::move(details)};
}

base::Status bad_request(std::string message) { return {base::Code::kBadRequest, std::move(message)}; }

int64_t unix_seconds(base::WallTime t) {
  return std::chrono::floor<std::chrono::seconds>(t).time_since_epoch().count();
}

base::Status check_metadata(const Json& request, std::string_view ns, std::string_view name) {
  const auto mismatch = [&](std::string_view field, std::string_view value, std::string_view detail) {
    api::FieldErrors errors;
    errors.invalid(api::FieldPath(base::cat("metadata.", field)), std::string(value), detail);
    return errors.to_status(kGroup, "TokenRequest", name);
  };
  const std::string_view own_name = base::string_at(request, {"metadata", "name"});
  if (!own_name.empty() && own_name != name) {
    return mismatch("name", own_name, "must match the service account name if specified");
  }
  const std::string_view own_ns = base::string_at(request, {"metadata", "namespace"});
  if (!own_ns.empty() && own_ns != ns) {
    return mismatch("namespace", own_ns, "must match the service account namespace if specified");
  }
  return {};
}

base::Status check_expiration(int64_t seconds) {
  api::FieldErrors errors;
  const api::FieldPath path("spec.expirationSeconds");
  if (seconds < kMinSeconds) errors.invalid(path, seconds, "may not specify a duration less than 10 minutes");
  if (seconds > int64_t{1} << 32)
    errors.invalid(path, seconds, "may not specify a duration larger than 2^32 seconds");
  return errors.to_status(kGroup, "TokenRequest", "");
}

}  // namespace

/// Claims of what a token is bound to, each null when it is not.
struct TokenIssuer::Binding {
  Json pod, secret, node;
};

TokenIssuer::TokenIssuer(TokenIssuerOptions options, const Lookup& lookup, const base::Clock& clock)
    : o_(std::move(options)), lookup_(lookup), clock_(clock) {}

base::Status TokenIssuer::resolve_binding(const Json& request, std::string_view ns, std::string_view account,
                                          Binding& binding) const {
  const Json* ref = base::find_path(request, {"spec", "boundObjectRef"});
  if (ref == nullptr || !ref->is_object()) return {};
  const std::string_view kind = base::string_at(*ref, {"kind"});
  const std::string_view name = base::string_at(*ref, {"name"});
  const auto [group, version] = api::split_api_version(base::string_at(*ref, {"apiVersion"}));
  struct Bindable {
    std::string_view kind, resource;
    Json* claim;
  };
  const Bindable bindables[] = {{"Pod", "pods", &binding.pod},
                                {"Secret", "secrets", &binding.secret},
                                {"Node", "nodes", &binding.node}};
  const auto* found = std::find_if(std::begin(bindables), std::end(bindables),
                                   [&, g = group](const Bindable& b) { return g.empty() && b.kind == kind; });
  if (found == std::end(bindables)) {
    return bad_request(
        base::cat("cannot bind token to object of type ", group, "/", version, ", Kind=", kind));
  }
  const api::ObjectPtr object = lookup_.get(found->resource, kind == "Node" ? std::string_view() : ns, name);
  if (!object) return not_found(found->resource, name);
  if (kind == "Pod") {
    const Json pod = object->tree();
    if (base::string_at(pod, {"spec", "serviceAccountName"}) != account) {
      return bad_request(base::cat("cannot bind token for serviceaccount ", api::go_quote(account),
                                   " to pod running with different serviceaccount name."));
    }
    if (const std::string_view node = base::string_at(pod, {"spec", "nodeName"}); !node.empty()) {
      binding.node = {{"name", node}};
      if (const api::ObjectPtr live = lookup_.get("nodes", "", node)) binding.node["uid"] = live->uid();
    }
  }
  const std::string_view wanted = base::string_at(*ref, {"uid"});
  if (!wanted.empty() && wanted != object->uid()) {
    return conflict(
        group, kind, name,
        base::cat("the UID in the bound object reference (", wanted,
                  ") does not match the UID in record. The object might have been deleted and then "
                  "recreated"));
  }
  *found->claim = {{"name", name}, {"uid", object->uid()}};
  return {};
}

base::Result<Json> TokenIssuer::request_token(const Json& request, std::string_view ns, std::string_view name,
                                              std::vector<std::string>* warnings) const {
  ORCH_RETURN_IF_ERROR(check_metadata(request, ns, name));
  const api::ObjectPtr account = lookup_.get("serviceaccounts", ns, name);
  if (!account) return not_found("serviceaccounts", name);
  const std::string_view wanted_uid = base::string_at(request, {"metadata", "uid"});
  if (!wanted_uid.empty() && wanted_uid != account->uid()) {
    return conflict(kGroup, "TokenRequest", name,
                    base::cat("the UID in the token request (", wanted_uid,
                              ") does not match the UID of the service account (", account->uid(), ")"));
  }
  const base::WallTime now = clock_.now();
  Json out = request;
  Json& spec = out["spec"];
  if (!spec.is_object()) spec = Json::object();
  if (base::array_at(spec, {"audiences"}).empty()) spec["audiences"] = o_.audiences;
  int64_t seconds = base::int_at(spec, {"expirationSeconds"}, kDefaultSeconds);
  spec["expirationSeconds"] = seconds;
  ORCH_RETURN_IF_ERROR(check_expiration(seconds));
  out["metadata"]["name"] = name;
  out["metadata"]["namespace"] = ns;
  out["metadata"]["uid"] = account->uid();
  out["metadata"]["creationTimestamp"] = base::format_time(now);

  Binding binding;
  ORCH_RETURN_IF_ERROR(resolve_binding(out, ns, name, binding));
  Json kubernetes = {{"namespace", ns}, {"serviceaccount", {{"name", name}, {"uid", account->uid()}}}};
  if (!binding.pod.is_null()) kubernetes["pod"] = binding.pod;
  if (!binding.secret.is_null()) kubernetes["secret"] = binding.secret;
  if (!binding.node.is_null()) kubernetes["node"] = binding.node;

  if (o_.max_expiration_seconds > 0 && seconds > o_.max_expiration_seconds) {
    if (warnings != nullptr) {
      warnings->push_back(base::cat("requested expiration of ", seconds, " seconds shortened to ",
                                    o_.max_expiration_seconds, " seconds"));
    }
    seconds = o_.max_expiration_seconds;
    spec["expirationSeconds"] = seconds;
  }
  const int64_t start = unix_seconds(now);
  int64_t lifetime = seconds;
  const auto is_own = [&](const Json& a) {
    return std::find(o_.audiences.begin(), o_.audiences.end(), base::string_at(a, {})) != o_.audiences.end();
  };
  if (o_.extend_expiration && !binding.pod.is_null() && seconds == kKubeletSeconds &&
      std::all_of(spec["audiences"].begin(), spec["audiences"].end(), is_own)) {
    kubernetes["warnafter"] = start + seconds;
    lifetime = kExtendedSeconds;
  }
  const Json payload = {{"iss", o_.issuer},
                        {"sub", service_account_user_name(ns, name)},
                        {"aud", spec["audiences"]},
                        {"iat", start},
                        {"nbf", start},
                        {"exp", start + lifetime},
                        {"jti", pki::make_uuid()},
                        {"kubernetes.io", std::move(kubernetes)}};
  base::Result<std::string> token = pki::sign_jwt(o_.key_pem, base::dump_json(payload));
  if (!token.ok()) {
    return base::Status(base::Code::kInternal,
                        base::cat("failed to generate token: ", token.error().message()));
  }
  out["status"] = {{"token", *token},
                   {"expirationTimestamp", base::format_time(now + std::chrono::seconds(seconds))}};
  return out;
}

base::Result<std::string> TokenIssuer::secret_token(const api::Object& account,
                                                    std::string_view secret_name) const {
  const std::string prefix = "kubernetes.io/serviceaccount/";
  const Json payload = {{"iss", "kubernetes/serviceaccount"},
                        {"sub", service_account_user_name(account.ns(), account.name())},
                        {prefix + "namespace", account.ns()},
                        {prefix + "secret.name", secret_name},
                        {prefix + "service-account.name", account.name()},
                        {prefix + "service-account.uid", account.uid()}};
  return pki::sign_jwt(o_.key_pem, base::dump_json(payload));
}

base::Result<std::string> TokenIssuer::jwks() const {
  base::Result<std::string> own = pki::public_jwk(o_.key_pem);
  if (!own.ok()) return own;
  std::vector<std::string> keys = {std::move(*own)};
  for (const std::string& pem : o_.other_keys_pem) {
    base::Result<std::string> key = pki::public_jwk(pem);
    if (!key.ok()) return key;
    if (std::find(keys.begin(), keys.end(), *key) == keys.end()) keys.push_back(std::move(*key));
  }
  return base::cat("{\"keys\":[", api::join(keys, ","), "]}");
}

base::Result<std::string> TokenIssuer::openid_configuration(std::string_view jwks_uri) const {
  const base::Result<std::string> set = jwks();
  if (!set.ok()) return set.error();
  const base::Result<Json> tree = base::parse_json(*set);
  if (!tree.ok()) return tree.error();
  std::set<std::string> algorithms;
  for (const Json& key : base::array_at(*tree, {"keys"})) algorithms.emplace(base::string_at(key, {"alg"}));
  const Json document = {{"issuer", o_.issuer},
                         {"jwks_uri", jwks_uri},
                         {"response_types_supported", Json::array({"id_token"})},
                         {"subject_types_supported", Json::array({"public"})},
                         {"id_token_signing_alg_values_supported", algorithms}};
  return base::dump_json(document);
}

}  // namespace orch::server
