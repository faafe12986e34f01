#include "server/admission/quota_usage.h"

#include <algorithm>
#include <map>
#include <set>

#include "api/go_text.h"
#include "api/meta.h"
#include "base/json.h"

namespace orch::server::quota {
namespace {

using Names = std::vector<std::string>;

constexpr std::string_view kClassSuffix = ".storageclass.storage.k8s.io/";

bool one_of(std::string_view value, std::initializer_list<std::string_view> list) {
  return std::find(list.begin(), list.end(), value) != list.end();
}

std::string count_name(const Kind& kind) {
  return kind.group.empty() ? base::cat("count/", kind.plural)
                            : base::cat("count/", kind.plural, ".", kind.group);
}

/// What was countable before count/… existed.
bool has_legacy_name(const Kind& kind) {
  return kind.group.empty() &&
         one_of(kind.plural, {"configmaps", "resourcequotas", "replicationcontrollers", "secrets"});
}

bool is_native(std::string_view name) {
  return name.find('/') == std::string_view::npos || name.find("kubernetes.io/") != std::string_view::npos;
}

// --- Pods -------------------------------------------------------------------------------------------

bool is_pod_resource(std::string_view name) {
  if (one_of(name,
             {"count/pods", "pods", "cpu", "memory", "ephemeral-storage", "requests.cpu", "requests.memory",
              "requests.ephemeral-storage", "limits.cpu", "limits.memory", "limits.ephemeral-storage"})) {
    return true;
  }
  return name.starts_with("hugepages-") || name.starts_with("requests.hugepages-") ||
         (name.starts_with("requests.") &&
          (!is_native(name) || name.starts_with("requests.deviceclass.resource.kubernetes.io/")));
}

/// Names under which requests and limits are charged.
ResourceList charged(const ResourceList& requests, const ResourceList& limits) {
  ResourceList out;
  for (const auto& [name, quantity] : requests) {
    const bool plain = one_of(name, {"cpu", "memory", "ephemeral-storage"}) || name.starts_with("hugepages-");
    if (plain) out[name] = quantity;
    if (plain || !is_native(name) || name.starts_with("deviceclass.resource.kubernetes.io/")) {
      out["requests." + name] = quantity;
    }
  }
  for (const char* name : {"cpu", "memory", "ephemeral-storage"}) {
    if (const auto it = limits.find(name); it != limits.end()) out[base::cat("limits.", name)] = it->second;
  }
  return out;
}

/// Ended pods, and those that should long be gone, count as objects only.
bool ended(const Json& pod, base::WallTime now) {
  if (one_of(base::string_at(pod, {"status", "phase"}), {"Failed", "Succeeded"})) return true;
  const base::Result<base::WallTime> deleted =
      base::parse_time(base::string_at(pod, {"metadata", "deletionTimestamp"}));
  const Json* grace = base::find_path(pod, {"metadata", "deletionGracePeriodSeconds"});
  return deleted.ok() && grace != nullptr && grace->is_number() &&
         now > *deleted + std::chrono::seconds(grace->get<int64_t>());
}

ResourceList pod_usage(const Json& pod, base::WallTime now) {
  ResourceList out;
  out["count/pods"] = api::Quantity::of(1);
  if (ended(pod, now)) return out;
  ResourceList requests = effective_pod_resources(pod, "requests"),
               limits = effective_pod_resources(pod, "limits");
  for (const auto& [name, quantity] : resource_list(base::object_at(pod, {"spec", "overhead"}))) {
    add_resources(requests, {{name, quantity}});
    if (limits.contains(name)) limits[name] += quantity;
  }
  out.merge(charged(requests, limits));
  out["pods"] = api::Quantity::of(1);
  return out;
}

bool is_terminating(const Json& pod) { return base::int_at(pod, {"spec", "activeDeadlineSeconds"}, -1) >= 0; }

/// QoS class BestEffort: nobody asks for cpu or memory.
bool is_best_effort(const Json& pod) {
  const auto asks = [](const Json& owner) {
    for (const char* kind : {"requests", "limits"}) {
      for (const auto& [name, quantity] : resource_list(base::object_at(owner, {"resources", kind}))) {
        if (one_of(name, {"cpu", "memory"}) && quantity.sign() > 0) return true;
      }
    }
    return false;
  };
  if (asks(base::object_at(pod, {"spec"}))) return false;
  for (const char* list : {"containers", "initContainers"}) {
    for (const Json& container : base::array_at(pod, {"spec", list})) {
      if (asks(container)) return false;
    }
  }
  return true;
}

bool crosses_namespaces(const Json& pod) {
  const auto crosses = [](const Json& term) {
    return !base::array_at(term, {"namespaces"}).empty() || term.contains("namespaceSelector");
  };
  for (const char* kind : {"podAffinity", "podAntiAffinity"}) {
    const Json& affinity = base::object_at(pod, {"spec", "affinity", kind});
    for (const Json& term : base::array_at(affinity, {"requiredDuringSchedulingIgnoredDuringExecution"})) {
      if (crosses(term)) return true;
    }
    for (const Json& term : base::array_at(affinity, {"preferredDuringSchedulingIgnoredDuringExecution"})) {
      if (crosses(base::object_at(term, {"podAffinityTerm"}))) return true;
    }
  }
  return false;
}

// --- Services and claims ----------------------------------------------------------------------------

ResourceList service_usage(const Json& service) {
  const Json& ports = base::array_at(service, {"spec", "ports"});
  const std::string_view type = base::string_at(service, {"spec", "type"});
  int64_t node_ports = 0;
  if (type == "NodePort" || type == "LoadBalancer") {
    const bool all =
        type == "NodePort" || base::bool_at(service, {"spec", "allocateLoadBalancerNodePorts"}, true);
    node_ports = all ? static_cast<int64_t>(ports.size())
                     : std::count_if(ports.begin(), ports.end(),
                                     [](const Json& p) { return base::int_at(p, {"nodePort"}) != 0; });
  }
  return {{"count/services", api::Quantity::of(1)},
          {"services", api::Quantity::of(1)},
          {"services.nodeports", api::Quantity::of(node_ports)},
          {"services.loadbalancers", api::Quantity::of(type == "LoadBalancer" ? 1 : 0)}};
}

std::string storage_class(const Json& claim) {
  const std::string_view annotated = api::annotation(claim, "volume.beta.kubernetes.io/storage-class");
  return std::string(annotated.empty() ? base::string_at(claim, {"spec", "storageClassName"}) : annotated);
}

ResourceList claim_usage(const Json& claim) {
  ResourceList out = {{"count/persistentvolumeclaims", api::Quantity::of(1)},
                      {"persistentvolumeclaims", api::Quantity::of(1)}};
  const Json* asked = base::find_path(claim, {"spec", "resources", "requests", "storage"});
  if (asked != nullptr) {
    api::Quantity size = api::Quantity::of(asked);
    const Json* granted = base::find_path(claim, {"status", "allocatedResources", "storage"});
    if (granted != nullptr) size = std::max(size, api::Quantity::of(granted));
    // Whole bytes, as quotas must be.
    if (const api::Quantity whole = api::Quantity::of(size.value(), size.format()); whole != size)
      size = whole;
    out["requests.storage"] = size;
  }
  if (const std::string name = storage_class(claim); !name.empty()) {
    out[base::cat(name, kClassSuffix, "persistentvolumeclaims")] = api::Quantity::of(1);
    if (asked != nullptr) out[base::cat(name, kClassSuffix, "requests.storage")] = out["requests.storage"];
  }
  return out;
}

std::set<std::string> attribute_classes(const Json& claim) {
  std::set<std::string> out;
  for (const std::string_view name :
       {base::string_at(claim, {"spec", "volumeAttributesClassName"}),
        base::string_at(claim, {"status", "currentVolumeAttributesClassName"}),
        base::string_at(claim, {"status", "modifyVolumeStatus", "targetVolumeAttributesClassName"})}) {
    if (!name.empty()) out.emplace(name);
  }
  return out;
}

// --- Scopes -----------------------------------------------------------------------------------------

/// A scope about a name that the object may have several of or none.
bool selects_name(const std::set<std::string>& names, std::string_view op, const Json& values) {
  if (op == "Exists") return !names.empty();
  if (op == "DoesNotExist") return names.empty();
  const auto listed = [&](const std::string& name) {
    return std::find(values.begin(), values.end(), name) != values.end();
  };
  if (op == "In") return std::any_of(names.begin(), names.end(), listed);
  return names.empty() ||
         std::any_of(names.begin(), names.end(), [&](const std::string& n) { return !listed(n); });
}

bool in_scope(const Kind& kind, std::string_view scope, std::string_view op, const Json& values,
              const Json& object) {
  if (kind.is("persistentvolumeclaims")) {
    return scope == "VolumeAttributesClass" && selects_name(attribute_classes(object), op, values);
  }
  if (!kind.is("pods")) return false;
  if (scope == "Terminating") return is_terminating(object);
  if (scope == "NotTerminating") return !is_terminating(object);
  if (scope == "BestEffort") return is_best_effort(object);
  if (scope == "NotBestEffort") return !is_best_effort(object);
  if (scope == "CrossNamespacePodAffinity") return crosses_namespaces(object);
  if (scope != "PriorityClass") return false;
  std::set<std::string> names;
  if (const std::string_view name = base::string_at(object, {"spec", "priorityClassName"}); !name.empty()) {
    names.emplace(name);
  }
  return selects_name(names, op, values);
}

/// The kinds whose objects a quota of this name counts: their group resource.
std::string counted_resource(std::string_view name) {
  if (name.starts_with("count/")) return std::string(name.substr(6));
  if (one_of(name, {"services", "services.nodeports", "services.loadbalancers"})) return "services";
  if (name == "requests.storage" || name == "persistentvolumeclaims" ||
      name.find(kClassSuffix) != std::string_view::npos) {
    return "persistentvolumeclaims";
  }
  if (is_pod_resource(name)) return "pods";
  const Kind kind{"", name};
  return has_legacy_name(kind) ? std::string(name) : std::string();
}

}  // namespace

ResourceList usage(const Kind& kind, const Json& object, base::WallTime now) {
  if (kind.is("pods")) return pod_usage(object, now);
  if (kind.is("services")) return service_usage(object);
  if (kind.is("persistentvolumeclaims")) return claim_usage(object);
  ResourceList out = {{count_name(kind), api::Quantity::of(1)}};
  if (has_legacy_name(kind)) out[std::string(kind.plural)] = api::Quantity::of(1);
  return out;
}

Names matching(const Kind& kind, const ResourceList& hard) {
  Names out;
  for (const auto& [name, quantity] : hard) {
    bool match = name == count_name(kind);
    if (kind.is("pods")) {
      match = is_pod_resource(name);
    } else if (kind.is("services")) {
      match |= one_of(name, {"services", "services.nodeports", "services.loadbalancers"});
    } else if (kind.is("persistentvolumeclaims")) {
      match |= one_of(name, {"persistentvolumeclaims", "requests.storage"}) ||
               name.ends_with(base::cat(kClassSuffix, "persistentvolumeclaims")) ||
               name.ends_with(base::cat(kClassSuffix, "requests.storage"));
    } else {
      match |= has_legacy_name(kind) && name == kind.plural;
    }
    if (match) out.push_back(name);
  }
  return out;
}

bool in_scopes(const Kind& kind, const Json& quota, const Json& object) {
  for (const Json& scope : base::array_at(quota, {"spec", "scopes"})) {
    if (!scope.is_string() ||
        !in_scope(kind, scope.get_ref<const std::string&>(), "Exists", Json::array(), object)) {
      return false;
    }
  }
  for (const Json& s : base::array_at(quota, {"spec", "scopeSelector", "matchExpressions"})) {
    if (!in_scope(kind, base::string_at(s, {"scopeName"}), base::string_at(s, {"operator"}),
                  base::array_at(s, {"values"}), object)) {
      return false;
    }
  }
  return true;
}

std::string missing_requirements(const Kind& kind, const Names& names, const Json& object) {
  if (!kind.is("pods")) return {};
  for (const char* list : {"requests", "limits"}) {
    for (const auto& [name, quantity] : resource_list(base::object_at(object, {"spec", "resources", list}))) {
      if (one_of(name, {"cpu", "memory"}) || name.starts_with("hugepages-"))
        return {};  // said for the whole pod
    }
  }
  std::map<std::string, std::set<std::string>> missing;
  for (const char* list : {"containers", "initContainers"}) {
    for (const Json& container : base::array_at(object, {"spec", list})) {
      const ResourceList given = charged(resource_list(base::object_at(container, {"resources", "requests"})),
                                         resource_list(base::object_at(container, {"resources", "limits"})));
      for (const std::string& name : names) {
        const bool demanded =
            one_of(name, {"cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"});
        if (demanded && !given.contains(name)) missing[name].emplace(base::string_at(container, {"name"}));
      }
    }
  }
  Names parts;
  for (const auto& [name, containers] : missing) {
    parts.push_back(base::cat(name, " for: ", api::join({containers.begin(), containers.end()}, ",")));
  }
  return parts.empty() ? std::string() : "must specify " + api::join(parts, "; ");
}

bool may_change_usage(const Kind& kind, std::string_view subresource, const Json& object, const Json* old) {
  if (kind.is("pods")) {
    if (subresource == "resize") return old != nullptr;
    return subresource.empty() && (old == nullptr || is_terminating(*old) != is_terminating(object));
  }
  if (kind.is("persistentvolumeclaims") && subresource == "status" && old != nullptr) {
    const auto allocated = [](const Json& claim) {
      return api::Quantity::of(base::find_path(claim, {"status", "allocatedResources", "storage"}));
    };
    return allocated(object) != allocated(*old) || attribute_classes(object) != attribute_classes(*old);
  }
  if (!subresource.empty()) return false;
  return old == nullptr || kind.is("services") || kind.is("persistentvolumeclaims");
}

Json recount(const Json& quota, const Lookup& lookup, base::WallTime now) {
  const Json& hard = base::object_at(quota, {"spec", "hard"});
  const ResourceList limits = resource_list(hard);
  const std::string_view ns = base::string_at(quota, {"metadata", "namespace"});
  std::set<std::string> resources;
  ResourceList used;
  for (const auto& [name, quantity] : limits) {
    used[name] = api::Quantity();
    if (std::string resource = counted_resource(name); !resource.empty())
      resources.insert(std::move(resource));
  }
  for (const std::string& resource : resources) {
    const size_t dot = resource.find('.');
    const Kind kind{
        dot == std::string::npos ? std::string_view() : std::string_view(resource).substr(dot + 1),
        std::string_view(resource).substr(0, dot)};
    const Names names = matching(kind, limits);
    for (const api::ObjectPtr& object : lookup.list(resource, ns)) {
      const Json tree = object->tree();
      if (!in_scopes(kind, quota, tree)) continue;
      const ResourceList own = usage(kind, tree, now);
      for (const std::string& name : names) {
        if (const auto it = own.find(name); it != own.end()) used[name] += it->second;
      }
    }
  }
  Json out = {{"hard", hard}, {"used", Json::object()}};
  for (const auto& [name, quantity] : used) out["used"][name] = quantity.text();
  return out;
}

std::string text(const ResourceList& list) {
  Names parts;
  parts.reserve(list.size());
  for (const auto& [name, quantity] : list) parts.push_back(base::cat(name, "=", quantity.text()));
  return api::join(parts, ",");
}

}  // namespace orch::server::quota
