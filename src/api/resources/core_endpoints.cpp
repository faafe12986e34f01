// core/v1 Endpoints and discovery.k8s.io/v1 EndpointSlice.
#include <algorithm>
#include <set>

#include "api/resources/common_validation.h"
#include "api/resources/ip.h"
#include "api/resources/kinds.h"
#include "api/resources/printers.h"
#include "api/resources/tree.h"
#include "base/json.h"

namespace orch::api {
namespace {

constexpr int kMaxEndpoints = 1000;
constexpr int kMaxAddresses = 100;
constexpr int kMaxSlicePorts = 20000;
constexpr int kMaxHints = 8;

// --- Endpoints ---------------------------------------------------------------------------------------

void validate_address(const Json& address, const FieldPath& path, FieldErrors& errors) {
  const std::string_view ip = text_of(address, "ip");
  validate_legacy_ip(ip, path.child("ip"), errors);
  const std::string_view hostname = text_of(address, "hostname");
  if (!hostname.empty()) validate_dns1123_label(hostname, path.child("hostname"), errors);
  if (has(address, "nodeName"))
    validate_dns1123_subdomain(text_of(address, "nodeName"), path.child("nodeName"), errors);
  validate_endpoint_ip(ip, path.child("ip"), errors);
}

void validate_app_protocol(const Json& port, const FieldPath& path, FieldErrors& errors) {
  if (has(port, "appProtocol"))
    validate_qualified_name(text_of(port, "appProtocol"), path.child("appProtocol"), errors);
}

void validate_endpoint_port(const Json& port, bool need_name, const FieldPath& path, FieldErrors& errors) {
  const std::string_view name = text_of(port, "name");
  if (need_name && name.empty()) {
    errors.required(path.child("name"));
  } else if (!name.empty()) {
    validate_dns1123_label(name, path.child("name"), errors);
  }
  validate_port_number(member_of(port, "port"), path.child("port"), errors);
  const std::string_view protocol = text_of(port, "protocol");
  if (protocol.empty()) {
    errors.required(path.child("protocol"));
  } else if (!is_port_protocol(protocol)) {
    errors.not_supported(path.child("protocol"), protocol, kPortProtocols);
  }
  validate_app_protocol(port, path, errors);
}

void validate_subsets(const Json& subsets, FieldErrors& errors) {
  for (size_t i = 0; i < subsets.size(); ++i) {
    const FieldPath path = FieldPath("subsets").index(i);
    if (!has_items(subsets[i], "addresses") && !has_items(subsets[i], "notReadyAddresses")) {
      errors.required(path, "must specify `addresses` or `notReadyAddresses`");
    }
    for (const char* kind : {"addresses", "notReadyAddresses"}) {
      size_t a = 0;
      for (const Json& address : list_of(subsets[i], kind)) {
        validate_address(address, path.child(kind).index(a++), errors);
      }
    }
    const Json& ports = list_of(subsets[i], "ports");
    for (size_t p = 0; p < ports.size(); ++p) {
      validate_endpoint_port(ports[p], ports.size() > 1, path.child("ports").index(p), errors);
    }
  }
}

std::vector<std::string> endpoints_warnings(const Json& endpoints, const Json*) {
  std::vector<std::string> warnings;
  if (text_of(labels_of(endpoints), "endpoints.kubernetes.io/managed-by") == "endpoint-controller")
    return warnings;
  size_t i = 0;
  for (const Json& subset : list_of(endpoints, "subsets")) {
    const FieldPath path = FieldPath("subsets").index(i++);
    for (const char* kind : {"addresses", "notReadyAddresses"}) {
      size_t a = 0;
      for (const Json& address : list_of(subset, kind)) {
        warn_ip(text_of(address, "ip"), path.child(kind).index(a++).child("ip"), warnings);
      }
    }
  }
  return warnings;
}

// --- EndpointSlice -----------------------------------------------------------------------------------

void validate_slice_address(std::string_view type, std::string_view address, const FieldPath& addresses,
                            size_t i, FieldErrors& errors) {
  const FieldPath path = addresses.index(i);
  if (type == "FQDN") return validate_fqdn(address, path, errors);
  if (type != "IPv4" && type != "IPv6") return;
  FieldErrors problems;
  if (type == "IPv4") {
    validate_legacy_ip(address, path, problems);
  } else {
    validate_ip(address, path, problems);
  }
  if (!problems.empty()) return errors.append(std::move(problems));
  const auto ip = Ip::parse(address);
  if (ip && ip->v4() != (type == "IPv4")) {
    add_invalid(errors, addresses, address,
                type == "IPv4" ? "must be an IPv4 address" : "must be an IPv6 address");
  }
  validate_endpoint_ip(address, path, errors);
}

void validate_hint_names(const Json& hints, const char* kind, bool nodes, const FieldPath& parent,
                         FieldErrors& errors) {
  const FieldPath path = parent.child(kind);
  const Json& list = list_of(hints, kind);
  if (list.size() > kMaxHints) return errors.too_many(path, static_cast<int>(list.size()), kMaxHints);
  std::set<std::string_view> seen;
  for (size_t i = 0; i < list.size(); ++i) {
    const FieldPath at = path.index(i).child("name");
    const std::string_view name = text_of(list[i], "name");
    if (!seen.insert(name).second) errors.duplicate(at, Json(std::string(name)));
    add_problems(errors, at, name, nodes ? check_dns1123_subdomain(name) : check_label_value(name));
  }
}

void validate_endpoint(const Json& endpoint, std::string_view type, const FieldPath& path,
                       FieldErrors& errors) {
  const Json& addresses = list_of(endpoint, "addresses");
  const FieldPath at = path.child("addresses");
  if (addresses.empty()) {
    errors.required(at, "must contain at least 1 address");
  } else if (addresses.size() > kMaxAddresses) {
    errors.too_many(at, static_cast<int>(addresses.size()), kMaxAddresses);
  }
  for (size_t i = 0; i < addresses.size(); ++i)
    validate_slice_address(type, text(addresses[i]), at, i, errors);
  if (has(endpoint, "nodeName")) {
    validate_dns1123_subdomain(text_of(endpoint, "nodeName"), path.child("nodeName"), errors);
  }
  if (has(endpoint, "hostname"))
    validate_dns1123_label(text_of(endpoint, "hostname"), path.child("hostname"), errors);
  if (has(endpoint, "hints")) {
    const Json& hints = map_of(endpoint, "hints");
    validate_hint_names(hints, "forZones", false, path.child("hints"), errors);
    validate_hint_names(hints, "forNodes", true, path.child("hints"), errors);
  }
}

void validate_slice_ports(const Json& ports, FieldErrors& errors) {
  const FieldPath path("ports");
  if (ports.size() > kMaxSlicePorts)
    return errors.too_many(path, static_cast<int>(ports.size()), kMaxSlicePorts);
  std::set<std::string_view> names;
  for (size_t i = 0; i < ports.size(); ++i) {
    const FieldPath at = path.index(i);
    const std::string_view name = text_of(ports[i], "name");
    if (!name.empty()) validate_dns1123_label(name, at.child("name"), errors);
    if (!names.insert(name).second) errors.duplicate(at.child("name"), Json(std::string(name)));
    if (!has(ports[i], "protocol")) {
      errors.required(at.child("protocol"));
    } else if (!is_port_protocol(text_of(ports[i], "protocol"))) {
      errors.not_supported(at.child("protocol"), text_of(ports[i], "protocol"), kPortProtocols);
    }
    validate_app_protocol(ports[i], at, errors);
  }
}

void validate_slice(const Json& slice, const Json* old, FieldErrors& errors) {
  const std::string_view type = text_of(slice, "addressType");
  if (type.empty()) {
    errors.required(FieldPath("addressType"));
  } else if (type != "IPv4" && type != "IPv6" && type != "FQDN") {
    errors.not_supported(FieldPath("addressType"), type, {"FQDN", "IPv4", "IPv6"});
  }
  validate_slice_ports(list_of(slice, "ports"), errors);
  const Json& endpoints = list_of(slice, "endpoints");
  FieldErrors found;
  if (endpoints.size() > kMaxEndpoints) {
    found.too_many(FieldPath("endpoints"), static_cast<int>(endpoints.size()), kMaxEndpoints);
  } else {
    for (size_t i = 0; i < endpoints.size(); ++i) {
      validate_endpoint(endpoints[i], type, FieldPath("endpoints").index(i), found);
    }
  }
  // What an older rule allowed may stay as it is.
  if (!found.empty() && old && same_member(slice, *old, "endpoints")) return;
  errors.append(std::move(found));
}

std::vector<std::string> slice_warnings(const Json& slice, const Json* old) {
  std::vector<std::string> warnings;
  if (!old && text_of(slice, "addressType") == "FQDN") {
    warnings.emplace_back("spec.addressType: FQDN endpoints are deprecated");
  }
  const std::string_view manager = text_of(labels_of(slice), "endpointslice.kubernetes.io/managed-by");
  if (manager == "endpointslice-controller.k8s.io" || manager == "endpointslicemirroring-controller.k8s.io") {
    return warnings;
  }
  size_t i = 0;
  for (const Json& endpoint : list_of(slice, "endpoints")) {
    const FieldPath path = FieldPath("endpoints").index(i++).child("addresses");
    size_t a = 0;
    for (const Json& address : list_of(endpoint, "addresses"))
      warn_ip(text(address), path.index(a++), warnings);
  }
  return warnings;
}

/// Everything but metadata, and the labels.
bool slice_changed(const Json& slice, const Json& old) {
  for (const char* key : {"addressType", "endpoints", "ports"}) {
    if (!same_member(slice, old, key)) return true;
  }
  return !same(labels_of(slice), labels_of(old));
}

void drop_topology(Json& slice) {
  each(slice, "endpoints", [](Json& endpoint) { drop(endpoint, "deprecatedTopology"); });
}

}  // namespace

Strategy endpoints_strategy() {
  Strategy s;
  s.allow_create_on_update = true;
  s.set_defaults = [](Json& endpoints) {
    each(endpoints, "subsets", [](Json& subset) {
      each(subset, "ports", [](Json& port) { default_text(port, "protocol", "TCP"); });
    });
  };
  s.validate = [](const Json& endpoints, FieldErrors& errors) {
    validate_subsets(list_of(endpoints, "subsets"), errors);
  };
  s.validate_update = [](const Json& endpoints, const Json& old, FieldErrors& errors) {
    FieldErrors found;
    validate_subsets(list_of(endpoints, "subsets"), found);
    if (!found.empty() && same_member(endpoints, old, "subsets")) return;
    errors.append(std::move(found));
  };
  s.warnings = endpoints_warnings;
  s.cells = endpoints_cells;
  return s;
}

Strategy endpoint_slice_strategy() {
  Strategy s;
  s.has_generation = true;
  s.generation_changed = slice_changed;
  s.set_defaults = [](Json& slice) {
    each(slice, "ports", [](Json& port) {
      default_pointer(port, "name", "");
      default_pointer(port, "protocol", "TCP");
    });
  };
  s.prepare_create = [](Json& slice, const StrategyContext&) { drop_topology(slice); };
  s.prepare_update = [](Json& slice, const Json& old, const StrategyContext&) {
    if (!same_member(slice, old, "endpoints")) drop_topology(slice);
  };
  s.validate = [](const Json& slice, FieldErrors& errors) { validate_slice(slice, nullptr, errors); };
  s.validate_update = [](const Json& slice, const Json& old, FieldErrors& errors) {
    validate_slice(slice, &old, errors);
    validate_immutable_member(slice, old, "addressType", FieldPath(), errors);
  };
  s.warnings = slice_warnings;
  s.cells = endpoint_slice_cells;
  return s;
}

}  // namespace orch::api
