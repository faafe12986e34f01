// Admission: what may change or refuse a write after it was authorized and before it is stored.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "api/resources/resource.h"
#include "base/json_fwd.h"
#include "base/status.h"
#include "server/auth/auth.h"

namespace orch::server {

/// One write under way. `object` may be changed by admit(), is read-only in validate().
struct AdmissionRequest {
  enum class Operation : uint8_t { kCreate, kUpdate, kDelete, kConnect };
  Operation operation = Operation::kCreate;
  const api::Resource* resource = nullptr;
  std::string subresource;
  std::string ns, name;
  const UserInfo* user = nullptr;
  Json* object = nullptr;            // null for deletes
  const Json* old_object = nullptr;  // null for creates
  bool dry_run = false;
  std::vector<std::string>* warnings = nullptr;
};

/// Thread-safe.
class AdmissionPlugin {
 public:
  virtual ~AdmissionPlugin() = default;
  virtual std::string_view name() const = 0;
  /// Cheap test, so that the chain costs nothing for kinds a plugin does not care about.
  virtual bool handles(const AdmissionRequest& request) const = 0;
  virtual base::Status admit(AdmissionRequest& request) {
    (void)request;
    return {};
  }
  virtual base::Status validate(const AdmissionRequest& request) {
    (void)request;
    return {};
  }
};

/// Runs admit() of every plugin in order, or validate() of every one; the first refusal ends it.
class AdmissionChain {
 public:
  void add(std::unique_ptr<AdmissionPlugin> plugin) { plugins_.push_back(std::move(plugin)); }
  base::Status admit(AdmissionRequest& request) const;
  base::Status validate(const AdmissionRequest& request) const;

 private:
  std::vector<std::unique_ptr<AdmissionPlugin>> plugins_;
};

}  // namespace orch::server
