// networking.k8s.io/v1 Ingress and IngressClass.
#include <string>
#include <string_view>
#include <vector>

#include "api/names.h"
#include "api/resources/common_validation.h"
#include "api/resources/ip.h"
#include "api/resources/kinds.h"
#include "api/resources/traits.h"
#include "api/resources/tree.h"
#include "base/json.h"

namespace orch::api {
namespace {

constexpr size_t kMaxController = 250;
constexpr const char* kClassAnnotation = "kubernetes.io/ingress.class";

/// TypedLocalObjectReference.
void validate_reference(const Json& reference, const FieldPath& path, FieldErrors& errors) {
  if (has(reference, "apiGroup"))
    validate_dns1123_subdomain(text_of(reference, "apiGroup"), path.child("apiGroup"), errors);
  for (const char* key : {"kind", "name"}) {
    const std::string_view value = text_of(reference, key);
    if (value.empty()) {
      errors.required(path.child(key));
    } else {
      add_problems(errors, path.child(key), value, check_path_segment_name(value));
    }
  }
}

// --- IngressClass ------------------------------------------------------------------------------------

void validate_parameters(const Json& parameters, const FieldPath& path, FieldErrors& errors) {
  validate_reference(parameters, path, errors);
  if (!has(parameters, "scope")) return errors.required(path.child("scope"));
  const std::string_view scope = text_of(parameters, "scope");
  const FieldPath at = path.child("namespace");
  if (scope == "Namespace") {
    if (!has(parameters, "namespace")) return errors.required(at, "`parameters.scope` is set to 'Namespace'");
    validate_dns1123_label(text_of(parameters, "namespace"), at, errors);
  } else if (scope == "Cluster") {
    if (has(parameters, "namespace")) errors.forbidden(at, "`parameters.scope` is set to 'Cluster'");
  } else {
    errors.not_supported(path.child("scope"), scope, {"Cluster", "Namespace"});
  }
}

void validate_ingress_class(const Json& object, FieldErrors& errors) {
  const FieldPath path("spec");
  const Json& spec = map_of(object, "spec");
  const std::string_view value = text_of(spec, "controller");
  if (value.size() > kMaxController)
    errors.too_long(path.child("controller"), static_cast<int>(kMaxController));
  validate_domain_prefixed_path(value, path.child("controller"), errors);
  if (has(spec, "parameters"))
    validate_parameters(map_of(spec, "parameters"), path.child("parameters"), errors);
}

void validate_ingress_class_update(const Json& object, const Json& old, FieldErrors& errors) {
  validate_immutable_member(map_of(object, "spec"), map_of(old, "spec"), "controller", FieldPath("spec"),
                            errors);
  validate_ingress_class(object, errors);
}

// --- Ingress -----------------------------------------------------------------------------------------

/// What an update may keep though it is not valid any more.
struct Lenience {
  bool secret_names = false;
  bool wildcard_rules = false;
  bool service_names = false;
};

void validate_service_backend(const Json& service, const Lenience& lenience, const FieldPath& path,
                              FieldErrors& errors) {
  const std::string_view name = text_of(service, "name");
  const FieldPath at = path.child("service");
  if (name.empty()) {
    errors.required(at.child("name"));
  } else {
    add_problems(errors, at.child("name"), name,
                 lenience.service_names ? check_dns1123_label(name) : check_dns1035_label(name));
  }
  const Json& port = map_of(service, "port");
  const std::string_view port_name = text_of(port, "name");
  const int64_t number = number_of(port, "number");
  if (!port_name.empty() && number != 0) {
    add_invalid(errors, path, "", "cannot set both port name & port number");
  } else if (!port_name.empty()) {
    add_problems(errors, at.child("port").child("name"), port_name, check_port_name(port_name));
  } else if (number != 0) {
    for (const std::string& why : check_port_number(number))
      errors.invalid(at.child("port").child("number"), number, why);
  } else {
    errors.required(path, "port name or number is required");
  }
}

void validate_backend(const Json& backend, const Lenience& lenience, const FieldPath& path,
                      FieldErrors& errors) {
  const bool resource = has(backend, "resource");
  const bool service = has(backend, "service");
  if (resource && service) {
    add_invalid(errors, path, "", "cannot set both resource and service backends");
  } else if (resource) {
    validate_reference(map_of(backend, "resource"), path.child("resource"), errors);
  } else if (service) {
    validate_service_backend(map_of(backend, "service"), lenience, path, errors);
  } else {
    add_invalid(errors, path, "", "resource or service backend is required");
  }
}

void validate_exact_path(std::string_view value, const FieldPath& path, FieldErrors& errors) {
  if (!value.starts_with('/')) add_invalid(errors, path, value, "must be an absolute path");
  for (const char* part : {"//", "/./", "/../", "%2f", "%2F"}) {
    if (value.find(part) != std::string_view::npos)
      add_invalid(errors, path, value, base::cat("must not contain '", part, "'"));
  }
  for (const char* end : {"/..", "/."}) {
    if (value.ends_with(end)) add_invalid(errors, path, value, base::cat("cannot end with '", end, "'"));
  }
}

void validate_path(const Json& one, const Lenience& lenience, const FieldPath& path, FieldErrors& errors) {
  if (!has(one, "pathType")) return errors.required(path.child("pathType"), "pathType must be specified");
  const std::string_view type = text_of(one, "pathType");
  const std::string_view value = text_of(one, "path");
  if (type == "Exact" || type == "Prefix") {
    validate_exact_path(value, path.child("path"), errors);
  } else if (type != "ImplementationSpecific") {
    errors.not_supported(path.child("pathType"), type, {"Exact", "ImplementationSpecific", "Prefix"});
  } else if (!value.empty() && !value.starts_with('/')) {
    add_invalid(errors, path.child("path"), value, "must be an absolute path");
  }
  validate_backend(map_of(one, "backend"), lenience, path.child("backend"), errors);
}

void validate_host(std::string_view host, const FieldPath& path, FieldErrors& errors) {
  add_problems(errors, path, host,
               host.find('*') != std::string_view::npos ? check_wildcard_dns1123_subdomain(host)
                                                        : check_dns1123_subdomain(host));
}

void validate_http(const Json& rule, const Lenience& lenience, const FieldPath& path, FieldErrors& errors) {
  if (!has(rule, "http")) return;
  const FieldPath at = path.child("http").child("paths");
  const Json& paths = list_of(map_of(rule, "http"), "paths");
  if (paths.empty()) errors.required(at);
  for (size_t i = 0; i < paths.size(); ++i) validate_path(paths[i], lenience, at.index(i), errors);
}

bool is_wildcard(const Json& rule) { return text_of(rule, "host").find('*') != std::string_view::npos; }

void validate_rule(const Json& rule, const Lenience& lenience, const FieldPath& path, FieldErrors& errors) {
  const std::string_view host = text_of(rule, "host");
  if (!host.empty()) {
    if (Ip::parse(host))
      add_invalid(errors, path.child("host"), host, "must be a DNS name, not an IP address");
    validate_host(host, path.child("host"), errors);
  }
  if (!is_wildcard(rule) || !lenience.wildcard_rules) validate_http(rule, lenience, path, errors);
}

void validate_ingress(const Json& object, const Lenience& lenience, FieldErrors& errors) {
  const FieldPath path("spec");
  const Json& spec = map_of(object, "spec");
  const Json& rules = list_of(spec, "rules");
  if (rules.empty() && !has(spec, "defaultBackend")) {
    errors.invalid(path, member_of(spec, "rules"), "either `defaultBackend` or `rules` must be specified");
  }
  if (has(spec, "defaultBackend"))
    validate_backend(map_of(spec, "defaultBackend"), lenience, path.child("defaultBackend"), errors);
  for (size_t i = 0; i < rules.size(); ++i)
    validate_rule(rules[i], lenience, path.child("rules").index(i), errors);
  size_t i = 0;
  for (const Json& tls : list_of(spec, "tls")) {
    const FieldPath at = path.child("tls").index(i++);
    size_t k = 0;
    for (const Json& host : list_of(tls, "hosts"))
      validate_host(text(host), at.child("hosts").index(k++), errors);
    const std::string_view secret = text_of(tls, "secretName");
    if (!secret.empty() && !lenience.secret_names)
      validate_dns1123_subdomain(secret, at.child("secretName"), errors);
  }
  if (has(spec, "ingressClassName"))
    validate_dns1123_subdomain(text_of(spec, "ingressClassName"), path.child("ingressClassName"), errors);
}

void validate_new_ingress(const Json& object, FieldErrors& errors) {
  validate_ingress(object, {}, errors);
  const Json& spec = map_of(object, "spec");
  const Json& annotations = annotations_of(object);
  if (!annotations.contains(kClassAnnotation) || !has(spec, "ingressClassName")) return;
  const std::string_view value = text_of(annotations, kClassAnnotation);
  if (value == text_of(spec, "ingressClassName")) return;
  add_invalid(errors, FieldPath("annotations").child(kClassAnnotation), value,
              "must match `ingressClassName` when both are specified");
}

/// A service's name that only newer servers take.
bool has_relaxed_name(const Json& backend) {
  const std::string_view name = text_of(map_of(backend, "service"), "name");
  return !name.empty() && !check_dns1035_label(name).empty() && check_dns1123_label(name).empty();
}

Lenience lenience_of(const Json& old) {
  Lenience out;
  const Json& spec = map_of(old, "spec");
  for (const Json& tls : list_of(spec, "tls")) {
    const std::string_view secret = text_of(tls, "secretName");
    if (!secret.empty() && !check_dns1123_subdomain(secret).empty()) out.secret_names = true;
  }
  out.service_names = has_relaxed_name(map_of(spec, "defaultBackend"));
  for (const Json& rule : list_of(spec, "rules")) {
    for (const Json& path : list_of(map_of(rule, "http"), "paths"))
      out.service_names = out.service_names || has_relaxed_name(map_of(path, "backend"));
    FieldErrors problems;
    validate_http(rule, {}, FieldPath(), problems);
    if (is_wildcard(rule) && !problems.empty()) out.wildcard_rules = true;
  }
  return out;
}

void validate_ingress_status(const Json& object, const Json&, FieldErrors& errors) {
  const FieldPath path("status.loadBalancer.ingress");
  size_t i = 0;
  for (const Json& point : list_of(map_of(map_of(object, "status"), "loadBalancer"), "ingress")) {
    const FieldPath at = path.index(i++);
    if (const std::string_view ip = text_of(point, "ip"); !ip.empty())
      validate_legacy_ip(ip, at.child("ip"), errors);
    const std::string_view host = text_of(point, "hostname");
    if (host.empty()) continue;
    validate_dns1123_subdomain(host, at.child("hostname"), errors);
    if (Ip::parse(host))
      add_invalid(errors, at.child("hostname"), host, "must be a DNS name, not an IP address");
  }
}

std::vector<std::string> ingress_warnings(const Json& object, const Json* old) {
  if (old != nullptr || !annotations_of(object).contains(kClassAnnotation) ||
      has(map_of(object, "spec"), "ingressClassName"))
    return {};
  return {base::cat("annotation ", '"', kClassAnnotation, '"',
                    " is deprecated, please use 'spec.ingressClassName' instead")};
}

}  // namespace

Strategy ingress_class_strategy() {
  Strategy s = traits_of("networking.k8s.io", "IngressClass");
  s.set_defaults = [](Json& object) {
    if (Json* parameters = object_in(child(object, "spec"), "parameters"))
      default_pointer(*parameters, "scope", "Cluster");
  };
  s.validate = validate_ingress_class;
  s.validate_update = validate_ingress_class_update;
  return s;
}

Strategy ingress_strategy() {
  Strategy s = traits_of("networking.k8s.io", "Ingress");
  s.validate = validate_new_ingress;
  s.validate_update = [](const Json& object, const Json& old, FieldErrors& errors) {
    validate_ingress(object, lenience_of(old), errors);
  };
  s.validate_status_update = validate_ingress_status;
  s.warnings = ingress_warnings;
  return s;
}

}  // namespace orch::api
