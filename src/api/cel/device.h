// Selectors of devices (resource.k8s.io/v1 CELDeviceSelector): expressions over the variable `device` with
// driver, attributes and capacity, as k8s.io/dynamic-resource-allocation/cel runs them while
// DRAConsumableCapacity is off.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "api/cel/cel.h"
#include "base/status.h"

namespace orch::api::cel {

/// What one selector may cost for one device.
inline constexpr uint64_t kDeviceSelectorCost = 1'000'000;

/// `device`: attributes and capacity of an entry of a slice's spec.devices. Domains that are not there are
/// empty; names without a domain are in the driver's. kBadRequest when an attribute has no usable value.
base::Result<Value> device_value(std::string_view driver, const Json& device);

/// Immutable, so thread-safe.
class DeviceSelector {
 public:
  explicit DeviceSelector(std::string_view expression);
  /// Why it cannot be used, as Kubernetes words it; "" if it can.
  const std::string& error() const { return error_; }
  /// The worst case, for validation.
  uint64_t max_cost() const;
  /// kInternal with cel-go's words when it fails for this device. Only without error().
  base::Result<bool> matches(const Value& device) const;

 private:
  std::shared_ptr<const Program> program_;
  std::string error_;
};

}  // namespace orch::api::cel
