// Admission: what may change or refuse a write after it was authorized and before it is stored.
#pragma once

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "api/resources/resource.h"
#include "base/json_fwd.h"
#include "base/status.h"
#include "server/auth/auth.h"

namespace orch::server {

/// Between objects as they are stored and the versions that clients and webhooks speak. Thread-safe.
class ObjectVersions {
 public:
  virtual ~ObjectVersions() = default;
  /// `object`, a tree of `stored`, as a tree of `as`.
  virtual base::Result<Json> show(const Json& object, const api::Resource& stored,
                                  const api::Resource& as) const = 0;
  /// What came back from outside as a tree of `as`: checked as a request's body is, what is unknown pruned,
  /// defaults set; a tree of `stored`. kInternal.
  virtual base::Result<Json> read(Json tree, const api::Resource& as, const api::Resource& stored) const = 0;
};

/// A subresource that is an object of its own, of which the registry only has the parent (scale).
struct ObjectPart {
  std::function<Json(const Json& parent)> show;
  std::function<base::Status(const Json& part, Json& parent)> take;
};

/// What one round of mutating webhooks leaves for the second: KEP-902's reinvocation.
struct Reinvocation {
  bool again = false;             // this is the second round
  bool wanted = false;            // somebody changed the object: there is to be one
  std::set<std::string> invoked;  // ran, may run again, and nothing has changed since
  std::set<std::string> due;      // are to run again
  std::shared_ptr<const Json> last_output;
};

/// A webhook refused: the metav1.Status it sent, to be answered as it is, in place of its nearest equivalent
/// among base::Status.
using VerbatimStatus = std::shared_ptr<const Json>;

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

  // For webhooks and policies, which see what clients see.
  /// The row of the version the client speaks; null: `resource`.
  const api::Resource* asked = nullptr;
  /// The kind of `object` where it is none of the resource's own (Binding, PodExecOptions).
  std::string object_api_version, object_kind;
  /// CreateOptions, UpdateOptions or DeleteOptions as sent; null: without any.
  const Json* options = nullptr;
  const ObjectVersions* versions = nullptr;  // null: objects are as clients see them
  const ObjectPart* part = nullptr;
  /// managedFields, which travel apart from the objects: JSON texts, or "".
  std::string* owners = nullptr;
  std::string_view old_owners;
  VerbatimStatus* verbatim = nullptr;
  /// annotations of the audit event: key, value
  std::vector<std::pair<std::string, std::string>>* audit = nullptr;
  Reinvocation reinvocation = {};
  /// A webhook changed the object.
  bool changed_outside = false;

  const api::Resource& requested() const { return asked != nullptr ? *asked : *resource; }
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

/// Runs admit() of every plugin in order, or validate() of every one; the first refusal ends it. admit() of
/// all runs a second time when a webhook asks for it.
class AdmissionChain {
 public:
  void add(std::unique_ptr<AdmissionPlugin> plugin) { plugins_.push_back(std::move(plugin)); }
  base::Status admit(AdmissionRequest& request) const;
  base::Status validate(const AdmissionRequest& request) const;

 private:
  base::Status admit_once(AdmissionRequest& request) const;
  std::vector<std::unique_ptr<AdmissionPlugin>> plugins_;
};

}  // namespace orch::server
