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

class FieldTracking;

/// Who writes and how; lives for one request.
struct WriteContext {
  const UserInfo* user = nullptr;
  bool dry_run = false;
  std::vector<std::string>* warnings = nullptr;  // Warning headers to send
  /// Skips the admission chain: only for Orch's own start-up objects.
  bool skip_admission = false;
  /// Skips the strategy's validation of updates and lets status change: for edits with own rules (binding).
  bool skip_validation = false;
  /// Whose the written fields are (fieldManager, or of the User-Agent; may be empty: unknown). None: the
  /// write changes no owners, as those that Kubernetes makes itself.
  std::optional<std::string> manager = {};
  /// The row that was asked for, if not the one objects are stored as: owners own fields of its version.
  const api::Resource* asked = nullptr;
  /// The change is given the managedFields too, because it may be about them.
  bool with_owners = false;
  /// The tree is what apply() gave: its managedFields are right.
  bool applied = false;
  /// What webhooks are told and may answer; see AdmissionRequest.
  const Json* options = nullptr;
  const ObjectPart* part = nullptr;
  VerbatimStatus* verbatim = nullptr;
  std::vector<std::pair<std::string, std::string>>* audit = nullptr;
};

/// What is admitted without being stored as such: bindings, evictions and reviews are created, exec and proxy
/// connected to.
struct VirtualRequest {
  const api::Resource& resource;
  std::string_view subresource;
  AdmissionRequest::Operation operation = AdmissionRequest::Operation::kCreate;
  std::string_view ns, name;
};

struct DeleteParams {
  std::optional<int64_t> grace_seconds;
  std::string propagation;  // "", Background, Foreground, Orphan
  std::string uid, resource_version;
};

struct DeleteOutcome {
  bool gone = false;      // removed from the store; otherwise only marked (grace period, finalizers)
  api::ObjectPtr object;  // last state
};

/// Called with a copy of the current tree; returns the wanted tree or why not. May be called again after a
/// conflict when the change is unconditional.
using Change = std::function<base::Result<Json>(const Json& current)>;

/// Thread-safe.
class Registry {
 public:
  Registry(datastore::Store& store, const api::Schema& schema, api::ResourceTable& table,
           const AdmissionChain& admission, const base::Clock& clock);
  /// Stops following the store.
  ~Registry();
  Registry(const Registry&) = delete;
  Registry& operator=(const Registry&) = delete;

  /// Fills the caches of all stored rows from the store, with the history it still holds, and follows it from
  /// there; called once before anything else.
  base::Status start();
  /// Cache of a stored resource's group and plural, null if none. Those of custom resources may be closed and
  /// replaced at any time; whoever has one may go on to use it.
  WatchCachePtr cache(const api::Resource& resource) const;
  WatchCachePtr cache(std::string_view group, std::string_view plural) const;
  /// Keeps the objects of a custom resource, whose versions these rows are, from now on: read from the store
  /// as the stored row's schema reads them. What was kept of it before is closed.
  base::Status open(const std::vector<api::ResourcePtr>& versions);
  /// Nothing is kept of it any more; its watches end.
  void close(std::string_view group, std::string_view plural);

  base::Result<api::ObjectPtr> get(const api::Resource& resource, std::string_view ns,
                                   std::string_view name) const;
  /// `object` is a complete tree of the row's version; unknown fields were pruned by the caller.
  base::Result<api::ObjectPtr> create(const api::Resource& resource, std::string_view ns, Json object,
                                      const WriteContext& context);
  /// Read, change, validate, write; retried on a lost race unless the wanted tree carries a resourceVersion.
  /// `subresource`: "" main, "status", or another that edits the object itself.
  base::Result<api::ObjectPtr> update(const api::Resource& resource, std::string_view ns,
                                      std::string_view name, std::string_view subresource,
                                      const Change& change, const WriteContext& context);
  /// Server-side apply, to be written by create or update with WriteContext::applied: what `patch` makes of
  /// `live`, a stored tree with its managedFields, or of nothing (null). `resource` is the stored row.
  base::Result<Json> apply(const api::Resource& resource, const WriteContext& context,
                           std::string_view subresource, const Json* live, const Json& patch,
                           bool force) const;
  base::Result<DeleteOutcome> remove(const api::Resource& resource, std::string_view ns,
                                     std::string_view name, const DeleteParams& params,
                                     const WriteContext& context);

