#include "server/admission/resource_quota.h"

#include <atomic>
#include <mutex>
#include <thread>

#include "server/admission/quota_usage.h"
#include "tests/catch.h"
#include "tests/unit/server/admission/requests.h"

using namespace orch;
using namespace orch::server;
using namespace orch::testing;
using Operation = TestRequest::Operation;

namespace {

/// Quotas kept with revisions and compare-and-swap, as the registry keeps them.
class QuotaStore final : public Lookup {
 public:
  FakeLookup others;
  int conflicts = 0;  // how many writes to refuse first
  std::atomic<int> writes = 0;

  void put(const char* name, const char* hard, const char* more = "{}") {
    Json spec = json(more);
    spec["hard"] = json(hard);
    store(Json{{"apiVersion", "v1"},
               {"kind", "ResourceQuota"},
               {"metadata", {{"name", name}, {"namespace", "ns"}, {"uid", name}}},
               {"spec", std::move(spec)}});
  }
  base::Result<api::ObjectPtr> write(const Json& tree) {
    const std::lock_guard lock(mutex_);
    ++writes;
    if (conflicts > 0) {
      --conflicts;
      return base::Status(base::Code::kConflict, "changed");
    }
    const auto it = quotas_.find(std::string(base::string_at(tree, {"metadata", "name"})));
    if (it == quotas_.end()) return base::Status(base::Code::kNotFound, "gone");
    if (base::string_at(tree, {"metadata", "resourceVersion"}) != std::to_string(it->second->revision())) {
      return base::Status(base::Code::kConflict, "changed");
    }
    return store_locked(tree);
  }
  QuotaStatusWriter writer() {
    return [this](const Json& tree) { return write(tree); };
  }
  std::string used(const char* name, const char* resource) const {
    const std::lock_guard lock(mutex_);
    const Json tree = quotas_.at(name)->tree();
    return std::string(base::string_at(tree, {"status", "used", resource}));
  }
  api::ObjectPtr get(std::string_view resource, std::string_view ns, std::string_view name) const override {
    return others.get(resource, ns, name);
  }
  std::vector<api::ObjectPtr> list(std::string_view resource, std::string_view ns) const override {
    if (resource != "resourcequotas") return others.list(resource, ns);
    const std::lock_guard lock(mutex_);
    std::vector<api::ObjectPtr> out;
    for (const auto& [name, q] : quotas_) out.push_back(q);
    return out;
  }

 private:
  void store(const Json& tree) {
    const std::lock_guard lock(mutex_);
    store_locked(tree);
  }
  api::ObjectPtr store_locked(Json tree) {
    tree["metadata"]["resourceVersion"] = std::to_string(++revision_);
    api::ObjectPtr made = object(tree);
    quotas_[std::string(made->name())] = made;
    return made;
  }

  mutable std::mutex mutex_;
  int64_t revision_ = 100;
  std::map<std::string, api::ObjectPtr> quotas_;
};

const char* const kSmall =
    R"({"resources":{"requests":{"cpu":"100m","memory":"64Mi"},"limits":{"cpu":"1","memory":"128Mi"}}})";

}  // namespace

TEST_CASE("pods are charged until the quota is used up") {
  QuotaStore store;
  base::FakeClock clock;
  store.put("q", R"({"pods":"2","requests.cpu":"250m","count/configmaps":"1"})");
  auto plugin = make_resource_quota(store, store.writer(), clock);
  CHECK(create_pod(pod_with("{}", kSmall))->run(*plugin).empty());
  CHECK(create_pod(pod_with("{}", kSmall))->run(*plugin).empty());
  CHECK(store.used("q", "pods") == "2");
  CHECK(store.used("q", "requests.cpu") == "200m");
  CHECK(
      create_pod(pod_with("{}", kSmall))->run(*plugin) ==
      R"(pods "p" is forbidden: exceeded quota: q, requested: pods=1,requests.cpu=100m, used: pods=2,requests.cpu=200m, limited: pods=2,requests.cpu=250m)");
  CHECK_THAT(create_pod(pod_with())->run(*plugin),
             contains("failed quota: q: must specify requests.cpu for: c"));
  TestRequest map(Operation::kCreate, "", "ConfigMap", "configmaps", "ns",
                  json(R"({"metadata":{"name":"m"}})"));
  CHECK(map.run(*plugin).empty());
  CHECK_THAT(map.run(*plugin), contains("exceeded quota: q, requested: count/configmaps=1"));
  TestRequest secret(Operation::kCreate, "", "Secret", "secrets", "ns", json(R"({"metadata":{"name":"s"}})"));
  CHECK(secret.run(*plugin).empty());
}

