// core/v1 Service: defaults, what a change of type takes along, and the strategy.
#include <set>

#include "api/names.h"
#include "api/resources/kinds.h"
#include "api/resources/printers.h"
#include "api/resources/service_validation.h"
#include "api/resources/tree.h"
#include "base/json.h"

namespace orch::api {
namespace {

constexpr int64_t kAffinitySeconds = 10800;

void default_affinity(Json& spec) {
  default_text(spec, "sessionAffinity", "None");
  const std::string_view affinity = text_of(spec, "sessionAffinity");
  if (affinity == "None") {
    drop(spec, "sessionAffinityConfig");
  } else if (affinity == "ClientIP") {
    if (!has(map_of(map_of(spec, "sessionAffinityConfig"), "clientIP"), "timeoutSeconds")) {
      put(spec, "sessionAffinityConfig", {{"clientIP", {{"timeoutSeconds", kAffinitySeconds}}}});
    }
  }
}

void default_ports(Json& spec) {
  each(spec, "ports", [](Json& port) {
    default_text(port, "protocol", "TCP");
    const Json& target = member_of(port, "targetPort");
    if (is_empty(target) || (target.is_number() && number(target) == 0)) {
      put(port, "targetPort", number_of(port, "port"));
    }
  });
}

void default_service(Json& service) {
  Json& spec = child(service, "spec");
  default_affinity(spec);
  default_text(spec, "type", "ClusterIP");
  default_ports(spec);
  if (externally_accessible(spec)) default_text(spec, "externalTrafficPolicy", "Cluster");
  const std::string_view type = text_of(spec, "type");
  if (type != "ExternalName" && (type == "ClusterIP" || type == "NodePort" || type == "LoadBalancer")) {
    default_pointer(spec, "internalTrafficPolicy", "Cluster");
  }
  if (type != "LoadBalancer") return;
  default_pointer(spec, "allocateLoadBalancerNodePorts", true);
  if (Json* status = object_in(service, "status")) {
    if (Json* balancer = object_in(*status, "loadBalancer")) {
      each(*balancer, "ingress", [](Json& ingress) {
        if (!text_of(ingress, "ip").empty()) default_pointer(ingress, "ipMode", "VIP");
      });
    }
  }
}

bool needs_cluster_ip(const Json& spec) { return text_of(spec, "type") != "ExternalName"; }

bool needs_node_port(const Json& spec) {
  const std::string_view type = text_of(spec, "type");
  return type == "NodePort" || type == "LoadBalancer";
}

bool needs_health_check_port(const Json& spec) {
  return text_of(spec, "type") == "LoadBalancer" && text_of(spec, "externalTrafficPolicy") == "Local";
}

/// No node port that was not there before.
bool same_node_ports(const Json& spec, const Json& old) {
  std::set<int64_t> before;
  for (const Json& port : list_of(old, "ports")) before.insert(number_of(port, "nodePort"));
  for (const Json& port : list_of(spec, "ports")) {
    const int64_t p = number_of(port, "nodePort");
    if (p != 0 && !before.contains(p)) return false;
  }
  return true;
}

/// Who changes the type without touching what only the old type needs means to give that up; who changed it
/// as well gets an error from validation instead.
void drop_type_dependent_fields(Json& service, const Json& old_service) {
  Json& spec = child(service, "spec");
  const Json& old = map_of(old_service, "spec");
  if (needs_cluster_ip(old) && !needs_cluster_ip(spec)) {
    if (same_member(spec, old, "clusterIP") && same_member(spec, old, "clusterIPs")) {
      drop(spec, "clusterIP");
      drop(spec, "clusterIPs");
    }
    if (same_member(spec, old, "ipFamilies")) drop(spec, "ipFamilies");
    if (same_member(spec, old, "ipFamilyPolicy")) drop(spec, "ipFamilyPolicy");
  }
  if (needs_node_port(old) && !needs_node_port(spec) && same_node_ports(spec, old)) {
    each(spec, "ports", [](Json& port) { drop(port, "nodePort"); });
  }
  if (needs_health_check_port(old) && !needs_health_check_port(spec) &&
      number_of(spec, "healthCheckNodePort") == number_of(old, "healthCheckNodePort")) {
    drop(spec, "healthCheckNodePort");
  }
  const bool was_balancer = text_of(old, "type") == "LoadBalancer";
  const bool is_balancer = text_of(spec, "type") == "LoadBalancer";
  if (was_balancer && !is_balancer) {
    for (const char* key : {"allocateLoadBalancerNodePorts", "loadBalancerClass"}) {
      if (same_member(spec, old, key)) drop(spec, key);
    }
  }
  if (externally_accessible(old) && !externally_accessible(spec) &&
      same_member(spec, old, "externalTrafficPolicy")) {
    drop(spec, "externalTrafficPolicy");
  }
  if (!is_balancer) put(child(service, "status"), "loadBalancer", Json::object());
}

/// clusterIP is the first of clusterIPs. Clients from before dual stack write only the single one.
void normalize_cluster_ips(Json& spec, const Json* old) {
  const std::string ip(text_of(spec, "clusterIP"));
  if (!old) {
    if (!ip.empty() && !has_items(spec, "clusterIPs")) put(spec, "clusterIPs", Json::array({ip}));
    return;
  }
  const std::string_view old_ip = text_of(*old, "clusterIP");
  if (has_items(*old, "clusterIPs") && !has_items(spec, "clusterIPs") && old_ip == ip)
    restore(spec, *old, "clusterIPs");
  if (old_ip == ip || !same_member(spec, *old, "clusterIPs")) return;
  if (!old_ip.empty() && ip.empty()) {
    drop(spec, "clusterIPs");
  } else {
    put(spec, "clusterIPs", Json::array({ip}));
  }
}

/// Node ports that the client left out stay with the port of the same name, unless another port took them.
void keep_node_ports(Json& spec, const Json& old) {
  std::set<int64_t> wanted;
  for (const Json& port : list_of(spec, "ports")) wanted.insert(number_of(port, "nodePort"));
  each(spec, "ports", [&](Json& port) {
    if (number_of(port, "nodePort") != 0) return;
    int64_t before = 0;
    for (const Json& old_port : list_of(old, "ports")) {
      if (text_of(old_port, "name") == text_of(port, "name")) before = number_of(old_port, "nodePort");
    }
    if (before != 0 && !wanted.contains(before)) put(port, "nodePort", before);
  });
}

/// A client may apply a service again without the values it was given.
void keep_allocated(Json& spec, const Json& old) {
  if (needs_cluster_ip(old) && needs_cluster_ip(spec)) {
    if (text_of(spec, "clusterIP").empty()) restore(spec, old, "clusterIP");
    if (!has_items(spec, "clusterIPs")) restore(spec, old, "clusterIPs");
  }
  if (needs_node_port(old) && needs_node_port(spec)) keep_node_ports(spec, old);
  if (needs_health_check_port(old) && needs_health_check_port(spec) &&
      number_of(spec, "healthCheckNodePort") == 0) {
    restore(spec, old, "healthCheckNodePort");
  }
}

void prepare_service_update(Json& service, const Json& old, const StrategyContext&) {
  restore(service, old, "status");
  Json& spec = child(service, "spec");
  const Json& old_spec = map_of(old, "spec");
  keep_allocated(spec, old_spec);
  normalize_cluster_ips(spec, &old_spec);
  drop_type_dependent_fields(service, old);
}

}  // namespace

bool externally_accessible(const Json& spec) {
  const std::string_view type = text_of(spec, "type");
  return type == "LoadBalancer" || type == "NodePort" ||
         (type == "ClusterIP" && has_items(spec, "externalIPs"));
}

Strategy service_strategy() {
  Strategy s;
  s.allow_create_on_update = true;
  s.returns_deleted = true;
  s.set_defaults = default_service;
  s.prepare_create = [](Json& service, const StrategyContext&) {
    put(service, "status", {{"loadBalancer", Json::object()}});
    normalize_cluster_ips(child(service, "spec"), nullptr);
  };
  s.prepare_update = prepare_service_update;
  s.prepare_status_update = [](Json& service, const Json& old, const StrategyContext&) {
    restore(service, old, "spec");
  };
  s.validate = validate_service_create;
  s.validate_update = validate_service_update;
  s.validate_status_update = validate_service_status_update;
  s.warnings = warnings_for_service;
  s.validate_name = check_name_is_dns1035_label;
  s.cells = service_cells;
  return s;
}

}  // namespace orch::api
