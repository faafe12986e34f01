#include "api/resources/service_validation.h"

#include <algorithm>
#include <set>
#include <string_view>

#include "api/go_text.h"
#include "api/names.h"
#include "api/resources/common_validation.h"
#include "api/resources/ip.h"
#include "api/resources/tree.h"
#include "base/json.h"

namespace orch::api {
namespace {

constexpr int64_t kMaxAffinitySeconds = 86400;
constexpr const char* kHints = "service.kubernetes.io/topology-aware-hints";
constexpr const char* kTopologyMode = "service.kubernetes.io/topology-mode";
constexpr const char* kSourceRanges = "service.beta.kubernetes.io/load-balancer-source-ranges";

const FieldPath kSpec("spec");

bool is_headless(const Json& spec) {
  const Json& ips = list_of(spec, "clusterIPs");
  return ips.size() == 1 && text(ips[0]) == "None";
}

bool is_type(const Json& spec, std::string_view type) { return text_of(spec, "type") == type; }

bool needs_health_check(const Json& spec) {
  return is_type(spec, "LoadBalancer") && text_of(spec, "externalTrafficPolicy") == "Local";
}

std::string_view trimmed(std::string_view s) {
  constexpr std::string_view kSpace = " \t\r\n\v\f";
  const size_t begin = s.find_first_not_of(kSpace);
  if (begin == std::string_view::npos) return {};
  return s.substr(begin, s.find_last_not_of(kSpace) - begin + 1);
}

void require_choice(const Json& spec, const char* key, const std::vector<std::string>& choices,
                    FieldErrors& errors) {
  const std::string_view value = text_of(spec, key);
  if (value.empty()) return errors.required(kSpec.child(key));
  if (std::find(choices.begin(), choices.end(), value) == choices.end()) {
    errors.not_supported(kSpec.child(key), value, choices);
  }
}

/// The same of a member that may say nothing, but not nothing in words.
void require_given_choice(const Json& spec, const char* key, const std::vector<std::string>& choices,
                          FieldErrors& errors) {
  if (has(spec, key) && text_of(spec, key).empty())
    return errors.not_supported(kSpec.child(key), "", choices);
  require_choice(spec, key, choices, errors);
}

// --- Ports ---------------------------------------------------------------------------------------------

void validate_port(const Json& port, bool need_name, std::set<std::string_view>& names, const FieldPath& path,
                   FieldErrors& errors) {
  const std::string_view name = text_of(port, "name");
  if (need_name && name.empty()) {
    errors.required(path.child("name"));
  } else if (!name.empty()) {
    validate_dns1123_label(name, path.child("name"), errors);
    if (!names.insert(name).second) errors.duplicate(path.child("name"), std::string(name));
  }
  validate_port_number(member_of(port, "port"), path.child("port"), errors);
  const std::string_view protocol = text_of(port, "protocol");
  if (protocol.empty()) {
    errors.required(path.child("protocol"));
  } else if (!is_port_protocol(protocol)) {
    errors.not_supported(path.child("protocol"), protocol, kPortProtocols);
  }
  const Json& target = member_of(port, "targetPort");
  if (target.is_string()) {
    add_problems(errors, path.child("targetPort"), text(target), check_port_name(text(target)));
  } else {
    validate_port_number(target, path.child("targetPort"), errors);
  }
  if (has(port, "appProtocol"))
    validate_qualified_name(text_of(port, "appProtocol"), path.child("appProtocol"), errors);
}

/// Node ports and ports are each unique per protocol.
void validate_port_clashes(const Json& spec, FieldErrors& errors) {
  const Json& ports = list_of(spec, "ports");
  const FieldPath path = kSpec.child("ports");
  if (is_type(spec, "ClusterIP")) {
    for (size_t i = 0; i < ports.size(); ++i) {
      if (number_of(ports[i], "nodePort") != 0) {
        errors.forbidden(path.index(i).child("nodePort"), "may not be used when `type` is 'ClusterIP'");
      }
    }
  }
  std::set<std::pair<std::string_view, int64_t>> seen;
  for (size_t i = 0; i < ports.size(); ++i) {
    const int64_t port = number_of(ports[i], "nodePort");
    if (port != 0 && !seen.emplace(text_of(ports[i], "protocol"), port).second) {
      errors.duplicate(path.index(i).child("nodePort"), port);
    }
  }
  seen.clear();
  for (size_t i = 0; i < ports.size(); ++i) {
    const std::string_view protocol = text_of(ports[i], "protocol");
    const int64_t port = number_of(ports[i], "port");
    if (seen.emplace(protocol, port).second) continue;
    add_cause(errors, "FieldValueDuplicate", path.index(i),
              "Duplicate value: " + go_struct({{"Name", ""}, {"Protocol", protocol}},
                                              ",\"AppProtocol\":null,\"Port\":" + std::to_string(port) +
                                                  ",\"TargetPort\":0,\"NodePort\":0"));
  }
}

// --- Addresses -----------------------------------------------------------------------------------------

bool known(const Json& list, std::string_view value) { return contains(list, value); }

void validate_external_ips(const Json& spec, const Json* old, FieldErrors& errors) {
  size_t i = 0;
  for (const Json& ip : list_of(spec, "externalIPs")) {
    const FieldPath at = kSpec.child("externalIPs").index(i++);
    if (!Ip::parse(text(ip)) && !(old && known(list_of(*old, "externalIPs"), text(ip)))) {
      validate_legacy_ip(text(ip), at, errors);
    } else {
      validate_endpoint_ip(text(ip), at, errors);
    }
  }
}

void validate_range_annotation(const Json& service, const Json* old, FieldErrors& errors) {
  const FieldPath path = FieldPath("metadata").child("annotations").key(kSourceRanges);
  const std::string_view value = text_of(annotations_of(service), kSourceRanges);
  if (!is_type(map_of(service, "spec"), "LoadBalancer")) {
    errors.forbidden(path, "may only be used when `type` is 'LoadBalancer'");
  }
  if (old && text_of(annotations_of(*old), kSourceRanges) == value) return;
  std::string_view rest = trimmed(value);
  while (!rest.empty()) {
    const size_t comma = rest.find(',');
    validate_legacy_cidr(trimmed(rest.substr(0, comma)), path, errors);
    if (comma == std::string_view::npos) break;
    rest = rest.substr(comma + 1);
  }
}

void validate_source_ranges(const Json& service, const Json* old, FieldErrors& errors) {
  const Json& spec = map_of(service, "spec");
  const Json& ranges = list_of(spec, "loadBalancerSourceRanges");
  if (ranges.empty()) {
    if (has(annotations_of(service), kSourceRanges)) validate_range_annotation(service, old, errors);
    return;
  }
  const FieldPath path = kSpec.child("LoadBalancerSourceRanges");
  if (!is_type(spec, "LoadBalancer"))
    errors.forbidden(path, "may only be used when `type` is 'LoadBalancer'");
  for (size_t i = 0; i < ranges.size(); ++i) {
    if (old && known(list_of(map_of(*old, "spec"), "loadBalancerSourceRanges"), text(ranges[i]))) continue;
    validate_legacy_cidr(trimmed(text(ranges[i])), path.index(i), errors);
  }
}

// --- Affinity and policies -----------------------------------------------------------------------------

void validate_affinity(const Json& spec, FieldErrors& errors) {
  require_choice(spec, "sessionAffinity", {"ClientIP", "None"}, errors);
  const std::string_view affinity = text_of(spec, "sessionAffinity");
  FieldPath path = kSpec.child("sessionAffinityConfig");
  if (affinity == "None" && has(spec, "sessionAffinityConfig")) {
    errors.forbidden(path, "must not be set when session affinity is None");
  }
  if (affinity != "ClientIP") return;
  const Json& config = map_of(spec, "sessionAffinityConfig");
  const Json& client = map_of(config, "clientIP");
  constexpr const char* kDetail = "when session affinity type is ClientIP";
  if (!has(spec, "sessionAffinityConfig")) return errors.required(path, kDetail);
  if (!has(config, "clientIP")) return errors.required(path.child("clientIP"), kDetail);
  path = path.child("clientIP").child("timeoutSeconds");
  if (!has(client, "timeoutSeconds")) return errors.required(path, kDetail);
  const int64_t seconds = number_of(client, "timeoutSeconds");
  if (seconds <= 0 || seconds > kMaxAffinitySeconds) {
    errors.invalid(path, seconds, "must be greater than 0 and less than 86400");
  }
}

void validate_traffic_policies(const Json& spec, FieldErrors& errors) {
  const std::string_view external = text_of(spec, "externalTrafficPolicy");
  if (externally_accessible(spec)) {
    require_choice(spec, "externalTrafficPolicy", {"Cluster", "Local"}, errors);
  } else if (!external.empty()) {
    add_invalid(errors, kSpec.child("externalTrafficPolicy"), external,
                "may only be set for externally-accessible services");
  }
  // A missing health check port is allocated after validation.
  const int64_t port = number_of(spec, "healthCheckNodePort");
  if (port != 0 && !needs_health_check(spec)) {
    errors.invalid(kSpec.child("healthCheckNodePort"), port,
                   "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'");
  } else if (port != 0) {
    validate_port_number(member_of(spec, "healthCheckNodePort"), kSpec.child("healthCheckNodePort"), errors);
  }
  const bool internal_needed =
      is_type(spec, "NodePort") || is_type(spec, "LoadBalancer") || is_type(spec, "ClusterIP");
  if (internal_needed || has(spec, "internalTrafficPolicy"))
    require_given_choice(spec, "internalTrafficPolicy", {"Cluster", "Local"}, errors);
  if (has(spec, "trafficDistribution")) {
    require_given_choice(spec, "trafficDistribution", {"PreferClose", "PreferSameZone", "PreferSameNode"},
                         errors);
  }
}

void validate_balancer_class(const Json& spec, FieldErrors& errors) {
  if (!has(spec, "loadBalancerClass")) return;
  const FieldPath path = kSpec.child("loadBalancerClass");
  if (is_type(spec, "LoadBalancer")) {
    validate_qualified_name(text_of(spec, "loadBalancerClass"), path, errors);
  } else {
    errors.forbidden(path, "may only be used when `type` is 'LoadBalancer'");
  }
}

// --- Types ---------------------------------------------------------------------------------------------

void validate_external_name(const Json& spec, FieldErrors& errors) {
  constexpr const char* kDetail = "may not be set for ExternalName services";
  for (const char* key : {"clusterIPs", "ipFamilies"}) {
    if (has_items(spec, key)) errors.forbidden(kSpec.child(key), kDetail);
  }
  if (has(spec, "ipFamilyPolicy")) errors.forbidden(kSpec.child("ipFamilyPolicy"), kDetail);
  std::string_view name = text_of(spec, "externalName");
  if (name.ends_with('.')) name.remove_suffix(1);
  if (name.empty()) {
    errors.required(kSpec.child("externalName"));
  } else {
    validate_dns1123_subdomain(name, kSpec.child("externalName"), errors);
  }
}

void validate_service(const Json& service, const Json* old, FieldErrors& errors) {
  const Json& spec = map_of(service, "spec");
  const Json* old_spec = old ? &map_of(*old, "spec") : nullptr;
  const Json& annotations = annotations_of(service);
  const std::string_view mode = text_of(annotations, kTopologyMode);
  if (has(annotations, kTopologyMode) && has(annotations, kHints) && mode != text_of(annotations, kHints)) {
    add_invalid(errors, FieldPath("metadata").child("annotations").key(kTopologyMode), mode,
                std::string("must match annotations[") + kHints + "] when both are specified");
  }
  const Json& ports = list_of(spec, "ports");
  const bool headless = is_headless(spec);
  if (ports.empty() && !headless && !is_type(spec, "ExternalName")) errors.required(kSpec.child("ports"));
  for (const char* type : {"LoadBalancer", "NodePort"}) {
    if (is_type(spec, type) && headless) {
      add_invalid(errors, kSpec.child("clusterIPs").index(0), "None",
                  std::string("may not be set to 'None' for ") + type + " services");
    }
  }
  if (is_type(spec, "ExternalName")) validate_external_name(spec, errors);
  std::set<std::string_view> names;
  for (size_t i = 0; i < ports.size(); ++i) {
    validate_port(ports[i], ports.size() > 1, names, kSpec.child("ports").index(i), errors);
  }
  validate_labels(map_of(spec, "selector"), kSpec.child("selector"), errors);
  validate_affinity(spec, errors);
  validate_service_addresses(spec, old_spec, errors);
  validate_external_ips(spec, old_spec, errors);
  require_choice(spec, "type", {"ClusterIP", "ExternalName", "LoadBalancer", "NodePort"}, errors);
  validate_port_clashes(spec, errors);
  validate_source_ranges(service, old, errors);
  if (has(spec, "allocateLoadBalancerNodePorts") && !is_type(spec, "LoadBalancer")) {
    errors.forbidden(kSpec.child("allocateLoadBalancerNodePorts"),
                     "may only be used when `type` is 'LoadBalancer'");
  }
  validate_balancer_class(spec, errors);
  validate_traffic_policies(spec, errors);
}

// --- Updates -------------------------------------------------------------------------------------------

void validate_ip_change(const Json& spec, const Json& old, FieldErrors& errors) {
  if (is_headless(spec) && is_headless(old)) return;
  const Json& now = list_of(spec, "clusterIPs");
  const Json& before = list_of(old, "clusterIPs");
  const FieldPath path = kSpec.child("clusterIPs");
  constexpr const char* kFixed = "may not change once set";
  if (before.size() == now.size()) {
    for (size_t i = 0; i < now.size(); ++i) {
      if (now[i] != before[i]) errors.invalid(path.index(i), now, kFixed);
    }
    return;
  }
  if (now.empty()) errors.invalid(path.index(0), now, "primary clusterIP can not be unset");
  if (!now.empty() && !before.empty() && now[0] != before[0]) errors.invalid(path.index(0), now, kFixed);
  if (before.size() > now.size() && now.size() == 1 && text_of(spec, "ipFamilyPolicy") != "SingleStack") {
    errors.invalid(kSpec.child("ipFamilyPolicy"), member_of(spec, "ipFamilyPolicy"),
                   "must be set to 'SingleStack' when releasing the secondary clusterIP");
  }
}

void validate_family_change(const Json& spec, const Json& old, FieldErrors& errors) {
  if (is_headless(spec) || is_headless(old)) return;
  const Json& now = list_of(spec, "ipFamilies");
  const Json& before = list_of(old, "ipFamilies");
  const FieldPath path = kSpec.child("ipFamilies").index(0);
  constexpr const char* kFixed = "may not change once set";
  if (before.size() == now.size()) {
    for (size_t i = 0; i < now.size(); ++i) {
      if (now[i] != before[i]) errors.invalid(path, now, kFixed);
    }
    return;
  }
  const Json& ips = list_of(spec, "clusterIPs");
  const bool fewer = before.size() > now.size();
  if (fewer && ips.empty()) errors.invalid(path, now, "primary ipFamily can not be unset");
  if (!now.empty() && !before.empty() && now[0] != before[0]) errors.invalid(path, ips, kFixed);
  if (fewer && now.size() == 1 && text_of(spec, "ipFamilyPolicy") != "SingleStack") {
    errors.invalid(kSpec.child("ipFamilyPolicy"), member_of(spec, "ipFamilyPolicy"),
                   "must be set to 'SingleStack' when releasing the secondary ipFamily");
  }
}

}  // namespace

void validate_service_addresses(const Json& spec, const Json* old, FieldErrors& errors) {
  if (is_type(spec, "ExternalName")) return;
  const FieldPath ips_path = kSpec.child("clusterIPs");
  const std::string_view ip = text_of(spec, "clusterIP");
  const Json& ips = list_of(spec, "clusterIPs");
  if (!ip.empty()) {
    if (ips.empty()) {
      errors.required(ips_path);
    } else if (text(ips[0]) != ip) {
      errors.invalid(ips_path, ips, "first value must match `clusterIP`");
    }
  } else if (!ips.empty()) {
    errors.invalid(ips_path, ips, "must be empty when `clusterIP` is not specified");
  }
  const Json& families = list_of(spec, "ipFamilies");
  std::set<std::string_view> seen;
  for (size_t i = 0; i < families.size(); ++i) {
    const FieldPath at = kSpec.child("ipFamilies").index(i);
    const std::string_view family = text(families[i]);
    if (family != "IPv4" && family != "IPv6") errors.not_supported(at, family, {"IPv4", "IPv6"});
    if (!seen.insert(family).second) errors.duplicate(at, std::string(family));
  }
  if (has(spec, "ipFamilyPolicy")) {
    require_choice(spec, "ipFamilyPolicy", {"PreferDualStack", "RequireDualStack", "SingleStack"}, errors);
  }
  FieldErrors bad;
  size_t v4 = 0;
  for (size_t i = 0; i < ips.size(); ++i) {
    const std::string_view value = text(ips[i]);
    if (i == 0 && value == "None") {
      if (ips.size() > 1) bad.invalid(ips_path, ips, "'None' must be the first and only value");
      continue;
    }
    if (!old || !known(list_of(*old, "clusterIPs"), value)) validate_legacy_ip(value, ips_path.index(i), bad);
    const auto parsed = Ip::parse(value);
    if (parsed && parsed->v4()) ++v4;
  }
  const bool stop = !bad.empty();
  errors.append(std::move(bad));
  if (ips.size() > 2) errors.invalid(ips_path, ips, "may only hold up to 2 values");
  if (stop) return;
  if (ips.size() > 1 && (v4 == 0 || v4 == ips.size())) {
    errors.invalid(ips_path, ips, "may specify no more than one IP for each IP family");
  }
  if (is_headless(spec)) return;
  for (size_t i = 0; i < ips.size() && i < families.size(); ++i) {
    const bool v6 = text(ips[i]).find(':') != std::string_view::npos;
    const std::string_view family = text(families[i]);
    if ((family == "IPv4" && v6) || (family == "IPv6" && !v6)) {
      add_invalid(errors, ips_path.index(i), text(ips[i]),
                  "expected an " + std::string(family) + " value as indicated by `ipFamilies[" +
                      std::to_string(i) + "]`");
    }
  }
}

void validate_service_create(const Json& service, FieldErrors& errors) {
  validate_service(service, nullptr, errors);
}

void validate_service_update(const Json& service, const Json& old_service, FieldErrors& errors) {
  const Json& spec = map_of(service, "spec");
  const Json& old = map_of(old_service, "spec");
  if (!is_type(spec, "ExternalName") && !is_type(old, "ExternalName")) {
    validate_ip_change(spec, old, errors);
    validate_family_change(spec, old, errors);
  }
  if (is_type(spec, "LoadBalancer") && is_type(old, "LoadBalancer") &&
      !same_member(spec, old, "loadBalancerClass")) {
    errors.invalid(kSpec.child("loadBalancerClass"), member_of(spec, "loadBalancerClass"),
                   "may not change once set");
  }
  validate_balancer_class(spec, errors);  // and once more below
  if (needs_health_check(spec) && needs_health_check(old) && !same_member(spec, old, "healthCheckNodePort")) {
    errors.forbidden(kSpec.child("healthCheckNodePort"), "field is immutable");
  }
  validate_service(service, &old_service, errors);
}

void validate_service_status_update(const Json& service, const Json& old, FieldErrors& errors) {
  const FieldPath path = FieldPath("status").child("loadBalancer").child("ingress");
  const Json& ingresses = list_of(map_of(map_of(service, "status"), "loadBalancer"), "ingress");
  if (!is_type(map_of(service, "spec"), "LoadBalancer")) {
    if (!ingresses.empty()) errors.forbidden(path, "may only be used when `spec.type` is 'LoadBalancer'");
    return;
  }
  std::set<std::string_view> before;
  for (const Json& ingress : list_of(map_of(map_of(old, "status"), "loadBalancer"), "ingress")) {
    before.insert(text_of(ingress, "ip"));
  }
  for (size_t i = 0; i < ingresses.size(); ++i) {
    const FieldPath at = path.index(i);
    const std::string_view ip = text_of(ingresses[i], "ip");
    if (!ip.empty() && !before.contains(ip)) validate_legacy_ip(ip, at.child("ip"), errors);
    const bool has_mode = has(ingresses[i], "ipMode");
    const std::string_view mode = text_of(ingresses[i], "ipMode");
    if (!has_mode && !ip.empty()) errors.required(at.child("ipMode"), "must be specified when `ip` is set");
    if (has_mode && ip.empty()) {
      errors.forbidden(at.child("ipMode"), "may not be specified when `ip` is not set");
    } else if (has_mode && mode != "VIP" && mode != "Proxy") {
      errors.not_supported(at.child("ipMode"), mode, {"Proxy", "VIP"});
    }
    const std::string_view host = text_of(ingresses[i], "hostname");
    if (host.empty()) continue;
    validate_dns1123_subdomain(host, at.child("hostname"), errors);
    if (Ip::parse(host))
      add_invalid(errors, at.child("hostname"), host, "must be a DNS name, not an IP address");
  }
}

std::vector<std::string> warnings_for_service(const Json& service, const Json*) {
  std::vector<std::string> warnings;
  const Json& spec = map_of(service, "spec");
  if (has(annotations_of(service), kHints)) {
    warnings.push_back(std::string("annotation ") + kHints + " is deprecated, please use " + kTopologyMode +
                       " instead");
  }
  const std::string_view ip = text_of(spec, "clusterIP");
  const auto warn_list = [&](const char* key, bool cidr) {
    size_t i = 0;
    for (const Json& value : list_of(spec, key)) {
      const FieldPath at = kSpec.child(key).index(i++);
      if (cidr) {
        warn_cidr(text(value), at, warnings);
      } else {
        warn_ip(text(value), at, warnings);
      }
    }
  };
  if (!ip.empty() && ip != "None") warn_list("clusterIPs", false);
  if (is_type(spec, "ClusterIP") && ip == "None") {
    if (has_items(spec, "loadBalancerIP")) {
      warnings.emplace_back("spec.loadBalancerIP is ignored for headless services");
    }
    if (has_items(spec, "externalIPs"))
      warnings.emplace_back("spec.externalIPs is ignored for headless services");
    if (text_of(spec, "sessionAffinity") != "None") {
      warnings.emplace_back("spec.SessionAffinity is ignored for headless services");
    }
  }
  warn_list("externalIPs", false);
  if (has_items(spec, "loadBalancerIP")) {
    warn_ip(text_of(spec, "loadBalancerIP"), kSpec.child("loadBalancerIP"), warnings);
  }
  warn_list("loadBalancerSourceRanges", true);
  if (is_type(spec, "ExternalName") && has_items(spec, "externalIPs")) {
    warnings.emplace_back("spec.externalIPs is ignored when spec.type is \"ExternalName\"");
  }
  if (!is_type(spec, "ExternalName") && has_items(spec, "externalName")) {
    warnings.emplace_back("spec.externalName is ignored when spec.type is not \"ExternalName\"");
  }
  if (text_of(spec, "trafficDistribution") == "PreferClose") {
    warnings.emplace_back("spec.trafficDistribution: \"PreferClose\" is deprecated; use \"PreferSameZone\"");
  }
  return warnings;
}

}  // namespace orch::api
