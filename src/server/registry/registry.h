// Registry: the one implementation of create, get, list, watch, update, patch and delete for every stored
// resource, over the datastore and the watch caches. Knows no kind: what is particular comes from the row's
// strategy, and what is cluster policy from the admission chain.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/resources/resource.h"
#include "base/clock.h"
#include "base/status.h"
#include "datastore/store.h"
#include "server/admission/admission.h"
#include "server/auth/auth.h"
#include "server/registry/watch_cache.h"

namespace orch::server {

/// Who writes and how; lives for one request.
struct WriteContext {
  const UserInfo* user = nullptr;
  bool dry_run = false;
  std::vector<std::string>* warnings = nullptr;  // Warning headers to send
  /// Skips the admission chain: only for Orch's own start-up objects.
  bool skip_admission = false;
};

struct DeleteParams {
  std::optional<int64_t> grace_seconds;
  std::string propagation;  // "", Background, Foreground, Orphan
  std::string uid, resource_version;
};

struct DeleteOutcome {
  bool gone = false;       // removed from the store; otherwise only marked (grace period, finalizers)
  api::ObjectPtr object;   // last state
};

/// Called with a copy of the current tree; returns the wanted tree or why not. May be called again after a
/// conflict when the change is unconditional.
using Change = std::function<base::Result<Json>(const Json& current)>;

/// Thread-safe.
class Registry {
 public:
  Registry(datastore::Store& store, api::ResourceTable& table, const AdmissionChain& admission,
           const base::Clock& clock);
  ~Registry();

  /// Starts the caches of all stored rows; called once before serving.
  base::Status start();
  /// Cache of a stored resource's group and plural, null if none. Caches of rows added later start on demand.
  WatchCache* cache(const api::Resource& resource);

  base::Result<api::ObjectPtr> get(const api::Resource& resource, std::string_view ns, std::string_view name);
  base::Result<api::ObjectPtr> create(const api::Resource& resource, std::string_view ns, Json object,
                                      const WriteContext& context);
  /// Read, change, validate, write; retried on a lost race unless the result carries a resourceVersion that
  /// the caller insisted on. `subresource`: "" main, "status", or another that edits the object itself.
  base::Result<api::ObjectPtr> update(const api::Resource& resource, std::string_view ns, std::string_view name,
                                      std::string_view subresource, const Change& change,
                                      const WriteContext& context);
  base::Result<DeleteOutcome> remove(const api::Resource& resource, std::string_view ns, std::string_view name,
                                     const DeleteParams& params, const WriteContext& context);

  /// Runs after create and update decided on the object but before it is stored (service IPs, node ports):
  /// per resource, may change the tree or refuse; `release` undoes it when the write fails or the object goes.
  struct Hook {
    std::function<base::Status(Json& object, const Json* old)> allocate;
    std::function<void(const Json& object)> release;
  };
  void add_hook(std::string group_resource, Hook hook);

  datastore::Store& store() { return store_; }
  const base::Clock& clock() const { return clock_; }

 private:
  struct Rep;
  datastore::Store& store_;
  api::ResourceTable& table_;
  const AdmissionChain& admission_;
  const base::Clock& clock_;
  std::unique_ptr<Rep> rep_;
};

}  // namespace orch::server
