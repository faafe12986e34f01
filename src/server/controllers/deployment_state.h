// The parts of a Deployment's plan: what is observed, arithmetic of a rollout, status. Not for other folders.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/meta.h"
#include "base/json.h"
#include "server/controllers/controller.h"

namespace orch::server {

inline constexpr std::string_view kRevision = "deployment.kubernetes.io/revision";
inline constexpr std::string_view kDesiredReplicas = "deployment.kubernetes.io/desired-replicas";
inline constexpr std::string_view kMaxReplicas = "deployment.kubernetes.io/max-replicas";
inline constexpr std::string_view kTemplateHash = "pod-template-hash";

/// A ReplicaSet of the deployment. `wanted` is the number of replicas the plan asks for, initially the
/// spec's.
struct OwnedSet {
  api::ObjectPtr object;
  Json tree;
  int64_t replicas = 0;  // spec
  int64_t wanted = 0;
  int64_t created = 0, ready = 0, available = 0;  // status
};

struct Rollout {
  api::ObjectPtr object;
  Json tree;
  int64_t replicas = 0;
  bool paused = false, recreate = false;
  int64_t max_surge = 0, max_unavailable = 0;
  std::vector<OwnedSet> old_sets;  // oldest first
  std::optional<OwnedSet> new_set;
  int64_t max_revision = 0;           // among old sets
  std::optional<int64_t> collisions;  // a new status.collisionCount
  bool scaling = false;               // spec.replicas changed: this plan follows that, nothing else
  std::string created;                // name of the new set this plan makes
  int64_t created_revision = 0;       // and its revision

  int64_t total_wanted() const;
  int64_t total_available() const;
  int64_t total_created() const;
};

int64_t revision_of(const Json& object);
/// Equal but for the pod-template-hash label.
bool same_template(const Json& a, const Json& b);

/// Rolling update steps: change `wanted` of the sets.
void roll_new_set(Rollout& r);
void roll_old_sets(Rollout& r);
/// After a change of spec.replicas in the middle of a rollout: spreads it over the sets by their share.
void scale_proportionally(Rollout& r);
/// True when the recorded desired-replicas of an active set differs from the deployment's.
bool is_scaling_event(const Rollout& r);

/// status of the deployment from its sets. What moved is estimated against the status before, unless the plan
/// only scales or the deployment is paused.
Json deployment_status(const Rollout& r, base::WallTime now, Plan& plan);
bool rollout_complete(const Rollout& r, const Json& status);
/// spec.progressDeadlineSeconds; nothing when it is not watched.
std::optional<int64_t> progress_deadline(const Json& deployment);
/// Sets a condition unless one of the same status and reason is there, whatever its message.
void set_deployment_condition(Json& deployment, const api::Condition& condition, base::WallTime now);

}  // namespace orch::server
