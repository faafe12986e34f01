// Rolling updates of a DaemonSet, and the history of its templates.
#include <algorithm>
#include <set>

#include "api/hash.h"
#include "api/meta.h"
#include "server/controllers/daemonset_state.h"

namespace orch::server {

bool Daemon::is_new(const PodView& pod) const {
  return pod.object->label(kRevisionHashLabel) == hash ||
         (!generation.empty() && pod.object->label(kPodGenerationLabel) == generation);
}

Pair pair_on(const Daemon& d, const DaemonNode& node) {
  Pair out;
  for (const PodView* pod : node.pods) {
    if (pod->object->deleting()) continue;
    const PodView*& slot = d.is_new(*pod) ? out.new_pod : out.old_pod;
    if (slot != nullptr) out.clear = false;
    slot = pod;
  }
  return out;
}

namespace {

int64_t number_of(const Json& revision) { return base::int_at(revision, {"revision"}); }

Json new_revision(const Daemon& d, const std::string& name, Json data, int64_t number) {
  Json labels = base::object_at(d.tree, {"spec", "template", "metadata", "labels"});
  labels[kRevisionHashLabel] = d.hash;
  Json revision = {{"kind", "ControllerRevision"},
                   {"apiVersion", "apps/v1"},
                   {"metadata",
                    {{"name", name},
                     {"namespace", std::string(d.object->ns())},
                     {"labels", std::move(labels)},
                     {"ownerReferences", Json::array({api::controller_reference(*d.object)})}}},
                   {"data", std::move(data)},
                   {"revision", number}};
  Json annotations = base::object_at(d.tree, {"metadata", "annotations"});
  // It says once more what is in the data.
  annotations.erase("kubectl.kubernetes.io/last-applied-configuration");
  if (!annotations.empty()) revision["metadata"]["annotations"] = std::move(annotations);
  return revision;
}

void drop_old(const View& view, const Daemon& d, std::vector<Json> old, const std::vector<PodView>& pods,
              Plan& plan) {
  std::set<std::string_view> alive;
  for (const auto& p : pods) alive.insert(p.object->label(kRevisionHashLabel));
  std::sort(old.begin(), old.end(), [](const Json& a, const Json& b) { return number_of(a) < number_of(b); });
  auto surplus =
      static_cast<int64_t>(old.size()) - base::int_at(d.tree, {"spec", "revisionHistoryLimit"}, 10);
  for (const Json& r : old) {
    if (surplus <= 0) return;
    if (alive.count(base::string_at(r, {"metadata", "labels", kRevisionHashLabel})) != 0) continue;
    if (auto o = view.get(kRevisions, d.object->ns(), base::string_at(r, {"metadata", "name"})))
      plan.remove(kRevisions, *o);
    --surplus;
  }
}

/// Several revisions say what the template says: the newest stands for all, also on the pods, which must not
/// be replaced for it.
void drop_doubles(const View& view, const Daemon& d, const std::vector<Json>& doubles,
                  const std::vector<PodView>& pods, Plan& plan) {
  std::set<std::string_view> hashes;
  for (const Json& r : doubles) hashes.insert(base::string_at(r, {"metadata", "labels", kRevisionHashLabel}));
  hashes.erase(d.hash);
  for (const PodView& p : pods) {
    if (hashes.count(p.object->label(kRevisionHashLabel)) == 0) continue;
    plan.patch(kPods, p.object->ns(), p.object->name(),
               {{"metadata", {{"labels", {{kRevisionHashLabel, d.hash}}}}}});
  }
  for (const Json& r : doubles) {
    if (auto o = view.get(kRevisions, d.object->ns(), base::string_at(r, {"metadata", "name"})))
      plan.remove(kRevisions, *o);
  }
  plan.again_after(std::chrono::milliseconds(1));
}

}  // namespace

bool keep_history(const View& view, Daemon& d, const api::LabelSelector& selector,
                  const std::vector<PodView>& pods, Plan& plan) {
  const Json data = template_patch(d.tree);
  std::vector<Json> old, same;
  int64_t newest = 0;
  for (Revision& r : claim_revisions(view, *d.object, selector, plan)) {
    Json& labels = r.tree["metadata"]["labels"];
    if (!labels.contains(kRevisionHashLabel)) {
      labels[kRevisionHashLabel] = r.name();
      plan.update(kRevisions, r.tree);
    }
    if (r.tree.value("data", Json()) == data) {
      same.push_back(std::move(r.tree));
    } else {
      newest = std::max(newest, r.number());
      old.push_back(std::move(r.tree));
    }
  }
  if (same.empty()) {
    const Json* collisions = base::find_path(d.tree, {"status", "collisionCount"});
    std::optional<int64_t> count;
    if (collisions != nullptr) count = collisions->get<int64_t>();
    d.hash = api::template_hash(base::object_at(d.tree, {"spec", "template"}), count);
    const std::string name = base::cat(d.object->name(), "-", d.hash);
    if (view.get(kRevisions, d.object->ns(), name) != nullptr) {
      Json next = d.tree;
      next["status"]["collisionCount"] = count.value_or(0) + 1;
      plan.update(kDaemonSets, std::move(next), "status");
      return false;
    }
    plan.create(kRevisions, d.object->ns(), new_revision(d, name, data, newest + 1));
  } else {
    Json current = std::move(same.back());  // they come by number
    same.pop_back();
    d.hash = base::string_at(current, {"metadata", "labels", kRevisionHashLabel});
    if (number_of(current) <= newest) {
      current["revision"] = newest + 1;
      plan.update(kRevisions, std::move(current));
    }
    if (!same.empty()) {
      drop_doubles(view, d, same, pods, plan);
      return false;
    }
  }
  drop_old(view, d, std::move(old), pods, plan);
  return true;
}

namespace {

/// Old pods go as fast as maxUnavailable allows; making the new ones is left to the rest of the plan.
RollingStep replace(const Daemon& d, base::WallTime now) {
  RollingStep step;
  std::vector<const PodView*> candidates;
  int64_t unavailable = 0;
  for (const auto& [name, node] : d.nodes) {
    if (!node.fit.run && node.pods.empty()) continue;
    const Pair pair = pair_on(d, node);
    if (!pair.clear || (pair.old_pod == nullptr) == (pair.new_pod == nullptr)) {
      ++unavailable;  // being put in order
    } else if (pair.new_pod != nullptr) {
      if (!pod_available(pair.new_pod->tree, d.min_ready, now)) ++unavailable;
    } else if (!pod_available(pair.old_pod->tree, d.min_ready, now)) {
      step.remove.push_back(pair.old_pod);  // it serves nobody: replacing it costs nothing
      ++unavailable;
    } else {
      candidates.push_back(pair.old_pod);
    }
  }
  for (const PodView* pod : candidates) {
    if (unavailable++ >= d.max_unavailable) break;
    step.remove.push_back(pod);
  }
  return step;
}

/// New pods come up beside the old ones, maxSurge at a time; an old one goes when its successor is available.
RollingStep surge(const Daemon& d, base::WallTime now) {
  RollingStep step;
  std::vector<std::string> candidates;
  std::vector<const PodView*> misplaced;
  int64_t surging = 0, available = 0, desired = 0;
  for (const auto& [name, node] : d.nodes) {
    if (node.fit.run) ++desired;
    const Pair pair = pair_on(d, node);
    if (!pair.clear) {
      ++surging;
      continue;
    }
    const PodView* first = pair.old_pod != nullptr ? pair.old_pod : pair.new_pod;
    const bool first_available = first != nullptr && pod_available(first->tree, d.min_ready, now);
    if (first_available) ++available;
    if (pair.old_pod == nullptr) continue;
    if (pair.new_pod != nullptr) {
      if (pod_available(pair.new_pod->tree, d.min_ready, now)) {
        step.remove.push_back(pair.old_pod);
      } else {
        ++surging;
      }
    } else if (!first_available) {
      if (node.fit.run) {
        step.create.push_back(name);  // nothing to lose there
      } else {
        step.remove.push_back(pair.old_pod);
      }
    } else if (!node.fit.run) {
      misplaced.push_back(pair.old_pod);
    } else {
      candidates.push_back(name);
    }
  }
  // A pod where none should be still serves until another one does in its place.
  for (const PodView* pod : misplaced) {
    if (available-- <= desired) break;
    step.remove.push_back(pod);
  }
  for (const std::string& name : candidates) {
    if (surging++ >= d.max_surge) break;
    step.create.push_back(name);
  }
  return step;
}

}  // namespace

RollingStep roll(const Daemon& d, base::WallTime now) {
  return d.max_surge == 0 ? replace(d, now) : surge(d, now);
}

}  // namespace orch::server
