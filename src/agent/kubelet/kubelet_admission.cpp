// A Kubelet's room: which pods it takes, whom it sends away for them, and resizes that wait for it.
#include <algorithm>

#include "agent/kubelet/admit.h"
#include "agent/kubelet/kubelet_rep.h"
#include "base/json.h"
#include "base/log.h"

namespace orch::agent {
namespace {

using api::ObjectPtr;

const client::ResourceRef kNodes{"", "v1", "nodes"};
constexpr const char* kPreempting = "Preempting";
constexpr const char* kPreempted = "Preempted in order to admit critical pod";

}  // namespace

ObjectPtr Kubelet::Rep::node_object() const {
  const ObjectPtr cached = nodes.get({}, config.node_name);
  return cached != nullptr ? cached : initial_node;
}

api::NodeInfo Kubelet::Rep::node_beside(const ObjectPtr& object, std::string_view uid) const {
  api::NodeInfo node;
  node.set_node(object);
  std::lock_guard lock(mutex);
  for (const auto& [other, slot] : slots) {
    if (other != uid && slot.worker->holds_room()) node.add_pod(slot.worker->wants());
  }
  return node;
}

Admission Kubelet::Rep::admit(const Pod& pod, const api::PodInfo& wants) {
  ObjectPtr object = node_object();
  auto why = rejection(pod, wants, node_beside(object, pod.uid()));
  if (why && why->reason == "NodeAffinity") {
    // The pod may have been bound by labels that the view here does not have yet.
    const auto fresh = deps.client.get(kNodes, {}, config.node_name);
    if (fresh.ok()) why = rejection(pod, wants, node_beside(object = *fresh, pod.uid()));
  }
  if (why && is_critical(pod)) return make_room(pod, wants, object);
  return {std::move(why), false};
}

Admission Kubelet::Rep::make_room(const Pod& pod, const api::PodInfo& wants, const ObjectPtr& object) {
  api::NodeInfo node = node_beside(object, pod.uid());
  if (only_short_of(pod, wants, node).empty()) return {rejection(pod, wants, node), false};
  // Those that are on their way out count as gone: the pod waits for them, and sends no others away.
  std::vector<Preemptible> others;
  std::map<std::string, std::shared_ptr<PodWorker>> workers;
  {
    std::lock_guard lock(mutex);
    for (const auto& [uid, slot] : slots) {
      if (uid == pod.uid() || !slot.worker->holds_room()) continue;
      if (slot.worker->evicted()) {
        node.remove_pod(uid);
      } else {
        workers[uid] = slot.worker;
      }
    }
  }
  const auto missing = only_short_of(pod, wants, node);
  if (missing.empty()) return {std::nullopt, true};
  for (const auto& [uid, worker] : workers) {
    const Json tree = worker->object()->tree();
    const Pod other(tree);
    others.push_back({uid, is_critical(other), base::int_at(tree, {"spec", "priority"}), qos_class(other),
                      worker->wants()});
  }
  const auto chosen = pods_to_preempt(pod, others, missing);
  if (!chosen.ok()) {
    return {Waiting{"UnexpectedAdmissionError",
                    "Unexpected error while attempting to recover from admission failure: " +
                        chosen.error().message()},
            false};
  }
  for (const std::string& uid : *chosen) {
    const auto& worker = workers.at(uid);
    base::log_info("kubelet", "sending a pod away for a critical one", {{"uid", uid}, {"for", pod.format()}});
    events.warning(event_object(Pod(worker->object()->tree())), kPreempting, kPreempted);
    worker->evict(kPreempting, kPreempted, "Pod was preempted by Kubelet to accommodate a critical pod.");
    notify(uid);
  }
  return {std::nullopt, true};
}

void Kubelet::Rep::retry_resizes() {
  struct Entry {
    WaitingResize resize;
    std::string uid;
    std::shared_ptr<PodWorker> worker;
  };
  std::vector<Entry> waiting;
  {
    std::lock_guard lock(mutex);
    for (const auto& [uid, slot] : slots) {
      if (const auto resize = slot.worker->waiting_resize()) waiting.push_back({*resize, uid, slot.worker});
    }
  }
  if (waiting.empty()) return;
  std::sort(waiting.begin(), waiting.end(),
            [](const Entry& a, const Entry& b) { return tried_before(a.resize, b.resize); });
  std::lock_guard lock(admission);
  for (const Entry& entry : waiting) {
    if (entry.worker->try_resize()) notify(entry.uid);
  }
}

}  // namespace orch::agent
