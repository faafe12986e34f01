// metadata.managedFields: who wrote which fields of an object, and server-side apply (KEP-555,
// k8s.io/apimachinery/pkg/util/managedfields).
//
// A write through create, update or patch is tracked: its manager owns from then on what it changed. An apply
// owns exactly what it says: what others own it changes only by force, what it said the last time and nobody
// else owns goes away. All functions are pure; managedFields travel as JSON text, because reads have no use
// for them as a tree.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/fieldmanager/field_set.h"
#include "api/fieldmanager/typed.h"
#include "base/json.h"
#include "base/status.h"

namespace orch::api {

/// An entry of metadata.managedFields (meta/v1 ManagedFieldsEntry). Manager, operation, subresource and, of
/// updates, the version together name it.
struct ManagedEntry {
  std::string manager;
  bool applied = false;  // operation Apply instead of Update
  std::string api_version;
  std::string subresource;
  std::string time;  // RFC 3339; empty: none
  FieldSet set;

  bool same_owner(const ManagedEntry& other) const;
  /// The JSON text that Kubernetes names the owner by; decides the order of owners in messages.
  std::string identifier() const;
};

using ManagedEntries = std::vector<ManagedEntry>;

/// From the text of the list. kBadRequest when an entry is not valid; of two for one owner the last counts.
base::Result<ManagedEntries> parse_managed_fields(std::string_view json);
/// The text of the list in Kubernetes' order: by operation, time, manager, version, subresource. "" if empty.
std::string managed_fields_json(ManagedEntries entries);

/// An object as another version of its kind.
struct VersionedTree {
  TypeRef type;
  Json tree;
};

/// What a write is about.
struct FieldContext {
  TypeRef type;
  std::string api_version, kind;
  /// What Go has for an object of the kind that nobody wrote anything to, normalised. Never null.
  const Json* empty = nullptr;
  std::string subresource;
  /// Fields that writes through this subresource do not change (the strategies' GetResetFields): never owned.
  const FieldSet* reset = nullptr;
  /// Of the write: "2026-01-31T12:00:00Z".
  std::string now;
  /// A tree of `api_version` in another one; nothing if that is not served any more. Empty: there is no
  /// other.
  std::function<std::optional<VersionedTree>(const Json& tree, std::string_view api_version)> convert;
};

/// The managedFields of `after`, which a create (`before` is null), update or patch by `manager` makes of
/// `before`. Both trees are normalised and have no managedFields. `known` are those to start from
/// (choose_managed_fields). "" when there are none: an object whose fields are not tracked stays so until
/// somebody applies.
std::string track_update(const FieldContext& context, const Json* before, const Json& after,
                         ManagedEntries known, std::string_view manager);

/// Which managedFields an update starts from: those the client sent (null: none), if they are valid and not
/// empty, otherwise the stored ones; none when the client resets them by an empty list or one empty entry.
ManagedEntries choose_managed_fields(const Json* sent, std::string_view stored, bool subresource);

struct Applied {
  /// The merged object without managedFields; as `live` was when the apply changes nothing.
  Json object;
  std::string managed_fields;
};

/// Server-side apply of `patch`, as the client sent it, to `live` (normalised, without managedFields; null
/// for a create). kConflict with a cause for each field that others own, unless `force`; kBadRequest and
/// kUnknown (500) as kube-apiserver answers them.
base::Result<Applied> apply_fields(const FieldContext& context, const Json* live, std::string_view stored,
                                   const Json& patch, std::string_view manager, bool force);

/// The owner of a write without fieldManager: what the User-Agent has before the first slash.
std::string manager_of_user_agent(std::string_view user_agent);

}  // namespace orch::api
