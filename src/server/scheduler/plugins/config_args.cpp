#include "server/scheduler/plugins/config_args.h"

#include <algorithm>
#include <set>

#include "api/duration.h"
#include "api/names.h"
#include "base/json.h"
#include "base/status.h"

namespace orch::server::scheduler {

namespace {

using api::FieldErrors;
using api::FieldPath;

std::string text_at(const Json& tree, std::string_view key) {
  return std::string(base::string_at(tree, {key}));
}

std::vector<std::string> texts_at(const Json& tree, std::string_view key) {
  std::vector<std::string> out;
  for (const auto& v : base::array_at(tree, {key})) {
    if (v.is_string()) out.push_back(v.get<std::string>());
  }
  return out;
}

void check_range(int64_t value, int64_t least, int64_t most, const FieldPath& path, FieldErrors& errors) {
  if (value < least || value > most)
    errors.invalid(path, value, base::cat("not in valid range [", least, ", ", most, "]"));
}

void check_label_name(const std::string& name, const FieldPath& path, FieldErrors& errors) {
  for (const auto& problem : api::check_qualified_name(name)) errors.invalid(path, name, problem);
}

/// Weights that are not given are 1.
std::vector<std::pair<std::string, int64_t>> read_resources(const Json& list, const FieldPath& path,
                                                            StrictReader& strict) {
  std::vector<std::pair<std::string, int64_t>> out;
  for (size_t i = 0; i < list.size(); ++i) {
    strict.check(list[i], path.index(i), {"name", "weight"});
    const int64_t weight = base::int_at(list[i], {"weight"});
    out.emplace_back(text_at(list[i], "name"), weight == 0 ? 1 : weight);
  }
  return out;
}

void read_shape(const Json& list, const FieldPath& path, FitArgs& out, StrictReader& strict,
                FieldErrors& errors) {
  if (list.empty()) {
    errors.required(path, "at least one point must be specified");
    return;
  }
  for (size_t i = 0; i < list.size(); ++i) {
    strict.check(list[i], path.index(i), {"utilization", "score"});
    out.shape.emplace_back(base::int_at(list[i], {"utilization"}), base::int_at(list[i], {"score"}));
  }
  for (size_t i = 1; i < out.shape.size(); ++i) {
    if (out.shape[i - 1].first < out.shape[i].first) continue;
    errors.invalid(path.index(i).child("utilization"), out.shape[i].first,
                   "values must be sorted in increasing order");
    break;
  }
  for (size_t i = 0; i < out.shape.size(); ++i) {
    check_range(out.shape[i].first, 0, 100, path.index(i).child("utilization"), errors);
    check_range(out.shape[i].second, 0, 10, path.index(i).child("score"), errors);
  }
}

void read_strategy(const Json& s, const FieldPath& path, FitArgs& out, StrictReader& strict,
                   FieldErrors& errors) {
  strict.check(s, path, {"type", "resources", "requestedToCapacityRatio"});
  const std::string type = text_at(s, "type");
  if (type == "MostAllocated") {
    out.strategy = FitArgs::Strategy::kMostAllocated;
  } else if (type == "RequestedToCapacityRatio") {
    out.strategy = FitArgs::Strategy::kRequestedToCapacityRatio;
  } else if (type != "LeastAllocated") {
    errors.not_supported(path.child("type"), type,
                         {"LeastAllocated", "MostAllocated", "RequestedToCapacityRatio"});
  }
  auto resources = read_resources(base::array_at(s, {"resources"}), path.child("resources"), strict);
  if (!resources.empty()) out.resources = std::move(resources);
  for (size_t i = 0; i < out.resources.size(); ++i) {
    const auto& [name, weight] = out.resources[i];
    if (weight <= 0 || weight > 100) {
      errors.invalid(path.child("resources").index(i).child("weight"), weight,
                     base::cat("resource weight of ", name, " not in valid range (0, 100]"));
    }
  }
  const Json* ratio = base::find_path(s, {"requestedToCapacityRatio"});
  if (ratio != nullptr && !ratio->is_null()) {
    strict.check(*ratio, path.child("requestedToCapacityRatio"), {"shape"});
    read_shape(base::array_at(*ratio, {"shape"}), path.child("shape"), out, strict, errors);
  }
}

void read_fit(const Json& args, const FieldPath& path, FitArgs& out, StrictReader& strict,
              FieldErrors& errors) {
  strict.check(args, path,
               {"apiVersion", "kind", "ignoredResources", "ignoredResourceGroups", "scoringStrategy"});
  out.ignored_resources = texts_at(args, "ignoredResources");
  out.ignored_groups = texts_at(args, "ignoredResourceGroups");
  for (size_t i = 0; i < out.ignored_resources.size(); ++i)
    check_label_name(out.ignored_resources[i], path.child("ignoredResources").index(i), errors);
  for (size_t i = 0; i < out.ignored_groups.size(); ++i) {
    const FieldPath p = path.child("ignoredResourceGroups").index(i);
    if (out.ignored_groups[i].find('/') != std::string::npos)
      errors.invalid(p, out.ignored_groups[i], "resource group name can't contain '/'");
    check_label_name(out.ignored_groups[i], p, errors);
  }
  const Json* strategy = base::find_path(args, {"scoringStrategy"});
  if (strategy != nullptr && !strategy->is_null())
    read_strategy(*strategy, path.child("scoringStrategy"), out, strict, errors);
}

void read_balanced(const Json& args, const FieldPath& path, BalancedArgs& out, StrictReader& strict,
                   FieldErrors& errors) {
  strict.check(args, path, {"apiVersion", "kind", "resources"});
  const FieldPath list = path.child("resources");
  const auto resources = read_resources(base::array_at(args, {"resources"}), list, strict);
  if (resources.empty()) return;
  out.resources.clear();
  for (size_t i = 0; i < resources.size(); ++i) {
    const auto& [name, weight] = resources[i];
    if (std::find(out.resources.begin(), out.resources.end(), name) != out.resources.end())
      errors.duplicate(list.index(i).child("name"), name);
    if (weight != 1) errors.invalid(list.index(i).child("weight"), weight, "must be 1");
    out.resources.push_back(name);
  }
}

void read_node_affinity(const Json& args, const FieldPath& path, NodeAffinityArgs& out,
                        StrictReader& strict) {
  strict.check(args, path, {"apiVersion", "kind", "addedAffinity"});
  const Json& added = base::object_at(args, {"addedAffinity"});
  constexpr const char* kRequired = "requiredDuringSchedulingIgnoredDuringExecution";
  constexpr const char* kPreferred = "preferredDuringSchedulingIgnoredDuringExecution";
  strict.check(added, path.child("addedAffinity"), {kRequired, kPreferred});
  const Json* required = base::find_path(added, {kRequired});
  if (required != nullptr && required->is_object()) {
    out.has_required = true;
    for (const auto& term : base::array_at(*required, {"nodeSelectorTerms"}))
      out.required.push_back(api::read_node_term(term));
  }
  for (const auto& p : base::array_at(added, {kPreferred})) {
    out.preferred.emplace_back(base::int_at(p, {"weight"}),
                               api::read_node_term(base::object_at(p, {"preference"})));
  }
}

void check_constraint(const Json& c, const FieldPath& p, FieldErrors& errors) {
  if (base::int_at(c, {"maxSkew"}) <= 0)
    errors.invalid(p.child("maxSkew"), base::int_at(c, {"maxSkew"}), "not in valid range (0, inf)");
  const std::string key = text_at(c, "topologyKey"), action = text_at(c, "whenUnsatisfiable");
  if (key.empty()) {
    errors.required(p.child("topologyKey"), "can not be empty");
  } else {
    check_label_name(key, p.child("topologyKey"), errors);
  }
  if (action.empty()) {
    errors.required(p.child("whenUnsatisfiable"), "can not be empty");
  } else if (action != "DoNotSchedule" && action != "ScheduleAnyway") {
    errors.not_supported(p.child("whenUnsatisfiable"), action, {"DoNotSchedule", "ScheduleAnyway"});
  }
  const Json* selector = base::find_path(c, {"labelSelector"});
  if (selector != nullptr && !selector->is_null()) {
    errors.forbidden(p.child("labelSelector"),
                     "constraint must not define a selector, as they deduced for each pod");
  }
}

void read_spread_args(const Json& args, const FieldPath& path, SpreadArgs& out, StrictReader& strict,
                      FieldErrors& errors) {
  strict.check(args, path, {"apiVersion", "kind", "defaultConstraints", "defaultingType"});
  const Json& list = base::array_at(args, {"defaultConstraints"});
  std::string type = text_at(args, "defaultingType");
  if (type.empty()) type = "System";
  if (type != "System" && type != "List") {
    errors.not_supported(path.child("defaultingType"), type, {"System", "List"});
  } else if (type == "System" && !list.empty()) {
    errors.invalid(path.child("defaultingType"), type, "when .defaultConstraints are not empty");
  }
  std::set<std::pair<std::string, std::string>> seen;
  for (size_t i = 0; i < list.size(); ++i) {
    const FieldPath p = path.child("defaultConstraints").index(i);
    strict.check(list[i], p,
                 {"maxSkew", "topologyKey", "whenUnsatisfiable", "labelSelector", "minDomains",
                  "nodeAffinityPolicy", "nodeTaintsPolicy", "matchLabelKeys"});
    check_constraint(list[i], p, errors);
    const std::string key = text_at(list[i], "topologyKey"), action = text_at(list[i], "whenUnsatisfiable");
    if (!seen.insert({key, action}).second) errors.duplicate(p, base::cat("{", key, ", ", action, "}"));
  }
  if (type == "System") return;
  out.system = false;
  out.defaults.clear();
  for (const auto& c : list) out.defaults.push_back(api::read_spread_constraint(c, Json()));
}

void read_preemption(const Json& args, const FieldPath& path, ProfileArgs& out, StrictReader& strict,
                     FieldErrors& errors) {
  strict.check(args, path,
               {"apiVersion", "kind", "minCandidateNodesPercentage", "minCandidateNodesAbsolute"});
  const FieldPath percent = path.child("minCandidateNodesPercentage"),
                  absolute = path.child("minCandidateNodesAbsolute");
  out.candidates_percent = base::int_at(args, {"minCandidateNodesPercentage"}, out.candidates_percent);
  out.candidates_at_least = base::int_at(args, {"minCandidateNodesAbsolute"}, out.candidates_at_least);
  check_range(out.candidates_percent, 0, 100, percent, errors);
  if (out.candidates_at_least < 0)
    errors.invalid(absolute, out.candidates_at_least, "not in valid range [0, inf)");
  if (out.candidates_percent == 0 && out.candidates_at_least == 0) {
    errors.invalid(percent, 0, "cannot be zero at the same time as minCandidateNodesAbsolute");
    errors.invalid(absolute, 0, "cannot be zero at the same time as minCandidateNodesPercentage");
  }
}

void read_volume_binding(const Json& args, const FieldPath& path, ProfileArgs& out, StrictReader& strict,
                         FieldErrors& errors) {
  strict.check(args, path, {"apiVersion", "kind", "bindTimeoutSeconds", "shape"});
  out.bind_timeout_seconds = base::int_at(args, {"bindTimeoutSeconds"}, out.bind_timeout_seconds);
  if (out.bind_timeout_seconds < 0) {
    errors.invalid(path.child("bindTimeoutSeconds"), out.bind_timeout_seconds,
                   "invalid BindTimeoutSeconds, should not be a negative value");
  }
  const Json* shape = base::find_path(args, {"shape"});
  if (shape != nullptr && !shape->is_null()) {
    errors.invalid(path.child("shape"), *shape,
                   "unexpected field `shape`, remove it or turn on the feature gate StorageCapacityScoring");
  }
}

void read_devices(const Json& args, const FieldPath& path, DynamicResourcesArgs& out, StrictReader& strict,
                  FieldErrors& errors) {
  strict.check(args, path, {"apiVersion", "kind", "filterTimeout", "bindingTimeout"});
  const auto given = [&](const char* name) {
    const Json* value = base::find_path(args, {name});
    return value != nullptr && !value->is_null();
  };
  if (given("filterTimeout")) {
    const std::string text = text_at(args, "filterTimeout");
    const auto limit = api::parse_duration(text);
    if (!limit.ok() || limit->count() < 0) {
      errors.invalid(path.child("filterTimeout"), text, "must be zero or positive");
    } else {
      out.filter_timeout = *limit;
    }
  }
  if (given("bindingTimeout")) {
    errors.forbidden(path.child("bindingTimeout"),
                     "DRADeviceBindingConditions or DRAResourceClaimDeviceStatus feature gate is disabled");
  }
}

}  // namespace

void StrictReader::check(const Json& tree, const FieldPath& path,
                         std::initializer_list<std::string_view> known) {
  if (!tree.is_object()) return;
  for (const auto& [key, value] : tree.items()) {
    if (std::find(known.begin(), known.end(), key) == known.end())
      problems_.push_back(
          base::cat("unknown field \"", path.text().empty() ? key : path.child(key).text(), "\""));
  }
}

void read_plugin_args(std::string_view name, const Json& args, const FieldPath& path, ProfileArgs& out,
                      StrictReader& strict, FieldErrors& errors) {
  if (name == "DynamicResources") {
    read_devices(args, path, out.plugins.devices, strict, errors);
  } else if (name == "NodeResourcesFit") {
    read_fit(args, path, out.plugins.fit, strict, errors);
  } else if (name == "NodeResourcesBalancedAllocation") {
    read_balanced(args, path, out.plugins.balanced, strict, errors);
  } else if (name == "NodeAffinity") {
    read_node_affinity(args, path, out.plugins.node_affinity, strict);
  } else if (name == "InterPodAffinity") {
    strict.check(args, path,
                 {"apiVersion", "kind", "hardPodAffinityWeight", "ignorePreferredTermsOfExistingPods"});
    auto& a = out.plugins.inter_pod_affinity;
    a.hard_weight = base::int_at(args, {"hardPodAffinityWeight"}, a.hard_weight);
    a.ignore_preferred_of_others = base::bool_at(args, {"ignorePreferredTermsOfExistingPods"});
    check_range(a.hard_weight, 0, 100, path.child("hardPodAffinityWeight"), errors);
  } else if (name == "PodTopologySpread") {
    read_spread_args(args, path, out.plugins.spread, strict, errors);
  } else if (name == "DefaultPreemption") {
    read_preemption(args, path, out, strict, errors);
  } else if (name == "VolumeBinding") {
    read_volume_binding(args, path, out, strict, errors);
  }
}

}  // namespace orch::server::scheduler
