// Affinity, tolerations and topology spread of pods.
#include "api/resources/scheduling_validation.h"

#include <map>
#include <set>

#include "api/names.h"
#include "api/resources/common_validation.h"
#include "api/resources/pod_parts.h"
#include "api/resources/tree.h"
#include "base/json.h"

namespace orch::api {
namespace {

constexpr const char* kRequired = "requiredDuringSchedulingIgnoredDuringExecution";
constexpr const char* kPreferred = "preferredDuringSchedulingIgnoredDuringExecution";

const std::vector<std::string> kEffects = {"NoSchedule", "PreferNoSchedule", "NoExecute"};

bool is_effect(std::string_view effect) {
  return effect == "NoSchedule" || effect == "PreferNoSchedule" || effect == "NoExecute";
}

std::string joined(const Problems& problems) {
  std::string out;
  for (const std::string& p : problems) out += (out.empty() ? "" : ";") + p;
  return out;
}

// --- Node selectors ----------------------------------------------------------------------------------

void validate_node_requirement(const Json& requirement, bool allow_invalid_values, const FieldPath& path,
                               FieldErrors& errors) {
  const std::string_view op = text_of(requirement, "operator");
  const Json& values = list_of(requirement, "values");
  const FieldPath at = path.child("values");
  if (op == "In" || op == "NotIn") {
    if (values.empty()) errors.required(at, "must be specified when `operator` is 'In' or 'NotIn'");
  } else if (op == "Exists" || op == "DoesNotExist") {
    if (!values.empty())
      errors.forbidden(at, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
  } else if (op == "Gt" || op == "Lt") {
    if (values.size() != 1)
      errors.required(at, "must be specified single value when `operator` is 'Lt' or 'Gt'");
  } else {
    add_invalid(errors, path.child("operator"), op, "not a valid selector operator");
  }
  validate_label_key(text_of(requirement, "key"), path.child("key"), errors);
  if (allow_invalid_values) return;
  for (size_t i = 0; i < values.size(); ++i) {
    add_problems(errors, at.index(i), text(values[i]), check_label_value(text(values[i])));
  }
}

void validate_node_field(const Json& requirement, const FieldPath& path, FieldErrors& errors) {
  const std::string_view op = text_of(requirement, "operator");
  const Json& values = list_of(requirement, "values");
  if (op == "In" || op == "NotIn") {
    if (values.size() != 1) {
      errors.required(path.child("values"),
                      "must be only one value when `operator` is 'In' or 'NotIn' for node field selector");
    }
  } else {
    add_invalid(errors, path.child("operator"), op, "not a valid selector operator");
  }
  const std::string_view key = text_of(requirement, "key");
  if (key != "metadata.name")
    return add_invalid(errors, path.child("key"), key, "not a valid field selector key");
  for (size_t i = 0; i < values.size(); ++i) {
    validate_dns1123_subdomain(text(values[i]), path.child("values").index(i), errors);
  }
}

void validate_node_term(const Json& term, bool allow_invalid_values, const FieldPath& path,
                        FieldErrors& errors) {
  size_t i = 0;
  for (const Json& requirement : list_of(term, "matchExpressions")) {
    validate_node_requirement(requirement, allow_invalid_values, path.child("matchExpressions").index(i++),
                              errors);
  }
  i = 0;
  for (const Json& requirement : list_of(term, "matchFields")) {
    validate_node_field(requirement, path.child("matchFields").index(i++), errors);
  }
}

void validate_weight(const Json& term, const FieldPath& path, FieldErrors& errors) {
  const int64_t weight = number_of(term, "weight");
  if (weight <= 0 || weight > 100) errors.invalid(path.child("weight"), weight, "must be in the range 1-100");
}

void validate_node_affinity(const Json& affinity, const PodOptions& options, const FieldPath& path,
                            FieldErrors& errors) {
  if (has(affinity, kRequired)) {
    validate_node_selector(map_of(affinity, kRequired), options.allow_invalid_node_affinity_values,
                           path.child(kRequired), errors);
  }
  size_t i = 0;
  for (const Json& term : list_of(affinity, kPreferred)) {
    const FieldPath at = path.child(kPreferred).index(i++);
    validate_weight(term, at, errors);
    validate_node_term(map_of(term, "preference"), true, at.child("preference"), errors);
  }
}

// --- Pod affinity ------------------------------------------------------------------------------------

void validate_label_keys(const Json& keys, const Json& selector, const FieldPath& path, FieldErrors& errors) {
  if (keys.empty()) return;
  if (selector.is_null())
    return errors.forbidden(path, "must not be specified when labelSelector is not set");
  for (size_t i = 0; i < keys.size(); ++i) validate_label_key(text(keys[i]), path.index(i), errors);
}

/// matchLabelKeys are merged into the selector when a pod is created, so one occurrence there is theirs; a
/// second one is a clash.
void validate_match_keys(const Json& term, const Json& mismatch, const FieldPath& path, FieldErrors& errors) {
  const Json& match = list_of(term, "matchLabelKeys");
  const Json& selector = member_of(term, "labelSelector");
  validate_label_keys(match, selector, path.child("matchLabelKeys"), errors);
  validate_label_keys(mismatch, selector, path.child("mismatchLabelKeys"), errors);
  if (!selector.is_null()) {
    std::map<std::string_view, size_t> positions;
    for (size_t i = 0; i < match.size(); ++i) positions[text(match[i])] = i;
    std::set<std::string_view> seen;
    const Json& labels = map_of(selector, "matchLabels");
    for (auto it = labels.begin(); it != labels.end(); ++it) seen.insert(it.key());
    for (const Json& expression : list_of(selector, "matchExpressions")) {
      const std::string_view key = text_of(expression, "key");
      const auto it = positions.find(key);
      if (it != positions.end() && seen.contains(key)) {
        add_invalid(errors, path.index(it->second), key, "exists in both matchLabelKeys and labelSelector");
      }
      seen.insert(key);
    }
  }
  for (size_t i = 0; i < match.size(); ++i) {
    if (contains(mismatch, text(match[i]))) {
      add_invalid(errors, path.child("matchLabelKeys").index(i), text(match[i]),
                  "exists in both matchLabelKeys and mismatchLabelKeys");
    }
  }
}

void validate_pod_term(const Json& term, const PodOptions& options, const FieldPath& path,
                       FieldErrors& errors) {
  for (const char* selector : {"labelSelector", "namespaceSelector"}) {
    validate_label_selector(member_of(term, selector), path.child(selector), errors,
                            {options.allow_invalid_affinity_values});
  }
  for (const Json& ns : list_of(term, "namespaces")) {
    validate_dns1123_label(text(ns), path.child("namespace"), errors);
  }
  validate_match_keys(term, list_of(term, "mismatchLabelKeys"), path, errors);
  const std::string_view key = text_of(term, "topologyKey");
  if (key.empty()) errors.required(path.child("topologyKey"), "can not be empty");
  validate_label_key(key, path.child("topologyKey"), errors);
}

void validate_pod_affinity(const Json& affinity, const PodOptions& options, const FieldPath& path,
                           FieldErrors& errors) {
  size_t i = 0;
  for (const Json& term : list_of(affinity, kRequired)) {
    validate_pod_term(term, options, path.child(kRequired).index(i++), errors);
  }
  i = 0;
  for (const Json& weighted : list_of(affinity, kPreferred)) {
    const FieldPath at = path.child(kPreferred).index(i++);
    validate_weight(weighted, at, errors);
    validate_pod_term(map_of(weighted, "podAffinityTerm"), options, at.child("podAffinityTerm"), errors);
  }
}

// --- Topology spread ---------------------------------------------------------------------------------

void validate_inclusion_policy(const Json& constraint, const char* key, const FieldPath& path,
                               FieldErrors& errors) {
  if (!has(constraint, key)) return;
  const std::string_view policy = text_of(constraint, key);
  if (policy != "Honor" && policy != "Ignore")
    errors.not_supported(path.child(key), policy, {"Honor", "Ignore"});
}

/// Before keys were merged into the selector no key of it could be listed at all.
void validate_spread_keys_strictly(const Json& constraint, const FieldPath& path, FieldErrors& errors) {
  const Json& keys = list_of(constraint, "matchLabelKeys");
  if (keys.empty()) return;
  const Json& selector = member_of(constraint, "labelSelector");
  std::set<std::string_view> selected;
  if (selector.is_null()) errors.forbidden(path, "must not be specified when labelSelector is not set");
  const Json& labels = map_of(selector, "matchLabels");
  for (auto it = labels.begin(); it != labels.end(); ++it) selected.insert(it.key());
  for (const Json& expression : list_of(selector, "matchExpressions"))
    selected.insert(text_of(expression, "key"));
  for (size_t i = 0; i < keys.size(); ++i) {
    validate_label_key(text(keys[i]), path.index(i), errors);
    if (selected.contains(text(keys[i]))) {
      add_invalid(errors, path.index(i), text(keys[i]), "exists in both matchLabelKeys and labelSelector");
    }
  }
}

void validate_min_domains(const Json& constraint, const FieldPath& path, FieldErrors& errors) {
  if (!has(constraint, "minDomains")) return;
  const int64_t domains = number_of(constraint, "minDomains");
  validate_positive(domains, path, errors);
  const std::string_view action = text_of(constraint, "whenUnsatisfiable");
  if (action != "DoNotSchedule") {
    errors.invalid(path, domains,
                   "can only use minDomains if whenUnsatisfiable=DoNotSchedule, not " + std::string(action));
  }
}

void validate_not_repeated(const Json& constraints, size_t i, const FieldPath& path, FieldErrors& errors) {
  const std::string_view key = text_of(constraints[i], "topologyKey");
  const std::string_view action = text_of(constraints[i], "whenUnsatisfiable");
  for (size_t j = i + 1; j < constraints.size(); ++j) {
    if (key == text_of(constraints[j], "topologyKey") &&
        action == text_of(constraints[j], "whenUnsatisfiable")) {
      errors.duplicate(path.child("{topologyKey, whenUnsatisfiable}"),
                       "{" + std::string(key) + ", " + std::string(action) + "}");
      return;
    }
  }
}

}  // namespace

void validate_taint_effect(std::string_view effect, const FieldPath& path, FieldErrors& errors) {
  if (effect.empty()) return errors.required(path);
  if (!is_effect(effect)) errors.not_supported(path, effect, kEffects);
}

void validate_node_selector(const Json& selector, bool allow_invalid_values, const FieldPath& path,
                            FieldErrors& errors) {
  const FieldPath at = path.child("nodeSelectorTerms");
  const Json& terms = list_of(selector, "nodeSelectorTerms");
  if (terms.empty()) return errors.required(at, "must have at least one node selector term");
  for (size_t i = 0; i < terms.size(); ++i)
    validate_node_term(terms[i], allow_invalid_values, at.index(i), errors);
}

bool has_invalid_node_selector_value(const Json& selector) {
  for (const Json& term : list_of(selector, "nodeSelectorTerms")) {
    if (has_invalid_selector_value(term)) return true;
  }
  return false;
}

void validate_affinity(const Json& affinity, const PodOptions& options, const FieldPath& path,
                       FieldErrors& errors) {
  if (has(affinity, "nodeAffinity")) {
    validate_node_affinity(map_of(affinity, "nodeAffinity"), options, path.child("nodeAffinity"), errors);
  }
  for (const char* kind : {"podAffinity", "podAntiAffinity"}) {
    if (has(affinity, kind)) validate_pod_affinity(map_of(affinity, kind), options, path.child(kind), errors);
  }
}

void validate_tolerations(const Json& tolerations, const PodOptions& options, const FieldPath& path,
                          FieldErrors& errors) {
  for (size_t i = 0; i < tolerations.size(); ++i) {
    const Json& toleration = tolerations[i];
    const FieldPath at = path.index(i);
    const std::string_view key = text_of(toleration, "key");
    const std::string_view op = text_of(toleration, "operator");
    const std::string_view value = text_of(toleration, "value");
    const std::string_view effect = text_of(toleration, "effect");
    if (!key.empty()) validate_label_key(key, at.child("key"), errors);
    if (key.empty() && op != "Exists") {
      add_invalid(
          errors, at.child("operator"), op,
          "operator must be Exists when `key` is empty, which means \"match all values and all keys\"");
    }
    if (has(toleration, "tolerationSeconds") && effect != "NoExecute") {
      add_invalid(errors, at.child("effect"), effect,
                  "effect must be 'NoExecute' when `tolerationSeconds` is set");
    }
    if (op.empty() || op == "Equal") {
      const Problems problems = check_label_value(value);
      if (!problems.empty()) add_invalid(errors, at.child("operator"), value, joined(problems));
    } else if (op == "Exists") {
      if (!value.empty()) {
        add_invalid(errors, at.child("operator"), value, "value must be empty when `operator` is 'Exists'");
      }
    } else if (op == "Lt" || op == "Gt") {
      if (!options.allow_comparing_tolerations) {
        errors.not_supported(at.child("operator"), op, {"Equal", "Exists", "Lt", "Gt"});
      }
    } else {
      errors.not_supported(at.child("operator"), op, {"Equal", "Exists"});
    }
    if (!effect.empty() && !is_effect(effect)) errors.not_supported(at.child("effect"), effect, kEffects);
  }
}

void validate_topology_spread(const Json& constraints, const PodOptions& options, const FieldPath& path,
                              FieldErrors& errors) {
  for (size_t i = 0; i < constraints.size(); ++i) {
    const Json& constraint = constraints[i];
    const FieldPath at = path.index(i);
    validate_positive(number_of(constraint, "maxSkew"), at.child("maxSkew"), errors);
    if (text_of(constraint, "topologyKey").empty())
      errors.required(at.child("topologyKey"), "can not be empty");
    const std::string_view action = text_of(constraint, "whenUnsatisfiable");
    if (action != "DoNotSchedule" && action != "ScheduleAnyway") {
      errors.not_supported(at.child("whenUnsatisfiable"), action, {"DoNotSchedule", "ScheduleAnyway"});
    }
    validate_not_repeated(constraints, i, at, errors);
    validate_min_domains(constraint, at.child("minDomains"), errors);
    validate_inclusion_policy(constraint, "nodeAffinityPolicy", at, errors);
    validate_inclusion_policy(constraint, "nodeTaintsPolicy", at, errors);
    if (options.allow_spread_key_clash) {
      validate_spread_keys_strictly(constraint, at.child("matchLabelKeys"), errors);
    } else {
      validate_match_keys(constraint, Json::array(), at, errors);
    }
    if (!options.allow_invalid_spread_selector) {
      validate_label_selector(member_of(constraint, "labelSelector"), at.child("labelSelector"), errors);
    }
  }
}

}  // namespace orch::api
