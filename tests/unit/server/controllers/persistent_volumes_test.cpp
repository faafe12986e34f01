#include "server/controllers/persistent_volumes.h"

#include "tests/unit/server/controllers/fixture.h"

namespace orch::testing {
namespace {

using server::Controller;

const client::ResourceRef kClaims{"", "v1", "persistentvolumeclaims"};
const client::ResourceRef kVolumes{"", "v1", "persistentvolumes"};
const client::ResourceRef kClasses{"storage.k8s.io", "v1", "storageclasses"};

/// Claim ns/c and volumes, planned for until nothing changes any more.
struct Cluster {
  MapView view;
  std::vector<std::string> notes;

  void claim(const char* text) {
    Json tree = json(text);
    tree["kind"] = "PersistentVolumeClaim";
    tree["metadata"]["name"] = "c";
    tree["spec"]["accessModes"] = {"ReadWriteOnce"};
    tree["spec"]["resources"]["requests"]["storage"] = "2Gi";
    view.put(kClaims, tree);
  }
  void volume(const char* name, const char* text, const char* size = "2Gi") {
    Json tree = json(text);
    tree["kind"] = "PersistentVolume";
    tree["metadata"]["name"] = name;
    tree["metadata"]["namespace"] = "";
    tree["spec"]["accessModes"] = {"ReadWriteOnce"};
    tree["spec"]["capacity"]["storage"] = size;
    view.put(kVolumes, tree);
  }
  void cls(const char* mode, const char* provisioner = "csi.example.com") {
    view.put(kClasses, {{"kind", "StorageClass"},
                        {"metadata", {{"name", "sc"}, {"namespace", ""}}},
                        {"provisioner", provisioner},
                        {"volumeBindingMode", mode}});
  }
  void settle() {
    const Controller binder = server::make_volume_binder_controller(),
                     phases = server::make_volume_phase_controller();
    for (bool changed = true; changed;) {
      changed = false;
      auto run = [&](const Controller& c, const server::Key& key) {
        Plan plan = c.plan(view, key, kNow);
        for (const auto& n : plan.notes) {
          if (std::find(notes.begin(), notes.end(), n.reason) == notes.end()) notes.push_back(n.reason);
        }
        changed |= !plan.writes.empty();
        view.apply(plan);
      };
      for (const auto& v : view.list(kVolumes, "")) run(phases, {"", std::string(v->name())});
      run(binder, {"ns", "c"});
    }
  }
  std::string claim_state() const {
    const auto c = view.get(kClaims, "ns", "c");
    if (c == nullptr) return "gone";
    const Json tree = c->tree();
    return base::cat(base::string_at(tree, {"status", "phase"}), " ",
                     base::string_at(tree, {"spec", "volumeName"}));
  }
  std::string volume_state(const char* name) const {
    const Json tree = view.get(kVolumes, "", name)->tree();
    return base::cat(base::string_at(tree, {"status", "phase"}), " ",
                     base::string_at(tree, {"spec", "claimRef", "name"}));
  }
};

TEST_CASE("a claim gets the smallest volume that does, and both know it") {
  Cluster c;
  c.claim("{}");
  c.volume("big", "{}", "9Gi");
  c.volume("small", "{}", "1Gi");
  c.volume("fitting", "{}", "3Gi");
  c.settle();
  CHECK(c.claim_state() == "Bound fitting");
  CHECK(c.volume_state("fitting") == "Bound c");
  CHECK(c.volume_state("big") == "Available ");
  const Json claim = c.view.get(kClaims, "ns", "c")->tree();
  CHECK(base::string_at(claim, {"metadata", "annotations", "pv.kubernetes.io/bind-completed"}) == "yes");
  CHECK(base::string_at(claim, {"status", "capacity", "storage"}) == "3Gi");
  CHECK(base::string_at(c.view.get(kVolumes, "", "fitting")->tree(),
                        {"metadata", "annotations", "pv.kubernetes.io/bound-by-controller"}) == "yes");
}

TEST_CASE("a claim that waits") {
  Cluster c;
  c.claim(R"({"spec":{"storageClassName":"sc"}})");
  SECTION("for a class") {
    c.settle();
    CHECK(c.claim_state() == "Pending ");
    CHECK(c.notes == std::vector<std::string>{"ProvisioningFailed"});
  }
  SECTION("for its first pod") {
    c.cls("WaitForFirstConsumer");
    c.volume("v", R"({"spec":{"storageClassName":"sc"}})");
    c.settle();
    CHECK(c.claim_state() == "Pending ");
    CHECK(c.notes == std::vector<std::string>{"WaitForFirstConsumer"});
    // The scheduler chose.
    c.volume("v",
             R"({"spec":{"storageClassName":"sc","claimRef":{"namespace":"ns","name":"c","uid":"uid-c"}}})");
    c.settle();
    CHECK(c.claim_state() == "Bound v");
    CHECK(c.volume_state("v") == "Bound c");
  }
  SECTION("for its provisioner") {
    c.cls("Immediate");
    c.settle();
    CHECK(c.claim_state() == "Pending ");
    CHECK(c.notes == std::vector<std::string>{"ExternalProvisioning"});
    CHECK(base::string_at(c.view.get(kClaims, "ns", "c")->tree(),
                          {"metadata", "annotations", "volume.kubernetes.io/storage-provisioner"}) ==
          "csi.example.com");
    c.volume("made",
             R"({"spec":{"storageClassName":"sc","claimRef":{"namespace":"ns","name":"c","uid":"uid-c"}}})");
    c.settle();
    CHECK(c.claim_state() == "Bound made");
  }
}

TEST_CASE("a claim that names its volume") {
  Cluster c;
  c.claim(R"({"spec":{"volumeName":"v"}})");
  SECTION("gets it") {
    c.volume("v", "{}");
    c.settle();
    CHECK(c.claim_state() == "Bound v");
  }
  SECTION("not when it is too small") {
    c.volume("v", "{}", "1Gi");
    c.settle();
    CHECK(c.claim_state() == "Pending v");
    CHECK(c.notes == std::vector<std::string>{"VolumeMismatch"});
  }
  SECTION("not when it is somebody else's") {
    c.volume("v", R"({"spec":{"claimRef":{"namespace":"ns","name":"d","uid":"uid-d"}}})");
    c.settle();
    CHECK(c.claim_state() == "Pending v");
    CHECK(c.volume_state("v") == "Released d");
  }
}

TEST_CASE("what is left when one of both goes") {
  Cluster c;
  c.claim("{}");
  c.volume("v", "{}");
  c.settle();
  REQUIRE(c.claim_state() == "Bound v");
  SECTION("the claim: its volume is released, not given to another") {
    c.view.drop(kClaims, "ns", "c");
    c.settle();
    CHECK(c.volume_state("v") == "Released c");
  }
  SECTION("the volume: the claim is lost") {
    c.view.drop(kVolumes, "", "v");
    c.settle();
    CHECK(c.claim_state() == "Lost v");
    CHECK(c.notes == std::vector<std::string>{"ClaimLost"});
  }
}

TEST_CASE("a volume that was bound to a claim with another one is free again") {
  Cluster c;
  c.claim("{}");
  c.volume("a", "{}");
  c.settle();
  REQUIRE(c.claim_state() == "Bound a");
  c.volume("b", R"({"metadata":{"annotations":{"pv.kubernetes.io/bound-by-controller":"yes"}},
                    "spec":{"claimRef":{"namespace":"ns","name":"c","uid":"uid-c"}}})");
  c.volume("own", R"({"spec":{"claimRef":{"namespace":"ns","name":"c","uid":"uid-c"}}})");
  c.settle();
  CHECK(c.volume_state("b") == "Available ");
  CHECK(c.volume_state("own") == "Available c");
}

}  // namespace
}  // namespace orch::testing
