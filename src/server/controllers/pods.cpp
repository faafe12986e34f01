#include "server/controllers/pods.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "api/hash.h"
#include "api/meta.h"
#include "api/names.h"
#include "api/scan.h"
#include "base/json.h"

namespace orch::server {

bool pod_ready(const Json& pod) { return api::condition_is_true(pod, "Ready"); }

namespace {

std::optional<base::WallTime> ready_since(const Json& pod) {
  const Json* ready = api::find_condition(pod, "Ready");
  if (ready == nullptr || base::string_at(*ready, {"status"}) != "True") return std::nullopt;
  auto since = base::parse_time(base::string_at(*ready, {"lastTransitionTime"}));
  if (!since.ok()) return base::WallTime();
  return *since;
}

}  // namespace

bool pod_available(const Json& pod, int64_t min_ready_seconds, base::WallTime now) {
  return pod_ready(pod) && !until_available(pod, min_ready_seconds, now);
}

std::optional<base::Duration> until_available(const Json& pod, int64_t min_ready_seconds,
                                              base::WallTime now) {
  auto since = ready_since(pod);
  if (!since || min_ready_seconds == 0) return std::nullopt;
  const base::WallTime at = *since + std::chrono::seconds(min_ready_seconds);
  if (at <= now) return std::nullopt;
  return at - now;
}

bool pod_active(const api::Object& object, const Json& pod) {
  std::string_view phase = base::string_at(pod, {"status", "phase"});
  return !object.deleting() && phase != "Succeeded" && phase != "Failed";
}

Json pod_from_template(const api::Object& owner, const Json& pod_template, const std::string& name) {
  Json pod = {{"kind", "Pod"}, {"apiVersion", "v1"}};
  Json& meta = pod["metadata"];
  meta = Json::object();
  const Json& from = base::object_at(pod_template, {"metadata"});
  for (const char* key : {"labels", "annotations", "finalizers"}) {
    if (from.contains(key)) meta[key] = from[key];
  }
  meta["name"] = name;
  meta["generateName"] = std::string(owner.name()) + "-";
  meta["namespace"] = std::string(owner.ns());
  meta["ownerReferences"] = Json::array({api::controller_reference(owner)});
  pod["spec"] = base::object_at(pod_template, {"spec"});
  return pod;
}

std::string free_pod_name(const View& view, std::string_view ns, std::string_view prefix,
                          std::string_view seed, base::WallTime now, size_t index) {
  for (uint64_t salt = 0;; ++salt) {
    std::string text = base::cat(seed, "|", now.time_since_epoch().count(), "|", index, "|", salt);
    std::string name = api::generate_name(base::cat(prefix, "-"), api::fnv1a64(text));
    if (view.get(kPods, ns, name) == nullptr) return name;
  }
}

namespace {

void let_go(const api::Object& pod, const api::Object& owner, const ClaimPolicy& how, Plan& plan) {
  Json meta = {{"uid", std::string(pod.uid())},
               {"ownerReferences", Json::array({{{"$patch", "delete"}, {"uid", std::string(owner.uid())}}})}};
  if (!how.finalizer.empty()) {
    meta["$deleteFromPrimitiveList/finalizers"] = Json::array({std::string(how.finalizer)});
  }
  plan.patch(kPods, pod.ns(), pod.name(), {{"metadata", std::move(meta)}});
}

PodView adopt(const api::ObjectPtr& pod, Json tree, const api::Object& owner, const ClaimPolicy& how,
              Plan& plan) {
  const Json references = Json::array({api::controller_reference(owner)});
  Json meta = {{"uid", std::string(pod->uid())}, {"ownerReferences", references}};
  if (!how.finalizer.empty()) {
    meta["finalizers"] = Json::array({std::string(how.finalizer)});
    api::add_finalizer(tree, how.finalizer);
  }
  plan.patch(kPods, pod->ns(), pod->name(), {{"metadata", std::move(meta)}});
  return {pod, std::move(tree)};
}

}  // namespace

std::vector<PodView> claim_pods(const View& view, const client::ResourceRef& owners, const api::Object& owner,
                                const api::LabelSelector& selector, Plan& plan, const ClaimPolicy& how) {
  std::vector<PodView> out;
  for (const auto& object : view.by_index(kPods, "controller", owner.uid())) {
    if (selector.matches(*object) && (!how.member || how.member(*object))) {
      out.push_back({object, object->tree()});
    } else if (!owner.deleting()) {
      let_go(*object, owner, how, plan);  // it does not match any more
    }
  }
  if (owner.deleting()) return out;
  const auto orphans = view.by_index(kPods, "controller", base::cat(owner.ns(), "/"));
  // What was seen of the owner may be older than what is seen of the pods: those that the garbage collector
  // has just let go, because the owner is being deleted, would be taken back and die with it.
  const api::ObjectPtr current = view.get(owners, owner.ns(), owner.name());
  if (current == nullptr || current->uid() != owner.uid() || current->deleting()) return out;
  for (const auto& object : orphans) {
    if (!selector.matches(*object) || object->deleting() || (how.member && !how.member(*object))) continue;
    Json tree = object->tree();
    if (!how.finished_too && !pod_active(*object, tree)) continue;
    out.push_back(adopt(object, std::move(tree), owner, how, plan));
  }
  return out;
}

api::LabelSelector label_selector_of(const Json& spec) {
  const Json* tree = base::find_path(spec, {"selector"});
  if (tree == nullptr) return api::LabelSelector::nothing();
  auto selector = api::LabelSelector::from_tree(*tree);
  return selector.ok() ? std::move(*selector) : api::LabelSelector::nothing();
}

Source owned_pods(const client::ResourceRef& owners, std::string kind, SelectorOf selector) {
  auto keys = [owner = owner_key(std::move(kind)), owners, selector = std::move(selector)](
                  const api::ObjectPtr& before, const api::ObjectPtr& after, const View& view) {
    Keys out = owner(before, after, view);
    if (!out.empty() || after == nullptr || !api::controller_of(*after).uid.empty()) return out;
    for (const auto& o : view.list(owners, after->ns())) {
      if (selector(base::object_at(o->tree(), {"spec"})).matches(*after)) {
        out.push_back({std::string(o->ns()), std::string(o->name())});
      }
    }
    return out;
  };
  return {kPods, std::move(keys), {{"controller", controller_uid_index()}}};
}

namespace {

int phase_rank(const Json& pod) {
  std::string_view phase = base::string_at(pod, {"status", "phase"});
  return phase == "Pending" ? 0 : phase == "Unknown" ? 1 : 2;
}

int64_t deletion_cost(const Json& pod) {
  std::string_view text = api::annotation(pod, "controller.kubernetes.io/pod-deletion-cost");
  return text.empty() ? 0 : std::atoll(std::string(text).c_str());
}

int64_t restarts(const Json& pod) {
  int64_t most = 0;
  for (const char* list : {"containerStatuses", "initContainerStatuses"}) {
    for (const auto& c : base::array_at(pod, {"status", list}))
      most = std::max(most, base::int_at(c, {"restartCount"}));
  }
  return most;
}

/// Ages are compared by order of magnitude, so that the order does not follow them blindly.
int age_rank(base::WallTime since, base::WallTime now) {
  auto seconds = std::chrono::duration_cast<std::chrono::seconds>(now - since).count();
  return seconds <= 0 ? 0 : static_cast<int>(std::log2(static_cast<double>(seconds)));
}

}  // namespace

void sort_for_deletion(std::vector<PodView>& pods, const PodsPerNode& related, base::WallTime now) {
  auto rank = [&](const PodView& p) {
    std::string_view node = base::string_at(p.tree, {"spec", "nodeName"});
    auto crowd = related.find(node);
    auto ready = ready_since(p.tree);
    return std::make_tuple(node.empty() ? 0 : 1, phase_rank(p.tree), ready ? 1 : 0, deletion_cost(p.tree),
                           crowd == related.end() ? int64_t{0} : -crowd->second,
                           ready ? age_rank(*ready, now) : 0, -restarts(p.tree),
                           age_rank(api::creation_time(p.tree), now), std::string(p.object->uid()));
  };
  std::sort(pods.begin(), pods.end(), [&](const PodView& a, const PodView& b) { return rank(a) < rank(b); });
}

void sort_by_progress(std::vector<PodView>& pods) {
  auto rank = [](const PodView& p) {
    const auto ready = ready_since(p.tree);
    return std::make_tuple(base::string_at(p.tree, {"spec", "nodeName"}).empty() ? 0 : 1, phase_rank(p.tree),
                           ready ? 1 : 0, ready ? -ready->time_since_epoch().count() : 0, -restarts(p.tree),
                           -api::creation_time(p.tree).time_since_epoch().count());
  };
  std::stable_sort(pods.begin(), pods.end(),
                   [&](const PodView& a, const PodView& b) { return rank(a) < rank(b); });
}

std::vector<std::string> claims_of_volumes(const api::Object& pod) {
  if (!api::mentions(pod.bytes(), "\"persistentVolumeClaim\"") &&
      !api::mentions(pod.bytes(), "\"ephemeral\"")) {
    return {};
  }
  std::vector<std::string> out;
  const Json tree = pod.tree();
  for (const Json& volume : base::array_at(tree, {"spec", "volumes"})) {
    std::string name(base::string_at(volume, {"persistentVolumeClaim", "claimName"}));
    if (volume.contains("ephemeral")) name = base::cat(pod.name(), "-", base::string_at(volume, {"name"}));
    if (!name.empty()) out.push_back(api::object_key(pod.ns(), name));
  }
  return out;
}

bool namespace_terminating(const base::Status& why) {
  const base::StatusDetails* details = why.details();
  return details != nullptr &&
         std::any_of(details->causes.begin(), details->causes.end(),
                     [](const base::Cause& c) { return c.reason == "NamespaceTerminating"; });
}

}  // namespace orch::server
