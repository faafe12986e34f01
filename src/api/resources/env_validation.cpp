// Environment of containers, and the references to fields and resources of the pod that volumes use too.
#include <algorithm>
#include <array>

#include "api/names.h"
#include "api/quantity.h"
#include "api/resources/common_validation.h"
#include "api/resources/pod_parts.h"
#include "api/resources/tree.h"
#include "base/json.h"

namespace orch::api {
namespace {

const std::set<std::string_view> kEnvFields = {
    "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName",
    "status.hostIP", "status.hostIPs",     "status.podIP", "status.podIPs"};

/// All that the downward API knows, in volumes or environment.
const std::set<std::string_view> kKnownFields = {
    "metadata.annotations", "metadata.labels", "metadata.name",      "metadata.namespace",
    "metadata.uid",         "spec.nodeName",   "spec.restartPolicy", "spec.serviceAccountName",
    "spec.schedulerName",   "status.phase",    "status.hostIP",      "status.hostIPs",
    "status.podIP",         "status.podIPs",   "spec.host"};

const std::vector<std::string> kResources = {"limits.cpu",   "limits.ephemeral-storage",   "limits.memory",
                                             "requests.cpu", "requests.ephemeral-storage", "requests.memory"};

constexpr std::array<std::string_view, 13> kByteDivisors = {"1",   "1k",  "1M",  "1G",  "1T",  "1P", "1E",
                                                            "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"};

bool is_hugepages_field(std::string_view name) {
  return name.starts_with("limits.hugepages-") || name.starts_with("requests.hugepages-");
}

void validate_divisor(std::string_view resource, const Json& value, const FieldPath& path,
                      FieldErrors& errors) {
  const auto divisor = Quantity::from_json(value);
  if (!divisor.ok() || divisor->is_zero()) return;
  const std::string text = divisor->text();
  const FieldPath at = path.child("divisor");
  const bool bytes_ok = std::find(kByteDivisors.begin(), kByteDivisors.end(), text) != kByteDivisors.end();
  const auto refuse_bytes = [&](const char* what) {
    if (bytes_ok) return;
    add_invalid(
        errors, at, resource,
        std::string("only divisor's values 1, 1k, 1M, 1G, 1T, 1P, 1E, 1Ki, 1Mi, 1Gi, 1Ti, 1Pi, 1Ei are "
                    "supported with the ") +
            what + " resource");
  };
  if (resource.ends_with(".cpu")) {
    if (text != "1" && text != "1m") {
      add_invalid(errors, at, resource, "only divisor's values 1m and 1 are supported with the cpu resource");
    }
  } else if (resource.ends_with(".memory")) {
    refuse_bytes("memory");
  } else if (resource.ends_with(".ephemeral-storage")) {
    refuse_bytes("local ephemeral storage");
  } else if (is_hugepages_field(resource)) {
    refuse_bytes("hugepages");
  }
}

/// configMapKeyRef and secretKeyRef
void validate_key_selector(const Json& ref, const FieldPath& path, FieldErrors& errors) {
  validate_dns1123_subdomain(text_of(ref, "name"), path.child("name"), errors);
  const std::string_view key = text_of(ref, "key");
  if (key.empty()) {
    errors.required(path.child("key"));
  } else {
    add_problems(errors, path.child("key"), key, check_config_map_key(key));
  }
}

void validate_file_key(const Json& ref, const FieldPath& path, FieldErrors& errors) {
  const std::string_view key = text_of(ref, "key");
  if (key.empty()) {
    errors.required(path.child("key"));
  } else {
    add_problems(errors, path.child("key"), key, check_relaxed_env_var_name(key));
  }
  const std::string_view volume = text_of(ref, "volumeName");
  if (volume.empty()) {
    errors.required(path.child("volumeName"));
  } else {
    validate_dns1123_label(volume, path.child("volumeName"), errors);
  }
  const std::string_view file = text_of(ref, "path");
  if (file.empty()) {
    errors.required(path.child("path"));
  } else {
    validate_no_backsteps(file, path.child("path"), errors);
  }
}

void validate_value_from(const Json& env, const FieldPath& path, FieldErrors& errors) {
  if (!has(env, "valueFrom")) return;
  const Json& from = map_of(env, "valueFrom");
  int sources = 0;
  if (has(from, "fieldRef")) {
    ++sources;
    validate_field_selector(map_of(from, "fieldRef"), kEnvFields, path.child("fieldRef"), errors);
  }
  if (has(from, "resourceFieldRef")) {
    ++sources;
    validate_resource_field_selector(map_of(from, "resourceFieldRef"), false, path.child("resourceFieldRef"),
                                     errors);
  }
  for (const char* kind : {"configMapKeyRef", "secretKeyRef"}) {
    if (!has(from, kind)) continue;
    ++sources;
    validate_key_selector(map_of(from, kind), path.child(kind), errors);
  }
  if (has(from, "fileKeyRef")) {
    ++sources;
    validate_file_key(map_of(from, "fileKeyRef"), path.child("fileKeyRef"), errors);
  }
  if (sources == 0) {
    add_invalid(errors, path, "",
                "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or "
                "`fileKeyRef`");
  } else if (!text_of(env, "value").empty()) {
    add_invalid(errors, path, "", "may not be specified when `value` is not empty");
  } else if (sources > 1) {
    add_invalid(errors, path, "", "may not have more than one field specified at a time");
  }
}

void validate_env_from(const Json& source, const FieldPath& list, const FieldPath& path,
                       FieldErrors& errors) {
  const std::string_view prefix = text_of(source, "prefix");
  if (!prefix.empty()) add_problems(errors, path.child("prefix"), prefix, check_relaxed_env_var_name(prefix));
  int sources = 0;
  for (const char* kind : {"configMapRef", "secretRef"}) {
    if (!has(source, kind)) continue;
    ++sources;
    const std::string_view name = text_of(map_of(source, kind), "name");
    const FieldPath at = path.child(kind).child("name");
    if (name.empty()) {
      errors.required(at);
    } else {
      add_problems(errors, at, name, check_name_is_subdomain(name, true));
    }
  }
  if (sources == 0) {
    add_invalid(errors, list, "", "must specify one of: `configMapRef` or `secretRef`");
  } else if (sources > 1) {
    add_invalid(errors, list, "", "may not have more than one field specified at a time");
  }
}

/// "metadata.labels['key']" in its two parts; false if there is no subscript.
bool split_subscript(std::string_view path, std::string_view& field, std::string_view& key) {
  if (!path.ends_with("']")) return false;
  const size_t open = path.find("['");
  if (open == std::string_view::npos || open == 0) return false;
  field = path.substr(0, open);
  key = path.substr(open + 2, path.size() - open - 4);
  return true;
}

}  // namespace

void validate_field_selector(const Json& ref, const std::set<std::string_view>& allowed,
                             const FieldPath& path, FieldErrors& errors) {
  const std::string_view version = text_of(ref, "apiVersion");
  std::string_view field = text_of(ref, "fieldPath");
  if (version.empty()) return errors.required(path.child("apiVersion"));
  if (field.empty()) return errors.required(path.child("fieldPath"));
  const auto refuse = [&](const std::string& why) {
    add_invalid(errors, path.child("fieldPath"), field, "error converting fieldPath: " + why);
  };
  if (version != "v1") return refuse("unsupported pod version: " + std::string(version));
  std::string_view base;
  std::string_view key;
  if (split_subscript(field, base, key)) {
    if (base == "metadata.labels") return validate_qualified_name(key, path, errors);
    if (base != "metadata.annotations") {
      return refuse("field label does not support subscript: " + std::string(field));
    }
    std::string lower(key);
    std::transform(lower.begin(), lower.end(), lower.begin(),
                   [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 'a' - 'A') : c; });
    return validate_qualified_name(lower, path, errors);
  }
  if (!kKnownFields.contains(field)) return refuse("field label not supported: " + std::string(field));
  if (field == "spec.host") field = "spec.nodeName";
  if (!allowed.contains(field)) {
    errors.not_supported(path.child("fieldPath"), field, {allowed.begin(), allowed.end()});
  }
}

