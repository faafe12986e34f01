// rbac.authorization.k8s.io/v1: roles and bindings.
#include "api/names.h"
#include "api/resources/common_validation.h"
#include "api/resources/kinds.h"
#include "api/resources/printers.h"
#include "api/resources/tree.h"
#include "api/selector.h"
#include "base/json.h"

namespace orch::api {
namespace {

constexpr const char* kGroup = "rbac.authorization.k8s.io";

void validate_rule(const Json& rule, bool namespaced, const FieldPath& path, FieldErrors& errors) {
  if (!has_items(rule, "verbs"))
    errors.required(path.child("verbs"), "verbs must contain at least one value");
  if (has_items(rule, "nonResourceURLs")) {
    const Json& urls = list_of(rule, "nonResourceURLs");
    const FieldPath at = path.child("nonResourceURLs");
    if (namespaced) errors.invalid(at, urls, "namespaced rules cannot apply to non-resource URLs");
    if (has_items(rule, "apiGroups") || has_items(rule, "resources") || has_items(rule, "resourceNames")) {
      errors.invalid(at, urls, "rules cannot apply to both regular resources and non-resource URLs");
    }
    return;
  }
  if (!has_items(rule, "apiGroups")) {
    errors.required(path.child("apiGroups"), "resource rules must supply at least one api group");
  }
  if (!has_items(rule, "resources")) {
    errors.required(path.child("resources"), "resource rules must supply at least one resource");
  }
}

void validate_rules(const Json& role, bool namespaced, FieldErrors& errors) {
  size_t i = 0;
  for (const Json& rule : list_of(role, "rules"))
    validate_rule(rule, namespaced, FieldPath("rules").index(i++), errors);
}

void validate_aggregation(const Json& role, bool allow_invalid_values, FieldErrors& errors) {
  if (!has(role, "aggregationRule")) return;
  const FieldPath path = FieldPath("aggregationRule").child("clusterRoleSelectors");
  const Json& selectors = list_of(map_of(role, "aggregationRule"), "clusterRoleSelectors");
  if (selectors.empty()) {
    errors.required(path, "at least one clusterRoleSelector required if aggregationRule is non-nil");
  }
  for (size_t i = 0; i < selectors.size(); ++i) {
    validate_label_selector(selectors[i], path.index(i), errors, {allow_invalid_values});
    if (!LabelSelector::from_tree(selectors[i]).ok()) {
      errors.invalid(path.index(i), nullptr, "invalid label selector.");
    }
  }
}

bool has_invalid_aggregation(const Json& role) {
  FieldErrors errors;
  validate_aggregation(role, false, errors);
  return has(role, "aggregationRule") && !errors.empty();
}

void validate_subject(const Json& subject, bool namespaced, const FieldPath& path, FieldErrors& errors) {
  const std::string_view name = text_of(subject, "name");
  const std::string_view kind = text_of(subject, "kind");
  const std::string_view group = text_of(subject, "apiGroup");
  if (name.empty()) errors.required(path.child("name"));
  if (kind == "ServiceAccount") {
    if (!name.empty()) validate_dns1123_subdomain(name, path.child("name"), errors);
    if (!group.empty()) errors.not_supported(path.child("apiGroup"), group, {""});
    if (!namespaced && text_of(subject, "namespace").empty()) errors.required(path.child("namespace"));
  } else if (kind == "User" || kind == "Group") {
    if (group != kGroup) errors.not_supported(path.child("apiGroup"), group, {kGroup});
  } else {
    errors.not_supported(path.child("kind"), kind, {"ServiceAccount", "User", "Group"});
  }
}

void validate_binding(const Json& binding, bool namespaced, FieldErrors& errors) {
  const Json& ref = map_of(binding, "roleRef");
  const FieldPath path("roleRef");
  const std::string_view group = text_of(ref, "apiGroup");
  const std::string_view kind = text_of(ref, "kind");
  const std::string_view name = text_of(ref, "name");
  if (group != kGroup) errors.not_supported(path.child("apiGroup"), group, {kGroup});
  if (kind != "ClusterRole" && !(namespaced && kind == "Role")) {
    std::vector<std::string> kinds = {"ClusterRole"};
    if (namespaced) kinds.insert(kinds.begin(), "Role");
    errors.not_supported(path.child("kind"), kind, kinds);
  }
  if (name.empty()) {
    errors.required(path.child("name"));
  } else {
    add_problems(errors, path.child("name"), name, check_path_segment_name(name));
  }
  size_t i = 0;
  for (const Json& subject : list_of(binding, "subjects")) {
    validate_subject(subject, namespaced, FieldPath("subjects").index(i++), errors);
  }
}

void validate_binding_update(const Json& binding, const Json& old, bool namespaced, FieldErrors& errors) {
  validate_binding(binding, namespaced, errors);
  if (same_member(binding, old, "roleRef")) return;
  const Json& ref = map_of(binding, "roleRef");
  add_cause(errors, "FieldValueInvalid", FieldPath("roleRef"),
            "Invalid value: " +
                go_struct({{"APIGroup", text_of(ref, "apiGroup")},
                           {"Kind", text_of(ref, "kind")},
                           {"Name", text_of(ref, "name")}}) +
                ": cannot change roleRef");
}

void default_binding(Json& binding) {
  default_text(child(binding, "roleRef"), "apiGroup", kGroup);
  each(binding, "subjects", [](Json& subject) {
    const std::string_view kind = text_of(subject, "kind");
    if (kind == "User" || kind == "Group") default_text(subject, "apiGroup", kGroup);
  });
}

Strategy named_by_segment() {
  Strategy s;
  s.allow_create_on_update = true;
  s.validate_name = check_name_is_path_segment;
  return s;
}

}  // namespace

Strategy role_strategy() {
  Strategy s = named_by_segment();
  s.validate = [](const Json& role, FieldErrors& errors) { validate_rules(role, true, errors); };
  s.validate_update = [](const Json& role, const Json&, FieldErrors& errors) {
    validate_rules(role, true, errors);
  };
  s.cells = default_cells;
  return s;
}

Strategy cluster_role_strategy() {
  Strategy s = named_by_segment();
  s.validate = [](const Json& role, FieldErrors& errors) {
    validate_rules(role, false, errors);
    validate_aggregation(role, false, errors);
  };
  s.validate_update = [](const Json& role, const Json& old, FieldErrors& errors) {
    validate_rules(role, false, errors);
    validate_aggregation(role, has_invalid_aggregation(old), errors);
  };
  s.cells = default_cells;
  return s;
}

Strategy role_binding_strategy() {
  Strategy s = named_by_segment();
  s.set_defaults = default_binding;
  s.validate = [](const Json& binding, FieldErrors& errors) { validate_binding(binding, true, errors); };
  s.validate_update = [](const Json& binding, const Json& old, FieldErrors& errors) {
    validate_binding_update(binding, old, true, errors);
  };
  s.cells = binding_cells;
  return s;
}

Strategy cluster_role_binding_strategy() {
  Strategy s = named_by_segment();
  s.set_defaults = default_binding;
  s.validate = [](const Json& binding, FieldErrors& errors) { validate_binding(binding, false, errors); };
  s.validate_update = [](const Json& binding, const Json& old, FieldErrors& errors) {
    validate_binding_update(binding, old, false, errors);
  };
  s.cells = binding_cells;
  return s;
}

}  // namespace orch::api
