#include "agent/kubelet/admit.h"

#include "base/json.h"
#include "tests/catch.h"

namespace orch::agent {
namespace {

/// An object of values: name and uid, and the rest as given.
api::ObjectPtr object(const char* kind, const std::string& name, const Json& rest) {
  Json tree{{"kind", kind}, {"apiVersion", "v1"}, {"metadata", {{"name", name}, {"uid", name}}}};
  if (rest.is_object()) tree.merge_patch(rest);
  auto made = api::Object::from_tree(tree);
  REQUIRE(made.ok());
  return *made;
}

Json container(const Json& requests = Json::object(), const Json& ports = Json::array()) {
  return {{"name", "c"}, {"image", "i"}, {"resources", {{"requests", requests}}}, {"ports", ports}};
}

Json with(const Json& c) { return {{"spec", {{"containers", Json::array({c})}}}}; }

/// 2 cores, 4 GiB, 10 pods, one fake device of two in use; port 80 of 10.0.0.1 and 53/UDP taken.
api::NodeInfo node(const Json& rest = Json::object()) {
  Json tree{{"metadata", {{"labels", {{"kubernetes.io/os", "linux"}, {"disk", "ssd"}, {"cores", "4"}}}}},
            {"status",
             {{"allocatable",
               {{"cpu", "2"},
                {"memory", "4Gi"},
                {"ephemeral-storage", "10Gi"},
                {"pods", "3"},
                {"example.com/device", "2"}}}}}};
  if (rest.is_object()) tree.merge_patch(rest);
  api::NodeInfo out;
  out.set_node(object("Node", "n1", tree));
  out.add_pod(
      api::read_pod(object("Pod", "there",
                           with(container({{"cpu", "1500m"}, {"memory", "1Gi"}, {"example.com/device", "1"}},
                                          Json::array({{{"hostPort", 80}, {"hostIP", "10.0.0.1"}},
                                                       {{"hostPort", 53}, {"protocol", "UDP"}}}))))));
  return out;
}

std::string verdict(const Json& pod, const Json& node_rest = Json::object(), std::string* message = nullptr) {
  const api::ObjectPtr made = object("Pod", "new", pod);
  const Json tree = made->tree();
  const auto why = rejection(Pod(tree), *api::read_pod(made), node(node_rest));
  if (!why) return "";
  if (message != nullptr) *message = why->message;
  return why->reason;
}

Json affinity(const Json& expression, const char* list = "matchExpressions") {
  return {{"spec",
           {{"affinity",
             {{"nodeAffinity",
               {{"requiredDuringSchedulingIgnoredDuringExecution",
                 {{"nodeSelectorTerms", Json::array({{{list, Json::array({expression})}}})}}}}}}}}}};
}

TEST_CASE("a node takes a pod that fits") {
  CHECK(verdict(Json::object()).empty());
  CHECK(verdict(with(container({{"cpu", "500m"}, {"memory", "3Gi"}, {"example.com/device", "1"}}))).empty());
}

TEST_CASE("a node refuses what it has not enough of") {
  std::string message;
  CHECK(verdict(with(container({{"cpu", "501m"}})), {}, &message) == "OutOfcpu");
  CHECK(message == "Node didn't have enough resource: cpu, requested: 501, used: 1500, capacity: 2000");
  CHECK(verdict(with(container({{"memory", "3073Mi"}})), {}, &message) == "OutOfmemory");
  CHECK(message ==
        "Node didn't have enough resource: memory, requested: 3222274048, used: 1073741824, capacity: "
        "4294967296");
  CHECK(verdict(with(container({{"ephemeral-storage", "11Gi"}}))) == "OutOfephemeral-storage");
  CHECK(verdict(with(container({{"example.com/device", "2"}}))) == "OutOfexample.com/device");
  CHECK(verdict(with(container({{"hugepages-2Mi", "2Mi"}}))) == "OutOfhugepages-2Mi");
  // Nobody on the node announces it: then it is the cluster's to give.
  CHECK(verdict(with(container({{"example.com/other", "2"}}))).empty());
  CHECK(verdict(Json::object(), {{"status", {{"allocatable", {{"pods", "1"}}}}}}, &message) == "OutOfpods");
  CHECK(message == "Node didn't have enough resource: pods, requested: 1, used: 1, capacity: 1");
}

TEST_CASE("a node refuses pods that chose another") {
  std::string message;
  CHECK(verdict({{"spec", {{"nodeSelector", {{"disk", "ssd"}}}}}}).empty());
  CHECK(verdict({{"spec", {{"nodeSelector", {{"disk", "hdd"}}}}}}, {}, &message) == "NodeAffinity");
  CHECK(message == "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector");
  struct Row {
    Json expression;
    bool fits;
  };
  const std::vector<Row> rows{{{{"key", "disk"}, {"operator", "In"}, {"values", {"hdd", "ssd"}}}, true},
                              {{{"key", "disk"}, {"operator", "NotIn"}, {"values", {"ssd"}}}, false},
                              {{{"key", "disk"}, {"operator", "Exists"}}, true},
                              {{{"key", "gpu"}, {"operator", "Exists"}}, false},
                              {{{"key", "gpu"}, {"operator", "DoesNotExist"}}, true},
                              {{{"key", "cores"}, {"operator", "Gt"}, {"values", {"3"}}}, true},
                              {{{"key", "cores"}, {"operator", "Lt"}, {"values", {"4"}}}, false}};
  for (const Row& row : rows) {
    INFO(row.expression.dump());
    CHECK(verdict(affinity(row.expression)).empty() == row.fits);
  }
  const Json name{{"key", "metadata.name"}, {"operator", "In"}, {"values", {"n2"}}};
  CHECK(verdict(affinity(name, "matchFields")) == "NodeAffinity");
}

TEST_CASE("a node refuses host ports that are taken") {
  std::string message;
  const auto port = [](const Json& p) { return with(container(Json::object(), Json::array({p}))); };
  CHECK(verdict(port({{"hostPort", 80}, {"hostIP", "10.0.0.2"}})).empty());
  CHECK(verdict(port({{"hostPort", 80}}), {}, &message) == "NodePorts");
  CHECK(message == "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports");
  CHECK(verdict(port({{"hostPort", 53}})).empty());
  CHECK(verdict(port({{"hostPort", 53}, {"protocol", "UDP"}, {"hostIP", "10.0.0.9"}})) == "NodePorts");
}

TEST_CASE("a node refuses pods that do not tolerate its NoExecute taints") {
  const auto tainted = [](const char* effect) {
    return Json{{"spec", {{"taints", Json::array({{{"key", "k"}, {"value", "v"}, {"effect", effect}}})}}}};
  };
  std::string message;
  CHECK(verdict(Json::object(), tainted("NoSchedule")).empty());
  CHECK(verdict(Json::object(), tainted("NoExecute"), &message) == "TaintToleration");
  CHECK(message == "Predicate TaintToleration failed: node(s) had taints that the pod didn't tolerate");
  const auto tolerating = [](const Json& t) { return Json{{"spec", {{"tolerations", Json::array({t})}}}}; };
  CHECK(verdict(tolerating({{"operator", "Exists"}}), tainted("NoExecute")).empty());
  CHECK(verdict(tolerating({{"key", "k"}, {"value", "v"}}), tainted("NoExecute")).empty());
  CHECK(verdict(tolerating({{"key", "k"}, {"value", "w"}}), tainted("NoExecute")) == "TaintToleration");
  CHECK(verdict(tolerating({{"key", "k"}, {"operator", "Exists"}, {"effect", "NoSchedule"}}),
                tainted("NoExecute")) == "TaintToleration");
  const Json fixed{{"metadata", {{"annotations", {{"kubernetes.io/config.source", "file"}}}}}};
  CHECK(verdict(fixed, tainted("NoExecute")).empty());
}

TEST_CASE("a node refuses pods for another system before anything else") {
  std::string message;
  const Json label{{"metadata", {{"labels", {{"kubernetes.io/os", "windows"}}}}},
                   {"spec", {{"nodeSelector", {{"disk", "hdd"}}}}}};
  CHECK(verdict(label, {}, &message) == "PodOSSelectorNodeLabelDoesNotMatch");
  CHECK(message == "Failed to admit pod as the `kubernetes.io/os` label doesn't match node label");
  CHECK(verdict({{"metadata", {{"labels", {{"kubernetes.io/os", "linux"}}}}}}).empty());
  CHECK(verdict({{"spec", {{"os", {{"name", "linux"}}}}}}).empty());
  CHECK(verdict({{"spec", {{"os", {{"name", "windows"}}}}}}, {}, &message) == "PodOSNotSupported");
  CHECK(message == "Failed to admit pod as the OS field doesn't match node OS");
  const Json strict{{"spec", {{"securityContext", {{"supplementalGroupsPolicy", "Strict"}}}}}};
  CHECK(verdict(strict, {}, &message) == "SupplementalGroupsPolicyNotSupported");
  CHECK(message == "SupplementalGroupsPolicy=Strict is not supported in this node");
  CHECK(verdict(strict, {{"status", {{"features", {{"supplementalGroupsPolicy", true}}}}}}).empty());
}

/// A candidate to be sent away, with its requests.
Preemptible candidate(const char* uid, QosClass qos, const Json& requests, int64_t priority = 0,
                      bool critical = false) {
  return {uid, critical, priority, qos, api::read_pod(object("Pod", uid, with(container(requests))))};
}

TEST_CASE("a critical pod pushes away as few and as unimportant pods as possible") {
  using Q = QosClass;
  const Json critical{{"spec", {{"priority", 2000000000}}}};
  const std::vector<Preemptible> others{
      candidate("best", Q::kBestEffort, {}),
      candidate("small", Q::kBurstable, {{"cpu", "100m"}, {"memory", "100Mi"}}),
      candidate("middle", Q::kBurstable, {{"cpu", "300m"}, {"memory", "300Mi"}}),
      candidate("large", Q::kBurstable, {{"cpu", "1"}, {"memory", "1Gi"}}),
      candidate("sure", Q::kGuaranteed, {{"cpu", "1"}, {"memory", "1Gi"}}),
      candidate("system", Q::kGuaranteed, {{"cpu", "9"}, {"memory", "9Gi"}}, 2000001000, true)};
  const auto chosen = [&](const std::vector<api::Shortage>& missing) {
    const auto uids = pods_to_preempt(Pod(critical), others, missing);
    if (!uids.ok()) return uids.error().message();
    std::string out;
    for (const std::string& uid : *uids) out += uid + " ";
    return out;
  };
  CHECK(chosen({{"pods", 1, 5, 5}}) == "best ");
  CHECK(chosen({{"cpu", 50, 2000, 2000}}) == "small ");
  CHECK(chosen({{"cpu", 200, 1900, 2000}}) == "small ");
  CHECK(chosen({{"cpu", 250, 2000, 2000}}) == "middle ");
  CHECK(chosen({{"cpu", 1200, 2000, 2000}}) == "large middle ");
  CHECK(chosen({{"cpu", 2000, 2000, 2000}}) == "large sure ");
  CHECK(chosen({{"cpu", 1500, 2000, 2000}, {"memory", 1LL << 20, 4LL << 30, 4LL << 30}}) == "large sure ");
  CHECK(chosen({{"cpu", 9000, 2000, 2000}}) ==
        "preemption: error finding a set of pods to preempt: no set of running pods found to reclaim "
        "resources: [(res: cpu, q: 6600), ]");
}

TEST_CASE("which pods are critical, and what they lack") {
  const auto critical = [](const Json& tree) { return is_critical(Pod(tree)); };
  CHECK(critical({{"spec", {{"priority", 2000000000}}}}));
  CHECK_FALSE(critical({{"spec", {{"priority", 1999999999}}}}));
  CHECK(critical({{"metadata", {{"annotations", {{"kubernetes.io/config.source", "file"}}}}}}));
  CHECK(critical({{"metadata", {{"annotations", {{"kubernetes.io/config.mirror", "x"}}}}}}));
  CHECK_FALSE(critical(Json::object()));

  Json tree = with(container({{"cpu", "1"}}));
  tree["spec"]["priority"] = 2000000000;
  const auto lacks = [&](const Json& pod) {
    const api::ObjectPtr made = object("Pod", "new", pod);
    return only_short_of(Pod(made->tree()), *api::read_pod(made), node()).size();
  };
  CHECK(lacks(tree) == 1);
  // A pod that belongs elsewhere is not worth sending others away for.
  tree["spec"]["nodeSelector"] = {{"disk", "hdd"}};
  CHECK(lacks(tree) == 0);
  CHECK(verdict(tree) == "NodeAffinity");
  tree["spec"]["priority"] = 0;
  CHECK(verdict(tree) == "OutOfcpu");
}

}  // namespace
}  // namespace orch::agent
