// Arithmetic of rolling updates: how many replicas each ReplicaSet of a deployment should have next.
#include <algorithm>
#include <cmath>

#include "api/meta.h"
#include "server/controllers/deployment_state.h"

namespace orch::server {

namespace {

template <typename F>
int64_t sum(const Rollout& r, const F& of) {
  int64_t n = r.new_set ? of(*r.new_set) : 0;
  for (const auto& s : r.old_sets) n += of(s);
  return n;
}

std::vector<OwnedSet*> active_sets(Rollout& r) {
  std::vector<OwnedSet*> out;
  for (auto& s : r.old_sets) {
    if (s.replicas > 0) out.push_back(&s);
  }
  if (r.new_set && r.new_set->replicas > 0) out.push_back(&*r.new_set);
  return out;
}

int64_t annotated(const Json& tree, std::string_view key) {
  std::string_view text = api::annotation(tree, key);
  return text.empty() ? -1 : std::atoll(std::string(text).c_str());
}

}  // namespace

int64_t Rollout::total_wanted() const {
  return sum(*this, [](const OwnedSet& s) { return s.wanted; });
}
int64_t Rollout::total_available() const {
  return sum(*this, [](const OwnedSet& s) { return s.available; });
}
int64_t Rollout::total_created() const {
  return sum(*this, [](const OwnedSet& s) { return s.created; });
}

void roll_new_set(Rollout& r) {
  OwnedSet& set = *r.new_set;
  if (set.wanted >= r.replicas) {
    set.wanted = r.replicas;
    return;
  }
  if (r.recreate) {
    set.wanted = r.replicas;
    return;
  }
  const int64_t room = r.replicas + r.max_surge - r.total_wanted();
  if (room <= 0) return;
  set.wanted += std::min(room, r.replicas - set.wanted);
}

namespace {

/// Takes replicas that are not available away from old sets first: they serve nobody.
int64_t drop_unhealthy(Rollout& r, int64_t most) {
  int64_t dropped = 0;
  for (auto& s : r.old_sets) {
    if (dropped >= most) break;
    if (s.wanted == 0 || s.wanted == s.available) continue;
    const int64_t n = std::min(most - dropped, s.wanted - s.available);
    if (n <= 0) continue;
    s.wanted -= n;
    dropped += n;
  }
  return dropped;
}

}  // namespace

void roll_old_sets(Rollout& r) {
  int64_t old_wanted = 0;
  for (const auto& s : r.old_sets) old_wanted += s.wanted;
  if (old_wanted == 0) return;
  const int64_t min_available = r.replicas - r.max_unavailable;
  const int64_t new_unavailable = r.new_set->wanted - r.new_set->available;
  // What may go now without ever having fewer than min_available, counting the new pods that are not up yet.
  const int64_t most = r.total_wanted() - min_available - std::max<int64_t>(new_unavailable, 0);
  if (most <= 0) return;
  drop_unhealthy(r, most);
  // A set that was told to shrink and has not yet done so will lose what it has beyond that.
  const int64_t staying = sum(r, [](const OwnedSet& s) { return std::min(s.available, s.wanted); });
  int64_t surplus = staying - min_available;
  for (auto& s : r.old_sets) {
    if (surplus <= 0) break;
    // Replicas counted as available that this plan has taken away already are not there to give.
    const int64_t n = std::min(s.wanted, surplus);
    s.wanted -= n;
    surplus -= n;
  }
}

bool is_scaling_event(const Rollout& r) {
  auto differs = [&](const OwnedSet& s) {
    const int64_t desired = annotated(s.tree, kDesiredReplicas);
    return s.replicas > 0 && desired >= 0 && desired != r.replicas;
  };
  return (r.new_set && differs(*r.new_set)) || std::any_of(r.old_sets.begin(), r.old_sets.end(), differs);
}

void scale_proportionally(Rollout& r) {
  auto sets = active_sets(r);
  if (sets.empty()) {
    if (r.new_set) {
      r.new_set->wanted = r.replicas;
    } else if (!r.old_sets.empty()) {
      r.old_sets.back().wanted = r.replicas;
    }
    return;
  }
  if (sets.size() == 1) {
    sets[0]->wanted = r.replicas;
    return;
  }
  if (r.new_set && r.new_set->replicas == r.replicas && r.new_set->available == r.replicas &&
      annotated(r.new_set->tree, kDesiredReplicas) == r.replicas) {
    // The new set carries everything already.
    for (auto& s : r.old_sets) s.wanted = 0;
    return;
  }
  if (r.recreate) return;
  const int64_t allowed = r.replicas > 0 ? r.replicas + r.max_surge : 0;
  int64_t total = 0;
  for (auto* s : sets) total += s->replicas;
  const int64_t to_add = allowed - total;
  std::stable_sort(sets.begin(), sets.end(), [&](const OwnedSet* a, const OwnedSet* b) {
    if (a->replicas != b->replicas) return a->replicas > b->replicas;
    const bool newer = api::creation_time(a->tree) > api::creation_time(b->tree);
    return to_add > 0 ? newer : !newer;
  });
  int64_t added = 0;
  for (auto* s : sets) {
    if (to_add == 0) continue;
    int64_t was = annotated(s->tree, kMaxReplicas);
    // The annotation is gone or was tampered with: the deployment's present size has to do.
    if (was <= 0) was = base::int_at(r.tree, {"status", "replicas"});
    const double share =
        was <= 0 ? static_cast<double>(s->replicas)
                 : static_cast<double>(s->replicas) * static_cast<double>(allowed) / static_cast<double>(was);
    int64_t n = static_cast<int64_t>(std::llround(share)) - s->replicas;
    if (r.replicas == 0) n = -s->replicas;
    const int64_t left = to_add - added;
    n = to_add > 0 ? std::clamp<int64_t>(n, 0, left) : std::clamp<int64_t>(n, left, 0);
    s->wanted = s->replicas + n;
    added += n;
  }
  // Rounding leaves a rest: the largest set takes it.
  sets[0]->wanted = std::max<int64_t>(0, sets[0]->wanted + to_add - added);
}

}  // namespace orch::server
