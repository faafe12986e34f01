// VolumeRestrictions, NodeVolumeLimits, VolumeBinding, VolumeZone.
#include <algorithm>

#include "server/scheduler/plugins/all.h"
#include "tests/unit/server/scheduler/fixture.h"

namespace orch::testing {
namespace {

using namespace server::scheduler;

/// A pod of namespace "ns" with these volumes (JSON of their sources).
PodPtr with(const std::string& name, const std::vector<const char*>& sources) {
  Json volumes = Json::array();
  for (const char* source : sources) {
    Json v = json(source);
    v["name"] = base::cat("v", volumes.size());
    volumes.push_back(std::move(v));
  }
  return pod(name, "", {{"spec", {{"volumes", volumes}}}});
}

constexpr const char* kClaim = R"({"persistentVolumeClaim":{"claimName":"c"}})";

struct Stored {
  FakeObjects objects;
  void add(Kind kind, const char* kind_name, const std::string& name, const std::string& text) {
    Json tree = json(text);
    if (kind == Kind::kClaim) tree["metadata"]["namespace"] = "ns";
    objects.add(kind, object(kind_name, name, tree));
  }
  void claim(const std::string& text) { add(Kind::kClaim, "PersistentVolumeClaim", "c", text); }
  void volume(const std::string& name, const std::string& text) {
    add(Kind::kVolume, "PersistentVolume", name, text);
  }
  void cls(const std::string& text) { add(Kind::kStorageClass, "StorageClass", "sc", text); }
};

const std::string kBound =
    R"({"metadata":{"annotations":{"pv.kubernetes.io/bind-completed":"yes"}},
        "spec":{"volumeName":"v","accessModes":["ReadWriteOnce"]},"status":{"phase":"Bound"}})";
const std::string kWaits =
    R"({"spec":{"storageClassName":"sc","accessModes":["ReadWriteOnce"],"resources":{"requests":{"storage":"2Gi"}}}})";
const std::string kLate = R"({"provisioner":"csi.example.com","volumeBindingMode":"WaitForFirstConsumer"})";
const std::string kNone =
    R"({"provisioner":"kubernetes.io/no-provisioner","volumeBindingMode":"WaitForFirstConsumer"})";

std::string free_volume(const char* size, const char* host, const char* more = "{}") {
  Json tree = json(more);
  tree["spec"].merge_patch(
      {{"storageClassName", "sc"}, {"capacity", {{"storage", size}}}, {"accessModes", {"ReadWriteOnce"}}});
  tree["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"] = Json::array(
      {{{"matchExpressions",
         Json::array({{{"key", "kubernetes.io/hostname"}, {"operator", "In"}, {"values", {host}}}})}}});
  tree["status"]["phase"] = "Available";
  return tree.dump();
}

/// "a" or "b" or what is wrong; nodes a and b are in zones 1 and 2.
std::string place(const PodPtr& p, const FakeObjects& objects, const std::vector<PodPtr>& on_a = {}) {
  auto zoned = [](const char* name, const char* zone, const std::vector<PodPtr>& pods) {
    return node(name, {{"metadata", {{"labels", {{"topology.kubernetes.io/zone", zone}}}}}}, pods);
  };
  const World world({zoned("a", "1", on_a), zoned("b", "2", {})}, objects);
  const Profile profile = default_profile();
  const std::vector<std::unique_ptr<Extender>> none;
  Outcome out = decide(profile, none, *p, world.cluster(), {}, 0);
  return out.node != nullptr ? out.node->name : out.message;
}

