// What happened in the cluster, taken in by the scheduler's thread.
#include <algorithm>

#include "api/scan.h"
#include "server/scheduler/pod_reader.h"
#include "server/scheduler/scheduler_rep.h"

namespace orch::server::scheduler {

namespace {

/// The lower-ranked pods that take part in what preemption costs.
bool has_less_important(const NodeInfo& node, const PodInfo& pod) {
  return std::any_of(node.pods.begin(), node.pods.end(),
                     [&](const auto& entry) { return entry.second->priority < pod.priority; });
}

bool same_taints(const std::vector<Taint>& a, const std::vector<Taint>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const Taint& x, const Taint& y) {
    return x.key == y.key && x.value == y.value && x.effect == y.effect;
  });
}

uint32_t node_events(const NodeInfo& before, const NodeInfo& after) {
  uint32_t events = 0;
  const Resources &a = before.allocatable, &b = after.allocatable;
  if (b.milli_cpu > a.milli_cpu || b.memory > a.memory || b.ephemeral_storage > a.ephemeral_storage ||
      b.scalars != a.scalars || after.allowed_pods > before.allowed_pods) {
    events |= kNodeAllocatable;
  }
  if (after.labels != before.labels) events |= kNodeLabels;
  if (after.unschedulable != before.unschedulable || !same_taints(before.taints, after.taints))
    events |= kNodeTaints;
  return events;
}

bool same_labels(const api::Object& a, const api::Object& b) {
  if (a.label_count() != b.label_count()) return false;
  for (size_t i = 0; i < a.label_count(); ++i) {
    if (a.label(i) != b.label(i)) return false;
  }
  return true;
}

/// Whether `b` is less than `a` in anything.
bool shrank(const Resources& a, const Resources& b) {
  if (b.milli_cpu < a.milli_cpu || b.memory < a.memory || b.ephemeral_storage < a.ephemeral_storage)
    return true;
  return std::any_of(a.scalars.begin(), a.scalars.end(), [&](const auto& entry) {
    auto it = b.scalars.find(entry.first);
    return (it == b.scalars.end() ? 0 : it->second) < entry.second;
  });
}

/// What changed of a waiting pod that may let it fit.
uint32_t own_events(const PodInfo& before, const PodInfo& after) {
  uint32_t events = 0;
  if (!same_labels(*before.object, *after.object)) events |= kOwnLabels;
  if (shrank(before.requests, after.requests)) events |= kOwnShrank;
  if (before.tolerations.size() != after.tolerations.size()) events |= kOwnTolerations;
  if (before.node_selector != after.node_selector) events |= kOwnSpec;
  const auto made = [](const PodInfo& pod) {
    return api::raw_value(pod.object->bytes(), {"status", "resourceClaimStatuses"});
  };
  if (after.claims_devices && made(before) != made(after)) events |= kOwnClaims;
  return events;
}

uint32_t kind_event(Kind kind, bool gone) {
  if (kind == Kind::kAttachment) return gone ? uint32_t{kAttachmentGone} : 0U;
  if (gone) return 0;
  switch (kind) {
    case Kind::kClaim:
      return kClaimChanged;
    case Kind::kVolume:
      return kVolumeChanged;
    case Kind::kStorageClass:
      return kClassChanged;
    case Kind::kCsiNode:
      return kCsiNodeChanged;
    case Kind::kCsiDriver:
      return kCsiDriverChanged;
    case Kind::kCsiCapacity:
      return kCsiCapacityChanged;
    case Kind::kResourceClaim:
      return kResourceClaimChanged;
    case Kind::kResourceSlice:
      return kSliceChanged;
    case Kind::kDeviceClass:
      return kDeviceClassChanged;
    default:
      return 0;
  }
}

}  // namespace

std::optional<Waiting> Scheduler::Rep::judge(const Event& event, const PodInfo& pod, uint64_t rejectors) {
  const Profile* profile = profile_of(pod);
  if (profile == nullptr) return Waiting{};
  if ((rejectors & kExtenderBit) != 0) return std::nullopt;
  bool worth = false, local = true;
  for (size_t i = 0; i < profile->filters.size(); ++i) {
    if ((rejectors >> i & 1U) == 0) continue;
    const Plugin& plugin = *profile->filters[i].plugin;
    local = local && plugin.local();
    worth = worth || ((plugin.helped_by() & event.kinds) != 0 && plugin.helps(event, pod, cluster()));
  }
  if (!worth) return Waiting{};
  // Whom all who refused the pod looked at nodes one by one, this node will tell: only there anything
  // changed.
  if (!local || event.node == nullptr || event.node->object == nullptr || (event.kinds & kOwnChange) != 0)
    return std::nullopt;
  Reasons ignored;
  Filters filters(*profile, pod, cluster());
  if (filters.refused() != Verdict::kFits) return std::nullopt;
  const Verdict verdict = filters.check(*event.node, nominated, ignored);
  if (verdict == Verdict::kFits || verdict == Verdict::kFailed ||
      (verdict == Verdict::kOccupied && has_less_important(*event.node, pod))) {
    return std::nullopt;
  }
  return waiting_of(*profile, filters.rejectors());
}

