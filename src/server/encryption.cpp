#include "server/encryption.h"

#include <algorithm>
#include <set>

#include "api/duration.h"
#include "api/field_error.h"
#include "api/go_text.h"
#include "api/yaml.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "pki/pki.h"

namespace orch::server {

using api::FieldErrors;
using api::FieldPath;
using base::Code;
using base::Result;
using base::Status;
using datastore::EncryptionKey;
using datastore::EncryptionProvider;
using datastore::EncryptionRule;
using Kind = EncryptionProvider::Kind;

namespace {

Status bad(std::string why) { return {Code::kBadRequest, std::move(why)}; }

struct Named {
  const char* name;
  Kind kind;
};
constexpr Named kProviders[] = {{"kms", Kind::kKms},
                                {"aesgcm", Kind::kAesGcm},
                                {"aescbc", Kind::kAesCbc},
                                {"secretbox", Kind::kSecretbox},
                                {"identity", Kind::kIdentity}};

std::string group_of(std::string_view resource) {
  const size_t dot = resource.find('.');
  return dot == std::string_view::npos ? std::string() : std::string(resource.substr(dot + 1));
}

std::string plural_of(std::string_view resource) {
  return std::string(resource.substr(0, resource.find('.')));
}

std::string resource_problem(const std::string& r) {
  const std::string group = group_of(r), plural = plural_of(r);
  if (std::any_of(r.begin(), r.end(), [](unsigned char c) { return std::isupper(c) != 0; }))
    return "resource name should not contain capital letters";
  if (r == "*")
    return "use '*.' to encrypt all the resources from core API group or *.* to encrypt all resources";
  if (r == "apiserveripinfo" || r == "serviceipallocations" || r == "servicenodeportallocations")
    return "resources which do not have REST API/s cannot be encrypted";
  if (group == "events.k8s.io")
    return "'*.events.k8s.io' objects are stored using the 'events' API group in etcd. Use 'events' instead "
           "in "
           "the config file";
  if (group == "extensions") return "'extensions' group has been removed and cannot be used for encryption";
  if (group == "*" && plural != "*") return "encrypting the same resource across groups is not supported";
  return {};
}

void check_resources(const std::vector<std::string>& resources, const FieldPath& path, FieldErrors& errors) {
  if (resources.empty()) errors.required(path, base::cat("at least one ", path.text(), " is required"));
  std::set<std::string> seen;
  bool twice = false, overlap = false;
  for (const std::string& a : resources) {
    twice |= !seen.insert(a).second;
    for (const std::string& b : resources) {
      if (a == b) continue;
      overlap |= a == "*.*" || (group_of(a) == group_of(b) && (plural_of(a) == "*" || plural_of(b) == "*"));
    }
  }
  if (twice) errors.invalid(path, resources, "the same resource cannot be specified multiple times");
  if (overlap) {
    errors.invalid(path, resources,
                   "using overlapping resources such as 'secrets' and '*.' in the same resource list is not "
                   "allowed as they will be masked");
  }
  for (size_t i = 0; i < resources.size(); ++i) {
    if (const std::string why = resource_problem(resources[i]); !why.empty())
      errors.invalid(path.index(i), resources[i], why);
  }
}

std::vector<EncryptionKey> read_keys(const Json& provider, Kind kind, const FieldPath& path,
                                     FieldErrors& errors) {
  std::vector<EncryptionKey> keys;
  const Json& list = base::array_at(provider, {"keys"});
  if (list.empty()) errors.required(path, "at least one keys is required");
  for (size_t i = 0; i < list.size(); ++i) {
    EncryptionKey key;
    key.name = base::string_at(list[i], {"name"});
    if (key.name.empty()) errors.required(path.index(i).child("name"), "name is a mandatory field for a key");
    const std::string_view secret = base::string_at(list[i], {"secret"});
    const FieldPath at = path.index(i).child("secret");
    if (secret.empty()) {
      errors.required(at, "secret is a mandatory field for a key");
      continue;
    }
    auto bytes = pki::base64_decode(secret);
    if (!bytes.ok()) {
      errors.invalid(at, "REDACTED", "secrets must be base64 encoded");
      continue;
    }
    const size_t n = bytes->size();
    const bool box = kind == Kind::kSecretbox;
    if (n != 32 && (box || (n != 16 && n != 24))) {
      errors.invalid(at, "REDACTED",
                     base::cat("secret is not of the expected length, got ", n, ", expected one of ",
                               box ? "[32]" : "[16 24 32]"));
    }
    key.secret = std::move(*bytes);
    keys.push_back(std::move(key));
  }
  return keys;
}

struct KmsSettings {
  std::string name, endpoint;
  base::Duration timeout = std::chrono::seconds(3);
};

KmsSettings read_kms(const Json& kms, const FieldPath& path, std::set<std::string>& names,
                     FieldErrors& errors) {
  KmsSettings s;
  s.name = base::string_at(kms, {"name"});
  if (s.name.empty()) {
    errors.required(path.child("name"), "name is a mandatory field for a provider");
  } else if (s.name.find(':') != std::string::npos) {
    errors.invalid(path.child("name"), s.name,
                   base::cat("invalid KMS provider name ", s.name, ", must not contain ':'"));
  } else if (!names.insert(s.name).second) {
    errors.invalid(path.child("name"), s.name,
                   base::cat("duplicate KMS provider name ", s.name, ", names must be unique"));
  }
  const std::string_view timeout = base::string_at(kms, {"timeout"});
  if (!timeout.empty()) {
    auto d = api::parse_duration(timeout);
    if (!d.ok() || *d <= base::Duration::zero()) {
      errors.invalid(path.child("timeout"), std::string(timeout), "timeout should be a positive value");
    } else {
      s.timeout = *d;
    }
  }
  s.endpoint = base::string_at(kms, {"endpoint"});
  if (s.endpoint.empty()) {
    errors.invalid(path.child("endpoint"), "", "endpoint is a mandatory field for a kms");
  } else if (s.endpoint.rfind("unix://", 0) != 0) {
    errors.invalid(path.child("endpoint"), s.endpoint,
                   base::cat("unsupported scheme ", api::go_quote(s.endpoint.substr(0, s.endpoint.find(':'))),
                             " for KMS provider, only unix is supported"));
  }
  const std::string_view version = base::string_at(kms, {"apiVersion"}, "v1");
  if (version == "v1") {
    errors.invalid(
        path.child("apiVersion"), "v1",
        "unsupported apiVersion v1 for KMS provider: KMSv1 is off by default, only v2 is supported");
  } else if (version != "v2") {
    errors.invalid(
        path.child("apiVersion"), std::string(version),
        base::cat("unsupported apiVersion ", version, " for KMS provider, only v1 and v2 are supported"));
  }
  if (kms.contains("cachesize"))
    errors.invalid(path.child("cachesize"), kms["cachesize"], "cachesize is not supported in v2");
  return s;
}

/// A provider as written; services are made once all is known to be right.
struct Draft {
  EncryptionProvider provider;
  KmsSettings kms;
};

Draft read_provider(const Json& provider, const FieldPath& path, std::set<std::string>& kms_names,
                    FieldErrors& errors) {
  Draft draft;
  const Named* found = nullptr;
  int count = 0;
  for (const Named& named : kProviders) {
    const auto it = provider.find(named.name);
    if (it == provider.end() || it->is_null()) continue;
    ++count;
    if (found == nullptr) found = &named;
  }
  if (count != 1) {
    errors.invalid(path, Json::object(),
                   count == 0 ? "provider does not contain any of the expected providers: KMS, AESGCM, "
                                "AESCBC, Secretbox, Identity"
                              : "more than one provider specified in a single element, should split into "
                                "different list elements");
    return draft;
  }
  const Json& settings = provider[found->name];
  const FieldPath at = path.child(found->name);
  draft.provider.kind = found->kind;
  if (found->kind == Kind::kKms) {
    draft.kms = read_kms(settings, at, kms_names, errors);
    draft.provider.kms_name = draft.kms.name;
  } else if (found->kind != Kind::kIdentity) {
    draft.provider.keys = read_keys(settings, found->kind, at.child("keys"), errors);
  }
  return draft;
}

}  // namespace

Result<std::shared_ptr<const datastore::Keyring>> parse_encryption_config(std::string_view text,
                                                                          const KmsMaker& make_kms) {
  auto tree = api::parse_yaml(text);
  if (!tree.ok()) return bad(tree.error().message());
  if (base::string_at(*tree, {"kind"}) != "EncryptionConfiguration" ||
      base::string_at(*tree, {"apiVersion"}) != "apiserver.config.k8s.io/v1")
    return bad("not an EncryptionConfiguration of apiserver.config.k8s.io/v1");
  FieldErrors errors;
  const FieldPath root("resources");
  const Json& list = base::array_at(*tree, {"resources"});
  if (list.empty()) errors.required(root, "at least one resources is required");
  std::set<std::string> kms_names;
  std::vector<std::pair<EncryptionRule, std::vector<Draft>>> drafts;
  for (size_t i = 0; i < list.size(); ++i) {
    auto& [rule, providers] = drafts.emplace_back();
    for (const Json& r : base::array_at(list[i], {"resources"}))
      rule.resources.push_back(r.is_string() ? r.get<std::string>() : std::string());
    check_resources(rule.resources, root.index(i).child("resources"), errors);
    const FieldPath path = root.index(i).child("providers");
    const Json& given = base::array_at(list[i], {"providers"});
    if (given.empty()) errors.required(path, base::cat("at least one ", path.text(), " is required"));
    for (size_t j = 0; j < given.size(); ++j)
      providers.push_back(read_provider(given[j], path.index(j), kms_names, errors));
  }
  if (!errors.empty()) return bad(errors.text());
  std::vector<EncryptionRule> rules;
  for (auto& [rule, providers] : drafts) {
    for (Draft& draft : providers) {
      if (draft.provider.kind == Kind::kKms) {
        auto service = make_kms(draft.kms.name, draft.kms.endpoint, draft.kms.timeout);
        if (!service.ok()) return service.error().with_context(base::cat("KMS ", draft.kms.name));
        draft.provider.service = std::move(*service);
      }
      rule.providers.push_back(std::move(draft.provider));
    }
    rules.push_back(std::move(rule));
  }
  return std::shared_ptr<const datastore::Keyring>(
      std::make_shared<const datastore::Keyring>(std::move(rules)));
}

namespace {

constexpr const char* kOwnProvider = "aescbc";

Json new_key() {
  const std::string name =
      base::cat(kOwnProvider, "key-", base::format_micro_time(base::SystemClock().now()));
  return {{"name", name}, {"secret", pki::base64_encode(pki::random_bytes(32))}};
}

/// The list of keys inside the file that --secrets-encryption keeps.
Result<Json*> own_keys(Json& tree) {
  Json* list = nullptr;
  if (tree.is_object() && tree.contains("resources") && tree["resources"].is_array() &&
      tree["resources"].size() == 1) {
    Json& providers = tree["resources"][0]["providers"];
    if (providers.is_array() && !providers.empty() && providers[0].contains(kOwnProvider) &&
        providers[0][kOwnProvider]["keys"].is_array() && !providers[0][kOwnProvider]["keys"].empty())
      list = &providers[0][kOwnProvider]["keys"];
  }
  if (list == nullptr)
    return bad(
        "the encryption configuration is not as --secrets-encryption makes it: its keys cannot be rotated");
  return list;
}

Result<std::string> change_keys(const std::string& text, void (*change)(Json& keys)) {
  auto tree = base::parse_json(text);
  if (!tree.ok()) return bad(tree.error().message());
  auto keys = own_keys(*tree);
  if (!keys.ok()) return keys.error();
  change(**keys);
  return base::dump_json(*tree);
}

}  // namespace

SecretsEncryption::SecretsEncryption(const std::string& data_dir)
    : path_(data_dir + "/server/cred/encryption-config.json") {}

Result<std::string> SecretsEncryption::load(bool enable) const {
  auto text = base::read_file(path_);
  if (text.ok()) return text;
  if (text.error().code() != Code::kNotFound) return text.error();
  if (!enable) return std::string();
  const Json config = {
      {"kind", "EncryptionConfiguration"},
      {"apiVersion", "apiserver.config.k8s.io/v1"},
      {"resources",
       Json::array({{{"resources", Json::array({"secrets"})},
                     {"providers", Json::array({{{kOwnProvider, {{"keys", Json::array({new_key()})}}}},
                                                {{"identity", Json::object()}}})}}})}};
  std::string made = base::dump_json(config);
  ORCH_RETURN_IF_ERROR(save(made));
  return made;
}

Status SecretsEncryption::save(const std::string& text) const {
  ORCH_RETURN_IF_ERROR(base::make_dirs(path_.substr(0, path_.rfind('/')), 0700));
  return base::write_file_atomic(path_, text, 0600);
}

Result<std::string> SecretsEncryption::with_new_key(const std::string& text) {
  return change_keys(text, [](Json& keys) { keys.insert(keys.begin(), new_key()); });
}

Result<std::string> SecretsEncryption::with_first_key(const std::string& text) {
  return change_keys(text, [](Json& keys) { keys.erase(keys.begin() + 1, keys.end()); });
}

Result<SecretsEncryption::Keys> SecretsEncryption::keys_of(const std::string& text) {
  auto tree = base::parse_json(text);
  if (!tree.ok()) return bad(tree.error().message());
  auto keys = own_keys(*tree);
  if (!keys.ok()) return keys.error();
  Keys out{kOwnProvider, {}};
  for (const Json& key : **keys) out.names.emplace_back(base::string_at(key, {"name"}));
  return out;
}

}  // namespace orch::server
