// Selectors of devices (resource.k8s.io/v1 CELDeviceSelector): expressions over the variable `device` with
// driver, attributes and capacity, as k8s.io/dynamic-resource-allocation/cel runs them while
// DRAConsumableCapacity is off.
#pragma once

#include <cstdint>
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

/// What a selector may name: of one that somebody sends, fields of features that are on; of a stored one,
/// any.
enum class SelectorOrigin : uint8_t { kStored, kNew };

/// Immutable, so thread-safe.
class DeviceSelector {
 public:
  explicit DeviceSelector(std::string_view expression, SelectorOrigin origin = SelectorOrigin::kStored);
  /// Why it cannot be used, as Kubernetes words it; "" if it can.
  const std::string& error() const { return error_; }
  /// It is not the expression that is to blame.
  bool internal_error() const { return internal_; }
  /// The worst case, for validation.
  uint64_t max_cost() const;
  /// kInternal with cel-go's words when it fails for this device. Only without error().
  base::Result<bool> matches(const Value& device) const;

 private:
  std::shared_ptr<const Program> program_;
  std::string error_;
  bool internal_ = false;
};

}  // namespace orch::api::cel