void Scheduler::Rep::happened(const Event& event) {
  if (event.kinds == 0 || (queue.sleeping() == 0 && !queue.deciding())) return;
  rebuild_snapshot();
  queue.on_event(event.kinds, clock.mono(),
                 [&](const PodInfo& pod, uint64_t rejectors) { return judge(event, pod, rejectors); });
}

void Scheduler::Rep::nominate(const PodPtr& pod, const std::string& node) {
  if (auto it = nominated_on.find(pod->uid); it != nominated_on.end()) {
    auto& there = nominated[it->second];
    std::erase_if(there, [&](const PodPtr& p) { return p->uid == pod->uid; });
    if (there.empty()) nominated.erase(it->second);
    nominated_on.erase(it);
  }
  if (node.empty()) return;
  nominated_on[pod->uid] = node;
  nominated[node].push_back(pod);
}

void Scheduler::Rep::put_on(const PodPtr& pod, const std::string& node) {
  NodeInfo& there = nodes[node];
  if (there.name.empty()) there.name = node;
  auto held = there.pods.find(pod->uid);
  if (there.object != nullptr) {
    if (held != there.pods.end()) census.remove_pod(*held->second, there);
    census.add_pod(*pod, there);
  }
  there.add_pod(pod);
  node_of[pod->uid] = node;
}

PodPtr Scheduler::Rep::take_off(const std::string& uid, const std::string& node) {
  auto it = nodes.find(node);
  if (it == nodes.end()) return nullptr;
  auto held = it->second.pods.find(uid);
  if (held == it->second.pods.end()) return nullptr;
  PodPtr pod = held->second;
  if (it->second.object != nullptr) census.remove_pod(*pod, it->second);
  it->second.remove_pod(uid);
  node_of.erase(uid);
  if (it->second.object == nullptr && it->second.pods.empty()) nodes.erase(it);
  return pod;
}

void Scheduler::Rep::take_node(const api::ObjectPtr& before, const api::ObjectPtr& after) {
  snapshot_stale = true;
  if (!after) {
    auto it = nodes.find(std::string(before->name()));
    if (it == nodes.end() || it->second.object == nullptr) return;
    const NodeInfo gone = it->second;
    census.remove_node(it->second);
    it->second.object = nullptr;
    if (it->second.pods.empty()) nodes.erase(it);
    Event event{kNodeGone};
    event.node_before = &gone;
    happened(event);
    return;
  }
  NodeInfo& node = nodes[std::string(after->name())];
  if (node.object == nullptr) {
    node.set_node(after);
    census.add_node(node);
    Event event{kNodeAdded};
    event.node = &node;
    happened(event);
    return;
  }
  NodeInfo fresh;
  fresh.set_node(after);
  const uint32_t events = node_events(node, fresh);
  const bool recount = fresh.labels != node.labels || fresh.image_sizes != node.image_sizes;
  NodeInfo old;
  if (events != 0) {
    old.object = node.object;
    old.name = node.name;
    old.labels = node.labels;
    old.allocatable = node.allocatable;
    old.allowed_pods = node.allowed_pods;
    old.taints = node.taints;
    old.unschedulable = node.unschedulable;
  }
  if (recount) census.remove_node(node);
  node.take_node(std::move(fresh));
  if (recount) census.add_node(node);
  Event event{events};
  event.node_before = &old;
  event.node = &node;
  happened(event);
}

void Scheduler::Rep::take_assigned(const PodPtr& pod) {
  const std::string& uid = pod->uid;
  queue.forget(uid);
  held.erase(uid);
  if (nominated_on.count(uid) != 0) nominate(pod, "");
  PodPtr old;
  if (auto held = node_of.find(uid); held != node_of.end()) old = take_off(uid, std::string(held->second));
  put_on(pod, pod->node_name);
  Event event;
  event.node = &nodes[pod->node_name];
  event.pod = pod.get();
  if (old == nullptr || old->node_name.empty()) {
    // Placed by this scheduler or by another: those who wait to be near it are interested.
    event.kinds = kPodAdded;
  } else {
    event.pod_before = old.get();
    if (!same_labels(*old->object, *pod->object)) event.kinds |= kPodLabels;
    if (shrank(old->requests, pod->requests)) event.kinds |= kPodShrank;
  }
  happened(event);
}

PodPtr Scheduler::Rep::known(const std::string& uid) const {
  if (auto held = node_of.find(uid); held != node_of.end()) {
    if (auto node = nodes.find(held->second); node != nodes.end()) {
      if (auto pod = node->second.pods.find(uid); pod != node->second.pods.end()) return pod->second;
    }
  }
  return queue.find(uid);
}

