// The whole scheduler with its thread and writers, over an API in memory.
#include "server/scheduler/scheduler.h"

#include <thread>

#include "client/informer.h"
#include "server/scheduler/plugins/all.h"
#include "tests/fake_api.h"
#include "tests/unit/server/scheduler/fixture.h"

namespace orch::testing {
namespace {

using namespace server::scheduler;

const client::ResourceRef kPods{"", "v1", "pods"};
const client::ResourceRef kNodes{"", "v1", "nodes"};
const client::ResourceRef kClaims{"", "v1", "persistentvolumeclaims"};
const client::ResourceRef kVolumes{"", "v1", "persistentvolumes"};
const client::ResourceRef kClasses{"storage.k8s.io", "v1", "storageclasses"};

/// Writes are what they say; strategic merges replace lists, and bindings set the node.
class Api final : public tests::FakeApi {
 public:
  base::Result<api::ObjectPtr> create(const client::ResourceRef& r, std::string_view ns,
                                      const Json& object) override {
    Json tree = object;
    if (base::string_at(tree, {"metadata", "name"}).empty()) tree["metadata"]["name"] = "generated";
    put(r, tree);
    return get(r, ns, base::string_at(tree, {"metadata", "name"}));
  }
  base::Result<api::ObjectPtr> update(const client::ResourceRef& r, std::string_view ns, const Json& object,
                                      std::string_view) override {
    put(r, object);
    return get(r, ns, base::string_at(object, {"metadata", "name"}));
  }
  base::Result<api::ObjectPtr> patch(const client::ResourceRef& r, std::string_view ns, std::string_view name,
                                     client::PatchType, const Json& patch, std::string_view) override {
    auto object = get(r, ns, name);
    if (!object.ok()) return object;
    Json tree = (*object)->tree();
    tree.merge_patch(patch);
    put(r, tree);
    return get(r, ns, name);
  }
  base::Result<Json> post(const client::ResourceRef& r, std::string_view ns, std::string_view name,
                          std::string_view, const Json& body) override {
    auto object = get(r, ns, name);
    if (!object.ok()) return object.error();
    Json tree = (*object)->tree();
    tree["spec"]["nodeName"] = body["target"]["name"];
    put(r, tree);
    return Json::object();
  }
};

struct Control {
  Api api;
  std::unique_ptr<base::Timers> timers = base::make_timers();
  base::SystemClock clock;
  base::Metrics metrics;
  std::unique_ptr<client::InformerFactory> informers =
      std::make_unique<client::InformerFactory>(api, *timers);
  std::unique_ptr<Scheduler> scheduler;

  Control() {
    SchedulerOptions options;
    options.profiles.push_back(default_profile());
    scheduler = std::make_unique<Scheduler>(api, *informers, clock, metrics, std::move(options));
    informers->start();
    REQUIRE(informers->wait_synced(std::chrono::seconds(10)));
    scheduler->start();
  }
  ~Control() {
    informers->stop();
    scheduler.reset();
  }

