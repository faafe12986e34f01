// PodWorker: one pod's life on this node. Its turns run one at a time on the node's pool; each takes in what
// happened, asks plan() what to do, does it, and reports the status.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "agent/kubelet/node_context.h"
#include "agent/kubelet/plan.h"
#include "agent/kubelet/pod_starter.h"
#include "agent/kubelet/pod_status.h"
#include "api/object.h"
#include "api/placement.h"

namespace orch::agent {

class PodWorker {
 public:
  /// `object` may be one made from what the runtime holds (an orphan), then `in_api` is false.
  PodWorker(NodeContext& node, api::ObjectPtr object, bool in_api);

  // From any thread; follow with NodeContext::notify.
  void update(api::ObjectPtr object);
  /// The object is gone from the API: end the pod and forget it.
  void removed();
  /// A config map, secret or token that a volume shows changed.
  void volumes_changed();
  /// End the pod for a reason of the node's: its phase becomes Failed.
  /// `disruption`: what its condition DisruptionTarget says, if it gets one.
  void evict(std::string reason, std::string message, std::string disruption = {});
  /// A blocking stop of a container ended.
  void stopped(const std::string& container_id, bool ok);

  /// Runs one turn. True when the pod is gone for good and the worker can be destroyed.
  bool turn();
  /// When to run again if nothing happens; unset for never.
  std::optional<base::WallTime> wake() const { return wake_; }

  /// The newest object and the status last reported, for the node's API server.
  api::ObjectPtr object() const;
  std::shared_ptr<const Json> status() const;
  /// Whether it uses the node's resources: admitted and not ended.
  bool active() const;
  /// Whether other pods have to do without its resources: it is active, and the API has it still. Who deletes
  /// a pod without grace gives its place away at once, as the scheduler takes it.
  bool holds_room() const;
  /// Whether the node told it to end.
  bool evicted() const;
  /// What it was given of its node; null before the first turn.
  api::PodPtr wants() const;
  /// Set while the pod asks for other resources than it was given and the node had no room for them yet.
  std::optional<WaitingResize> waiting_resize() const;
  /// Gives the pod what it asks for if the node has room now. NodeContext::admission must be held. True when
  /// the worker has something to do or to report.
  bool try_resize();

 private:
  struct Inbox {
    api::ObjectPtr object;
    bool removed = false, volumes = false;
    std::string end_reason, end_message, disruption;
    std::vector<std::pair<std::string, bool>> stopped;
  };
  void take_inbox();
  void check_deadline(const Pod& pod);
  /// At the first turn: adopts what was here before, or asks whether the node takes the pod. False when that
  /// is not known yet: other pods have to end first.
  bool begin(const Pod& pod);
  /// Plans and acts until there is nothing more to do at once.
  void act(const Pod& pod);
  bool act_once(const Pod& pod, const PodPlan& plan);
  bool stop_sandboxes(const Pod& pod, const PodPlan& plan);
  bool start_all(const Pod& pod, const PodPlan& plan);
  void begin_kill(const Pod& pod, const KillContainer& kill, const std::string& pod_ip);
  void collect_dead(const Pod& pod);
  void report(const Pod& pod, bool finished);
  std::map<std::string, std::string> termination_messages(const Pod& pod, const PodRuntime& runtime);
  /// Volumes, cgroup and what else is not needed once nothing runs.
  bool tear_down(const Pod& pod);
  void remove_from_runtime(const Pod& pod);
  void wake_at(base::WallTime t);
  /// Makes folders and volumes, unless that failed lately; true when they are not there.
  bool starter_prepare_failed(const Pod& pod);
  void pod_retry();
  void container_retry(const std::string& name);
  void sync_probes(const Pod& pod, const PodRuntime& runtime);

  // Resizing: pod_worker_resize.cpp.
  /// What the pod was given when it was here before.
  void recall_allocation(const Pod& desired, const PodRuntime& runtime);
  void keep_allocation(bool removed = false);
  std::string allocation_file() const;
  /// Looks at what the pod asks for, and puts what it has into the tree.
  void follow_resize(Json& tree);
  /// What the containers that run have, for planning.
  void note_actuated(const PodRuntime& runtime);
  /// Brings the pod's cgroup and running containers to their resources. False when that has to be tried
  /// again.
  bool resize(const Pod& pod, const PodPlan& plan);
  base::Status take_step(const Pod& pod, const ResizeStep& step);
  void resize_failed(const Pod& pod, const std::string& why);
  /// The condition PodResizeInProgress follows from what is and what should be.
  void note_progress(const Pod& pod, const PodRuntime& runtime);

  NodeContext& node_;
  const std::string uid_;

  mutable std::mutex mutex_;
  Inbox inbox_;                         // under mutex_
  api::ObjectPtr object_;               // under mutex_
  std::shared_ptr<const Json> status_;  // under mutex_; last reported, never null
  bool active_ = false;                 // under mutex_
  bool evicted_ = false;                // under mutex_
  bool removed_ = false;                // under mutex_; from the API
  api::PodPtr wants_;                   // under mutex_
  Allocation allocated_;                // under mutex_
  ResizeState resize_;                  // under mutex_

  // Only in turns.
  PodFacts facts_;
  StartState start_;
  bool in_api_, torn_down_ = false, first_turn_ = true;
  bool desire_changed_ = true;  // the object is another than the one last compared with the allocation
  bool shrinking_ = false;      // once the resize under way is done, there is more room
  std::string end_reason_, end_message_, disruption_;
  Allocation refused_;                              // what the last resize that failed was to
  std::map<std::string, Waiting> waiting_;          // by container name
  std::map<std::string, base::WallTime> retry_at_;  // by container name, "" for the pod
  std::chrono::milliseconds retry_delay_{0};
  std::map<std::string, std::chrono::milliseconds> container_delay_;  // by container name
  std::map<std::string, std::string> messages_;                       // termination messages by container id
  std::map<std::string, bool> ready_before_;                          // adopted containers
  std::optional<base::WallTime> wake_, killing_since_;
};

/// What a pod asks of its node, whatever its status says that it has.
api::PodPtr wants_of(const Pod& pod);

/// A pod as the labels and annotations of its containers tell it, for what runs without an API object.
Json restore_pod(const PodRuntime& runtime);

}  // namespace orch::agent
