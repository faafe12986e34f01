#include "api/resources/device_validation.h"

#include <algorithm>

#include "api/cel/device.h"
#include "api/names.h"
#include "api/resources/common_validation.h"
#include "api/resources/tree.h"
#include "api/resources/volume_sources.h"
#include "base/json.h"

namespace orch::api {
namespace {

constexpr size_t kMostAlternatives = 8;
constexpr size_t kMostConstraints = 32;
constexpr size_t kMostSelectors = 32;
constexpr size_t kLongestExpression = 10 * 1024;
constexpr size_t kLongestParameters = 10 * 1024;
constexpr size_t kLongestId = 32;

bool too_many(const Json& list, size_t most, const FieldPath& path, FieldErrors& errors) {
  if (list.size() <= most) return false;
  errors.too_many(path, static_cast<int>(list.size()), static_cast<int>(most));
  return true;
}

std::string name_key(const Json& item) { return std::string(text_of(item, "name")); }

void validate_identifier(std::string_view id, const FieldPath& path, FieldErrors& errors) {
  if (id.size() > kLongestId) errors.too_long(path, static_cast<int>(kLongestId));
  add_problems(errors, path, id, check_c_identifier(id));
}

void validate_full_attribute_name(std::string_view name, const FieldPath& path, FieldErrors& errors) {
  validate_device_attribute_name(name, path, errors);
  if (name.find('/') == std::string_view::npos) {
    add_invalid(errors, path, name,
                "a fully qualified name must be a domain and a name separated by a slash");
  }
}

void validate_expression(std::string_view expression, DevicePart part, const FieldPath& path,
                         FieldErrors& errors) {
  if (expression.size() > kLongestExpression)
    return errors.too_long(path, static_cast<int>(kLongestExpression));
  const cel::DeviceSelector selector(
      expression, part == DevicePart::kNew ? cel::SelectorOrigin::kNew : cel::SelectorOrigin::kStored);
  if (selector.internal_error()) return errors.internal(path, selector.error());
  if (!selector.error().empty()) return add_invalid(errors, path, expression, selector.error());
  if (selector.max_cost() > cel::kDeviceSelectorCost)
    errors.forbidden(path, "too complex, exceeds cost limit");
}

/// What `exactly` and an alternative have in common.
void validate_request_body(const Json& request, const FieldPath& path, FieldErrors& errors) {
  const std::string_view device_class = text_of(request, "deviceClassName");
  if (device_class.empty()) {
    errors.required(path.child("deviceClassName"));
  } else {
    validate_dns1123_subdomain(device_class, path.child("deviceClassName"), errors);
  }
  validate_device_selectors(list_of(request, "selectors"), DevicePart::kNew, path.child("selectors"), errors);
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
    validate_device_set(
        alternatives, kMostAlternatives, path.child("firstAvailable"), errors,
        [&](const Json& one, const FieldPath& at) {
          validate_dns1123_label(text_of(one, "name"), at.child("name"), errors);
          validate_request_body(one, at, errors);
        },
        name_key);
  }
}

void validate_constraint(const Json& constraint, const DeviceRequestNames& names, const FieldPath& path,
                         FieldErrors& errors) {
  validate_device_request_references(constraint, names, path.child("requests"), errors);
  if (has(constraint, "matchAttribute")) {
    validate_full_attribute_name(text_of(constraint, "matchAttribute"), path.child("matchAttribute"), errors);
  } else if (!has(constraint, "distinctAttribute")) {  // there only in claims that are kept as they are
    errors.required(path.child("matchAttribute"));
  }
}

}  // namespace

DeviceRequestNames device_request_names(const Json& devices) {
  DeviceRequestNames names;
  for (const Json& request : list_of(devices, "requests")) {
    auto& below = names[text_of(request, "name")];
    below.clear();  // of two of one name the last counts
    for (const Json& one : list_of(request, "firstAvailable")) below.insert(text_of(one, "name"));
  }
  return names;
}

