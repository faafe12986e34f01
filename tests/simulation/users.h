// Users: make workloads, change them while they are rolled out, evict, delete.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/json.h"
#include "client/client.h"

namespace orch::simulation {

class World;

class Users {
 public:
  explicit Users(World& world);
  ~Users();
  void begin();
  /// Somebody does something.
  void step();
  /// Somebody changes an object while others work on it.
  void touch();
  /// Somebody deletes a workload, a service, a budget or a quota.
  void remove_some();
  /// Nothing is left that cannot come to an end: images work, Jobs go on, rollouts too.
  void settle_down();

 private:
  struct Workload {
    client::ResourceRef resource;
    std::string ns, name;
  };
  Json pod_template(const std::string& app, bool ends);
  void make_some();
  void make(size_t kind);
  void make_deployment(const std::string& name);
  void make_replica_set(const std::string& name);
  void make_job(const std::string& name);
  void make_stateful_set(const std::string& name);
  void make_daemon_set(const std::string& name);
  void make_cron_job(const std::string& name);
  void make_budget(const std::string& app);
  void make_namespace(const std::string& name);
  void make_quota(const std::string& ns);
  void make_service(const std::string& app);
  Json selector(const std::string& app);
  void create(const client::ResourceRef& resource, const std::string& name, Json spec);
  /// Changes the spec as it is now; false when it is gone.
  bool change(const Workload& workload, const std::function<void(Json& spec)>& edit);
  void change_some();
  void change_namespaces();
  void change_spec(const Workload& workload);
  void evict_some();
  void delete_a_pod();
  void cordon_some();
  void annotate_some();

  World& world_;
  std::unique_ptr<client::Client> api_;
  std::vector<Workload> workloads_;
  std::vector<size_t> kinds_;            // that this world has, see make(); the more often, the likelier
  std::vector<std::string> namespaces_;  // of this world, whether they are there or not
  std::string ns_;                       // what is made next comes here
  bool services_ = false;                // there are some
  int made_ = 0, image_ = 1, notes_ = 0, quotas_ = 0;
};

}  // namespace orch::simulation
