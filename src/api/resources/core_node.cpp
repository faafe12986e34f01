// core/v1 Node.
#include <map>
#include <set>

#include "api/quantity.h"
#include "api/resources/common_validation.h"
#include "api/resources/core_pod_defaults.h"
#include "api/resources/ip.h"
#include "api/resources/kinds.h"
#include "api/resources/printers.h"
#include "api/resources/resource_validation.h"
#include "api/resources/scheduling_validation.h"
#include "api/resources/tree.h"
#include "base/json.h"

namespace orch::api {
namespace {

/// podCIDR is the first of podCIDRs; where the two differ the single one is right.
void mirror_pod_cidr(Json& spec) {
  const std::string single(text_of(spec, "podCIDR"));
  const Json& all = list_of(spec, "podCIDRs");
  if (!single.empty() && (all.empty() || text(all[0]) != single)) {
    put(spec, "podCIDRs", Json::array({single}));
  } else if (single.empty() && !all.empty()) {
    put(spec, "podCIDR", std::string(text(all[0])));
  }
}

void default_node(Json& node) {
  if (Json* spec = object_in(node, "spec")) mirror_pod_cidr(*spec);
  Json* status = object_in(node, "status");
  if (!status) return;
  round_resources(*status, "capacity");
  round_resources(*status, "allocatable");
  if (has_items(*status, "capacity") && !has_items(*status, "allocatable")) {
    put(*status, "allocatable", map_of(*status, "capacity"));
  }
}

/// Taints of a node: a key once per effect.
void validate_taints(const Json& taints, const FieldPath& path, FieldErrors& errors) {
  std::set<std::pair<std::string_view, std::string_view>> seen;
  for (size_t i = 0; i < taints.size(); ++i) {
    const Json& taint = taints[i];
    const FieldPath at = path.index(i);
    const std::string_view key = text_of(taint, "key");
    const std::string_view value = text_of(taint, "value");
    const std::string_view effect = text_of(taint, "effect");
    validate_label_key(key, at.child("key"), errors);
    const Problems problems = check_label_value(value);
    if (!problems.empty()) {
      std::string all;
      for (const std::string& p : problems) all += (all.empty() ? "" : ";") + p;
      add_invalid(errors, at.child("value"), value, all);
    }
    validate_taint_effect(effect, at.child("effect"), errors);
    if (!seen.emplace(key, effect).second) {
      add_cause(errors, "FieldValueDuplicate", at,
                "Duplicate value: " +
                    go_struct({{"Key", key}, {"Value", value}, {"Effect", effect}}, ",\"TimeAdded\":null") +
                    ": taints must be unique by key and effect pair");
    }
  }
}

void validate_amounts(const Json& node, FieldErrors& errors) {
  const Json& status = map_of(node, "status");
  for (const char* list : {"capacity", "allocatable"}) {
    const Json& amounts = map_of(status, list);
    for (auto it = amounts.begin(); it != amounts.end(); ++it) {
      validate_resource_amount(it.key(), *it, FieldPath("status").child(list).child(it.key()), errors);
    }
  }
}

void validate_pod_cidrs(const Json& cidrs, FieldErrors& errors) {
  const FieldPath path = FieldPath("spec").child("podCIDRs");
  size_t v4 = 0;
  size_t v6 = 0;
  bool broken = false;
  for (size_t i = 0; i < cidrs.size(); ++i) {
    validate_legacy_cidr(text(cidrs[i]), path.index(i), errors);
    const auto cidr = Cidr::parse(text(cidrs[i]));
    broken = broken || !cidr;
    if (cidr) ++(cidr->v4 ? v4 : v6);
  }
  if (cidrs.size() < 2) return;
  if (broken || v4 == 0 || v6 == 0 || cidrs.size() > 2) {
    errors.invalid(path, cidrs, "may specify no more than one CIDR for each IP family");
  }
}

void validate_node(const Json& node, FieldErrors& errors) {
  const Json& spec = map_of(node, "spec");
  // The path is Kubernetes' own: it says metadata.taints.
  validate_taints(list_of(spec, "taints"), FieldPath("metadata").child("taints"), errors);
  validate_amounts(node, errors);
  const Json& swap = map_of(map_of(map_of(node, "status"), "nodeInfo"), "swap");
  if (has(swap, "capacity")) {
    validate_positive(number_of(swap, "capacity"),
                      FieldPath("metadata").child("nodeSwapStatus").child("capacity"), errors);
  }
  const Json& cidrs = list_of(spec, "podCIDRs");
  if (!cidrs.empty()) validate_pod_cidrs(cidrs, errors);
}

void validate_node_change(const Json& node, const Json& old, FieldErrors& errors) {
  validate_amounts(node, errors);
  const Json& addresses = list_of(map_of(node, "status"), "addresses");
  std::set<std::pair<std::string_view, std::string_view>> seen;
  for (size_t i = 0; i < addresses.size(); ++i) {
    const std::string_view type = text_of(addresses[i], "type");
    const std::string_view address = text_of(addresses[i], "address");
    if (!seen.emplace(type, address).second) {
      add_cause(errors, "FieldValueDuplicate", FieldPath("status").child("addresses").index(i),
                "Duplicate value: " + go_struct({{"Type", type}, {"Address", address}}));
    }
  }
  const Json& spec = map_of(node, "spec");
  const Json& old_spec = map_of(old, "spec");
  const FieldPath path("spec");
  if (has_items(old_spec, "podCIDRs") && !same_member(spec, old_spec, "podCIDRs")) {
    errors.forbidden(path.child("podCIDRs"), "node updates may not change podCIDR except from \"\" to valid");
  }
  if (has_items(old_spec, "providerID") && !same_member(spec, old_spec, "providerID")) {
    errors.forbidden(path.child("providerID"),
                     "node updates may not change providerID except from \"\" to valid");
  }
  validate_taints(list_of(spec, "taints"), FieldPath("metadata").child("taints"), errors);
  if (!same_member(spec, old_spec, "externalID")) {
    errors.forbidden(path.child("externalID"), "may not be updated");
  }
}

/// Dynamic kubelet configuration is gone; what old objects carry of it stays.
void drop_config_source(Json& node, const Json* old) {
  if (Json* spec = object_in(node, "spec")) {
    if (!old || !has(map_of(*old, "spec"), "configSource")) drop(*spec, "configSource");
  }
}

void drop_declared_features(Json& node, const Json* old) {
  if (Json* status = object_in(node, "status")) {
    if (!old || !has(map_of(*old, "status"), "declaredFeatures")) drop(*status, "declaredFeatures");
    if (!old || !has(map_of(*old, "status"), "config")) drop(*status, "config");
  }
}

std::vector<std::string> node_warnings(const Json& node, const Json*) {
  std::vector<std::string> warnings;
  const Json& spec = map_of(node, "spec");
  if (has(spec, "configSource")) warnings.emplace_back("spec.configSource: the feature is removed");
  if (has_items(spec, "externalID")) {
    warnings.emplace_back("spec.externalID: this field is deprecated, and is unused by Kubernetes");
  }
  size_t i = 0;
  for (const Json& cidr : list_of(spec, "podCIDRs")) {
    warn_cidr(text(cidr), FieldPath("spec").child("podCIDRs").index(i++), warnings);
  }
  return warnings;
}

}  // namespace

Strategy node_strategy() {
  Strategy s;
  s.keep_status_on_create = true;
  s.set_defaults = default_node;
  s.prepare_create = [](Json& node, const StrategyContext&) {
    drop_config_source(node, nullptr);
    drop_declared_features(node, nullptr);
  };
  s.prepare_update = [](Json& node, const Json& old, const StrategyContext&) {
    restore(node, old, "status");
    drop_config_source(node, &old);
  };
  s.prepare_status_update = [](Json& node, const Json& old, const StrategyContext&) {
    restore(node, old, "spec");
    drop_declared_features(node, &old);
  };
  s.validate = validate_node;
  s.validate_update = [](const Json& node, const Json& old, FieldErrors& errors) {
    validate_node(node, errors);
    validate_node_change(node, old, errors);
  };
  s.validate_status_update = validate_node_change;
  s.warnings = node_warnings;
  s.cells = node_cells;
  return s;
}

}  // namespace orch::api
