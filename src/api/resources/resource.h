// Resource: one kind of the API as one row, and the table of all rows.
//
// Everything generic (routes, discovery, OpenAPI, decoding, pruning, patching, printing, storage keys)
// derives from the row; what is particular to a kind is its Strategy: a few pure functions.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <string_view>
#include <vector>

#include "api/field_error.h"
#include "api/object.h"
#include "base/clock.h"
#include "base/json_fwd.h"
#include "base/status.h"

namespace orch::api {

class Schema;
struct CustomKind;
struct Type;

/// What a strategy may look at besides the object.
struct StrategyContext {
  base::WallTime now;
  std::string_view user;          // name of the requesting user
  const Json* options = nullptr;  // Create/Update/DeleteOptions when sent
  /// Warnings to add to by prepare functions, which see what is put in order before warnings() does.
  std::vector<std::string>* warnings = nullptr;
};

/// Pure functions of one kind; any may be empty. Trees are complete objects of the row's storage version.
/// Defined in api/resources/<group>.cpp; registered by kind in strategies.cpp.
struct Strategy {
  /// Defaults of the kind beyond the schema's own `default=`; runs on decode, before admission.
  std::function<void(Json& object)> set_defaults;
  /// Before create: resets what clients may not set (status of kinds with a status subresource is dropped by
  /// the registry itself), sets initial status.
  std::function<void(Json& object, const StrategyContext&)> prepare_create;
  /// Before update of the main resource: restores what this may not change. The registry itself keeps
  /// status, bumps generation when spec changed, and keeps immutable metadata.
  std::function<void(Json& object, const Json& old, const StrategyContext&)> prepare_update;
  std::function<void(Json& object, const Json& old, const StrategyContext&)> prepare_status_update;
  std::function<void(const Json& object, FieldErrors&)> validate;
  std::function<void(const Json& object, const Json& old, FieldErrors&)> validate_update;
  std::function<void(const Json& object, const Json& old, FieldErrors&)> validate_status_update;
  /// Warning headers for a create or update.
  std::function<std::vector<std::string>(const Json& object, const Json* old)> warnings;
  /// Deletion grace period in seconds: 0 = at once, -1 = at once unless a client asks for one (pods: spec's).
  std::function<int64_t(const Json& object)> grace_seconds;
  /// Cells for the row's printer columns, in order.
  std::function<std::vector<Json>(const Json& object, base::WallTime now)> cells;
  /// Name validation message list; default: DNS subdomain.
  std::function<std::vector<std::string>(std::string_view name, bool prefix)> validate_name;
  /// An update may create the object (PUT to a missing name), as leases, endpoints, events, … allow.
  bool allow_create_on_update = false;
  /// An update without resourceVersion is allowed (unconditional).
  bool allow_unconditional_update = true;
  /// The generation is kept and bumped (kinds with spec+status semantic).
  bool has_generation = false;
  /// With has_generation: whether an update bumps it. Empty: when anything but metadata and status differs.
  std::function<bool(const Json& object, const Json& old)> generation_changed;
  /// Subresources besides status that edit the object itself (ephemeralcontainers, resize, finalize,
  /// approval): prepare leaves of `object` only what that subresource may change, then validate.
  struct SubresourceUpdate {
    std::function<void(Json& object, const Json& old, const StrategyContext&)> prepare;
    std::function<void(const Json& object, const Json& old, FieldErrors&)> validate;
  };
  std::map<std::string, SubresourceUpdate, std::less<>> subresource_updates;
  /// Marks an object whose deletion begins (deletionTimestamp is set by the registry): namespaces become
  /// Terminating.
  std::function<void(Json& object, const StrategyContext&)> prepare_delete;
  /// True while something beyond metadata.finalizers holds the object back (namespaces: spec.finalizers).
  std::function<bool(const Json& object)> held;
  /// Clients may send status when creating (nodes); otherwise it is dropped where there is a status
  /// subresource.
  bool keep_status_on_create = false;
  /// A delete answers with the object instead of a Status (pods, namespaces, services, …).
  bool returns_deleted = false;
};

struct PrinterColumn {
  std::string name, type, format, description;
  int priority = 0;
};

struct Subresource {
  std::string name;                  // "status", "scale", "log", …
  std::string group, version, kind;  // of the request body, e.g. autoscaling/v1 Scale
  std::vector<std::string> verbs;
};

/// Between a served row and the row its objects are stored as.
struct Conversion {
  std::function<void(Json&object)> to_storage, from_storage;
};

struct Resource {
  std::string group, version, kind, list_kind;  // group "" = core
  std::string plural, singular;
  std::vector<std::string> short_names, categories, verbs;
  bool namespaced = true;
  /// This is the row objects are stored as. Otherwise `storage_group` names the group of the row that is
  /// (same plural), and `conversion` leads there and back: events.k8s.io events are stored as core events.
  bool storage_version = true;
  std::string storage_group;
  std::shared_ptr<const Conversion> conversion;
  std::vector<Subresource> subresources;
  std::vector<PrinterColumn> columns;
  /// What field selectors can ask for besides metadata.name/namespace, in the order of Object::field(). Rows
  /// that share storage have the same paths in the same order; an empty name is not selectable in this row.
  IndexedFields selectable_fields;
  /// The schema type of the whole object; null for custom resources. Owned by the schema.
  const Type* type = nullptr;
  /// Null for built-in kinds.
  std::shared_ptr<const CustomKind> custom;
  std::shared_ptr<const Strategy> strategy;  // never null in the table
  /// Virtual kinds (reviews, bindings) have verbs but no storage.
  bool stored = true;
  /// The version in which custom resources are stored may be one that clients do not get.
  bool served = true;

