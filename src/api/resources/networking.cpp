// networking.k8s.io/v1 NetworkPolicy, IngressClass, Ingress and IPAddress.
#include "api/go_text.h"
#include "api/resources/common_validation.h"
#include "api/resources/ip.h"
#include "api/resources/kinds.h"
#include "api/resources/traits.h"
#include "api/resources/tree.h"
#include "base/json.h"

namespace orch::api {
namespace {

constexpr size_t kMaxController = 250;

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

void validate_policy(const Json& policy, FieldErrors& errors) {
  const FieldPath path("spec");
  const Json& spec = map_of(policy, "spec");
  validate_label_selector(member_of(spec, "podSelector"), path.child("podSelector"), errors);
  const Json& types = list_of(spec, "policyTypes");
  if (types.size() > 2) {
    errors.invalid(path.child("policyTypes"), types, "may not specify more than two policyTypes");
    return;
  }
  for (size_t i = 0; i < types.size(); ++i) {
    const std::string_view type = text(types[i]);
    if (type != "Ingress" && type != "Egress")
      errors.not_supported(path.child("policyTypes").index(i), type, {"Egress", "Ingress"});
  }
}

void validate_ingress_class(const Json& object, FieldErrors& errors) {
  const FieldPath controller("spec.controller");
  const std::string_view value = text_of(map_of(object, "spec"), "controller");
  if (value.size() > kMaxController) errors.too_long(controller, static_cast<int>(kMaxController));
  validate_domain_prefixed_path(value, controller, errors);
}

void validate_ingress_class_update(const Json& object, const Json& old, FieldErrors& errors) {
  validate_immutable_member(map_of(object, "spec"), map_of(old, "spec"), "controller", FieldPath("spec"),
                            errors);
  validate_ingress_class(object, errors);
}

void validate_path(const Json& one, const FieldPath& path, FieldErrors& errors) {
  const std::string_view type = text_of(one, "pathType");
  if (!has(one, "pathType")) {
    errors.required(path.child("pathType"), "pathType must be specified");
  } else if (type != "Exact" && type != "Prefix" && type != "ImplementationSpecific") {
    errors.not_supported(path.child("pathType"), type, {"Exact", "ImplementationSpecific", "Prefix"});
  } else if (type != "ImplementationSpecific" && text_of(one, "path").substr(0, 1) != "/") {
    add_invalid(errors, path.child("path"), text_of(one, "path"), "must be an absolute path");
  }
}

void validate_ingress(const Json& object, FieldErrors& errors) {
  const FieldPath path("spec");
  const Json& spec = map_of(object, "spec");
  const Json& rules = list_of(spec, "rules");
  if (rules.empty() && !has(spec, "defaultBackend")) {
    errors.invalid(path, rules, "either `defaultBackend` or `rules` must be specified");
  }
  for (size_t i = 0; i < rules.size(); ++i) {
    if (!has(rules[i], "http")) continue;
    const FieldPath http = path.child("rules").index(i).child("http").child("paths");
    const Json& paths = list_of(map_of(rules[i], "http"), "paths");
    if (paths.empty()) errors.required(http);
    for (size_t k = 0; k < paths.size(); ++k) validate_path(paths[k], http.index(k), errors);
  }
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
  s.validate = validate_policy;
  s.validate_update = [](const Json& object, const Json&, FieldErrors& errors) {
    validate_policy(object, errors);
  };
  return s;
}

Strategy ingress_class_strategy() {
  Strategy s = traits_of("networking.k8s.io", "IngressClass");
  s.validate = validate_ingress_class;
  s.validate_update = validate_ingress_class_update;
  return s;
}

Strategy ingress_strategy() {
  Strategy s = traits_of("networking.k8s.io", "Ingress");
  s.validate = validate_ingress;
  s.validate_update = [](const Json& object, const Json&, FieldErrors& errors) {
    validate_ingress(object, errors);
  };
  return s;
}

Strategy ip_address_strategy() {
  Strategy s = traits_of("networking.k8s.io", "IPAddress");
  s.validate_name = check_name_is_ip;
  s.validate = validate_ip_address;
  s.validate_update = [](const Json& object, const Json& old, FieldErrors& errors) {
    validate_immutable_member(map_of(object, "spec"), map_of(old, "spec"), "parentRef", FieldPath("spec"),
                              errors);
  };
  return s;
}

Strategy service_cidr_strategy() {
  Strategy s = traits_of("networking.k8s.io", "ServiceCIDR");
  s.validate = validate_service_cidrs;
  s.validate_update = validate_service_cidr_update;
  return s;
}

}  // namespace orch::api
