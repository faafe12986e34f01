// core/v1 ConfigMap, Secret and ServiceAccount.
#include "api/resources/base64.h"
#include "api/resources/common_validation.h"
#include "api/resources/kinds.h"
#include "api/resources/printers.h"
#include "api/resources/tree.h"
#include "base/json.h"
#include "pki/key_pair.h"
#include "pki/pki.h"

namespace orch::api {
namespace {

constexpr int kMaxDataBytes = 1024 * 1024;
constexpr const char* kServiceAccountName = "kubernetes.io/service-account.name";
constexpr const char* kMountableSecrets = "kubernetes.io/enforce-mountable-secrets";

void validate_key(std::string_view key, const FieldPath& bag, FieldErrors& errors) {
  add_problems(errors, bag.key(key), key, check_config_map_key(key));
}

void validate_config_map(const Json& object, FieldErrors& errors) {
  size_t total = 0;
  const Json& data = map_of(object, "data");
  const Json& binary = map_of(object, "binaryData");
  for (auto it = data.begin(); it != data.end(); ++it) {
    validate_key(it.key(), FieldPath("data"), errors);
    if (binary.contains(it.key())) {
      add_invalid(errors, FieldPath("data").key(it.key()), it.key(),
                  "duplicate of key present in binaryData");
    }
    total += text(*it).size();
  }
  for (auto it = binary.begin(); it != binary.end(); ++it) {
    validate_key(it.key(), FieldPath("binaryData"), errors);
    total += base64_decoded_size(text(*it));
  }
  if (total > kMaxDataBytes) errors.too_long(FieldPath("[]"), kMaxDataBytes);
}

/// Once `immutable` is set neither it nor the data may change.
void validate_sealed(const Json& object, const Json& old, std::initializer_list<const char*> bags,
                     FieldErrors& errors) {
  if (!flag_of(old, "immutable")) return;
  constexpr const char* kDetail = "field is immutable when `immutable` is set";
  if (!flag_of(object, "immutable")) errors.forbidden(FieldPath("immutable"), kDetail);
  for (const char* bag : bags) {
    if (!same_member(object, old, bag)) errors.forbidden(FieldPath(bag), kDetail);
  }
}

/// stringData is a way to write data; it is never stored.
void default_secret(Json& secret) {
  default_text(secret, "type", "Opaque");
  const Json plain = map_of(secret, "stringData");
  for (auto it = plain.begin(); it != plain.end(); ++it) {
    put(child(secret, "data"), it.key(), base64_encode(text(*it)));
  }
  drop(secret, "stringData");
}

/// What Go's decoder says of text that is not JSON, for the mistakes people make.
std::string json_problem(std::string_view text, const std::string& otherwise) {
  const size_t at = text.find_first_not_of(" \t\r\n");
  if (at == std::string_view::npos) return "unexpected end of JSON input";
  if (std::string_view("{[\"-0123456789tfn").find(text[at]) != std::string_view::npos) return otherwise;
  return std::string("invalid character '") + text[at] + "' looking for beginning of value";
}

void validate_docker_config(const Json& data, const char* key, FieldErrors& errors) {
  const FieldPath path = FieldPath("data").key(key);
  if (!data.contains(key)) return errors.required(path);
  const auto decoded = base64_decode(text_of(data, key));
  const auto tree = base::parse_json(decoded.value_or(std::string()));
  if (!tree.ok()) {
    add_invalid(errors, path, "<secret contents redacted>",
                json_problem(decoded.value_or(std::string()), tree.error().message()));
  } else if (!tree->is_object() && !tree->is_null()) {
    const char* type = tree->is_array()     ? "array"
                       : tree->is_string()  ? "string"
                       : tree->is_boolean() ? "bool"
                                            : "number";
    add_invalid(
        errors, path, "<secret contents redacted>",
        std::string("json: cannot unmarshal ") + type + " into Go value of type map[string]interface {}");
  }
}

void validate_secret_type(const Json& secret, FieldErrors& errors) {
  const std::string_view type = text_of(secret, "type");
  const Json& data = map_of(secret, "data");
  const auto require = [&](const char* key) { errors.required(FieldPath("data").key(key)); };
  if (type == "kubernetes.io/service-account-token") {
    if (text_of(annotations_of(secret), kServiceAccountName).empty()) {
      errors.required(FieldPath("metadata").child("annotations").key(kServiceAccountName));
    }
  } else if (type == "kubernetes.io/dockercfg") {
    validate_docker_config(data, ".dockercfg", errors);
  } else if (type == "kubernetes.io/dockerconfigjson") {
    validate_docker_config(data, ".dockerconfigjson", errors);
  } else if (type == "kubernetes.io/basic-auth") {
    if (!data.contains("username") && !data.contains("password")) {
      require("username");
      require("password");
    }
  } else if (type == "kubernetes.io/ssh-auth") {
    if (text_of(data, "ssh-privatekey").empty()) require("ssh-privatekey");
  } else if (type == "kubernetes.io/tls") {
    if (!data.contains("tls.crt")) require("tls.crt");
    if (!data.contains("tls.key")) require("tls.key");
  }
}

void validate_secret(const Json& secret, FieldErrors& errors) {
  size_t total = 0;
  const Json& data = map_of(secret, "data");
  for (auto it = data.begin(); it != data.end(); ++it) {
    validate_key(it.key(), FieldPath("data"), errors);
    total += base64_decoded_size(text(*it));
  }
  if (total > kMaxDataBytes) errors.too_long(FieldPath("data"), kMaxDataBytes);
  validate_secret_type(secret, errors);
}

std::vector<std::string> secret_warnings(const Json& secret, const Json*) {
  if (text_of(secret, "type") != "kubernetes.io/tls") return {};
  const auto decoded = [&](const char* key) {
    auto bytes = pki::base64_decode(text_of(map_of(secret, "data"), key));
    return bytes.ok() ? std::move(*bytes) : std::string();
  };
  std::string problem = pki::key_pair_problem(decoded("tls.crt"), decoded("tls.key"));
  return problem.empty() ? std::vector<std::string>() : std::vector<std::string>{std::move(problem)};
}

/// Of a reference to a secret only the name counts.
void clean_secret_references(Json& account) {
  each(account, "secrets", [](Json& reference) {
    Json cleaned = Json::object();
    restore(cleaned, reference, "name");
    reference = std::move(cleaned);
  });
}

std::vector<std::string> service_account_warnings(const Json& account, const Json* old) {
  if (old && has(annotations_of(*old), kMountableSecrets)) return {};
  if (!has(annotations_of(account), kMountableSecrets)) return {};
  return {std::string("metadata.annotations[") + kMountableSecrets +
          "]: deprecated in v1.32+; prefer separate namespaces to isolate access to mounted secrets"};
}

}  // namespace

Strategy config_map_strategy() {
  Strategy s;
  s.validate = validate_config_map;
  s.validate_update = [](const Json& object, const Json& old, FieldErrors& errors) {
    validate_sealed(object, old, {"data", "binaryData"}, errors);
    validate_config_map(object, errors);
  };
  s.cells = config_map_cells;
  return s;
}

Strategy secret_strategy() {
  Strategy s;
  s.warnings = secret_warnings;
  s.set_defaults = default_secret;
  s.validate = validate_secret;
  s.validate_update = [](const Json& object, const Json& old, FieldErrors& errors) {
    validate_immutable_member(object, old, "type", FieldPath(), errors);
    validate_sealed(object, old, {"data"}, errors);
    validate_secret(object, errors);
  };
  s.cells = secret_cells;
  return s;
}

Strategy service_account_strategy() {
  Strategy s;
  s.returns_deleted = true;
  s.prepare_create = [](Json& account, const StrategyContext&) { clean_secret_references(account); };
  s.prepare_update = [](Json& account, const Json&, const StrategyContext&) {
    clean_secret_references(account);
  };
  s.warnings = service_account_warnings;
  s.cells = service_account_cells;
  return s;
}

}  // namespace orch::api