  /// The whole admission chain, which may change `object`: a tree with kind and apiVersion.
  base::Status admit(const VirtualRequest& request, Json& object, const WriteContext& context) const;

  /// Assigns what is unique in the cluster (service IPs, node ports) to an object about to be validated.
  /// `allocate` may change the tree or refuse it, and runs again on each retry of a lost race; `settle` is
  /// called once with what became of it: `kept`, the tree that is in the store now, and `dropped`, the one
  /// that is not (the one before, or the wanted one when the write failed), either may be null; what only
  /// `dropped` uses is given back.
  struct Hook {
    std::function<base::Status(Json& object, const Json* old, bool dry_run)> allocate;
    std::function<void(const Json* kept, const Json* dropped)> settle;
  };
  void add_hook(std::string group_resource, Hook hook);
  /// Says of a datastore key that its value is to be written again even when an update changes nothing. Set
  /// before start(); must be quick.
  void set_stale(std::function<bool(std::string_view key)> stale) { stale_ = std::move(stale); }

  /// Where uids and what makes generated names come from, in place of the system's random numbers: of a
  /// simulation, which is to take the same course again. Set before start().
  struct Ids {
    std::function<std::string()> uid;
    std::function<uint64_t()> name;
  };
  void set_ids(Ids ids) { ids_ = std::move(ids); }

  /// The revision up to which all caches have been given the store's events.
  int64_t revision() const;
  /// The revision up to which all watches of all caches have been given theirs too: what a bookmark may say.
  int64_t delivered() const;
  datastore::Store& store() { return store_; }
  const api::Schema& schema() const { return schema_; }
  api::ResourceTable& table() { return table_; }
  const base::Clock& clock() const { return clock_; }

  /// kNotFound worded as Kubernetes: `pods "x" not found`.
  static base::Status not_found(const api::Resource& resource, std::string_view name);

 private:
  struct Rep;
  struct Attempt;
  base::Status fill_metadata_for_create(const api::Resource& r, std::string_view ns, Json& object) const;
  void fill_system_metadata(const api::Resource& r, Json& object) const;
  base::Result<api::ObjectPtr> create_once(const api::Resource& r, std::string_view ns, Json object,
                                           const WriteContext& context);
  base::Result<api::ObjectPtr> update_once(const api::Resource& r, std::string_view subresource,
                                           const api::ObjectPtr& current, const Change& change,
                                           const WriteContext& context, Attempt& attempt);
  base::Result<DeleteOutcome> remove_once(const api::Resource& r, const api::ObjectPtr& current,
                                          const DeleteParams& params, const WriteContext& context,
                                          Attempt& attempt);
  /// Still without objects.
  AdmissionRequest admission_request(const VirtualRequest& request, const WriteContext& context) const;
  base::Status mutate(AdmissionRequest& request, const WriteContext& context) const;
  base::Status validate(const AdmissionRequest& request, const WriteContext& context) const;
  api::ObjectPtr committed_or_null(const api::Resource& r, std::string_view ns, std::string_view name,
                                   int64_t revision) const;
  base::Result<api::ObjectPtr> committed(const api::Resource& r, std::string_view ns, std::string_view name,
                                         const std::string& stored, int64_t revision) const;
  void on_events(const std::vector<datastore::Event>& events);
  const FieldTracking& tracking() const;
  /// A stored object as the row has it, which for custom resources may be another version.
  base::Result<Json> tree_of(const api::Resource& r, const api::Object& object, bool owners) const;
  /// What is written to the store.
  base::Result<std::string> stored_text(const api::Resource& r, const Json& object,
                                        std::string_view owners) const;
  const Hook* hook(const api::Resource& r) const;

  datastore::Store& store_;
  const api::Schema& schema_;
  api::ResourceTable& table_;
  const AdmissionChain& admission_;
  const base::Clock& clock_;
  std::unique_ptr<Rep> rep_;
  std::function<bool(std::string_view key)> stale_;
  Ids ids_;
};

}  // namespace orch::server