  void node(const char* name, const char* cpu = "4") {
    api.put(kNodes,
            {{"kind", "Node"},
             {"apiVersion", "v1"},
             {"metadata", {{"name", name}, {"uid", name}, {"labels", {{"kubernetes.io/hostname", name}}}}},
             {"status", {{"allocatable", {{"cpu", cpu}, {"memory", "8Gi"}, {"pods", "110"}}}}}});
  }
  void pod(const char* name, const char* cpu, const Json& more = Json::object()) {
    Json tree = {
        {"kind", "Pod"},
        {"apiVersion", "v1"},
        {"metadata", {{"name", name}, {"namespace", "ns"}, {"uid", name}, {"generation", 1}}},
        {"spec",
         {{"schedulerName", "default-scheduler"},
          {"containers", Json::array({{{"name", "c"}, {"resources", {{"requests", {{"cpu", cpu}}}}}}})}}},
        {"status", {{"phase", "Pending"}}}};
    tree.merge_patch(more);
    api.put(kPods, tree);
  }
  /// The pod's node, or why it has none; "?" while nothing is known.
  std::string state(const char* name) {
    auto object = api.get(kPods, "ns", name);
    if (!object.ok()) return "gone";
    const Json tree = (*object)->tree();
    if (const auto node = base::string_at(tree, {"spec", "nodeName"}); !node.empty())
      return std::string(node);
    const Json& conditions = base::array_at(tree, {"status", "conditions"});
    return conditions.empty() ? "?" : std::string(base::string_at(conditions[0], {"message"}));
  }
  bool becomes(const std::function<bool()>& holds) {
    for (int i = 0; i < 1000; ++i) {
      if (holds()) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return false;
  }
  void expect(const char* name, const std::string& wanted) {
    becomes([&] { return state(name) == wanted; });
    CHECK(state(name) == wanted);
  }
};

TEST_CASE("a pod waits for its first node") {
  Control c;
  c.pod("p", "1");
  c.expect("p", "no nodes available to schedule pods");
  c.node("a");
  c.expect("p", "a");
}

TEST_CASE("a pod that wants to be alone waits until the other one goes") {
  const Json alone = json(
      R"({"metadata":{"labels":{"app":"x"}},"spec":{"affinity":{"podAntiAffinity":{
          "requiredDuringSchedulingIgnoredDuringExecution":[{"topologyKey":"kubernetes.io/hostname",
          "labelSelector":{"matchLabels":{"app":"x"}}}]}}}})");
  Control c;
  c.node("a");
  c.pod("p", "1", alone);
  c.expect("p", "a");
  c.pod("q", "1", alone);
  c.expect(
      "q",
      "0/1 nodes are available: 1 node(s) didn't match pod anti-affinity rules. no new claims to deallocate, "
      "preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod.");
  c.api.erase(kPods, "ns", "p");
  c.expect("q", "a");
}

TEST_CASE("a more important pod takes the place of another") {
  Control c;
  c.node("a");
  c.pod("low", "3");
  c.expect("low", "a");
  c.pod("high", "3", {{"spec", {{"priority", 10}}}});
  c.expect("high", "a");
  CHECK(c.state("low") == "gone");
}

TEST_CASE("pods of other schedulers and with gates are left alone") {
  Control c;
  c.node("a");
  c.pod("other", "1", {{"spec", {{"schedulerName", "other"}}}});
  c.pod("gated", "1", json(R"({"spec":{"schedulingGates":[{"name":"g"}]}})"));
  c.pod("p", "1");
  c.expect("p", "a");
  CHECK(c.state("other") == "?");
  CHECK(c.state("gated") == "?");
  c.pod("gated", "1", json(R"({"metadata":{"generation":2}})"));
  c.expect("gated", "a");
}

TEST_CASE("a claim that waits for its pod gets a volume before the pod is bound") {
  Control c;
  c.node("a");
  c.node("b");
  c.api.put(kClasses,
            json(R"({"kind":"StorageClass","apiVersion":"storage.k8s.io/v1","metadata":{"name":"sc"},
      "provisioner":"kubernetes.io/no-provisioner","volumeBindingMode":"WaitForFirstConsumer"})"));
  c.api.put(kVolumes, json(R"({"kind":"PersistentVolume","apiVersion":"v1","metadata":{"name":"v","uid":"v"},
      "spec":{"storageClassName":"sc","capacity":{"storage":"1Gi"},"accessModes":["ReadWriteOnce"],
      "nodeAffinity":{"required":{"nodeSelectorTerms":[{"matchExpressions":[
      {"key":"kubernetes.io/hostname","operator":"In","values":["b"]}]}]}}},"status":{"phase":"Available"}})"));
  Json claim = json(R"({"kind":"PersistentVolumeClaim","apiVersion":"v1",
      "metadata":{"name":"c","namespace":"ns","uid":"c"},
      "spec":{"storageClassName":"sc","resources":{"requests":{"storage":"1Gi"}},"accessModes":["ReadWriteOnce"]}})");
  c.api.put(kClaims, claim);
  c.pod("p", "1", json(R"({"spec":{"volumes":[{"name":"v","persistentVolumeClaim":{"claimName":"c"}}]}})"));
  REQUIRE(c.becomes([&] {
    return base::string_at((*c.api.get(kVolumes, "", "v"))->tree(), {"spec", "claimRef", "uid"}) == "c";
  }));
  CHECK(c.state("p") == "?");
  // The volume controller's part.
  claim["spec"]["volumeName"] = "v";
  claim["metadata"]["annotations"]["pv.kubernetes.io/bind-completed"] = "yes";
  claim["status"]["phase"] = "Bound";
  c.api.put(kClaims, claim);
  c.expect("p", "b");
}