TEST_CASE("claims that are bound, and their volumes") {
  struct Case {
    const char* what;
    std::string claim, volume, expect;
  };
  const std::vector<Case> cases = {
      {"a volume of one node", kBound, free_volume("1Gi", "b"), "b"},
      {"one nobody reaches", kBound, free_volume("1Gi", "x"),
       "0/2 nodes are available: 2 node(s) didn't match PersistentVolume's node affinity."},
      {"one that is gone", kBound, "", "0/2 nodes are available: persistentvolume \"v\" not found."},
      {"a zone", kBound, R"({"metadata":{"labels":{"topology.kubernetes.io/zone":"2"}}})", "b"},
      {"a zone nobody is in", kBound,
       R"({"metadata":{"labels":{"failure-domain.beta.kubernetes.io/zone":"3"}}})",
       "0/2 nodes are available: 2 node(s) had no available volume zone."},
      {"several zones", kBound, R"({"metadata":{"labels":{"topology.kubernetes.io/zone":"3__2"}}})", "b"},
      {"no claim", "", "", "0/2 nodes are available: persistentvolumeclaim \"c\" not found."},
      {"a claim that lost its volume", R"({"spec":{"volumeName":"v"},"status":{"phase":"Lost"}})", "{}",
       "0/2 nodes are available: persistentvolumeclaim \"c\" bound to non-existent persistentvolume \"v\"."},
      {"not bound yet", R"({"spec":{"storageClassName":"now"}})", "",
       "0/2 nodes are available: pod has unbound immediate PersistentVolumeClaims."},
  };
  for (const auto& c : cases) {
    INFO(c.what);
    Stored s;
    if (!c.claim.empty()) s.claim(c.claim);
    if (!c.volume.empty()) s.volume("v", c.volume);
    CHECK(place(with("p", {kClaim}), s.objects) == c.expect);
  }
}

/// What is planned for the pod on the node, as text.
std::string plan_on(const PodPtr& p, const char* node_name, const FakeObjects& objects) {
  const World world({node("a"), node("b")}, objects);
  VolumePlan plan = make_volume_binding()->volumes(*p, *find_node(world.nodes(), node_name), world.cluster());
  std::string out;
  for (const auto& m : plan.matches) out += base::cat(m.claim, "=", m.volume, " ");
  for (const auto& claim : plan.provisions) out += base::cat(claim, "=new ");
  return out;
}

TEST_CASE("claims that wait for their pod") {
  const PodPtr p = with("p", {kClaim});
  Stored s;
  s.claim(kWaits);
  SECTION("get the smallest volume that does") {
    s.cls(kNone);
    s.volume("small", free_volume("1Gi", "b"));
    s.volume("big", free_volume("9Gi", "b"));
    s.volume("fitting", free_volume("2Gi", "b"));
    CHECK(place(p, s.objects) == "b");
    CHECK(plan_on(p, "b", s.objects) == "c=fitting ");
  }
  SECTION("one that was reserved for them first") {
    s.cls(kNone);
    s.volume("own", free_volume("9Gi", "a", R"({"spec":{"claimRef":{"namespace":"ns","name":"c"}}})"));
    s.volume("other", free_volume("2Gi", "a"));
    CHECK(plan_on(p, "a", s.objects) == "c=own ");
  }
  SECTION("not somebody else's") {
    s.cls(kNone);
    s.volume("v", free_volume("9Gi", "a", R"({"spec":{"claimRef":{"namespace":"ns","name":"d"}}})"));
    CHECK(place(p, s.objects) ==
          "0/2 nodes are available: 2 node(s) didn't find available persistent volumes to bind.");
  }
  SECTION("a new one where the class allows it") {
    s.cls(
        R"({"provisioner":"csi.example.com","volumeBindingMode":"WaitForFirstConsumer","allowedTopologies":[
            {"matchLabelExpressions":[{"key":"topology.kubernetes.io/zone","values":["2"]}]}]})");
    CHECK(place(p, s.objects) == "b");
  }
  SECTION("a new one") {
    s.cls(kLate);
    CHECK(plan_on(p, "a", s.objects) == "c=new ");
  }
  SECTION("where there is room") {
    s.cls(kLate);
    s.add(Kind::kCsiDriver, "CSIDriver", "csi.example.com", R"({"spec":{"storageCapacity":true}})");
    s.add(
        Kind::kCsiCapacity, "CSIStorageCapacity", "k1",
        R"({"storageClassName":"sc","capacity":"1Gi","nodeTopology":{"matchLabels":{"kubernetes.io/hostname":"a"}}})");
    s.add(
        Kind::kCsiCapacity, "CSIStorageCapacity", "k2",
        R"({"storageClassName":"sc","capacity":"5Gi","nodeTopology":{"matchLabels":{"kubernetes.io/hostname":"b"}}})");
    CHECK(place(p, s.objects) == "b");
  }
}