void validate_device_list(const Json& list, size_t most, const FieldPath& path, FieldErrors& errors,
                          const ValidateItem& validate) {
  if (too_many(list, most, path, errors)) return;
  for (size_t i = 0; i < list.size(); ++i) validate(list[i], path.index(i));
}

void validate_device_set(const Json& list, size_t most, const FieldPath& path, FieldErrors& errors,
                         const ValidateItem& validate,
                         const std::function<std::string(const Json& item)>& key) {
  if (too_many(list, most, path, errors)) return;
  for (size_t i = 0; i < list.size(); ++i) validate(list[i], path.index(i));
  std::set<std::string> seen;
  for (size_t i = 0; i < list.size(); ++i) {
    const std::string one = key(list[i]);
    if (!seen.insert(one).second) errors.duplicate(path.index(i), one);
  }
}

void validate_pool_name(std::string_view name, const FieldPath& path, FieldErrors& errors) {
  if (name.empty()) return errors.required(path);
  if (name.size() > kMaxSubdomainLength) errors.too_long(path, static_cast<int>(kMaxSubdomainLength));
  for (size_t from = 0; from <= name.size();) {
    const size_t slash = std::min(name.find('/', from), name.size());
    validate_dns1123_subdomain(name.substr(from, slash - from), path, errors);
    from = slash + 1;
  }
}

void validate_device_attribute_name(std::string_view name, const FieldPath& path, FieldErrors& errors) {
  const size_t slash = name.find('/');
  if (slash == std::string_view::npos) return validate_identifier(name, path, errors);
  const std::string_view domain = name.substr(0, slash), id = name.substr(slash + 1);
  if (id.find('/') != std::string_view::npos) return;  // kube-apiserver lets more than one slash pass
  if (domain.empty()) {
    add_invalid(errors, path, "", "the domain must not be empty");
  } else {
    validate_csi_driver_name(domain, path, errors);
  }
  if (id.empty()) {
    add_invalid(errors, path, "", "the name must not be empty");
  } else {
    validate_identifier(id, path, errors);
  }
}

void validate_device_parameters(const Json& value, DevicePart part, const FieldPath& path,
                                FieldErrors& errors) {
  if (value.is_null()) return errors.required(path);
  // As long as the client wrote it, in kube-apiserver; here, without the client's spaces.
  if (part == DevicePart::kNew && base::dump_json(value).size() > kLongestParameters)
    return errors.too_long(path, static_cast<int>(kLongestParameters));
  if (!value.is_object()) add_invalid(errors, path, "<value omitted>", "must be a valid JSON object");
}

void validate_device_request_reference(std::string_view name, const DeviceRequestNames& names,
                                       const FieldPath& path, FieldErrors& errors) {
  constexpr const char* kUnknown =
      "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'";
  const size_t slash = name.find('/');
  const std::string_view first = name.substr(0, slash);
  const auto found = names.find(first);
  bool known = found != names.end();
  if (slash == std::string_view::npos) {
    validate_dns1123_label(first, path, errors);
  } else {
    const std::string_view second = name.substr(slash + 1);
    if (second.find('/') != std::string_view::npos) return add_invalid(errors, path, name, kUnknown);
    validate_dns1123_label(first, path, errors);
    validate_dns1123_label(second, path, errors);
    known = known && found->second.contains(second);
  }
  if (!known) add_invalid(errors, path, name, kUnknown);
}

void validate_device_request_references(const Json& owner, const DeviceRequestNames& names,
                                        const FieldPath& path, FieldErrors& errors) {
  validate_device_set(
      list_of(owner, "requests"), kMostDeviceRequests, path, errors,
      [&](const Json& name, const FieldPath& at) {
        validate_device_request_reference(text(name), names, at, errors);
      },
      [](const Json& name) { return std::string(text(name)); });
}

