// Validation of the status of a ResourceClaim: what was allocated to it, who may use it, and what drivers say
// of its devices.
#include <cstdint>
#include <set>

#include "api/go_text.h"
#include "api/resources/common_validation.h"
#include "api/resources/device_validation.h"
#include "api/resources/ip.h"
#include "api/resources/scheduling_validation.h"
#include "api/resources/tree.h"
#include "api/resources/volume_sources.h"
#include "base/json.h"

namespace orch::api {
namespace {

constexpr size_t kMostReserved = 256;
constexpr size_t kMostConditions = 8;
constexpr size_t kMostAddresses = 16;
constexpr size_t kLongestInterfaceName = 256;
constexpr size_t kLongestHardwareAddress = 128;
constexpr size_t kNoLimit = SIZE_MAX;

/// Driver, pool and device: what tells allocated devices apart.
std::string device_id(const Json& device) {
  return base::cat(text_of(device, "driver"), "/", text_of(device, "pool"), "/", text_of(device, "device"));
}

/// The same as Kubernetes' errors show it.
std::string shown_id(const Json& device) {
  return go_struct({{"Driver", text_of(device, "driver")},
                    {"Pool", text_of(device, "pool")},
                    {"Device", text_of(device, "device")},
                    {"ShareID", ""}});
}

const Json& allocated_devices(const Json& claim) {
  return map_of(map_of(map_of(claim, "status"), "allocation"), "devices");
}

void validate_interface_address(std::string_view text, const FieldPath& path, FieldErrors& errors) {
  const auto cidr = Cidr::parse(text);
  if (!cidr) {
    return add_invalid(errors, path, text,
                       "must be a valid address in CIDR form, (e.g. 10.9.8.7/24 or 2001:db8::1/64)");
  }
  int prefix = cidr->prefix;
  if (cidr->address.v4() && prefix > 32) prefix -= 96;  // of an IPv4 address written as an IPv6 one
  const std::string canonical = base::cat(cidr->address.text(), "/", prefix);
  if (text != canonical)
    add_invalid(errors, path, text, base::cat("must be in canonical form (", go_quote(canonical), ")"));
}

void validate_network_data(const Json& data, const FieldPath& path, FieldErrors& errors) {
  if (text_of(data, "interfaceName").size() > kLongestInterfaceName)
    errors.too_long(path.child("interfaceName"), static_cast<int>(kLongestInterfaceName));
  if (text_of(data, "hardwareAddress").size() > kLongestHardwareAddress)
    errors.too_long(path.child("hardwareAddress"), static_cast<int>(kLongestHardwareAddress));
  validate_device_set(
      list_of(data, "ips"), kMostAddresses, path.child("ips"), errors,
      [&](const Json& one, const FieldPath& at) { validate_interface_address(text(one), at, errors); },
      [](const Json& one) { return std::string(text(one)); });
}

void validate_device_status(const Json& device, const std::set<std::string>& allocated, const FieldPath& path,
                            FieldErrors& errors) {
  validate_csi_driver_name(text_of(device, "driver"), path.child("driver"), errors);
  validate_pool_name(text_of(device, "pool"), path.child("pool"), errors);
  validate_dns1123_label(text_of(device, "device"), path.child("device"), errors);
  if (!allocated.contains(device_id(device))) {
    add_cause(errors, "FieldValueInvalid", path,
              base::cat("Invalid value: ", shown_id(device), ": must be an allocated device in the claim"));
  }
  const Json& conditions = list_of(device, "conditions");
  if (conditions.size() > kMostConditions) {
    errors.too_many(path.child("conditions"), static_cast<int>(conditions.size()),
                    static_cast<int>(kMostConditions));
  }
  validate_conditions(conditions, path.child("conditions"), errors);
  if (has(device, "data"))
    validate_device_parameters(member_of(device, "data"), DevicePart::kNew, path.child("data"), errors);
  validate_network_data(map_of(device, "networkData"), path.child("networkData"), errors);
}

void validate_device_statuses(const Json& claim, const FieldPath& path, FieldErrors& errors) {
  std::set<std::string> allocated;
  for (const Json& result : list_of(allocated_devices(claim), "results")) allocated.insert(device_id(result));
  const Json& devices = list_of(map_of(claim, "status"), "devices");
  validate_device_list(devices, kNoLimit, path, errors, [&](const Json& one, const FieldPath& at) {
    validate_device_status(one, allocated, at, errors);
  });
  std::set<std::string> seen;
  for (size_t i = 0; i < devices.size(); ++i) {
    if (seen.insert(device_id(devices[i])).second) continue;
    add_cause(errors, "FieldValueDuplicate", path.index(i),
              base::cat("Duplicate value: ", shown_id(devices[i])));
  }
}

void validate_result(const Json& result, const DeviceRequestNames& names, const FieldPath& path,
                     FieldErrors& errors) {
  validate_device_request_reference(text_of(result, "request"), names, path.child("request"), errors);
  validate_csi_driver_name(text_of(result, "driver"), path.child("driver"), errors);
  validate_pool_name(text_of(result, "pool"), path.child("pool"), errors);
  validate_dns1123_label(text_of(result, "device"), path.child("device"), errors);
}

void validate_config(const Json& config, const DeviceRequestNames& names, const FieldPath& path,
                     FieldErrors& errors) {
  const std::string_view source = text_of(config, "source");
  if (source.empty()) {
    errors.required(path.child("source"));
  } else if (source != "FromClaim" && source != "FromClass") {
    errors.not_supported(path.child("source"), source, {"FromClaim", "FromClass"});
  }
  validate_device_request_references(config, names, path.child("requests"), errors);
  validate_device_configuration(config, DevicePart::kNew, path, errors);
}

void validate_allocation(const Json& allocation, const DeviceRequestNames& names, const FieldPath& path,
                         FieldErrors& errors) {
  const Json& devices = map_of(allocation, "devices");
  const FieldPath at = path.child("devices");
  validate_device_list(
      list_of(devices, "results"), kMostDeviceRequests, at.child("results"), errors,
      [&](const Json& one, const FieldPath& where) { validate_result(one, names, where, errors); });
  validate_device_list(
      list_of(devices, "config"), 2 * kMostDeviceConfigs, at.child("config"), errors,
      [&](const Json& one, const FieldPath& where) { validate_config(one, names, where, errors); });
  if (has(allocation, "nodeSelector"))
    validate_node_selector(map_of(allocation, "nodeSelector"), false, path.child("nodeSelector"), errors);
}

void validate_consumers(const Json& status, const FieldPath& path, FieldErrors& errors) {
  validate_device_set(
      list_of(status, "reservedFor"), kMostReserved, path, errors,
      [&](const Json& consumer, const FieldPath& at) {
        for (const char* member : {"resource", "name", "uid"}) {
          if (text_of(consumer, member).empty()) errors.required(at.child(member));
        }
      },
      [](const Json& consumer) { return std::string(text_of(consumer, "uid")); });
}

/// Who uses a claim that has nothing, or that is about to go.
void validate_reservation(const Json& claim, const Json& old, const FieldPath& path, FieldErrors& errors) {
  const Json& status = map_of(claim, "status");
  const Json& reserved = list_of(status, "reservedFor");
  if (reserved.empty()) return;
  if (!has(status, "allocation"))
    return errors.forbidden(path, "may not be specified when `allocated` is not set");
  if (!has(map_of(claim, "metadata"), "deletionTimestamp")) return;
  const Json& before = list_of(map_of(old, "status"), "reservedFor");
  for (const Json& consumer : reserved) {
    bool known = false;
    for (const Json& one : before) known = known || same(one, consumer);
    if (known) continue;
    return errors.forbidden(
        path, "new entries may not be added while `deallocationRequested` or `deletionTimestamp` are set");
  }
}

}  // namespace

void validate_device_claim_status(const Json& claim, const Json& old, FieldErrors& errors) {
  const FieldPath path("status");
  const Json& status = map_of(claim, "status");
  validate_consumers(status, path.child("reservedFor"), errors);
  validate_device_statuses(claim, path.child("devices"), errors);
  validate_reservation(claim, old, path.child("reservedFor"), errors);
  if (!has(status, "allocation")) return;
  // What is allocated stays as it is until it is given back, and is judged once.
  if (has(map_of(old, "status"), "allocation")) {
    validate_immutable_member(status, map_of(old, "status"), "allocation", path, errors);
  } else {
    const DeviceRequestNames names = device_request_names(map_of(map_of(claim, "spec"), "devices"));
    validate_allocation(map_of(status, "allocation"), names, path.child("allocation"), errors);
  }
}

}  // namespace orch::api