  std::string api_version() const { return make_api_version(group, version); }
  /// "deployments.apps" or "pods".
  std::string group_resource() const;
  const Subresource* subresource(std::string_view name) const;
  bool has_verb(std::string_view verb) const;
  /// Datastore keys: "/registry/<group or core>/<plural>/" then "<namespace>/" if namespaced, then the name.
  const std::string& key_prefix() const { return key_prefix_; }
  std::string key(std::string_view ns, std::string_view name) const;
  /// Call once the names and storage_group are set.
  void set_key_prefix();
  /// The answer (400) to a field selector on a path that is none of selectable_fields.
  std::string unknown_field_message(std::string_view path) const;

  /// Hash clients compare to see whether the storage version changed (discovery storageVersionHash).
  std::string storage_hash;

  std::string key_prefix_;
};

using ResourcePtr = std::shared_ptr<const Resource>;

/// A group version in the order of discovery; the first of a group is its preferred one.
struct GroupVersion {
  std::string group, version;
  /// groupPriorityMinimum and versionPriority of its APIService; both 0: it has none.
  int group_priority = 0, version_priority = 0;
};

/// The rows of a table in the format of tools/fieldtable/README.md, with their strategies and types.
/// kInternal naming the line when it is broken or names a kind that the schema does not have.
struct BuiltinRows {
  std::vector<ResourcePtr> rows;
  std::vector<GroupVersion> group_versions;
};
base::Result<BuiltinRows> parse_rows(std::string_view text, const Schema& schema);
/// What field selectors of a built-in kind can ask for, as kube-apiserver has it.
IndexedFields selectable_fields_of(std::string_view group, std::string_view kind);

/// All rows served now. Rows are immutable; adding or removing one (custom resources) swaps a new list in.
/// Thread-safe.
class ResourceTable {
 public:
  /// Every built-in row, from the embedded table api/resources/builtin.rows with its strategies. `schema`
  /// must outlive the table. Aborts if the embedded table is broken.
  static std::unique_ptr<ResourceTable> builtin(const Schema& schema);

  /// Null when not served.
  ResourcePtr find(std::string_view group, std::string_view version, std::string_view plural) const;
  ResourcePtr find_kind(std::string_view group, std::string_view version, std::string_view kind) const;
  /// The row whose version the objects of this group and plural are stored in, maybe of another group.
  ResourcePtr storage(std::string_view group, std::string_view plural) const;
  std::shared_ptr<const std::vector<ResourcePtr>> all() const;
  /// The built-in group versions, in the order of discovery.
  const std::vector<GroupVersion>& group_versions() const { return group_versions_; }
  /// Replaces the row of the same group, version and plural if there is one.
  void add(ResourcePtr row);
  void remove(std::string_view group, std::string_view version, std::string_view plural);
  /// The rows of a group and plural are these from now on, in one step; none: it is gone.
  void replace(std::string_view group, std::string_view plural, std::vector<ResourcePtr> rows);
  /// Grows with each change: discovery caches key on it.
  uint64_t generation() const;

 private:
  struct Index;
  void publish(std::vector<ResourcePtr> rows);  // under mutex_
  std::shared_ptr<const Index> index() const;

  mutable std::shared_mutex mutex_;
  std::shared_ptr<const std::vector<ResourcePtr>> rows_ = std::make_shared<std::vector<ResourcePtr>>();
  std::shared_ptr<const Index> index_;  // of rows_
  uint64_t generation_ = 0;
  std::vector<GroupVersion> group_versions_;  // immutable after builtin()
};

}  // namespace orch::api