/// The pod is deleted or has finished.
void Scheduler::Rep::take_gone(const std::string& uid, const api::ObjectPtr& last) {
  const PodPtr waiting = queue.find(uid);
  queue.forget(uid);
  held.erase(uid);
  if (auto it = volume_waits.find(uid); it != volume_waits.end()) {
    unreserve(it->second);
    forget_claims(it->second.claims);
    volume_waits.erase(it);
  }
  Event event{kPodGone};
  std::string node;
  PodPtr pod;
  if (auto promised = nominated_on.find(uid); promised != nominated_on.end()) {
    node = promised->second;
    pod = waiting != nullptr ? waiting : read_pod(last);
    nominate(pod, "");
  }
  if (auto held = node_of.find(uid); held != node_of.end()) {
    node = held->second;
    pod = take_off(uid, node);
  }
  if (pod == nullptr) return;
  auto it = nodes.find(node);
  if (it == nodes.end()) return;
  event.node = &it->second;
  event.pod_before = pod.get();
  happened(event);
}

void Scheduler::Rep::take_waiting(const PodPtr& pod) {
  // While its binding is under way it counts where it was put.
  if (node_of.count(pod->uid) != 0 || profile_of(*pod) == nullptr) return;
  if (pod->gated || pod->deleting) {
    queue.remove(pod->uid);
    held.erase(pod->uid);
    return;
  }
  if (must_wait(*pod)) {
    queue.remove(pod->uid);
    held[pod->uid] = pod;
    return;
  }
  held.erase(pod->uid);
  auto promised = nominated_on.find(pod->uid);
  if ((promised == nominated_on.end() ? "" : promised->second) != pod->nominated_node)
    nominate(pod, pod->nominated_node);
  const PodPtr known = queue.find(pod->uid);
  const auto waits_for = queue.waits_for(pod->uid);
  if (known == nullptr) {
    queue.add(pod, clock.mono());
    return;
  }
  Event event{own_events(*known, *pod)};
  event.pod_before = known.get();
  event.pod = pod.get();
  // The report of the last failure comes back as a change of status only: no reason to try again.
  const bool wake = event.kinds != 0 && waits_for && (waits_for->helped_by & event.kinds) != 0 &&
                    !judge(event, *pod, waits_for->rejectors);
  if (wake || (event.kinds != 0 && !waits_for)) {
    queue.add(pod, clock.mono());
  } else {
    queue.refresh(pod);
  }
}

void Scheduler::Rep::take_pod(const api::ObjectPtr& before, const api::ObjectPtr& after) {
  if (!after) {
    take_gone(std::string(before->uid()), before);
    return;
  }
  // Another pod of the same name: the one before went unseen.
  if (before && before->uid() != after->uid()) take_gone(std::string(before->uid()), before);
  const PodPtr pod = reread_pod(known(std::string(after->uid())), after);
  if (pod->finished) {
    take_gone(pod->uid, after);
  } else if (!pod->node_name.empty()) {
    take_assigned(pod);
  } else {
    take_waiting(pod);
  }
}

void Scheduler::Rep::take_object(const Change& change) {
  if (change.kind == Kind::kResourceClaim) take_claim(change);
  Event event{kind_event(change.kind, change.after == nullptr)};
  event.before = change.before;
  event.after = change.after;
  happened(event);
}

void Scheduler::Rep::take_unbound(const Change& change) {
  const std::string& uid = change.pod->uid;
  forget_claims(change.claims);
  if (auto it = volume_waits.find(uid); it != volume_waits.end()) {
    unreserve(it->second);
    forget_claims(it->second.claims);
    volume_waits.erase(it);
  }
  auto held = node_of.find(uid);
  if (held == node_of.end()) return;
  const std::string node = held->second;
  const PodPtr pod = take_off(uid, node);
  if (pod == nullptr || !pod->node_name.empty()) {
    // Bound after all.
    if (pod != nullptr) put_on(pod, node);
    return;
  }
  if (!change.error.empty()) {
    errors.add();
    writers->post(
        [this, pod = change.pod, error = change.error] { report(pod, "SchedulerError", error, ""); });
  }
  queue.unplaced(change.pod, clock.mono());
  auto it = nodes.find(node);
  if (it == nodes.end()) return;
  Event event{kPodGone};
  event.node = &it->second;
  event.pod_before = pod.get();
  happened(event);
}

void Scheduler::Rep::take(const Change& change) {
  switch (change.what) {
    case Change::What::kPod:
      take_pod(change.before, change.after);
      return;
    case Change::What::kNode:
      take_node(change.before, change.after);
      return;
    case Change::What::kObject:
      take_object(change);
      return;
    case Change::What::kUnbound:
      take_unbound(change);
      return;
    case Change::What::kWritten:
      if (auto it = volume_waits.find(change.pod->uid); it != volume_waits.end()) it->second.written = true;
      return;
    case Change::What::kPreempted:
      queue.failed(change.pod, change.waiting, clock.mono());
      if (change.failed && queue.knows(change.pod->uid)) queue.add(change.pod, clock.mono());
      return;
  }
}

}  // namespace orch::server::scheduler
