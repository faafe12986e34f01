// GarbageCollector: deletes objects whose owners are gone, and carries out foreground and orphan deletion.
//
// Follows every stored kind, but remembers only objects that have owners: who depends on which uid. What to
// do with an object is decided by judge(), a pure function of its owners' states.
#pragma once

#include <memory>
#include <vector>

#include "api/meta.h"
#include "api/resources/resource.h"
#include "base/clock.h"
#include "base/metrics.h"
#include "base/status.h"
#include "base/tasks.h"
#include "base/timer.h"
#include "client/client.h"

namespace orch::server {

/// What is known of one owner.
struct OwnerState {
  api::OwnerReference reference;
  bool exists = false;                  // an object with that uid
  bool waiting_for_dependents = false;  // under foreground deletion
  bool elsewhere = false;               // it exists, but in another namespace, where it cannot own
};

struct Judgement {
  enum class Action : uint8_t { kKeep, kDropReferences, kDelete } action = Action::kKeep;
  std::vector<std::string> drop_uids;  // kDropReferences: owners that are gone or going
  std::string propagation;             // kDelete
};

/// `finalizers` are the object's; `has_dependents`: objects depend on it in turn.
Judgement judge(const std::vector<OwnerState>& owners, const std::vector<std::string>& finalizers,
                bool has_dependents);

class GarbageCollector {
 public:
  /// All must outlive this. In `metrics`: what waits and runs, as of two queues, that of objects whose
  /// dependents are to be orphaned and that of all others, called as kube-controller-manager calls them. (Its
  /// third queue, of changes, has no like here: the graph follows a change when it is told of.)
  GarbageCollector(client::Client& client, api::ResourceTable& table, base::Timers& timers,
                   const base::Clock& clock, base::Metrics& metrics,
                   base::TaskMaker& tasks = base::pools_of_threads());
  ~GarbageCollector();
  /// Lists and follows every kind; what is already orphaned is found now.
  base::Status start();
  /// Follows a kind that came after start(), anew if it was followed before; and no more.
  base::Status follow(const client::ResourceRef& resource);
  void unfollow(const client::ResourceRef& resource);

 private:
  struct Rep;
  std::shared_ptr<Rep> rep_;  // retry timers hold it weakly
};

}  // namespace orch::server
