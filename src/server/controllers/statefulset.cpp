#include "server/controllers/statefulset.h"

#include <algorithm>
#include <set>

#include "api/meta.h"
#include "api/resources/kinds.h"
#include "api/resources/resource.h"
#include "api/selector.h"
#include "server/controllers/statefulset_state.h"

namespace orch::server {

namespace {

// --- History --------------------------------------------------------------------------------------------

/// The set with this revision's template and today's defaults has the template it has now: an older Orch
/// wrote the revision, before a default was known.
bool same_by_defaults(const Json& set, const Revision& revision) {
  Json restored = set;
  restored["spec"]["template"] = template_of(revision.tree);
  api::stateful_set_strategy().set_defaults(restored);
  return restored["spec"]["template"] == base::object_at(set, {"spec", "template"});
}

Revision new_revision(const Stateful& s, const Json& data, int64_t number) {
  // The label keeps the hash as of the collisions counted so far; a name that is taken gets the next one.
  const std::string hash = revision_hash(data, s.collisions);
  Json labels = base::object_at(s.tree, {"spec", "template", "metadata", "labels"});
  labels[kRevisionDataHashLabel] = hash;
  Json tree = {{"kind", "ControllerRevision"},
               {"apiVersion", "apps/v1"},
               {"metadata",
                {{"name", revision_name(s.object->name(), hash)},
                 {"namespace", std::string(s.object->ns())},
                 {"labels", std::move(labels)},
                 {"ownerReferences", Json::array({api::controller_reference(*s.object)})}}},
               {"data", data},
               {"revision", number}};
  const Json& annotations = base::object_at(s.tree, {"metadata", "annotations"});
  if (!annotations.empty()) tree["metadata"]["annotations"] = annotations;
  return {nullptr, std::move(tree)};
}

/// Makes a revision under the first name that is free, or takes the one that says the same.
Revision create_revision(Stateful& s, const Json& data, int64_t number) {
  Revision made = new_revision(s, data, number);
  while (true) {
    const api::ObjectPtr there = s.view.get(kRevisions, s.object->ns(), made.name());
    if (there == nullptr) break;
    Json tree = there->tree();
    if (tree.value("data", Json()) == data) return {there, std::move(tree)};
    ++s.collisions;
    made.tree["metadata"]["name"] = revision_name(s.object->name(), revision_hash(data, s.collisions));
  }
  s.plan.create(kRevisions, s.object->ns(), made.tree);
  return made;
}

/// Sets s.current and s.update; the template's revision becomes the newest.
void read_revisions(Stateful& s, const std::vector<Revision>& revisions) {
  const Json data = template_patch(s.tree);
  const int64_t next = revisions.empty() ? 1 : revisions.back().number() + 1;
  const auto equal = std::find_if(revisions.rbegin(), revisions.rend(),
                                  [&](const Revision& r) { return r.tree.value("data", Json()) == data; });
  if (equal == revisions.rbegin() && equal != revisions.rend()) {
    s.update = *equal;
  } else if (equal != revisions.rend()) {
    // Rolled back: what was an old revision is the newest again.
    s.update = *equal;
    s.update.tree["revision"] = next;
    s.plan.update(kRevisions, s.update.tree);
  } else if (!revisions.empty() && same_by_defaults(s.tree, revisions.back())) {
    s.update = revisions.back();
  } else {
    s.update = create_revision(s, data, next);
  }
  const std::string_view name = base::string_at(s.tree, {"status", "currentRevision"});
  const auto current =
      std::find_if(revisions.begin(), revisions.end(), [&](const Revision& r) { return r.name() == name; });
  s.current = current != revisions.end() ? *current : s.update;
}

/// Drops the oldest revisions nothing is of, down to the limit.
void truncate_history(const Stateful& s, const std::vector<Revision>& revisions,
                      const std::vector<Member>& pods) {
  const int64_t limit = base::int_at(s.tree, {"spec", "revisionHistoryLimit"}, 10);
  if (limit < 0) return;
  std::set<std::string, std::less<>> live = {s.current.name(), s.update.name()};
  for (const Member& m : pods) live.emplace(m.revision());
  std::vector<const Revision*> old;
  for (const Revision& r : revisions) {
    if (live.count(r.name()) == 0) old.push_back(&r);
  }
  const int64_t surplus = static_cast<int64_t>(old.size()) - limit;
  for (int64_t i = 0; i < surplus; ++i) s.plan.remove(kRevisions, *old[static_cast<size_t>(i)]->object);
}

// --- Status ---------------------------------------------------------------------------------------------

struct Counts {
  int64_t replicas = 0, ready = 0, available = 0, current = 0, updated = 0;
};

void count(const Stateful& s, const std::vector<Member>& members, Counts& n) {
  for (const Member& m : members) {
    if (!m.created()) continue;
    ++n.replicas;
    if (m.phase() == "Running" && pod_ready(m.tree)) {
      ++n.ready;
      if (s.available(m)) ++n.available;
    }
    if (m.terminating()) continue;
    if (m.revision() == s.current.name()) ++n.current;
    if (m.revision() == s.update.name()) ++n.updated;
  }
}

/// The status, or null when nothing in it that counts has changed.
Json status_of(const Stateful& s, Counts n) {
  std::string current = s.current.name();
  const bool rolling = base::string_at(s.tree, {"spec", "updateStrategy", "type"}) == "RollingUpdate";
  if (rolling && n.updated == s.replicas && n.ready == s.replicas && n.replicas == s.replicas) {
    // The update is through.
    n.current = n.updated;
    current = s.update.name();
  }
  Json status = {
      {"replicas", n.replicas}, {"availableReplicas", n.available}, {"collisionCount", s.collisions}};
  auto set = [&status](const char* name, int64_t value) {
    if (value != 0) status[name] = value;
  };
  set("observedGeneration", base::int_at(s.tree, {"metadata", "generation"}));
  set("readyReplicas", n.ready);
  set("currentReplicas", n.current);
  set("updatedReplicas", n.updated);
  status["currentRevision"] = current;
  status["updateRevision"] = s.update.name();
  const Json& had = base::object_at(s.tree, {"status"});
  const auto differs = [&](const char* name) {
    return base::int_at(status, {name}) != base::int_at(had, {name});
  };
  const bool changed =
      base::int_at(status, {"observedGeneration"}) > base::int_at(had, {"observedGeneration"}) ||
      differs("replicas") || differs("readyReplicas") || differs("availableReplicas") ||
      differs("currentReplicas") || differs("updatedReplicas") ||
      base::string_at(had, {"currentRevision"}) != current ||
      base::string_at(had, {"updateRevision"}) != s.update.name();
  return changed ? status : Json();
}

void write_status(const Json& set, const Json& status, Plan& plan) {
  if (status.is_null()) return;
  Json next = set;
  next["status"] = status;
  plan.update(kStatefulSets, std::move(next), "status");
}

// --- Steps ----------------------------------------------------------------------------------------------

/// Puts each pod where its ordinal belongs, and makes up those that are missing.
void place(Stateful& s, const std::vector<Member>& pods) {
  s.members.resize(static_cast<size_t>(s.replicas));
  for (const Member& m : pods) {
    if (s.in_range(m.ordinal)) {
      s.members[static_cast<size_t>(m.ordinal - s.start)] = m;
    } else if (m.ordinal >= 0) {
      s.condemned.push_back(m);
    }
  }
  for (int64_t i = 0; i < s.replicas; ++i) {
    Member& m = s.members[static_cast<size_t>(i)];
    if (m.object == nullptr) m = {nullptr, new_member(s, s.start + i), s.start + i};
  }
  std::sort(s.condemned.begin(), s.condemned.end(),
            [](const Member& a, const Member& b) { return a.ordinal > b.ordinal; });
}

void remove(Stateful& s, const Member& m) {
  s.plan.remove(kPods, *m.object);
  note_done(s, "Delete", m.name());
}

/// Whether the plan goes on to the next pod. With kStop nothing more is done to pods now, whatever the
/// management policy; with kWait an ordered set waits for this pod.
enum class Next : uint8_t { kGoOn, kWait, kStop };

Next create(Stateful& s, const Member& m) {
  if (claim_is_stale(s, m)) return Next::kWait;
  if (!make_claims(s, m, "Create")) return Next::kStop;
  // Somebody else's pod has the name: its end wakes the set.
  if (s.view.get(kPods, s.object->ns(), m.name()) != nullptr) return Next::kStop;
  s.plan.create(kPods, s.object->ns(), m.tree);
  fix_claim_owners(s, m);
  note_done(s, "Create", m.name());
  return Next::kWait;
}

/// Brings a pod's labels, volumes and claims in line.
Next repair(Stateful& s, const Member& m) {
  const bool identity = identity_matches(s, m), storage = storage_matches(s, m);
  if (identity && storage && claims_match_retention(s, m)) return Next::kGoOn;
  if (!storage && !make_claims(s, m, "Update")) return Next::kStop;
  fix_claim_owners(s, m);
  if (identity && storage) return Next::kGoOn;
  Json next = m.tree;
  if (!identity) fix_identity(s, next, m.ordinal);
  if (!storage) fix_storage(s, next, m.ordinal);
  s.plan.update(kPods, std::move(next));
  note_done(s, "Update", m.name());
  return Next::kGoOn;
}

Next tend(Stateful& s, const Member& m) {
  if (m.phase() == "Failed" || m.phase() == "Succeeded") {
    // Its successor comes when it is gone.
    if (!m.terminating()) remove(s, m);
    return Next::kWait;
  }
  if (m.object == nullptr) return create(s, m);
  if (m.phase() == "Pending") {
    if (!make_claims(s, m, nullptr)) return Next::kStop;
    fix_claim_owners(s, m);
  }
  if (s.ordered) {
    if (m.terminating() || m.phase() != "Running" || !s.available(m)) return Next::kWait;
  }
  return repair(s, m);
}

/// True when an ordered set has to wait, or nothing more can be done.
bool tend_all(Stateful& s) {
  for (const Member& m : s.members) {
    const Next next = tend(s, m);
    if (next == Next::kStop || (next == Next::kWait && s.ordered)) return true;
  }
  return false;
}

/// Surplus pods go from the highest ordinal down; in an ordered set one at a time, while all others are well.
bool scale_down(Stateful& s) {
  for (const Member& m : s.condemned) {
    if (!claims_match_retention(s, m)) fix_claim_owners(s, m);
  }
  const Member* first_unavailable = nullptr;
  for (const Member& m : s.members) {
    if (first_unavailable == nullptr && s.unavailable(m)) first_unavailable = &m;
  }
  for (auto m = s.condemned.rbegin(); m != s.condemned.rend(); ++m) {
    if (first_unavailable == nullptr && s.unavailable(*m)) first_unavailable = &*m;
  }
  for (const Member& m : s.condemned) {
    if (m.terminating()) {
      if (s.ordered) return true;
      continue;
    }
    const bool well = m.phase() == "Running" && s.available(m);
    if (s.ordered && !well && &m != first_unavailable) return true;
    remove(s, m);
    if (s.ordered) return true;
  }
  return false;
}

/// The highest pod that is of another revision goes; one that is not well holds the update up. True when a
/// pod goes.
bool roll(Stateful& s) {
  const Json& strategy = base::object_at(s.tree, {"spec", "updateStrategy"});
  if (base::string_at(strategy, {"type"}) == "OnDelete") return false;
  const int64_t first = base::int_at(strategy, {"rollingUpdate", "partition"});
  for (int64_t i = s.replicas - 1; i >= first; --i) {
    const Member& m = s.members[static_cast<size_t>(i)];
    if (m.revision() != s.update.name() && !m.terminating()) {
      if (m.object != nullptr) remove(s, m);
      return true;
    }
    if (s.unavailable(m)) return false;
  }
  return false;
}

/// What could not be done about a pod or a claim, as an event; the status stands.
Plan report_failure(const api::ObjectPtr& object, const Json& set, const Json& status, const Write& failed,
                    const base::Status& why) {
  Plan plan;
  if (failed.resource == kPods) {
    const bool making = failed.verb == Write::Verb::kCreate;
    if (!making && failed.verb != Write::Verb::kDelete && failed.verb != Write::Verb::kUpdate) return plan;
    const std::string_view pod =
        making ? base::string_at(*failed.body, {"metadata", "name"}) : std::string_view(failed.name);
    note_failed(plan, object,
                making                                ? "Create"
                : failed.verb == Write::Verb::kDelete ? "Delete"
                                                      : "Update",
                pod, why.message());
  } else if (failed.resource == kClaims && failed.verb == Write::Verb::kCreate) {
    const std::string claim(base::string_at(*failed.body, {"metadata", "name"}));
    const std::string pod =
        base::cat(object->name(), "-", std::max<int64_t>(split_member_name(claim).second, 0));
    plan.note(object, "Warning", "FailedCreate",
              base::cat("Create Claim ", claim, " for Pod ", pod, " in StatefulSet ", object->name(),
                        " failed error: ", why.message()));
    note_failed(plan, object, "Create", pod, base::cat("failed to create PVC ", claim, ": ", why.message()));
  } else {
    return plan;
  }
  write_status(set, status, plan);
  return plan;
}

/// Looks again when the next ready pod becomes available.
void wait_for_availability(const Stateful& s, const std::vector<Member>& pods) {
  for (const Member& m : pods) {
    if (auto wait = until_available(m.tree, s.min_ready, s.now)) s.plan.again_after(*wait);
  }
}

}  // namespace

Plan plan_statefulset(const View& view, const Key& key, base::WallTime now) {
  Plan plan;
  api::ObjectPtr object = view.get(kStatefulSets, key.ns, key.name);
  if (object == nullptr) return plan;
  Stateful s{view, now, plan, object, object->tree()};
  auto selector = api::LabelSelector::from_tree(base::object_at(s.tree, {"spec", "selector"}));
  if (!selector.ok()) return plan;
  s.collisions = base::int_at(s.tree, {"status", "collisionCount"});
  s.start = base::int_at(s.tree, {"spec", "ordinals", "start"});
  s.replicas = base::int_at(s.tree, {"spec", "replicas"}, 1);
  s.min_ready = base::int_at(s.tree, {"spec", "minReadySeconds"});
  s.ordered = base::string_at(s.tree, {"spec", "podManagementPolicy"}) != "Parallel";

  const std::vector<Revision> revisions = claim_revisions(view, *object, *selector, plan);
  std::vector<Member> pods;
  ClaimPolicy how;
  how.finished_too = true;
  how.member = [&](const api::Object& pod) { return split_member_name(pod.name()).first == object->name(); };
  for (PodView& p : claim_pods(view, kStatefulSets, *object, *selector, plan, how)) {
    pods.push_back({p.object, std::move(p.tree), split_member_name(p.object->name()).second});
  }
  read_revisions(s, revisions);
  place(s, pods);
  Counts counts;
  count(s, s.members, counts);
  count(s, s.condemned, counts);
  // As in Kubernetes whatever revision the pod was of, but the API takes no number below 0.
  if (!object->deleting() && !tend_all(s) && !scale_down(s) && roll(s) && counts.current > 0)
    --counts.current;
  const Json status = status_of(s, counts);
  write_status(s.tree, status, plan);
  truncate_history(s, revisions, pods);
  wait_for_availability(s, pods);
  plan.otherwise = [object, set = std::move(s.tree), status](const Write& failed, const base::Status& why) {
    return report_failure(object, set, status, failed, why);
  };
  return plan;
}

namespace {

/// The set a pod belongs to, those that may adopt it, and the one whose pod's name it has.
Keys keys_of_pod(const api::ObjectPtr& before, const api::ObjectPtr& after, const View& view) {
  static const auto owner = owner_key("StatefulSet");
  Keys keys = owner(before, after, view);
  const api::Object& pod = after ? *after : *before;
  if (!keys.empty()) return keys;
  const auto [parent, ordinal] = split_member_name(pod.name());
  // Sets know their pods by name as well, so no other can want it.
  if (ordinal >= 0 && view.get(kStatefulSets, pod.ns(), parent) != nullptr)
    keys.push_back({std::string(pod.ns()), std::string(parent)});
  return keys;
}

/// "<template>-<set>-<ordinal>": a claim that is gone, or changed hands, may be what a set waits for.
Keys keys_of_claim(const api::ObjectPtr& before, const api::ObjectPtr& after, const View& view) {
  Keys keys;
  const api::Object& claim = after ? *after : *before;
  if (before == nullptr) return keys;
  std::string_view name = split_member_name(claim.name()).first;
  for (size_t dash = name.find('-'); dash != std::string_view::npos; dash = name.find('-', dash + 1)) {
    const std::string_view set = name.substr(dash + 1);
    if (view.get(kStatefulSets, claim.ns(), set) != nullptr)
      keys.push_back({std::string(claim.ns()), std::string(set)});
  }
  return keys;
}

}  // namespace

Controller make_statefulset_controller() {
  Controller c;
  c.name = "statefulset-controller";
  c.queue = "statefulset";
  c.sources = {{kStatefulSets, own_key, {}},
               {kPods, keys_of_pod, {{"controller", controller_uid_index()}}},
               {kClaims, keys_of_claim, {}},
               {kRevisions, nullptr, {{"controller", controller_uid_index()}}}};
  c.plan = plan_statefulset;
  return c;
}

}  // namespace orch::server
