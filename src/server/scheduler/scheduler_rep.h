// The inside of Scheduler: what its thread knows, and what its writers do. Not for other folders.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "base/tasks.h"
#include "client/event_recorder.h"
#include "server/scheduler/informer_objects.h"
#include "server/scheduler/preemption.h"
#include "server/scheduler/queue.h"
#include "server/scheduler/scheduler.h"

namespace orch::server::scheduler {

/// What comes to the scheduler's thread.
struct Change {
  enum class What : uint8_t {
    kPod,        // before, after
    kNode,       // before, after
    kObject,     // before, after, of another kind
    kUnbound,    // the binding of `pod` failed: it is taken off its node again
    kWritten,    // its volume plan is written: its claims are to be bound before it is
    kPreempted,  // preemption for it is under way: it sleeps until its victims are gone
  };
  What what = What::kPod;
  Kind kind = Kind::kNamespace;
  api::ObjectPtr before, after;
  PodPtr pod;
  Waiting waiting;         // of kPreempted
  bool failed = false;     // of kPreempted: victims are still there
  std::string error = {};  // of kUnbound: what to report, "" = nothing
  ClaimPlan claims = {};   // of kUnbound: what was not written, or is given back
};

struct Scheduler::Rep {
  Rep(client::Client& client, client::InformerFactory& informers, const base::Clock& clock,
      base::Metrics& metrics, SchedulerOptions options, base::TaskMaker& tasks);

  void push(Change change);
  void run();
  /// Takes in what has come and decides about one pod.
  void step();
  /// When step() is due although nothing comes; under mutex.
  std::optional<base::MonoTime> next_due();

  // --- The thread: what happened (scheduler_events.cpp)
  void take(const Change& change);
  void take_node(const api::ObjectPtr& before, const api::ObjectPtr& after);
  void take_pod(const api::ObjectPtr& before, const api::ObjectPtr& after);
  void take_assigned(const PodPtr& pod);
  void take_gone(const std::string& uid, const api::ObjectPtr& last);
  void take_waiting(const PodPtr& pod);
  void take_object(const Change& change);
  void take_unbound(const Change& change);
  void put_on(const PodPtr& pod, const std::string& node);
  /// The pod as it counted there.
  PodPtr take_off(const std::string& uid, const std::string& node);
  /// The pod as it was seen last, on a node or waiting; null: never.
  PodPtr known(const std::string& uid) const;
  /// Wakes the pods whose refusal this may change.
  void happened(const Event& event);
  std::optional<Waiting> judge(const Event& event, const PodInfo& pod, uint64_t rejectors);
  /// "" takes the promise back.
  void nominate(const PodPtr& pod, const std::string& node);

  // --- The thread: decisions (scheduler.cpp)
  void rebuild_snapshot();
  Cluster cluster() const { return {snapshot, census, objects, storage, owners, devices}; }
  const Profile* profile_of(const PodInfo& pod) const;
  Waiting waiting_of(const Profile& profile, uint64_t rejectors) const;
  void place(const PodPtr& pod);
  void refused(const PodPtr& pod, const Profile& profile, Outcome outcome);
  void not_decided(const PodPtr& pod, const std::string& message);
  void promise(const PodPtr& pod, const Profile& profile, Outcome outcome, Preemption found);

  // --- The thread: volumes of pods that have a node (scheduler_volumes.cpp)
  struct VolumeWait {
    PodPtr pod;
    std::string node;
    VolumePlan plan;
    base::MonoTime deadline;
    bool written = false;
    ClaimPlan claims = {};  // written after the volumes
  };
  void reserve(const PodPtr& pod, const std::string& node, VolumePlan plan, ClaimPlan claims);
  void unreserve(const VolumeWait& wait);
  /// Binds the pod when all is bound, gives up when that cannot be any more.
  void check_volumes(const std::string& uid);
  void check_all_volumes();

  // --- The thread: claims of devices (scheduler_claims.cpp)
  /// Something the pod wants is not there yet: it is no use to try.
  bool must_wait(const PodInfo& pod);
  void take_claim(const Change& change);
  void forget_claims(const ClaimPlan& plan);
  base::Result<ClaimPlan> plan_claims(const Profile& profile, const PodPtr& pod, const NodeInfo& node);
  /// A claim that nobody uses is freed so that the pod may have it elsewhere; what is said about that.
  std::string free_for(const PodPtr& pod, const Filters& filters);

  // --- Writers of claims (scheduler_claims.cpp)
  base::Status write_claims(const PodPtr& pod, const std::string& node, const ClaimPlan& plan);
  void unreserve_claims(const PodPtr& pod, const ClaimPlan& plan);
  void free_claim(const PodPtr& pod, const ResourceClaimPtr& claim);

  // --- Writers (scheduler_write.cpp)
  void bind(const PodPtr& pod, const std::string& node, const ClaimPlan& claims = {});
  void say_bound(const PodPtr& pod, const std::string& node);
  base::Status bind_by(const PodPtr& pod, const std::string& node, bool& by_extender);
  void write_volumes(const PodPtr& pod, const std::string& node, const VolumePlan& plan);
  base::Status give_volume(const VolumePlan::Match& match);
  void evict_for(const PodPtr& pod, const Preemption& found, const std::vector<PodPtr>& displaced,
                 const std::string& message, const Waiting& waiting);
  bool evict(const PodPtr& pod, const std::vector<PodPtr>& victims, const std::string& node);
  void report(const PodPtr& pod, const std::string& reason, const std::string& message,
              const std::optional<std::string>& nomination);

  client::Client& client;
  const base::Clock& clock;
  const SchedulerOptions options;
  client::EventRecorder recorder;
  base::Counter& scheduled;
  base::Counter& unschedulable;
  base::Counter& errors;
  base::Counter& preemptions;
  base::Histogram& decision_time;

  // The scheduler thread's own, but for objects, which anybody may read.
  InformerObjects objects;
  Storage storage{objects};
  Owners owners{objects};
  Devices devices{objects, clock};
  std::unordered_map<std::string, NodeInfo> nodes;
  std::unordered_map<std::string, std::string> node_of;  // pod uid -> node it counts on
  Census census;                                         // of nodes that have an object
  Snapshot snapshot;
  bool snapshot_stale = true;
  size_t start_at = 0;
  Queue queue;
  Nominated nominated;
  std::unordered_map<std::string, std::string> nominated_on;  // pod uid -> node
  std::map<std::string, VolumeWait> volume_waits;             // by pod uid
  std::map<std::string, PodPtr> held;                         // by uid: not queued, wait for their claims

  std::mutex mutex;
  std::condition_variable wake;
  std::deque<Change> inbox;  // under mutex
  bool stopping = false;     // under mutex
  std::thread thread;
  std::atomic<size_t> unsaid{0};         // bindings that events has not told of yet
  std::unique_ptr<base::Tasks> events;   // tell of bindings
  std::unique_ptr<base::Tasks> writers;  // last: ends first
};

}  // namespace orch::server::scheduler
