// networking.k8s.io/v1 NetworkPolicy, IPAddress and ServiceCIDR.
#include <utility>

#include "api/go_text.h"
#include "api/names.h"
#include "api/resources/common_validation.h"
#include "api/resources/ip.h"
#include "api/resources/kinds.h"
#include "api/resources/traits.h"
#include "api/resources/tree.h"
#include "base/json.h"

namespace orch::api {
namespace {

void default_policy(Json& policy) {
  Json& spec = child(policy, "spec");
  for (const char* direction : {"ingress", "egress"}) {
    each(spec, direction, [](Json& rule) {
      each(rule, "ports", [](Json& port) { default_pointer(port, "protocol", "TCP"); });
    });
  }
  // A policy that says nothing of directions is about what comes in, and about what goes out if it has rules
  // for that.
  if (has_items(spec, "policyTypes")) return;
  Json types = Json::array({"Ingress"});
  if (has_items(spec, "egress")) types.push_back("Egress");
  put(spec, "policyTypes", std::move(types));
}

void validate_policy_port(const Json& port, const FieldPath& path, FieldErrors& errors) {
  const std::string_view protocol = text_of(port, "protocol");
  if (has(port, "protocol") && !is_port_protocol(protocol))
    errors.not_supported(path.child("protocol"), protocol, {"TCP", "UDP", "SCTP"});
  const Json& number = member_of(port, "port");
  const FieldPath end = path.child("endPort");
  const int64_t last = number_of(port, "endPort");
  if (number.is_null()) {
    if (has(port, "endPort")) errors.invalid(end, last, "may not be specified when `port` is not specified");
  } else if (number.is_string()) {
    if (has(port, "endPort")) errors.invalid(end, last, "may not be specified when `port` is non-numeric");
    add_problems(errors, path.child("port"), text(number), check_port_name(text(number)));
  } else {
    const int64_t first = number_of(port, "port");
    for (const std::string& why : check_port_number(first)) errors.invalid(path.child("port"), first, why);
    if (!has(port, "endPort")) return;
    if (last < first) errors.invalid(end, first, "must be greater than or equal to `port`");
    for (const std::string& why : check_port_number(last)) errors.invalid(end, last, why);
  }
}

void validate_block(const Json& block, const FieldPath& path, FieldErrors& errors) {
  const std::string_view whole = text_of(block, "cidr");
  if (whole.empty()) return errors.required(path.child("cidr"));
  validate_legacy_cidr(whole, path.child("cidr"), errors);
  const auto cidr = Cidr::parse(whole);
  if (!cidr) return;
  size_t i = 0;
  for (const Json& one : list_of(block, "except")) {
    const FieldPath at = path.child("except").index(i++);
    validate_legacy_cidr(text(one), at, errors);
    const auto except = Cidr::parse(text(one));
    if (except && (!cidr->contains(except->network()) || cidr->prefix >= except->prefix))
      add_invalid(errors, at, text(one), "must be a strict subset of `cidr`");
  }
}

void validate_peer(const Json& peer, SelectorOptions options, const FieldPath& path, FieldErrors& errors) {
  int selectors = 0;
  for (const char* key : {"podSelector", "namespaceSelector"}) {
    if (!has(peer, key)) continue;
    ++selectors;
    validate_label_selector(member_of(peer, key), path.child(key), errors, options);
  }
  const bool block = has(peer, "ipBlock");
  if (block) validate_block(map_of(peer, "ipBlock"), path.child("ipBlock"), errors);
  if (!block && selectors == 0) {
    errors.required(path, "must specify a peer");
  } else if (block && selectors > 0) {
    errors.forbidden(path, "may not specify both ipBlock and another peer");
  }
}

void validate_policy(const Json& policy, SelectorOptions options, FieldErrors& errors) {
  const FieldPath path("spec");
  const Json& spec = map_of(policy, "spec");
  validate_label_selector(member_of(spec, "podSelector"), path.child("podSelector"), errors, options);
  struct Direction {
    const char* rules;
    const char* peers;
  };
  for (const Direction& way : {Direction{"ingress", "from"}, Direction{"egress", "to"}}) {
    size_t i = 0;
    for (const Json& rule : list_of(spec, way.rules)) {
      const FieldPath at = path.child(way.rules).index(i++);
      size_t k = 0;
      for (const Json& port : list_of(rule, "ports"))
        validate_policy_port(port, at.child("ports").index(k++), errors);
      k = 0;
      for (const Json& peer : list_of(rule, way.peers))
        validate_peer(peer, options, at.child(way.peers).index(k++), errors);
    }
  }
  const Json& types = list_of(spec, "policyTypes");
  if (types.size() > 2) {
    errors.invalid(path.child("policyTypes"), types, "may not specify more than two policyTypes");
    return;
  }
  for (size_t i = 0; i < types.size(); ++i) {
    const std::string_view type = text(types[i]);
    if (type != "Ingress" && type != "Egress")
      errors.not_supported(path.child("policyTypes").index(i), type, {"Ingress", "Egress"});
  }
}

std::vector<std::string> policy_warnings(const Json& policy, const Json*) {
  std::vector<std::string> out;
  const FieldPath path("spec");
  for (const auto& [rules, peers] : {std::pair{"ingress", "from"}, std::pair{"egress", "to"}}) {
    size_t i = 0;
    for (const Json& rule : list_of(map_of(policy, "spec"), rules)) {
      const FieldPath at = path.child(rules).index(i++);
      size_t k = 0;
      for (const Json& peer : list_of(rule, peers)) {
        const FieldPath block = at.child(peers).index(k++).child("ipBlock");
        const Json& from = map_of(peer, "ipBlock");
        if (!has(peer, "ipBlock")) continue;
        warn_cidr(text_of(from, "cidr"), block.child("cidr"), out);
        size_t e = 0;
        for (const Json& except : list_of(from, "except"))
          warn_cidr(text(except), block.child("except").index(e++), out);
      }
    }
  }
  return out;
}

/// The name is the address itself, so that two Services cannot have it: what IsValidIP says of it.
std::vector<std::string> check_name_is_ip(std::string_view name, bool /*prefix*/) {
  FieldErrors errors;
  validate_ip(name, FieldPath(), errors);
  std::vector<std::string> out;
  // Whoever asks says what the value is.
  const size_t said = base::cat("Invalid value: ", go_quote(name), ": ").size();
  for (const base::Cause& cause : errors.causes()) out.push_back(cause.message.substr(said));
  return out;
}

void validate_ip_address(const Json& address, FieldErrors& errors) {
  const FieldPath path("spec.parentRef");
  const Json& spec = map_of(address, "spec");
  if (!has(spec, "parentRef")) {
    errors.required(path);
    return;
  }
  const Json& parent = map_of(spec, "parentRef");
  // The core group has no name.
  if (const std::string_view group = text_of(parent, "group"); !group.empty())
    validate_dns1123_subdomain(group, path.child("group"), errors);
  for (const char* key : {"resource", "name", "namespace"}) {
    const std::string_view value = text_of(parent, key);
    if (value.empty()) {
      if (key != std::string_view("namespace")) errors.required(path.child(key));
      continue;
    }
    for (const std::string& why : check_name_is_path_segment(value, false))
      add_invalid(errors, path.child(key), value, why);
  }
}

// --- ServiceCIDR ------------------------------------------------------------------------------------

void validate_service_cidrs(const Json& object, FieldErrors& errors) {
  const FieldPath path = FieldPath("spec").child("cidrs");
  const Json& cidrs = list_of(map_of(object, "spec"), "cidrs");
  if (cidrs.empty()) return errors.required(path, "at least one CIDR required");
  if (cidrs.size() > 2) return errors.invalid(path, map_of(object, "spec"), "may only hold up to 2 values");
  for (size_t i = 0; i < cidrs.size(); ++i) validate_cidr(text(cidrs[i]), path.index(i), errors);
  if (cidrs.size() != 2) return;
  const auto first = Cidr::parse(text(cidrs[0])), second = Cidr::parse(text(cidrs[1]));
  if (first && second && first->v4 == second->v4) {
    errors.invalid(
        path, cidrs,
        "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64");
  }
}

/// Nothing changes, but that a second family may be added.
void validate_service_cidr_update(const Json& object, const Json& old, FieldErrors& errors) {
  const FieldPath path = FieldPath("spec").child("cidrs");
  const Json& now = list_of(map_of(object, "spec"), "cidrs");
  const Json& before = list_of(map_of(old, "spec"), "cidrs");
  const bool extended = before.size() == 1 && now.size() == 2;
  if (now.size() != before.size() && !extended) return errors.invalid(path, now, "field is immutable");
  for (size_t i = 0; i < before.size(); ++i) {
    if (now[i] != before[i]) errors.invalid(path.index(i), now[i], "field is immutable");
  }
  if (extended) validate_service_cidrs(object, errors);
}

}  // namespace

Strategy network_policy_strategy() {
  Strategy s = traits_of("networking.k8s.io", "NetworkPolicy");
  s.set_defaults = default_policy;
  s.generation_changed = [](const Json& object, const Json& old) {
    return member_of(object, "spec") != member_of(old, "spec");  // also by an empty list
  };
  s.validate = [](const Json& object, FieldErrors& errors) { validate_policy(object, {}, errors); };
  // kube-apiserver validates the whole again as part of the update's rules.
  s.validate_update = [](const Json& object, const Json& old, FieldErrors& errors) {
    const SelectorOptions options{has_invalid_selector_value(member_of(map_of(old, "spec"), "podSelector"))};
    validate_policy(object, options, errors);
    validate_policy(object, options, errors);
  };
  s.warnings = policy_warnings;
  return s;
}

Strategy ip_address_strategy() {
  Strategy s = traits_of("networking.k8s.io", "IPAddress");
  s.validate_name = check_name_is_ip;
  s.validate = validate_ip_address;
  s.validate_update = [](const Json& object, const Json& old, FieldErrors& errors) {
    validate_ip_address(object, errors);
    validate_immutable_member(map_of(object, "spec"), map_of(old, "spec"), "parentRef", FieldPath("spec"),
                              errors);
  };
  return s;
}

Strategy service_cidr_strategy() {
  Strategy s = traits_of("networking.k8s.io", "ServiceCIDR");
  s.keep_status_on_create = true;
  s.validate = validate_service_cidrs;
  s.validate_update = validate_service_cidr_update;
  return s;
}

}  // namespace orch::api
