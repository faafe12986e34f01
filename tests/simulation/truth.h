// Truth: what is in the API, followed write by write, and what must always hold of it.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "api/object.h"
#include "base/clock.h"
#include "base/json.h"
#include "datastore/store.h"

namespace orch::simulation {

class World;

/// A number that controllers read at some time since the world was last calm: any value it had is excused.
struct Span {
  int64_t now = 0, most = 0, least = 0;
  bool known = false;
  void set(int64_t n) {
    most = known ? std::max(most, n) : n;
    least = known ? std::min(least, n) : n;
    now = n;
    known = true;
  }
  void calm() { most = least = now; }
  bool moved() const { return most != least; }
};

struct Pod {
  std::string uid, name, app, owner, owner_kind, phase, node, index;
  std::string ns, tier;
  std::string ip;        // "" before it has one
  std::string target;    // the node a daemon's pod is for, bound or not
  std::string revision;  // label controller-revision-hash
  int64_t milli_cpu = 0;
  base::MonoTime ready_at;  // when it became so last
  bool ready = false, deleting = false;
  bool broken = false;   // can never become ready
  bool tracked = false;  // its Job has yet to count it
  bool finished() const { return phase == "Succeeded" || phase == "Failed"; }
  bool active() const { return !deleting && !finished(); }
  bool healthy() const { return active() && ready; }
};

class Truth {
 public:
  explicit Truth(World& world);
  ~Truth();
  /// Everybody has seen everything and has done what follows: from now on only what is now excuses anybody.
  void calm();
  /// An eviction of the pod is asked for; null: it is over.
  void evicting(const api::ObjectPtr& pod) { evicted_ = pod; }
  /// A kubelet starts containers of the pod.
  void started(const api::ObjectPtr& pod);
  /// What the API has under that name; null = nothing. Valid until the next write.
  const Json* find(const std::string& plural, std::string_view name) const;
  /// The cluster is at rest: everything is as it is wanted.
  void check_rest();
  /// The namespace is there and stays.
  bool open(std::string_view ns) const;
  /// Some quota is used up: controllers may try to make pods in vain.
  bool hindered() const;
  const std::string& last_write() const { return last_write_; }

 private:
  struct Deployment {
    Span limit, floor;
    bool recreate = false;
  };
  struct Job {
    // Uids of pods that ever did so while the Job followed them.
    std::set<std::string> succeeded, failed;
    std::set<std::string> lost;             // were deleted before they were seen to succeed
    std::set<std::string> gave_up_running;  // by a Job that failed, before it saw that they succeeded
    std::set<std::string> failed_alone;     // failed while the Job went on
    // Of any: deleted; or given up, as what is too much is, by who could not know yet that it had ended.
    std::set<std::string> going, given_up;
    bool stayed(const std::string& uid) const { return going.count(uid) == 0 && given_up.count(uid) == 0; }
    std::set<int64_t> indexes;  // of pods that succeeded
    bool indexes_changed = false;
    int64_t counted_succeeded = 0, counted_failed = 0;
  };
  struct Quota {
    std::string ns;
    int64_t pods = 0;  // at most
  };
  struct Service {
    std::string ns;
    std::vector<Json> selectors;  // that it had since all was calm, the last one is what it has
  };
  /// What a pod ever was to services.
  struct Backend {
    std::string ns, app, tier;
    std::set<std::string> ips;
  };
  using Kind = std::map<std::string, Json, std::less<>>;  // by name

  void on_event(const datastore::Event& event);
  void on_put(const std::string& plural, const std::string& ns, const std::string& name, Json tree);
  void on_gone(const std::string& plural, const std::string& name);

  // --- truth_pods.cpp
  static Pod read_pod(const Json& tree);
  void put_pod(const Json& tree);
  /// Ready, and was available already when all was calm last.
  bool surely_available(const Pod& pod, int64_t min_ready_seconds) const;
  void pod_gone(const std::string& name);
  void pod_changed(const Pod* before, const Pod* after);
  void check_created(const Pod& pod);
  void check_set_pod(const Pod& pod);
  void check_ordinal(const Pod& pod);
  void check_daemon_pod(const Pod& pod);
  void check_bound(const Pod& before, const Pod& pod);
  void check_going(const Pod& before);
  void check_budget(const Pod& pod);
  int64_t count(const std::function<bool(const Pod&)>& which) const;
  /// Milli-CPU of the node that no pod asked for; negative: too much was.
  int64_t free_on(const std::string& node) const;
  /// A daemon's pod waits for room on its node, which nobody has to make.
  bool lacks_room(const Pod& pod) const;

  // --- truth_workloads.cpp
  void put_deployment(const Json& tree);
  void put_set(const Json* before, const Json& tree);
  void put_budget(const Json* before, const Json& tree);
  void put_job(const Json* before, const Json& tree);
  void check_undone(const std::string& plural, const std::string& name, const Json& before, const Json& now);
  void note_job_pod(const Pod* before, const Pod& pod, bool gone);
  const Json* deployment_of(const Json& set) const;
  const Json* by_uid(const std::string& plural, std::string_view uid) const;
  int64_t desired_healthy(const Json& budget) const;

  // --- truth_shared.cpp
  void check_made(const std::string& plural, const std::string& ns, const std::string& name) const;
  void check_emptied(const std::string& ns) const;
  void check_quota(const Pod& pod) const;
  void put_quota(const Json& tree);
  void put_service(const Json& tree);
  void note_backend(const Pod& pod);
  void check_slice(const Json& tree) const;
  int64_t counted_pods(std::string_view ns) const;
  void rest_of_quotas();
  void rest_of_services();
  void rest_of_service(const std::string& name, const Json& service);
  void rest_of_endpoints(const std::string& name, const std::map<std::string, bool>& wanted);

  // --- truth_rest.cpp
  void rest(const std::string& what, bool holds, const std::string& how);
  void rest_of_sets();
  void rest_of_stateful_sets();
  void rest_of_daemon_sets();
  void rest_of_jobs();
  void rest_of_budgets();
  void rest_of_all();
  void rest_of_scaled(const std::string& plural, const Json& tree);
  void rest_of_deployment(const Json& tree);

  World& world_;
  std::unique_ptr<datastore::Subscription> subscription_;
  std::map<std::string, Kind, std::less<>> all_;  // by plural
  std::map<std::string, Pod> pods_;               // by name
  std::map<std::string, Deployment> deployments_;
  std::map<std::string, Span> sets_;  // replicas, by uid
  std::map<std::string, Job> jobs_;
  std::map<std::string, Quota, std::less<>> quotas_;  // by name
  std::map<std::string, Service> services_;           // by uid
  std::map<std::string, Backend> backends_;           // by uid
  std::set<std::string> disturbed_;  // apps whose pods somebody but their controller harmed, since calm
  std::set<std::string> moved_;      // apps whose pods or numbers changed but by evictions, since calm
  // Uids of pods that became ready, or ended, since calm: not everybody has heard.
  std::set<std::string> fresh_, ended_;
  base::MonoTime calm_at_;
  api::ObjectPtr evicted_;
  std::string last_write_;
};

}  // namespace orch::simulation
