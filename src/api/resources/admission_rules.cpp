#include "api/resources/admission_rules.h"

#include <set>

#include "api/go_text.h"
#include "api/resources/common_validation.h"
#include "api/resources/tree.h"
#include "base/json.h"

namespace orch::api {
namespace {

using Names = std::vector<std::string>;

bool has_wildcard(const Json& list) { return contains(list, "*"); }

void validate_resources(const Json& resources, const FieldPath& path, FieldErrors& errors) {
  if (resources.empty()) errors.required(path);
  std::set<std::string_view> any_subresource_of, any_resource_with;
  bool everything = false, any_resource = false, plain_resource = false;
  for (size_t i = 0; i < resources.size(); ++i) {
    const std::string_view both = text(resources[i]);
    if (both.empty()) {
      errors.required(path.index(i));
      continue;
    }
    everything = everything || both == "*/*";
    any_resource = any_resource || both == "*";
    const size_t slash = both.find('/');
    if (slash == std::string_view::npos) {
      plain_resource = both != "*";
      continue;
    }
    const std::string_view resource = both.substr(0, slash), sub = both.substr(slash + 1);
    if (any_subresource_of.contains(resource)) {
      add_invalid(errors, path.index(i), both,
                  base::cat("if '", resource, "/*' is present, must not specify ", both));
    }
    if (any_resource_with.contains(sub)) {
      add_invalid(errors, path.index(i), both,
                  base::cat("if '*/", sub, "' is present, must not specify ", both));
    }
    if (sub == "*") any_subresource_of.insert(resource);
    if (resource == "*") any_resource_with.insert(sub);
  }
  if (resources.size() > 1 && everything)
    errors.invalid(path, resources, "if '*/*' is present, must not specify other resources");
  if (any_resource && plain_resource) {
    errors.invalid(path, resources,
                   "if '*' is present, must not specify other resources without subresources");
  }
}

}  // namespace

void validate_one_of(const Json& object, const char* key, const Names& supported, const FieldPath& path,
                     FieldErrors& errors) {
  if (!has(object, key)) return;
  const std::string_view value = text_of(object, key);
  for (const std::string& one : supported) {
    if (value == one) return;
  }
  errors.not_supported(path.child(key), value, supported);
}

void validate_admission_rule(const Json& rule, const FieldPath& path, FieldErrors& errors) {
  static const Names known_operations = {"*", "CONNECT", "CREATE", "DELETE", "UPDATE"};
  const Json& operations = list_of(rule, "operations");
  const FieldPath at = path.child("operations");
  if (operations.empty()) errors.required(at);
  if (operations.size() > 1 && has_wildcard(operations))
    errors.invalid(at, operations, "if '*' is present, must not specify other operations");
  for (size_t i = 0; i < operations.size(); ++i) {
    const std::string_view operation = text(operations[i]);
    bool known = false;
    for (const std::string& one : known_operations) known = known || one == operation;
    if (!known) errors.not_supported(at.index(i), operation, known_operations);
  }
  const Json& groups = list_of(rule, "apiGroups");
  if (groups.empty()) errors.required(path.child("apiGroups"));
  if (groups.size() > 1 && has_wildcard(groups)) {
    errors.invalid(path.child("apiGroups"), groups, "if '*' is present, must not specify other API groups");
  }
  const Json& versions = list_of(rule, "apiVersions");
  const FieldPath versions_path = path.child("apiVersions");
  if (versions.empty()) errors.required(versions_path);
  if (versions.size() > 1 && has_wildcard(versions))
    errors.invalid(versions_path, versions, "if '*' is present, must not specify other API versions");
  for (size_t i = 0; i < versions.size(); ++i) {
    if (text(versions[i]).empty()) errors.required(versions_path.index(i));
  }
  validate_resources(list_of(rule, "resources"), path.child("resources"), errors);
  validate_one_of(rule, "scope", {"*", "Cluster", "Namespaced"}, path, errors);
}

}  // namespace orch::api
