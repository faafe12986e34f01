#include "server/controllers/token_secrets.h"

#include "api/meta.h"
#include "api/scan.h"
#include "base/json.h"
#include "pki/pki.h"
#include "server/controllers/pods.h"

namespace orch::server {
namespace {

constexpr std::string_view kTokenType = "kubernetes.io/service-account-token";
constexpr std::string_view kBootstrapType = "bootstrap.kubernetes.io/token";
constexpr const char* kAccountName = "kubernetes.io/service-account.name";
constexpr const char* kAccountUid = "kubernetes.io/service-account.uid";

/// Most secrets are neither kind: told from their bytes.
bool of_type(const api::Object& secret, std::string_view type) { return api::mentions(secret.bytes(), type); }

std::string account_of(const api::Object& secret) {
  return of_type(secret, kTokenType) ? api::annotation(secret, kAccountName) : std::string();
}

Keys token_key(const api::ObjectPtr&, const api::ObjectPtr& after, const View&) {
  if (!after || !of_type(*after, kTokenType)) return {};
  return {Key{std::string(after->ns()), std::string(after->name())}};
}

/// Secrets of an account that came or went.
Keys keys_of_account(const api::ObjectPtr& before, const api::ObjectPtr& after, const View& view) {
  if (before && after && before->uid() == after->uid()) return {};
  const api::Object& account = after ? *after : *before;
  Keys keys;
  for (const api::ObjectPtr& secret : view.by_index(kSecrets, "account", api::object_key(account))) {
    keys.push_back({std::string(secret->ns()), std::string(secret->name())});
  }
  return keys;
}

Plan fill_secret(const View& view, const Key& key, const SecretTokenSigner& sign, const std::string& ca) {
  Plan plan;
  const api::ObjectPtr object = view.get(kSecrets, key.ns, key.name);
  if (!object || object->deleting()) return plan;
  Json secret = object->tree();
  const std::string_view name = api::annotation(secret, kAccountName);
  if (base::string_at(secret, {"type"}) != kTokenType || name.empty()) return plan;
  const api::ObjectPtr account = view.get(kServiceAccounts, key.ns, name);
  const std::string_view uid = api::annotation(secret, kAccountUid);
  if (!account || (!uid.empty() && uid != account->uid())) return plan.remove(kSecrets, *object);
  const Json before = secret;
  const auto set = [&](const char* field, const std::string& value) {
    const std::string encoded = pki::base64_encode(value);
    if (base::string_at(secret, {"data", field}) != encoded) secret["data"][field] = encoded;
  };
  set("ca.crt", ca);
  set("namespace", key.ns);
  if (base::string_at(secret, {"data", "token"}).empty()) {
    const base::Result<std::string> token = sign(*account, key.name);
    if (!token.ok()) return plan.again_after(std::chrono::minutes(1));
    set("token", *token);
  }
  secret["metadata"]["annotations"][kAccountUid] = account->uid();
  if (secret != before) plan.update(kSecrets, std::move(secret));
  return plan;
}

Plan clean_token(const View& view, const Key& key, base::WallTime now) {
  Plan plan;
  const api::ObjectPtr object = view.get(kSecrets, key.ns, key.name);
  if (!object || object->deleting()) return plan;
  const Json secret = object->tree();
  if (base::string_at(secret, {"type"}) != kBootstrapType) return plan;
  const base::Result<std::string> text = pki::base64_decode(base::string_at(secret, {"data", "expiration"}));
  if (!text.ok() || text->empty()) return plan;
  const base::Result<base::WallTime> when = base::parse_time(*text);
  if (!when.ok() || *when <= now) return plan.remove(kSecrets, *object);
  return plan.again_after(*when - now);
}

}  // namespace

Controller make_token_secret_controller(SecretTokenSigner sign, std::string root_ca_pem) {
  Controller c;
  c.name = "tokens-controller";
  c.queue = "serviceaccount_tokens_secret";
  const client::IndexFunction by_account = [](const api::Object& secret) -> std::vector<std::string> {
    const std::string name = account_of(secret);
    if (name.empty()) return {};
    return {api::object_key(secret.ns(), name)};
  };
  c.sources = {{kSecrets, token_key, {{"account", by_account}}}, {kServiceAccounts, keys_of_account, {}}};
  c.plan = [sign = std::move(sign), ca = std::move(root_ca_pem)](
               const View& view, const Key& key, base::WallTime) { return fill_secret(view, key, sign, ca); };
  return c;
}

Controller make_token_cleaner_controller() {
  Controller c;
  c.name = "token-cleaner";
  c.queue = "token_cleaner";
  c.sources = {{kSecrets,
                [](const api::ObjectPtr&, const api::ObjectPtr& after, const View&) -> Keys {
                  if (!after || after->ns() != "kube-system" || !of_type(*after, kBootstrapType)) return {};
                  return {Key{std::string(after->ns()), std::string(after->name())}};
                },
                {}}};
  c.plan = clean_token;
  return c;
}

}  // namespace orch::server
