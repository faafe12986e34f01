// resource.k8s.io/v1 DeviceClass, ResourceClaim and ResourceClaimTemplate: defaults and validation. Selector
// expressions are not compiled.
#include <map>
#include <set>
#include <string>
#include <string_view>

#include "api/names.h"
#include "api/resources/claim_validation.h"
#include "api/resources/common_validation.h"
#include "api/resources/kinds.h"
#include "api/resources/traits.h"
#include "api/resources/tree.h"
#include "api/resources/volume_sources.h"
#include "base/json.h"

namespace orch::api {
namespace {

constexpr size_t kMostRequests = 32;
constexpr size_t kMostAlternatives = 8;
constexpr const char* kGroup = "resource.k8s.io";

/// Names of the requests of a claim, with those of their alternatives.
using RequestNames = std::map<std::string_view, std::set<std::string_view>>;

void default_request(Json& request) {
  default_text(request, "allocationMode", "ExactCount");
  if (text_of(request, "allocationMode") == "ExactCount") default_number(request, "count", 1);
  each(request, "tolerations", [](Json& toleration) { default_text(toleration, "operator", "Equal"); });
}

void default_device_spec(Json& spec) {
  Json* devices = object_in(spec, "devices");
  if (devices == nullptr) return;
  each(*devices, "requests", [](Json& request) {
    if (Json* exactly = object_in(request, "exactly")) default_request(*exactly);
    each(request, "firstAvailable", default_request);
  });
}

RequestNames names_of(const Json& devices) {
  RequestNames names;
  for (const Json& request : list_of(devices, "requests")) {
    auto& below = names[text_of(request, "name")];
    for (const Json& one : list_of(request, "firstAvailable")) below.insert(text_of(one, "name"));
  }
  return names;
}

void validate_reference(std::string_view name, const RequestNames& names, const FieldPath& path,
                        FieldErrors& errors) {
  constexpr const char* kUnknown =
      "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'";
  const size_t slash = name.find('/');
  const std::string_view first = name.substr(0, slash);
  if (slash == std::string_view::npos) {
    validate_dns1123_label(first, path, errors);
    if (!names.contains(first)) add_invalid(errors, path, name, kUnknown);
    return;
  }
  const std::string_view second = name.substr(slash + 1);
  if (second.find('/') != std::string_view::npos) return add_invalid(errors, path, name, kUnknown);
  validate_dns1123_label(first, path, errors);
  validate_dns1123_label(second, path, errors);
  const auto it = names.find(first);
  if (it == names.end() || !it->second.contains(second)) add_invalid(errors, path, name, kUnknown);
}

void validate_references(const Json& owner, const RequestNames& names, const FieldPath& path,
                         FieldErrors& errors) {
  const Json& list = list_of(owner, "requests");
  std::set<std::string_view> seen;
  for (size_t i = 0; i < list.size(); ++i) {
    validate_reference(text(list[i]), names, path.index(i), errors);
    if (!seen.insert(text(list[i])).second) errors.duplicate(path.index(i), list[i]);
  }
  if (list.size() > kMostRequests)
    errors.too_many(path, static_cast<int>(list.size()), static_cast<int>(kMostRequests));
}

void validate_selectors(const Json& owner, const FieldPath& path, FieldErrors& errors) {
  const Json& list = list_of(owner, "selectors");
  for (size_t i = 0; i < list.size(); ++i) {
    if (!has(list[i], "cel")) errors.required(path.index(i).child("cel"));
  }
  if (list.size() > kMostRequests)
    errors.too_many(path, static_cast<int>(list.size()), static_cast<int>(kMostRequests));
}

void validate_request_body(const Json& request, const FieldPath& path, FieldErrors& errors) {
  const std::string_view device_class = text_of(request, "deviceClassName");
  if (device_class.empty()) {
    errors.required(path.child("deviceClassName"));
  } else {
    validate_dns1123_subdomain(device_class, path.child("deviceClassName"), errors);
  }
  validate_selectors(request, path.child("selectors"), errors);
  const std::string_view mode = text_of(request, "allocationMode");
  const int64_t count = number_of(request, "count");
  if (mode == "All") {
    if (count != 0)
      errors.invalid(path.child("count"), count, "must not be specified when allocationMode is 'All'");
  } else if (mode == "ExactCount") {
    if (count <= 0) errors.invalid(path.child("count"), count, "must be greater than zero");
  } else {
    errors.not_supported(path.child("allocationMode"), mode, {"All", "ExactCount"});
  }
}

void validate_request(const Json& request, const FieldPath& path, FieldErrors& errors) {
  validate_dns1123_label(text_of(request, "name"), path.child("name"), errors);
  const Json& alternatives = list_of(request, "firstAvailable");
  const bool exactly = has(request, "exactly");
  if (!exactly && alternatives.empty()) {
    errors.required(path, "exactly one of `exactly` or `firstAvailable` is required");
  } else if (exactly && !alternatives.empty()) {
    errors.invalid(path, nullptr,
                   "exactly one of `exactly` or `firstAvailable` is required, but multiple fields are set");
  } else if (exactly) {
    validate_request_body(map_of(request, "exactly"), path.child("exactly"), errors);
  } else {
    const FieldPath below = path.child("firstAvailable");
    std::set<std::string_view> seen;
    for (size_t i = 0; i < alternatives.size(); ++i) {
      const std::string_view name = text_of(alternatives[i], "name");
      validate_dns1123_label(name, below.index(i).child("name"), errors);
      validate_request_body(alternatives[i], below.index(i), errors);
      if (!seen.insert(name).second) errors.duplicate(below.index(i), std::string(name));
    }
    if (alternatives.size() > kMostAlternatives) {
      errors.too_many(below, static_cast<int>(alternatives.size()), static_cast<int>(kMostAlternatives));
    }
  }
}

void validate_configuration(const Json& config, const FieldPath& path, FieldErrors& errors) {
  const FieldPath at = path.child("opaque");
  if (!has(config, "opaque")) return errors.required(at);
  const Json& opaque = map_of(config, "opaque");
  validate_csi_driver_name(text_of(opaque, "driver"), at.child("driver"), errors);
  if (!has(opaque, "parameters")) {
    errors.required(at.child("parameters"));
  } else if (!member_of(opaque, "parameters").is_object()) {
    add_invalid(errors, at.child("parameters"), "<value omitted>", "must be a valid JSON object");
  }
}

void validate_device_claim(const Json& spec, const FieldPath& path, FieldErrors& errors) {
  const FieldPath at = path.child("devices");
  const Json& devices = map_of(spec, "devices");
  const RequestNames names = names_of(devices);
  const Json& requests = list_of(devices, "requests");
  std::set<std::string_view> seen;
  for (size_t i = 0; i < requests.size(); ++i) {
    const std::string_view name = text_of(requests[i], "name");
    validate_request(requests[i], at.child("requests").index(i), errors);
    if (!seen.insert(name).second) errors.duplicate(at.child("requests").index(i), std::string(name));
  }
  if (requests.size() > kMostRequests) {
    errors.too_many(at.child("requests"), static_cast<int>(requests.size()), static_cast<int>(kMostRequests));
  }
  size_t i = 0;
  for (const Json& constraint : list_of(devices, "constraints")) {
    const FieldPath one = at.child("constraints").index(i++);
    validate_references(constraint, names, one.child("requests"), errors);
    if (!has(constraint, "matchAttribute")) errors.required(one.child("matchAttribute"));
  }
  i = 0;
  for (const Json& config : list_of(devices, "config")) {
    const FieldPath one = at.child("config").index(i++);
    validate_references(config, names, one.child("requests"), errors);
    validate_configuration(config, one, errors);
  }
}

void validate_device_class(const Json& object, FieldErrors& errors) {
  const FieldPath path("spec");
  const Json& spec = map_of(object, "spec");
  validate_selectors(spec, path.child("selectors"), errors);
  size_t i = 0;
  for (const Json& config : list_of(spec, "config"))
    validate_configuration(config, path.child("config").index(i++), errors);
}

}  // namespace

Strategy device_class_strategy() {
  Strategy s = traits_of(kGroup, "DeviceClass");
  // DRAExtendedResource is off.
  s.prepare_create = [](Json& object, const StrategyContext&) {
    drop(child(object, "spec"), "extendedResourceName");
  };
  s.prepare_update = [](Json& object, const Json& old, const StrategyContext&) {
    if (!has(map_of(old, "spec"), "extendedResourceName"))
      drop(child(object, "spec"), "extendedResourceName");
  };
  s.validate = validate_device_class;
  s.validate_update = [](const Json& object, const Json&, FieldErrors& errors) {
    validate_device_class(object, errors);
  };
  return s;
}

Strategy resource_claim_strategy() {
  Strategy s = traits_of(kGroup, "ResourceClaim");
  s.set_defaults = [](Json& object) { default_device_spec(child(object, "spec")); };
  s.validate = [](const Json& object, FieldErrors& errors) {
    validate_device_claim(map_of(object, "spec"), FieldPath("spec"), errors);
  };
  s.validate_update = [](const Json& object, const Json& old, FieldErrors& errors) {
    validate_immutable_member(object, old, "spec", FieldPath(), errors);
  };
  return s;
}

Strategy resource_claim_template_strategy() {
  Strategy s = traits_of(kGroup, "ResourceClaimTemplate");
  s.set_defaults = [](Json& object) { default_device_spec(child(child(object, "spec"), "spec")); };
  s.validate = [](const Json& object, FieldErrors& errors) {
    const FieldPath path("spec");
    validate_template_metadata(map_of(object, "spec"), path, errors);
    validate_device_claim(map_of(map_of(object, "spec"), "spec"), path.child("spec"), errors);
  };
  s.validate_update = [](const Json& object, const Json& old, FieldErrors& errors) {
    validate_immutable_member(object, old, "spec", FieldPath(), errors);
  };
  return s;
}

}  // namespace orch::api
