// What can go wrong in a world, and how often.
#pragma once

#include <string>

namespace orch::simulation {

/// A bug put in on purpose, to see that it is found.
enum class Plant {
  kNone,
  kForgetOwnWrites,    // views lag behind the controllers' own writes
  kCreateTwice,        // a create whose answer was lost is repeated under another name
  kCountTwice,         // a Job's finished pod is counted again when the count's answer was lost
  kIgnoreUnavailable,  // deployments are planned as if all their pods might be unavailable
  kIgnoreSurge,        // deployments are planned as if they might have any number of pods
  kIgnoreBudget,       // evictions delete without asking the budget
  kKeepFinalizer,      // finalizers of pods are not taken off, but said to be
  kIgnoreConflict,     // updates go through whatever version they are based on
  kLoseWakeup,         // some changes wake nobody
  kBindAnywhere,       // pods are bound to the first node, whatever was decided
  kSkipOrdinal,        // stateful sets are planned as if their pods were all ready
  kIgnoreOwners,       // the garbage collector does not hear of deletions
  kDeafSlices,         // slices are not told that pods become ready, or stop being it
  kSelectAll,          // slices are planned as if services selected pods of others too
  kFinalizeEarly,      // namespaces go before they are empty
  kOpenNamespaces,     // the API makes objects in namespaces that go away or are gone
  kIgnoreQuota,        // the API charges no quota
  kKeepCharges,        // quotas do not hear of pods that are gone or ended
};

/// Chances per occasion.
struct Weather {
  double refused = 0, conflict = 0, lost = 0;  // of a control plane's write
  double crash = 0;                            // before or after one
  double interleave = 0;                       // that others go on between two of its writes
  double watch_break = 0;                      // per step: some watch ends, to be listed anew later
  double jump = 0;                             // per step: somebody sets the clock
  bool pods_fail = false;                      // pods fail, stop being ready, are deleted or evicted by users
  bool nodes_fail = false;                     // nodes die, come back, or are replaced
  bool users_change = true;                    // workloads are changed while they are rolled out
};

}  // namespace orch::simulation