TEST_CASE("a dry run is checked and not charged") {
  QuotaStore store;
  base::FakeClock clock;
  store.put("q", R"({"pods":"1"})");
  auto plugin = make_resource_quota(store, store.writer(), clock);
  auto dry = create_pod(pod_with());
  (*dry)->dry_run = true;
  CHECK(dry->run(*plugin).empty());
  CHECK(dry->run(*plugin).empty());
  CHECK(store.writes == 0);
}

TEST_CASE("a quota nobody counted yet is counted first") {
  QuotaStore store;
  base::FakeClock clock;
  Json running = pod_with(), done = pod_with();
  done["metadata"]["name"] = "done";
  done["status"]["phase"] = "Succeeded";
  store.others.put("pods", object(running));
  store.others.put("pods", object(done));
  store.put("q", R"({"pods":"2","count/pods":"9"})");
  auto plugin = make_resource_quota(store, store.writer(), clock);
  CHECK(create_pod(pod_with())->run(*plugin).empty());
  CHECK(store.used("q", "pods") == "2");
  CHECK(store.used("q", "count/pods") == "3");
  CHECK_FALSE(create_pod(pod_with())->run(*plugin).empty());
}

TEST_CASE("updates are charged for what they add") {
  QuotaStore store;
  base::FakeClock clock;
  store.put("q", R"({"services.nodeports":"3","requests.storage":"10Gi"})");
  auto plugin = make_resource_quota(store, store.writer(), clock);
  const auto service = [](const char* type, int ports) {
    Json s = {{"metadata", {{"name", "s"}}}, {"spec", {{"type", type}, {"ports", Json::array()}}}};
    for (int i = 0; i < ports; ++i) s["spec"]["ports"].push_back({{"port", i}});
    return s;
  };
  TestRequest open(Operation::kUpdate, "", "Service", "services", "ns", service("NodePort", 2),
                   service("ClusterIP", 2));
  CHECK(open.run(*plugin).empty());
  CHECK(store.used("q", "services.nodeports") == "2");
  TestRequest more(Operation::kUpdate, "", "Service", "services", "ns", service("NodePort", 4),
                   service("NodePort", 2));
  CHECK_THAT(more.run(*plugin),
             contains("requested: services.nodeports=2, used: services.nodeports=2, limited: "
                      "services.nodeports=3"));
  TestRequest less(Operation::kUpdate, "", "Service", "services", "ns", service("NodePort", 1),
                   service("NodePort", 2));
  CHECK(less.run(*plugin).empty());
  CHECK(store.used("q", "services.nodeports") == "2");
  TestRequest claim(
      Operation::kCreate, "", "PersistentVolumeClaim", "persistentvolumeclaims", "ns",
      json(R"({"metadata":{"name":"d"},"spec":{"resources":{"requests":{"storage":"11Gi"}}}})"));
  CHECK_THAT(claim.run(*plugin), contains("requested: requests.storage=11Gi, used: requests.storage=0"));
}