void validate_device_selectors(const Json& selectors, DevicePart part, const FieldPath& path,
                               FieldErrors& errors) {
  validate_device_list(selectors, kMostSelectors, path, errors, [&](const Json& one, const FieldPath& at) {
    if (!has(one, "cel")) return errors.required(at.child("cel"));
    validate_expression(text_of(map_of(one, "cel"), "expression"), part, at.child("cel").child("expression"),
                        errors);
  });
}

void validate_device_configuration(const Json& config, DevicePart part, const FieldPath& path,
                                   FieldErrors& errors) {
  const FieldPath at = path.child("opaque");
  if (!has(config, "opaque")) return errors.required(at);
  const Json& opaque = map_of(config, "opaque");
  validate_csi_driver_name(text_of(opaque, "driver"), at.child("driver"), errors);
  validate_device_parameters(member_of(opaque, "parameters"), part, at.child("parameters"), errors);
}

void validate_claim_of_devices(const Json& spec, const FieldPath& path, FieldErrors& errors) {
  const FieldPath at = path.child("devices");
  const Json& devices = map_of(spec, "devices");
  const DeviceRequestNames names = device_request_names(devices);
  validate_device_set(
      list_of(devices, "requests"), kMostDeviceRequests, at.child("requests"), errors,
      [&](const Json& one, const FieldPath& where) { validate_request(one, where, errors); }, name_key);
  validate_device_list(
      list_of(devices, "constraints"), kMostConstraints, at.child("constraints"), errors,
      [&](const Json& one, const FieldPath& where) { validate_constraint(one, names, where, errors); });
  validate_device_list(list_of(devices, "config"), kMostDeviceConfigs, at.child("config"), errors,
                       [&](const Json& one, const FieldPath& where) {
                         validate_device_request_references(one, names, where.child("requests"), errors);
                         validate_device_configuration(one, DevicePart::kNew, where, errors);
                       });
}

void validate_device_admin_access(const Json& object, const Json* old, std::string_view subresource,
                                  const std::function<const Json*()>& labels, FieldErrors& errors) {
  const std::string_view kind = text_of(object, "kind");
  FieldPath path;
  // The first of a list that asks for it, in words of the path kube-apiserver gives it.
  const auto asked = [&](const Json& list, const FieldPath& at,
                         const std::function<bool(const Json&)>& asks) {
    for (size_t i = 0; i < list.size(); ++i) {
      if (!asks(list[i])) continue;
      path = at.index(i).child("adminAccess");
      return true;
    }
    return false;
  };
  const auto in_requests = [&](const Json& spec) {
    return asked(list_of(map_of(spec, "devices"), "requests"), FieldPath("spec.devices.requests"),
                 [](const Json& request) { return flag_of(map_of(request, "exactly"), "adminAccess"); });
  };
  const auto in_results = [&](const Json& claim) {
    const Json& devices = map_of(map_of(map_of(claim, "status"), "allocation"), "devices");
    return asked(list_of(devices, "results"), FieldPath("status.allocation.devices.results"),
                 [](const Json& result) { return flag_of(result, "adminAccess"); });
  };
  bool wanted = false;
  if (old == nullptr && kind == "ResourceClaim") {
    wanted = in_requests(map_of(object, "spec"));
  } else if (old == nullptr && kind == "ResourceClaimTemplate") {
    wanted = in_requests(map_of(map_of(object, "spec"), "spec"));
  } else if (old != nullptr && kind == "ResourceClaim" && subresource == "status") {
    wanted = !in_results(*old) && in_results(object);
  }
  if (!wanted) return;
  const Json* found = labels();
  if (found == nullptr) {
    return errors.internal(path,
                           base::cat("could not retrieve namespace to verify admin access: namespaces \"",
                                     text_of(map_of(object, "metadata"), "namespace"), "\" not found"));
  }
  if (text_of(*found, "resource.kubernetes.io/admin-access") != "true") {
    errors.forbidden(path,
                     "admin access to devices requires the `resource.kubernetes.io/admin-access: true` label "
                     "on the containing namespace");
  }
}

}  // namespace orch::api
