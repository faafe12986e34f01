// Rules that the kinds of resource.k8s.io/v1 share: names of drivers, pools and attributes, selectors and
// configuration of devices, and what a claim asks for. As Kubernetes v1.35 has them with its default feature
// gates: what belongs to DRADeviceTaints, DRAPartitionableDevices, DRAConsumableCapacity,
// DRADeviceBindingConditions and DRAExtendedResource is dropped before and never gets here.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <string_view>

#include "api/field_error.h"
#include "base/json_fwd.h"

namespace orch::api {

/// Most entries of spec.devices.requests, of what refers to them, and of allocation.devices.results.
inline constexpr size_t kMostDeviceRequests = 32;
/// Most entries of a claim's or a class's config.
inline constexpr size_t kMostDeviceConfigs = 32;

/// Whether an object's part was stored before: the rules of new ones may be stricter.
enum class DevicePart : uint8_t { kNew, kStored };

/// Names of the requests of a claim, with those of their alternatives.
using DeviceRequestNames = std::map<std::string_view, std::set<std::string_view>>;
/// Views into `devices` (a DeviceClaim).
DeviceRequestNames device_request_names(const Json& devices);

using ValidateItem = std::function<void(const Json& item, const FieldPath& path)>;
/// A list with at most `most` entries, all of them valid. A longer one is not looked into.
void validate_device_list(const Json& list, size_t most, const FieldPath& path, FieldErrors& errors,
                          const ValidateItem& validate);
/// The same of a list whose entries differ in their key, which is told if they do not.
void validate_device_set(const Json& list, size_t most, const FieldPath& path, FieldErrors& errors,
                         const ValidateItem& validate,
                         const std::function<std::string(const Json& item)>& key);

/// DNS subdomains separated by slashes.
void validate_pool_name(std::string_view name, const FieldPath& path, FieldErrors& errors);
/// A C identifier, maybe in a domain: the key of an attribute or a capacity.
void validate_device_attribute_name(std::string_view name, const FieldPath& path, FieldErrors& errors);
/// An object in JSON of at most 10 KiB, which stored ones may exceed.
void validate_device_parameters(const Json& value, DevicePart part, const FieldPath& path,
                                FieldErrors& errors);
/// `request` or `request/alternative` of the claim.
void validate_device_request_reference(std::string_view name, const DeviceRequestNames& names,
                                       const FieldPath& path, FieldErrors& errors);
void validate_device_request_references(const Json& owner, const DeviceRequestNames& names,
                                        const FieldPath& path, FieldErrors& errors);
/// DeviceSelector list; expressions are compiled.
void validate_device_selectors(const Json& selectors, DevicePart part, const FieldPath& path,
                               FieldErrors& errors);
/// The inlined DeviceConfiguration of `config`.
void validate_device_configuration(const Json& config, DevicePart part, const FieldPath& path,
                                   FieldErrors& errors);
/// ResourceClaimSpec.
void validate_claim_of_devices(const Json& spec, const FieldPath& path, FieldErrors& errors);
/// ResourceClaimStatus, which replaces that of `old`; both are whole claims.
void validate_device_claim_status(const Json& claim, const Json& old, FieldErrors& errors);

/// Says that devices are asked for with admin access where the namespace does not have the label
/// resource.kubernetes.io/admin-access: "true". `labels` are the namespace's, asked for only when they
/// matter; null when there is no such namespace. Of other kinds, and of updates that grant nothing new,
/// nothing is said. `old` is null for a create.
void validate_device_admin_access(const Json& object, const Json* old, std::string_view subresource,
                                  const std::function<const Json*()>& labels, FieldErrors& errors);

}  // namespace orch::api