TEST_CASE("scopes choose what a quota is about") {
  const quota::Kind pods{"", "pods"};
  struct Row {
    const char *quota, *spec, *container;
    bool in;
  };
  const Row rows[] = {
      {R"({"scopes":["BestEffort"]})", "{}", "{}", true},
      {R"({"scopes":["BestEffort"]})", "{}", kSmall, false},
      {R"({"scopes":["NotBestEffort"]})", "{}", kSmall, true},
      {R"({"scopes":["Terminating"]})", R"({"activeDeadlineSeconds":5})", "{}", true},
      {R"({"scopes":["NotTerminating"]})", R"({"activeDeadlineSeconds":5})", "{}", false},
      {R"({"scopes":["BestEffort","Terminating"]})", "{}", "{}", false},
      {R"({"scopeSelector":{"matchExpressions":[{"scopeName":"PriorityClass","operator":"In","values":["high"]}]}})",
       R"({"priorityClassName":"high"})", "{}", true},
      {R"({"scopeSelector":{"matchExpressions":[{"scopeName":"PriorityClass","operator":"In","values":["high"]}]}})",
       R"({"priorityClassName":"low"})", "{}", false},
      {R"({"scopeSelector":{"matchExpressions":[{"scopeName":"PriorityClass","operator":"NotIn","values":["high"]}]}})",
       "{}", "{}", true},
      {R"({"scopeSelector":{"matchExpressions":[{"scopeName":"PriorityClass","operator":"Exists"}]}})", "{}",
       "{}", false},
      {R"({"scopes":["CrossNamespacePodAffinity"]})",
       R"({"affinity":{"podAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":[{"namespaces":["x"]}]}}})",
       "{}", true},
  };
  for (const Row& r : rows) {
    INFO(r.quota << " " << r.spec);
    CHECK(quota::in_scopes(pods, {{"spec", json(r.quota)}}, pod_with(r.spec, r.container)) == r.in);
  }
}

TEST_CASE("what objects use") {
  const base::FakeClock clock;
  const auto text = [&](const char* plural, const Json& o) {
    return quota::text(quota::usage({"", plural}, o, clock.now()));
  };
  CHECK(
      text(
          "pods",
          pod_with(
              R"({"overhead":{"cpu":"50m"}})",
              R"({"resources":{"requests":{"cpu":"100m","x.io/gpu":"1"},"limits":{"cpu":"1","x.io/gpu":"1"}}})")) ==
      "count/pods=1,cpu=150m,limits.cpu=1050m,pods=1,requests.cpu=150m,requests.x.io/gpu=1");
  CHECK(text("services", json(R"({"spec":{"type":"LoadBalancer","ports":[{"port":1},{"port":2}]}})")) ==
        "count/services=1,services=1,services.loadbalancers=1,services.nodeports=2");
  CHECK(
      text("persistentvolumeclaims",
           json(R"({"spec":{"storageClassName":"fast","resources":{"requests":{"storage":"1Gi"}}}})")) ==
      "count/persistentvolumeclaims=1,fast.storageclass.storage.k8s.io/persistentvolumeclaims=1,"
      "fast.storageclass.storage.k8s.io/requests.storage=1Gi,persistentvolumeclaims=1,requests.storage=1Gi");
  CHECK(text("secrets", json("{}")) == "count/secrets=1,secrets=1");
  CHECK(quota::text(quota::usage({"apps", "deployments"}, json("{}"), clock.now())) ==
        "count/deployments.apps=1");
}

TEST_CASE("a lost race is tried again") {
  QuotaStore store;
  base::FakeClock clock;
  store.put("a", R"({"pods":"5"})");
  store.put("b", R"({"pods":"5"})");
  store.conflicts = 3;
  auto plugin = make_resource_quota(store, store.writer(), clock);
  CHECK(create_pod(pod_with())->run(*plugin).empty());
  CHECK(store.used("a", "pods") == "1");
  CHECK(store.used("b", "pods") == "1");
  store.conflicts = 1000;
  auto never = create_pod(pod_with());
  CHECK(never->run(*plugin) == "changed");
  CHECK(never->code() == base::Code::kConflict);
}

TEST_CASE("many at once never exceed a quota, also from two servers") {
  QuotaStore store;
  base::FakeClock clock;
  store.put("q", R"({"pods":"50"})");
  auto one = make_resource_quota(store, store.writer(), clock);
  auto two = make_resource_quota(store, store.writer(), clock);
  std::atomic<int> admitted = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 20; ++i) {
        auto r = create_pod(pod_with());
        std::string said = "changed";
        while (said == "changed") said = r->run(t % 2 == 0 ? *one : *two);
        if (said.empty()) ++admitted;
      }
    });
  }
  for (std::thread& t : threads) t.join();
  CHECK(admitted == 50);
  CHECK(store.used("q", "pods") == "50");
}
