// How pods and their ResourceClaims (resource.k8s.io/v1) find each other; KEP-4381. What the claim controller
// and the scheduler both have to know.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/object.h"
#include "base/json_fwd.h"

namespace orch::api {

/// Keeps a claim until it is deallocated.
inline constexpr std::string_view kClaimFinalizer = "resource.kubernetes.io/delete-protection";

/// An entry of a pod's spec.resourceClaims.
struct PodClaim {
  std::string name;                  // of the entry
  std::string from_template;         // "": the claim is somebody else's
  bool waits = false;                // it has to be made from the template first
  std::optional<std::string> claim;  // the ResourceClaim; nothing while it waits, or when none is needed
};
/// The pod has entries at all; reads its bytes only.
bool uses_claims(const Object& pod);
std::vector<PodClaim> pod_claims(const Json& pod);
/// What is wrong with an entry that waits: `pod "ns/name": ResourceClaim not created yet`.
std::string claim_missing_problem(const Json& pod);
/// What is wrong with using a claim for a pod it was not made for; "" if the pod is its controller.
std::string claim_owner_problem(const Json& pod, const Json& claim);

/// The pod with this uid is in status.reservedFor.
bool claim_reserved_for(const Json& claim, std::string_view pod_uid);
bool claim_allocated(const Json& claim);
/// Adds a pod to status.reservedFor.
void reserve_claim(Json& claim, std::string_view pod_name, std::string_view pod_uid);

/// None of the pod's containers runs nor will.
bool pod_done(const Json& pod);

}  // namespace orch::api