TEST_CASE("a claim that was promised a node is made there") {
  Stored s;
  Json claim = json(kWaits);
  claim["metadata"]["annotations"]["volume.kubernetes.io/selected-node"] = "b";
  s.claim(claim.dump());
  s.cls(kLate);
  CHECK(place(with("p", {kClaim}), s.objects) == "b");
}

TEST_CASE("what was promised is not promised again") {
  Stored s;
  s.claim(kWaits);
  s.cls(kNone);
  s.volume("v", free_volume("2Gi", "a"));
  World world({node("a")}, s.objects);
  const PodPtr p = with("p", {kClaim});
  const auto plugin = make_volume_binding();
  auto fits = [&] {
    Reasons why;
    Prepared prepared = plugin->prepare(*p, world.cluster());
    return prepared.filter->filter(*world.nodes()[0], why) == Verdict::kFits;
  };
  CHECK(fits());
  Claim other;
  other.ns = "ns";
  other.name = other.uid = "d";
  world.storage().assume_volume("v", other);
  CHECK_FALSE(fits());
  world.storage().forget_volume("v");
  CHECK(fits());
}

TEST_CASE("disks that cannot be in two pods, and claims for one pod") {
  const char* disk = R"({"gcePersistentDisk":{"pdName":"d"}})";
  const char* read = R"({"gcePersistentDisk":{"pdName":"d","readOnly":true}})";
  const char* ebs = R"({"awsElasticBlockStore":{"volumeID":"d","readOnly":true}})";
  CHECK(place(with("p", {disk}), {}, {with("q", {disk})}) == "b");
  CHECK(place(with("p", {read}), {}, {with("q", {disk})}) == "b");
  CHECK(place(with("p", {read}), {}, {with("q", {read}), pod("r", "1")}) == "b");
  CHECK(place(with("p", {ebs}), {}, {with("q", {ebs})}) == "b");
  Stored s;
  Json claim = json(kBound);
  claim["spec"]["accessModes"] = {"ReadWriteOncePod"};
  s.claim(claim.dump());
  s.volume("v", "{}");
  CHECK(place(with("p", {kClaim}), s.objects, {with("q", {kClaim})}) ==
        "0/2 nodes are available: 2 node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod "
        "access "
        "mode already in-use by another pod.");
}

TEST_CASE("no more volumes than a driver can attach") {
  Stored s;
  s.claim(kBound);
  s.volume("v", R"({"spec":{"csi":{"driver":"csi.example.com","volumeHandle":"h"}}})");
  s.add(Kind::kCsiNode, "CSINode", "a",
        R"({"spec":{"drivers":[{"name":"csi.example.com","allocatable":{"count":0}}]}})");
  s.add(Kind::kCsiNode, "CSINode", "b",
        R"({"spec":{"drivers":[{"name":"csi.example.com","allocatable":{"count":1}}]}})");
  CHECK(place(with("p", {kClaim}), s.objects) == "b");
  // Attached there by somebody who is gone.
  s.volume("old", R"({"spec":{"csi":{"driver":"csi.example.com","volumeHandle":"h2"}}})");
  s.add(Kind::kAttachment, "VolumeAttachment", "x",
        R"({"spec":{"attacher":"csi.example.com","nodeName":"b","source":{"persistentVolumeName":"old"}}})");
  CHECK(place(with("p", {kClaim}), s.objects) ==
        "0/2 nodes are available: 2 node(s) exceed max volume count.");
}

}  // namespace
}  // namespace orch::testing