void validate_resource_field_selector(const Json& ref, bool in_volume, const FieldPath& path,
                                      FieldErrors& errors) {
  const std::string_view resource = text_of(ref, "resource");
  if (in_volume && text_of(ref, "containerName").empty()) {
    errors.required(path.child("containerName"));
  } else if (resource.empty()) {
    errors.required(path.child("resource"));
  } else if (std::find(kResources.begin(), kResources.end(), resource) == kResources.end() &&
             !is_hugepages_field(resource)) {
    errors.not_supported(path.child("resource"), resource, kResources);
  }
  validate_divisor(resource, member_of(ref, "divisor"), path, errors);
}

void validate_env(const Json& container, const FieldPath& path, FieldErrors& errors) {
  size_t i = 0;
  for (const Json& env : list_of(container, "env")) {
    const FieldPath at = path.child("env").index(i++);
    const std::string_view name = text_of(env, "name");
    if (name.empty()) {
      errors.required(at.child("name"));
    } else {
      add_problems(errors, at.child("name"), name, check_relaxed_env_var_name(name));
    }
    validate_value_from(env, at.child("valueFrom"), errors);
  }
  i = 0;
  for (const Json& source : list_of(container, "envFrom")) {
    validate_env_from(source, path.child("envFrom"), path.child("envFrom").index(i++), errors);
  }
}

}  // namespace orch::api