TEST_CASE("a pod's claim of devices is written before it is bound, and a second pod waits for the devices") {
  const client::ResourceRef claims{"resource.k8s.io", "v1", "resourceclaims"},
      slices{"resource.k8s.io", "v1", "resourceslices"}, classes{"resource.k8s.io", "v1", "deviceclasses"};
  Control c;
  c.node("n1");
  c.api.put(classes, json(R"({"apiVersion":"resource.k8s.io/v1","kind":"DeviceClass",
      "metadata":{"name":"gpu","uid":"gpu"},"spec":{}})"));
  const auto want = [](const char* claim) {
    return Json{{"spec", {{"resourceClaims", Json::array({{{"name", "x"}, {"resourceClaimName", claim}}})}}}};
  };
  const auto put_claim = [&](const char* name) {
    Json tree =
        json(R"({"apiVersion":"resource.k8s.io/v1","kind":"ResourceClaim","metadata":{"namespace":"ns"},
        "spec":{"devices":{"requests":[{"name":"r","exactly":
          {"deviceClassName":"gpu","allocationMode":"ExactCount","count":1}}]}}})");
    tree["metadata"]["name"] = tree["metadata"]["uid"] = name;
    c.api.put(claims, tree);
  };
  // Held until its claim exists, without a word.
  c.pod("a", "1", want("ca"));
  c.pod("other", "1");
  CHECK(c.becomes([&] { return c.state("other") == "n1"; }));
  CHECK(c.state("a") == "?");
  put_claim("ca");
  CHECK(c.becomes([&] {
    return c.state("a") ==
           "0/1 nodes are available: 1 cannot allocate all claims. still not schedulable, preemption: 0/1 "
           "nodes "
           "are available: 1 Preemption is not helpful for scheduling.";
  }));
  c.api.put(slices, json(R"({"apiVersion":"resource.k8s.io/v1","kind":"ResourceSlice",
      "metadata":{"name":"s","uid":"s"},"spec":{"driver":"d.example.com","nodeName":"n1",
        "pool":{"name":"n1","generation":1,"resourceSliceCount":1},"devices":[{"name":"d0"}]}})"));
  CHECK(c.becomes([&] { return c.state("a") == "n1"; }));
  Json written = (*c.api.get(claims, "ns", "ca"))->tree();
  CHECK(written["metadata"]["finalizers"] == Json::array({"resource.kubernetes.io/delete-protection"}));
  CHECK(written["status"]["allocation"]["devices"]["results"][0]["device"] == "d0");
  CHECK(written["status"]["reservedFor"] == json(R"([{"resource":"pods","name":"a","uid":"a"}])"));

  put_claim("cb");
  c.pod("b", "1", want("cb"));
  CHECK(c.becomes([&] { return c.state("b").find("1 cannot allocate all claims") != std::string::npos; }));
  written["status"] = Json::object();
  c.api.put(claims, written);
  CHECK(c.becomes([&] { return c.state("b") == "n1"; }));
}

}  // namespace
}  // namespace orch::testing
