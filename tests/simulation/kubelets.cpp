#include "tests/simulation/kubelets.h"

#include <algorithm>

#include "api/meta.h"
#include "server/controllers/pods.h"
#include "tests/simulation/truth.h"
#include "tests/simulation/world.h"

namespace orch::simulation {

using server::kLeases;
using server::kNodes;
using server::kPods;

namespace {

constexpr const char* kLeaseNamespace = "kube-node-lease";
constexpr std::chrono::seconds kHeartbeat{10};
/// Pods of Jobs end by themselves; what they do is in their label.
bool ends_by_itself(const Json& pod) { return base::string_at(pod, {"spec", "restartPolicy"}) == "Never"; }

}  // namespace

Kubelets::Kubelets(World& world) : world_(world), api_(world.api.client("kubelet")) {}
Kubelets::~Kubelets() = default;

void Kubelets::begin() {
  for (int64_t n = world_.random.between(2, 4); n > 0; --n) add(200 * world_.random.between(5, 15));
}

void Kubelets::add(int64_t milli_cpu) {
  const Acting as(world_, "kubelet");
  const std::string name = base::cat("node-", ++made_);
  const std::string cpu = std::to_string(milli_cpu) + "m";
  const Json resources = {{"cpu", cpu}, {"memory", "4Gi"}, {"pods", "110"}};
  (void)api_->create(kNodes, "",
                     {{"metadata", {{"name", name}, {"labels", {{"kubernetes.io/hostname", name}}}}},
                      {"status", {{"capacity", resources}, {"allocatable", resources}}}});
  nodes_.push_back({name, made_, true, {}, {}});
  renew(nodes_.back());
  tell_ready(nodes_.back());
}

void Kubelets::tell_ready(const Node& node) {
  const Json* object = world_.truth->find("nodes", node.name);
  if (object == nullptr || api::condition_is_true(*object, "Ready")) return;
  Json tree = *object;
  const Acting as(world_, "kubelet");
  api::set_condition(tree, {"Ready", "True", "KubeletReady", "kubelet is posting ready status"},
                     world_.clock.now());
  const Json patch = {{"status", {{"conditions", Json::array({*api::find_condition(tree, "Ready")})}}}};
  (void)api_->patch(kNodes, "", node.name, client::PatchType::kStrategic, patch, "status");
}

void Kubelets::renew(Node& node) {
  const Acting as(world_, "kubelet");
  node.renewed = world_.clock.mono();
  // Its time is not read by anybody but as a sign that it changed.
  const std::string time = base::format_micro_time(base::WallTime(
      std::chrono::duration_cast<std::chrono::microseconds>(world_.clock.mono().time_since_epoch())));
  const Json lease = {
      {"metadata", {{"name", node.name}, {"namespace", kLeaseNamespace}}},
      {"spec", {{"holderIdentity", node.name}, {"leaseDurationSeconds", 40}, {"renewTime", time}}}};
  if (!api_->update(kLeases, kLeaseNamespace, lease).ok())
    (void)api_->create(kLeases, kLeaseNamespace, lease);
}

void Kubelets::heartbeats() {
  if (!world_.weather.nodes_fail) return;
  for (Node& node : nodes_) {
    if (node.up && world_.clock.mono() - node.renewed >= kHeartbeat) renew(node);
  }
}

bool Kubelets::runs(const std::string& uid) const {
  return std::any_of(nodes_.begin(), nodes_.end(), [&](const Node& n) {
    const auto it = n.pods.find(uid);
    return it != n.pods.end() && it->second.started && !it->second.exited;
  });
}

std::vector<api::ObjectPtr> Kubelets::pods_of(const std::string& node) const {
  std::vector<api::ObjectPtr> out;
  const auto list = api_->list(kPods, {});
  if (!list.ok()) return out;
  for (const auto& pod : list->items) {
    if (pod->field(0) == node) out.push_back(pod);
  }
  return out;
}

void Kubelets::step() {
  if (nodes_.empty()) return;
  Node& node = nodes_[world_.random.below(nodes_.size())];
  if (node.up) (void)turn(node);
}

bool Kubelets::work() {
  bool any = false;
  for (size_t i = 0; i < nodes_.size(); ++i) {
    Node& node = nodes_[i];
    if (!node.up) continue;
    while (turn(node)) any = true;
  }
  return any;
}

bool Kubelets::turn(Node& node) {
  tell_ready(node);
  auto pods = pods_of(node.name);
  std::set<std::string_view> there;
  for (const auto& pod : pods) there.insert(pod->uid());
  // What the API knows no more is killed.
  std::erase_if(node.pods, [&](const auto& entry) { return there.count(entry.first) == 0; });
  if (pods.empty()) return false;
  const size_t first = world_.random.below(pods.size());
  for (size_t i = 0; i < pods.size(); ++i) {
    if (turn(node, pods[(first + i) % pods.size()])) return true;
  }
  return false;
}

std::string Kubelets::free_address(const Node& node) {
  for (int i = 2;; ++i) {
    std::string ip = base::cat("10.42.", node.number, ".", i);
    if (std::none_of(node.pods.begin(), node.pods.end(), [&](const auto& p) { return p.second.ip == ip; }))
      return ip;
  }
}

void Kubelets::write(const api::ObjectPtr& pod, const Local& local, const char* phase, bool ready) {
  Json tree = *world_.truth->find("pods", pod->name());
  api::set_condition(tree, {"Ready", ready ? "True" : "False", "", ""}, world_.clock.now(),
                     api::ConditionTimes::kProbe);
  Json patch = {
      {"metadata", {{"uid", std::string(pod->uid())}}},
      {"status", {{"phase", phase}, {"conditions", Json::array({*api::find_condition(tree, "Ready")})}}}};
  if (!local.ip.empty()) {
    patch["status"]["podIP"] = local.ip;
    // All of them: one that it had before its node was started anew is not its own any more.
    patch["status"]["podIPs"] = Json::array({{{"ip", local.ip}}, {{"$patch", "replace"}}});
  }
  const Acting as(world_, "kubelet");
  (void)api_->patch(kPods, pod->ns(), pod->name(), client::PatchType::kStrategic, patch, "status");
}

void Kubelets::remove(const api::ObjectPtr& pod) {
  const Acting as(world_, "kubelet");
  client::DeleteOptions now;
  now.grace_seconds = 0;
  now.uid = pod->uid();
  (void)api_->remove(kPods, pod->ns(), pod->name(), now);
}

bool Kubelets::end_pod(const api::ObjectPtr& pod, const Json& tree, Local& local) {
  const std::string_view phase = base::string_at(tree, {"status", "phase"});
  const bool ended = phase == "Succeeded" || phase == "Failed";
  if (!ended) {
    // It was told to stop; whether it had done its work by then is up to it.
    const bool good = local.exited ? !local.failed : ends_by_itself(tree) && world_.random.chance(0.3);
    local.exited = true;
    local.failed = !good;
    write(pod, local, good ? "Succeeded" : "Failed", false);
    return true;
  }
  local.exited = true;
  // Finalizers of others hold the object; the kubelet has done its part when the grace period is 0.
  if (base::int_at(tree, {"metadata", "deletionGracePeriodSeconds"}, -1) == 0 &&
      !base::array_at(tree, {"metadata", "finalizers"}).empty()) {
    return false;
  }
  remove(pod);
  return true;
}

bool Kubelets::finish_pod(const api::ObjectPtr& pod, const Json& tree, Local& local) {
  if (!healed_ && world_.random.chance(0.5)) return false;
  const std::string_view fate = api::annotation(tree, "fate");
  local.failed = fate == "fails" || (fate == "mixed" && world_.random.chance(0.35));
  local.exited = true;
  write(pod, local, local.failed ? "Failed" : "Succeeded", false);
  return true;
}

bool Kubelets::turn(Node& node, const api::ObjectPtr& pod) {
  const Json& tree = *world_.truth->find("pods", pod->name());  // until the first write
  const std::string_view phase = base::string_at(tree, {"status", "phase"});
  const bool ended = phase == "Succeeded" || phase == "Failed";
  Local& local = node.pods[std::string(pod->uid())];
  if (pod->deleting()) return end_pod(pod, tree, local);
  if (ended) {
    local.exited = true;
    return false;
  }
  if (local.exited) {
    write(pod, local, local.failed ? "Failed" : "Succeeded", false);
    return true;
  }
  if (!local.started) {
    local.started = true;
    local.ip = free_address(node);
    world_.truth->started(pod);
    if (phase != "Running" || server::pod_ready(tree)) write(pod, local, "Running", false);
    return true;
  }
  if (!local.ready) {
    // An image that does not work never becomes ready.
    if (api::annotation(tree, "broken") == "true") return false;
    local.ready = true;
  }
  if (!server::pod_ready(tree)) {
    write(pod, local, "Running", true);
    return true;
  }
  return ends_by_itself(tree) && finish_pod(pod, tree, local);
}

void Kubelets::mishap() {
  if (world_.weather.nodes_fail && world_.random.chance(0.5)) {
    node_mishap();
  } else if (world_.weather.pods_fail) {
    pod_mishap();
  }
}

void Kubelets::pod_mishap() {
  Node& node = nodes_[world_.random.below(nodes_.size())];
  if (!node.up || node.pods.empty()) return;
  auto it = node.pods.begin();
  std::advance(it, static_cast<std::ptrdiff_t>(world_.random.below(node.pods.size())));
  Local& local = it->second;
  if (!local.started || local.exited) return;
  const auto pods = pods_of(node.name);
  const auto pod =
      std::find_if(pods.begin(), pods.end(), [&](const auto& p) { return p->uid() == it->first; });
  if (pod == pods.end() || (*pod)->deleting()) return;
  if (world_.random.chance(0.5)) {
    world_.tell(base::cat("-- pod ", (*pod)->name(), " stops being ready"));
    local.ready = false;
    write(*pod, local, "Running", false);
  } else {
    // As when a node is short of memory: the pod has failed and stays as it is.
    world_.tell(base::cat("-- pod ", (*pod)->name(), " is evicted by its node"));
    local.exited = local.failed = true;
    write(*pod, local, "Failed", false);
  }
}

void Kubelets::node_mishap() {
  Node& node = nodes_[world_.random.below(nodes_.size())];
  if (node.up) {
    node.up = false;
    world_.tell(base::cat("-- node ", node.name, " is cut off"));
    return;
  }
  const size_t how = world_.random.below(3);
  if (how == 0) {
    world_.tell(base::cat("-- node ", node.name, " is back"));
    node.up = true;
  } else if (how == 1) {
    world_.tell(base::cat("-- node ", node.name, " was started anew"));
    node.up = true;
    for (auto& [uid, local] : node.pods) {
      if (!local.exited) local = {};
    }
  } else {
    world_.tell(base::cat("-- node ", node.name, " is gone for good"));
    const Acting as(world_, "user");
    (void)api_->remove(kNodes, "", node.name);
    (void)api_->remove(kLeases, kLeaseNamespace, node.name);
    const std::string name = node.name;
    std::erase_if(nodes_, [&](const Node& n) { return n.name == name; });
    add(200 * world_.random.between(5, 15));
    return;
  }
  renew(node);
  tell_ready(node);
}

void Kubelets::heal() {
  healed_ = true;
  for (Node& node : nodes_) {
    node.up = true;
    if (const auto object = api_->get(kNodes, "", node.name);
        object.ok() && base::bool_at((*object)->tree(), {"spec", "unschedulable"})) {
      const Acting as(world_, "user");
      (void)api_->patch(kNodes, "", node.name, client::PatchType::kStrategic,
                        {{"spec", {{"unschedulable", nullptr}}}});
    }
    renew(node);
    tell_ready(node);
  }
  add(20000);
}

}  // namespace orch::simulation
