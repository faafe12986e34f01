// Metadata that generic code and controllers share: owner references, finalizers, conditions, references.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "api/object.h"
#include "base/clock.h"
#include "base/json_fwd.h"

namespace orch::api {

// --- Owners -----------------------------------------------------------------------------------------
/// metav1.OwnerReference.
struct OwnerReference {
  std::string api_version, kind, name, uid;
  bool controller = false;
  bool block_owner_deletion = false;
};

/// Read from the object's bytes, without making a tree.
std::vector<OwnerReference> owner_references(const Object& object);
std::vector<OwnerReference> owner_references(const Json& object);
/// The one reference with controller: true; an empty uid when there is none.
OwnerReference controller_of(const Object& object);
OwnerReference controller_of(const Json& object);
/// `object` is controlled by the object with this uid.
bool is_controlled_by(const Object& object, std::string_view uid);
/// A reference with controller and blockOwnerDeletion set, for metadata.ownerReferences.
Json controller_reference(std::string_view api_version, std::string_view kind, std::string_view name,
                          std::string_view uid);
Json controller_reference(const Object& owner);

/// The text of the object's metadata, as served.
std::string_view raw_metadata(const Object& object);

// --- Metadata of trees ------------------------------------------------------------------------------
bool has_finalizer(const Json& object, std::string_view finalizer);
/// True if the object changed.
bool add_finalizer(Json& object, std::string_view finalizer);
bool remove_finalizer(Json& object, std::string_view finalizer);
std::string_view annotation(const Json& object, std::string_view key);
/// From bytes; "" when absent.
std::string annotation(const Object& object, std::string_view key);
/// metadata.creationTimestamp, or the epoch when absent.
base::WallTime creation_time(const Json& object);
base::WallTime creation_time(const Object& object);
/// "namespace/name" or "name": the key of queues and maps.
std::string object_key(const Object& object);
std::string object_key(std::string_view ns, std::string_view name);
std::pair<std::string_view, std::string_view> split_key(std::string_view key);
/// core/v1 ObjectReference to an object: kind, namespace, name, uid, apiVersion, resourceVersion.
Json object_reference(const Object& object);

// --- Conditions -------------------------------------------------------------------------------------
/// The condition of this type in status.conditions, or null.
const Json* find_condition(const Json& object, std::string_view type);
/// The condition is there with status "True".
bool condition_is_true(const Json& object, std::string_view type);
/// Which optional times a kind's conditions carry besides lastTransitionTime.
enum class ConditionTimes : uint8_t { kTransition, kUpdate, kHeartbeat, kProbe };
struct Condition {
  std::string_view type, status, reason, message;
};
/// Sets or replaces a condition of status.conditions; lastTransitionTime moves only when status changes, the
/// other time of the kind only when the condition changes at all. False if it was so already.
bool set_condition(Json& object, const Condition& condition, base::WallTime now,
                   ConditionTimes times = ConditionTimes::kTransition);
bool remove_condition(Json& object, std::string_view type);

}  // namespace orch::api
