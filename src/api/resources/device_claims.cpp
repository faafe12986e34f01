// resource.k8s.io/v1 DeviceClass, ResourceClaim and ResourceClaimTemplate: defaults, what of them is not
// taken, and validation.
#include <algorithm>
#include <set>
#include <string>
#include <string_view>

#include "api/names.h"
#include "api/resources/claim_validation.h"
#include "api/resources/common_validation.h"
#include "api/resources/device_validation.h"
#include "api/resources/kinds.h"
#include "api/resources/object_meta.h"
#include "api/resources/traits.h"
#include "api/resources/tree.h"
#include "base/json.h"

namespace orch::api {
namespace {

constexpr const char* kGroup = "resource.k8s.io";

// --- Defaults and members of features that are off ---------------------------------------------------

void default_request(Json& request) {
  default_text(request, "allocationMode", "ExactCount");
  if (text_of(request, "allocationMode") == "ExactCount") default_number(request, "count", 1);
}

void for_each_request(Json& devices, const std::function<void(Json& request)>& edit) {
  each(devices, "requests", [&](Json& request) {
    if (Json* exactly = object_in(request, "exactly")) edit(*exactly);
    each(request, "firstAvailable", edit);
  });
}

void default_device_spec(Json& spec) {
  if (Json* devices = object_in(spec, "devices")) for_each_request(*devices, default_request);
}

/// Some request has the member, and for lists, something in it.
bool some_request_has(const Json& spec, const char* member) {
  const auto holds = [&](const Json& request) {
    return member_of(request, member).is_array() ? has_items(request, member) : has(request, member);
  };
  for (const Json& request : list_of(map_of(spec, "devices"), "requests")) {
    if (holds(map_of(request, "exactly"))) return true;
    const Json& alternatives = list_of(request, "firstAvailable");
    if (std::any_of(alternatives.begin(), alternatives.end(), holds)) return true;
  }
  return false;
}

bool uses_sharing(const Json& spec) {
  const Json& constraints = list_of(map_of(spec, "devices"), "constraints");
  return some_request_has(spec, "capacity") ||
         std::any_of(constraints.begin(), constraints.end(),
                     [](const Json& one) { return has(one, "distinctAttribute"); });
}

/// Takes out what belongs to DRADeviceTaints and DRAConsumableCapacity, unless the stored spec has it already
/// (`old` may be null).
void drop_disabled(Json& spec, const Json* old) {
  Json* devices = object_in(spec, "devices");
  if (devices == nullptr) return;
  if (old == nullptr || !some_request_has(*old, "tolerations"))
    for_each_request(*devices, [](Json& request) { drop(request, "tolerations"); });
  if (old != nullptr && uses_sharing(*old)) return;
  for_each_request(*devices, [](Json& request) { drop(request, "capacity"); });
  each(*devices, "constraints", [](Json& constraint) { drop(constraint, "distinctAttribute"); });
}

std::string device_id(const Json& device) {
  return base::cat(text_of(device, "driver"), "/", text_of(device, "pool"), "/", text_of(device, "device"));
}

const Json& results_of(const Json& claim) {
  return list_of(map_of(map_of(map_of(claim, "status"), "allocation"), "devices"), "results");
}

/// What drivers said of devices that the claim no longer has.
void drop_deallocated(Json& claim, const Json& old) {
  std::set<std::string> gone;
  for (const Json& result : results_of(old)) gone.insert(device_id(result));
  for (const Json& result : results_of(claim)) gone.erase(device_id(result));
  Json* status = object_in(claim, "status");
  Json* devices = status != nullptr ? array_in(*status, "devices") : nullptr;
  if (devices == nullptr) return;
  devices->erase(std::remove_if(devices->begin(), devices->end(),
                                [&](const Json& device) { return gone.contains(device_id(device)); }),
                 devices->end());
  if (devices->empty()) drop(*status, "devices");
}

void prepare_claim_status(Json& claim, const Json& old, const StrategyContext&) {
  restore(claim, old, "spec");
  keep_own_metadata(claim, old);
  Json& status = child(claim, "status");
  // Of DRAConsumableCapacity and DRADeviceBindingConditions, which are off.
  if (Json* allocation = object_in(status, "allocation")) {
    if (Json* devices = object_in(*allocation, "devices")) {
      each(*devices, "results", [](Json& result) {
        for (const char* member :
             {"shareID", "consumedCapacity", "bindingConditions", "bindingFailureConditions"})
          drop(result, member);
      });
    }
  }
  each(status, "devices", [](Json& device) { drop(device, "shareID"); });
  drop_deallocated(claim, old);
}

// --- Validation ----------------------------------------------------------------------------------------

/// Kubernetes counts bytes here, and says so, where it speaks of characters elsewhere.
Problems check_class_name(std::string_view name, bool prefix) {
  Problems problems = check_name_is_subdomain(name, prefix);
  std::replace(problems.begin(), problems.end(), max_length_problem(kMaxSubdomainLength),
               base::cat("must be no more than ", kMaxSubdomainLength, " bytes"));
  return problems;
}

void validate_device_class(const Json& object, const Json* old, FieldErrors& errors) {
  const FieldPath path("spec");
  const Json& spec = map_of(object, "spec");
  const auto part = [&](const char* member) {
    return old != nullptr && same_member(spec, map_of(*old, "spec"), member) ? DevicePart::kStored
                                                                             : DevicePart::kNew;
  };
  validate_device_selectors(list_of(spec, "selectors"), part("selectors"), path.child("selectors"), errors);
  const DevicePart config = part("config");
  validate_device_list(
      list_of(spec, "config"), kMostDeviceConfigs, path.child("config"), errors,
      [&](const Json& one, const FieldPath& at) { validate_device_configuration(one, config, at, errors); });
}

void validate_claim_template_of_devices(const Json& object, FieldErrors& errors) {
  const FieldPath path("spec");
  validate_template_metadata(map_of(object, "spec"), path, errors);
  validate_claim_of_devices(map_of(map_of(object, "spec"), "spec"), path.child("spec"), errors);
}

}  // namespace

Strategy device_class_strategy() {
  Strategy s = traits_of(kGroup, "DeviceClass");
  s.validate_name = check_class_name;
  // DRAExtendedResource is off.
  s.prepare_create = [](Json& object, const StrategyContext&) {
    drop(child(object, "spec"), "extendedResourceName");
  };
  s.prepare_update = [](Json& object, const Json& old, const StrategyContext&) {
    if (!has(map_of(old, "spec"), "extendedResourceName"))
      drop(child(object, "spec"), "extendedResourceName");
  };
  s.validate = [](const Json& object, FieldErrors& errors) {
    validate_device_class(object, nullptr, errors);
  };
  s.validate_update = [](const Json& object, const Json& old, FieldErrors& errors) {
    validate_device_class(object, &old, errors);
  };
  return s;
}

Strategy resource_claim_strategy() {
  Strategy s = traits_of(kGroup, "ResourceClaim");
  s.set_defaults = [](Json& object) { default_device_spec(child(object, "spec")); };
  s.prepare_create = [](Json& object, const StrategyContext&) {
    drop(object, "status");
    drop_disabled(child(object, "spec"), nullptr);
  };
  s.prepare_update = [](Json& object, const Json& old, const StrategyContext&) {
    drop_disabled(child(object, "spec"), &map_of(old, "spec"));
  };
  s.prepare_status_update = prepare_claim_status;
  s.validate = [](const Json& object, FieldErrors& errors) {
    validate_claim_of_devices(map_of(object, "spec"), FieldPath("spec"), errors);
  };
  // Nobody can mend what is wrong with a spec that must not change.
  s.validate_update = [](const Json& object, const Json& old, FieldErrors& errors) {
    validate_immutable_member(object, old, "spec", FieldPath(), errors);
  };
  s.validate_status_update = validate_device_claim_status;
  return s;
}

Strategy resource_claim_template_strategy() {
  Strategy s = traits_of(kGroup, "ResourceClaimTemplate");
  s.set_defaults = [](Json& object) { default_device_spec(child(child(object, "spec"), "spec")); };
  s.prepare_create = [](Json& object, const StrategyContext&) {
    drop_disabled(child(child(object, "spec"), "spec"), nullptr);
  };
  s.prepare_update = [](Json& object, const Json& old, const StrategyContext&) {
    drop_disabled(child(child(object, "spec"), "spec"), &map_of(map_of(old, "spec"), "spec"));
  };
  s.validate = validate_claim_template_of_devices;
  s.validate_update = [](const Json& object, const Json& old, FieldErrors& errors) {
    validate_claim_template_of_devices(object, errors);
    validate_immutable_member(object, old, "spec", FieldPath(), errors);
  };
  return s;
}

}  // namespace orch::api
