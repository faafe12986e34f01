#include "server/controllers/deployment.h"

#include <algorithm>
#include <utility>

#include "api/hash.h"
#include "api/int_or_string.h"
#include "api/meta.h"
#include "api/selector.h"
#include "server/controllers/deployment_state.h"
#include "server/controllers/pods.h"

namespace orch::server {

int64_t revision_of(const Json& object) {
  std::string_view text = api::annotation(object, kRevision);
  return text.empty() ? 0 : std::atoll(std::string(text).c_str());
}

bool same_template(const Json& a, const Json& b) {
  auto bare = [](Json t) {
    if (t.contains("metadata") && t["metadata"].contains("labels")) {
      t["metadata"]["labels"].erase(std::string(kTemplateHash));
      if (t["metadata"]["labels"].empty()) t["metadata"].erase("labels");
    }
    return t;
  };
  return bare(a) == bare(b);
}

namespace {

constexpr const char* kRevisionHistory = "deployment.kubernetes.io/revision-history";
constexpr size_t kMaxHistoryChars = 2000;
constexpr const char* kCreateError = "ReplicaSetCreateError";

OwnedSet make_set(const api::ObjectPtr& object) {
  OwnedSet s;
  s.object = object;
  s.tree = object->tree();
  s.replicas = s.wanted = base::int_at(s.tree, {"spec", "replicas"}, 1);
  s.created = base::int_at(s.tree, {"status", "replicas"});
  s.ready = base::int_at(s.tree, {"status", "readyReplicas"});
  s.available = base::int_at(s.tree, {"status", "availableReplicas"});
  return s;
}

/// Surge and unavailable as Kubernetes rounds them: both zero would never move.
void resolve_limits(Rollout& r) {
  const Json& rolling = base::object_at(r.tree, {"spec", "strategy", "rollingUpdate"});
  auto value = [&](const char* name, api::Rounding rounding) {
    auto it = rolling.find(name);
    auto n = api::scaled_value(it != rolling.end() ? *it : Json("25%"), r.replicas, rounding);
    return n.ok() ? *n : 0;
  };
  r.max_surge = r.recreate ? 0 : value("maxSurge", api::Rounding::kUp);
  r.max_unavailable = r.recreate ? 0 : value("maxUnavailable", api::Rounding::kDown);
  if (!r.recreate && r.max_surge == 0 && r.max_unavailable == 0) r.max_unavailable = 1;
  r.max_unavailable = std::min(r.max_unavailable, r.replicas);
}

Rollout observe(const View& view, const api::ObjectPtr& object, const api::LabelSelector& selector,
                Plan& plan) {
  Rollout r;
  r.object = object;
  r.tree = object->tree();
  r.replicas = base::int_at(r.tree, {"spec", "replicas"}, 1);
  r.paused = base::bool_at(r.tree, {"spec", "paused"});
  r.recreate = base::string_at(r.tree, {"spec", "strategy", "type"}) == "Recreate";
  resolve_limits(r);
  std::vector<OwnedSet> sets;
  for (const auto& o : view.by_index(kReplicaSets, "controller", object->uid())) {
    if (selector.matches(*o)) {
      sets.push_back(make_set(o));
    } else if (!object->deleting()) {
      // It does not match any more: let it go.
      plan.patch(kReplicaSets, o->ns(), o->name(),
                 {{"metadata",
                   {{"uid", std::string(o->uid())},
                    {"ownerReferences",
                     Json::array({{{"$patch", "delete"}, {"uid", std::string(object->uid())}}})}}}});
    }
  }
  if (!object->deleting()) {
    for (const auto& o : view.by_index(kReplicaSets, "controller", base::cat(object->ns(), "/"))) {
      if (!selector.matches(*o) || o->deleting()) continue;
      plan.patch(kReplicaSets, o->ns(), o->name(),
                 {{"metadata",
                   {{"uid", std::string(o->uid())},
                    {"ownerReferences", Json::array({api::controller_reference(*object)})}}}});
      sets.push_back(make_set(o));
    }
  }
  std::stable_sort(sets.begin(), sets.end(), [](const OwnedSet& a, const OwnedSet& b) {
    return api::creation_time(a.tree) < api::creation_time(b.tree);
  });
  const Json& wanted = base::object_at(r.tree, {"spec", "template"});
  for (auto& s : sets) {
    if (!r.new_set && same_template(base::object_at(s.tree, {"spec", "template"}), wanted)) {
      r.new_set = std::move(s);
    } else {
      r.max_revision = std::max(r.max_revision, revision_of(s.tree));
      r.old_sets.push_back(std::move(s));
    }
  }
  return r;
}

/// Annotations a ReplicaSet takes over from its deployment.
void copy_annotations(const Json& deployment, Json& set) {
  for (const auto& [key, value] : base::object_at(deployment, {"metadata", "annotations"}).items()) {
    if (key == "kubectl.kubernetes.io/last-applied-configuration" || key == kRevision ||
        key == kRevisionHistory || key == kDesiredReplicas || key == kMaxReplicas ||
        key == "deprecated.deployment.rollback.revisionNumber") {
      continue;
    }
    set["metadata"]["annotations"][key] = value;
  }
}

void set_replica_annotations(const Rollout& r, Json& set) {
  set["metadata"]["annotations"][std::string(kDesiredReplicas)] = std::to_string(r.replicas);
  set["metadata"]["annotations"][std::string(kMaxReplicas)] = std::to_string(r.replicas + r.max_surge);
}

Json new_set_object(const Rollout& r, const std::string& hash, const std::string& name, int64_t revision) {
  Json set = {{"kind", "ReplicaSet"}, {"apiVersion", "apps/v1"}};
  const Json& spec = base::object_at(r.tree, {"spec"});
  Json pod_template = base::object_at(spec, {"template"});
  pod_template["metadata"]["labels"][std::string(kTemplateHash)] = hash;
  Json selector = base::object_at(spec, {"selector"});
  selector["matchLabels"][std::string(kTemplateHash)] = hash;
  set["metadata"] = {{"name", name},
                     {"namespace", std::string(r.object->ns())},
                     {"labels", pod_template["metadata"]["labels"]},
                     {"ownerReferences", Json::array({api::controller_reference(*r.object)})}};
  copy_annotations(r.tree, set);
  set["metadata"]["annotations"][std::string(kRevision)] = std::to_string(revision);
  set_replica_annotations(r, set);
  set["spec"] = {{"replicas", 0}, {"selector", selector}, {"template", pod_template}};
  if (int64_t min_ready = base::int_at(spec, {"minReadySeconds"}); min_ready > 0) {
    set["spec"]["minReadySeconds"] = min_ready;
  }
  return set;
}

/// The revisions a set had before, with one more; the oldest go when it gets too long.
std::string longer_history(std::string history, const std::string& revision) {
  if (history.empty()) return revision;
  while (history.size() + revision.size() + 1 > kMaxHistoryChars) {
    const size_t comma = history.find(',');
    if (comma == std::string::npos) return history;
    history.erase(0, comma + 1);
  }
  return history + "," + revision;
}

/// What the new set takes over from its deployment: annotations, revision, minReadySeconds.
void update_new_set(Rollout& r) {
  if (!r.new_set) return;
  const int64_t revision = r.max_revision + 1;
  Json next = r.new_set->tree;
  copy_annotations(r.tree, next);
  if (revision_of(next) < revision) {
    // A set that had a revision and gets a newer one is being rolled back to.
    const std::string have(api::annotation(next, kRevision));
    if (!have.empty()) {
      next["metadata"]["annotations"][kRevisionHistory] =
          longer_history(std::string(api::annotation(next, kRevisionHistory)), have);
    }
    next["metadata"]["annotations"][std::string(kRevision)] = std::to_string(revision);
  }
  const int64_t min_ready = base::int_at(r.tree, {"spec", "minReadySeconds"});
  if (base::int_at(next, {"spec", "minReadySeconds"}) != min_ready)
    next["spec"]["minReadySeconds"] = min_ready;
  r.new_set->tree = std::move(next);
}

std::string set_name(std::string_view deployment, std::string_view hash) {
  constexpr size_t kMaxName = 253;
  return base::cat(deployment.substr(0, kMaxName - 1 - hash.size()), "-", hash);
}

/// Makes sure the new ReplicaSet exists. False: it was just planned, or its name is taken; the rest waits for
/// the next plan.
bool ensure_new_set(const View& view, Rollout& r, Plan& plan) {
  if (r.new_set) return true;
  const int64_t revision = r.max_revision + 1;
  const Json* collisions = base::find_path(r.tree, {"status", "collisionCount"});
  std::optional<int64_t> count;
  if (collisions != nullptr) count = collisions->get<int64_t>();
  const std::string hash = api::template_hash(base::object_at(r.tree, {"spec", "template"}), count);
  const std::string name = set_name(r.object->name(), hash);
  if (view.get(kReplicaSets, r.object->ns(), name) != nullptr) {
    // Another template has this hash, or somebody took the name: the next hash will differ. Goes out with
    // the rest of the status.
    r.collisions = count.value_or(0) + 1;
    return false;
  }
  Json object = new_set_object(r, hash, name, revision);
  OwnedSet fresh;
  fresh.tree = object;
  fresh.object = nullptr;
  r.new_set = fresh;
  int64_t old_wanted = 0;
  for (const auto& s : r.old_sets) old_wanted += s.wanted;
  if (!r.recreate || old_wanted == 0) roll_new_set(r);
  const int64_t replicas = r.new_set->wanted;
  object["spec"]["replicas"] = replicas;
  plan.create(kReplicaSets, r.object->ns(), std::move(object));
  if (replicas > 0) {
    plan.note(r.object, "Normal", "ScalingReplicaSet",
              base::cat("Scaled up replica set ", name, " from 0 to ", replicas));
  }
  r.created = name;
  r.created_revision = revision;
  r.new_set.reset();
  return false;
}

/// Writes a set whose replicas or annotations the plan changed.
void write_set(const Rollout& r, OwnedSet& s, Plan& plan) {
  Json next = s.tree;
  if (s.wanted != s.replicas || s.wanted > 0) set_replica_annotations(r, next);
  next["spec"]["replicas"] = s.wanted;
  if (next == s.object->tree()) return;
  plan.update(kReplicaSets, std::move(next));
  if (s.wanted != s.replicas) {
    plan.note(r.object, "Normal", "ScalingReplicaSet",
              base::cat(s.wanted > s.replicas ? "Scaled up" : "Scaled down", " replica set ",
                        s.object->name(), " from ", s.replicas, " to ", s.wanted));
  }
}

bool old_pods_run(const View& view, const Rollout& r) {
  for (const auto& s : r.old_sets) {
    for (const auto& pod : view.by_index(kPods, "controller", s.object->uid())) {
      const Json tree = pod->tree();
      std::string_view phase = base::string_at(tree, {"status", "phase"});
      if (phase != "Failed" && phase != "Succeeded") return true;
    }
  }
  return false;
}

void clean_up_history(const Rollout& r, Plan& plan) {
  const int64_t keep = base::int_at(r.tree, {"spec", "revisionHistoryLimit"}, 10);
  std::vector<const OwnedSet*> alive;
  for (const auto& s : r.old_sets) {
    if (!s.object->deleting()) alive.push_back(&s);
  }
  std::stable_sort(alive.begin(), alive.end(), [](const OwnedSet* a, const OwnedSet* b) {
    return revision_of(a->tree) < revision_of(b->tree);
  });
  const auto surplus = static_cast<int64_t>(alive.size()) - keep;
  for (int64_t i = 0; i < surplus; ++i) {
    const OwnedSet& s = *alive[static_cast<size_t>(i)];
    const bool idle = s.replicas == 0 && s.created == 0 && s.wanted == 0 &&
                      base::int_at(s.tree, {"metadata", "generation"}) <=
                          base::int_at(s.tree, {"status", "observedGeneration"});
    if (idle) plan.remove(kReplicaSets, *s.object);
  }
}

/// The status, and with it the annotation that carries the new set's revision: as an update of the
/// deployment itself that would make a new generation.
void write_status(Rollout& r, base::WallTime now, Plan& plan) {
  Json next = r.tree;
  next["status"] = deployment_status(r, now, plan);
  if (r.collisions) next["status"]["collisionCount"] = *r.collisions;
  if (!r.object->deleting()) {
    std::string revision = r.created_revision > 0 ? std::to_string(r.created_revision) : std::string();
    if (r.new_set) revision = api::annotation(r.new_set->tree, kRevision);
    if (!revision.empty()) next["metadata"]["annotations"][std::string(kRevision)] = revision;
  }
  if (next != r.tree) plan.update(kDeployments, std::move(next), "status");
}

void roll(const View& view, Rollout& r, Plan& plan) {
  if (r.recreate) {
    bool scaled_down = false;
    for (auto& s : r.old_sets) scaled_down = std::exchange(s.wanted, 0) != 0 || scaled_down;
    // One that is told only now may be making pods.
    if (scaled_down || old_pods_run(view, r)) return;
    if (ensure_new_set(view, r, plan)) roll_new_set(r);
    return;
  }
  if (!ensure_new_set(view, r, plan)) return;
  const int64_t before = r.new_set->wanted;
  roll_new_set(r);
  // As in Kubernetes one step at a time: old sets shrink once the new one's growth is seen.
  if (r.new_set->wanted == before) roll_old_sets(r);
}

/// A set that could not be made.
Plan report_failure(const api::ObjectPtr& object, const Write& failed, const base::Status& why,
                    base::WallTime now) {
  Plan plan;
  if (failed.verb != Write::Verb::kCreate || namespace_terminating(why)) return plan;
  const std::string message =
      base::cat("Failed to create new replica set \"", base::string_at(*failed.body, {"metadata", "name"}),
                "\": ", why.message());
  plan.note(object, "Warning", kCreateError, message);
  Json next = object->tree();
  if (!progress_deadline(next)) return plan;
  set_deployment_condition(next, {"Progressing", "False", kCreateError, message}, now);
  if (next != object->tree()) plan.update(kDeployments, std::move(next), "status");
  return plan;
}

}  // namespace

Plan plan_deployment(const View& view, const Key& key, base::WallTime now) {
  Plan plan;
  api::ObjectPtr object = view.get(kDeployments, key.ns, key.name);
  if (object == nullptr) return plan;
  const Json tree = object->tree();
  const Json& selector_tree = base::object_at(tree, {"spec", "selector"});
  auto selector = api::LabelSelector::from_tree(selector_tree);
  if (!selector.ok()) return plan;
  if (selector->empty()) {
    if (base::int_at(tree, {"status", "observedGeneration"}) < object->generation()) {
      Json next = tree;
      next["status"]["observedGeneration"] = object->generation();
      plan.update(kDeployments, std::move(next), "status");
    }
    plan.note(object, "Warning", "SelectingAll",
              "This deployment is selecting all pods. A non-empty selector is required.");
    return plan;
  }
  Rollout r = observe(view, object, *selector, plan);
  if (!object->deleting()) {
    r.scaling = is_scaling_event(r);
    update_new_set(r);
    if (r.paused || r.scaling) {
      scale_proportionally(r);
    } else {
      roll(view, r, plan);
    }
    for (auto& s : r.old_sets) write_set(r, s, plan);
    if (r.new_set) write_set(r, *r.new_set, plan);
    if (r.paused || rollout_complete(r, base::object_at(r.tree, {"status"}))) clean_up_history(r, plan);
  }
  write_status(r, now, plan);
  plan.otherwise = [object, now](const Write& failed, const base::Status& why) {
    return report_failure(object, failed, why, now);
  };
  return plan;
}

Controller make_deployment_controller() {
  Controller c;
  c.name = "deployment-controller";
  c.queue = "deployment";
  c.sources = {
      {kDeployments, own_key, {}},
      {kReplicaSets,
       [](const api::ObjectPtr& before, const api::ObjectPtr& after, const View& view) {
         static const auto owner = owner_key("Deployment");
         Keys keys = owner(before, after, view);
         if (!keys.empty() || after == nullptr || !api::controller_of(*after).uid.empty()) return keys;
         for (const auto& d : view.list(kDeployments, after->ns())) {
           const Json tree = d->tree();
           auto selector = api::LabelSelector::from_tree(base::object_at(tree, {"spec", "selector"}));
           if (selector.ok() && selector->matches(*after))
             keys.push_back({std::string(d->ns()), std::string(d->name())});
         }
         return keys;
       },
       {{"controller", controller_uid_index()}}},
      {kPods,
       // Recreate waits for the last old pod to be gone.
       [](const api::ObjectPtr& before, const api::ObjectPtr& after, const View& view) {
         Keys keys;
         if (after != nullptr || before == nullptr) return keys;
         api::OwnerReference set = api::controller_of(*before);
         if (set.kind != "ReplicaSet") return keys;
         api::ObjectPtr rs = view.get(kReplicaSets, before->ns(), set.name);
         if (rs == nullptr) return keys;
         api::OwnerReference d = api::controller_of(*rs);
         if (d.kind == "Deployment") keys.push_back({std::string(before->ns()), d.name});
         return keys;
       },
       {{"controller", controller_uid_index()}}}};
  c.plan = plan_deployment;
  return c;
}

}  // namespace orch::server
