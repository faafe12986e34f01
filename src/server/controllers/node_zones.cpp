#include "server/controllers/node_zones.h"

#include <algorithm>
#include <cmath>

#include "api/meta.h"
#include "base/json.h"

namespace orch::server {

namespace {

/// So many nodes may always fail together.
constexpr int64_t kFewNodes = 2;

base::Duration period(double rate) {
  const double ns = 1e9 / rate;
  constexpr double kLongest = 1e17;  // three years
  return base::Duration(std::llround(std::min(ns, kLongest)));
}

/// The older label counts, where there is one.
std::string_view label_of(const api::Object& node, std::string_view older, std::string_view key) {
  const std::string_view value = node.label(older);
  return value.data() != nullptr ? value : node.label(key);
}

bool evicts(const Json& taint) {
  const std::string_view key = base::string_at(taint, {"key"});
  return base::string_at(taint, {"effect"}) == "NoExecute" &&
         (key == "node.kubernetes.io/not-ready" || key == "node.kubernetes.io/unreachable");
}

}  // namespace

ZoneState zone_state(int64_t size, int64_t unhealthy, double threshold) {
  if (size > 0 && unhealthy == size) return ZoneState::kFullDisruption;
  if (unhealthy > kFewNodes && static_cast<double>(unhealthy) / static_cast<double>(size) >= threshold)
    return ZoneState::kPartialDisruption;
  return ZoneState::kNormal;
}

double zone_rate(int64_t size, int64_t unhealthy, const EvictionOptions& options) {
  // A zone that is gone as a whole is no network that fails in parts: its pods are needed elsewhere.
  if (zone_state(size, unhealthy, options.unhealthy_zone_threshold) != ZoneState::kPartialDisruption)
    return options.rate;
  return size > options.large_cluster_size ? options.secondary_rate : 0;
}

std::string zone_of(const api::Object& node) {
  const std::string_view zone =
      label_of(node, "failure-domain.beta.kubernetes.io/zone", "topology.kubernetes.io/zone");
  const std::string_view region =
      label_of(node, "failure-domain.beta.kubernetes.io/region", "topology.kubernetes.io/region");
  if (zone.empty() && region.empty()) return {};
  return base::cat(region, std::string_view(":\0:", 3), zone);
}

NodeZones::NodeZones(const EvictionOptions& options, base::Metrics* metrics)
    : options_(options), metrics_(metrics) {}

NodeZones::Standing NodeZones::standing_of(const api::Object& node) {
  Standing out;
  out.zone = zone_of(node);
  out.counted = node.label("node.kubernetes.io/exclude-disruption").data() == nullptr;
  const Json tree = node.tree();
  const Json* ready = api::find_condition(tree, "Ready");
  out.ready = ready != nullptr && base::string_at(*ready, {"status"}) == "True";
  const Json& taints = base::array_at(tree, {"spec", "taints"});
  out.tainted = std::any_of(taints.begin(), taints.end(), evicts);
  return out;
}

NodeZones::Zone& NodeZones::zone(const std::string& key) {
  const auto [it, fresh] = zones_.try_emplace(key);
  Zone& zone = it->second;
  if (!fresh) return zone;
  zone.rate = options_.rate;
  zone.health = std::make_shared<std::atomic<double>>(100);
  if (metrics_ == nullptr) return zone;
  const base::MetricLabels labels = {{"zone", key}};
  zone.evictions = &metrics_->counter("node_collector_evictions_total",
                                      "Nodes that were tainted so that their pods leave.", labels);
  zone.nodes = &metrics_->gauge("node_collector_zone_size", "Nodes of the zone.", labels);
  zone.nodes_down = &metrics_->gauge("node_collector_unhealthy_nodes_in_zone",
                                     "Nodes of the zone that are not ready.", labels);
  metrics_->computed("node_collector_zone_health", "Percentage of the zone's nodes that are ready.", labels,
                     [health = zone.health] { return health->load(); });
  return zone;
}

/// Adds a node to its zone, or takes it out (by = -1).
void NodeZones::count(const Standing& standing, const std::string& name, int64_t by) {
  Zone& z = zone(standing.zone);
  if (!standing.ready && by > 0) z.down.insert(name);
  if (by < 0) z.down.erase(name);
  if (!standing.counted) return;
  z.size += by;
  size_ += by;
  if (!standing.ready) {
    z.unhealthy += by;
    unhealthy_ += by;
  }
  *z.health =
      z.size == 0 ? 100 : 100 * static_cast<double>(z.size - z.unhealthy) / static_cast<double>(z.size);
  if (z.nodes == nullptr) return;
  z.nodes->set(z.size);
  z.nodes_down->set(z.unhealthy);
}

void NodeZones::set_rate(Zone& z, double rate, base::MonoTime now, std::set<std::string>& wake) {
  if (z.rate == rate) return;
  // Who had to wait at the old rate has to at the new one too.
  const bool free = !asked_ || (z.rate > 0 && z.next <= now);
  z.rate = rate;
  if (rate > 0) z.next = free ? now : now + period(rate);
  wake.insert(z.down.begin(), z.down.end());
}

void NodeZones::set_rates(base::MonoTime now, std::set<std::string>& wake) {
  const bool all_down = size_ > 0 && unhealthy_ == size_;
  const bool turned = all_down != all_down_;
  all_down_ = all_down;
  if (turned) granted_.clear();
  for (auto& [key, z] : zones_) {
    set_rate(z, all_down ? 0 : zone_rate(z.size, z.unhealthy, options_), now, wake);
    if (!turned) continue;
    z.waiting.clear();
    wake.insert(z.down.begin(), z.down.end());
  }
}

/// It waits no more; those behind it wait for less.
void NodeZones::forget(const std::string& key, const std::string& name, std::set<std::string>& wake) {
  granted_.erase(name);
  Zone& z = zone(key);
  const auto it = std::find(z.waiting.begin(), z.waiting.end(), name);
  if (it == z.waiting.end()) return;
  z.waiting.erase(it);
  wake.insert(z.waiting.begin(), z.waiting.end());
}

std::vector<std::string> NodeZones::note(const std::string& name, const api::ObjectPtr& node,
                                         base::MonoTime now) {
  std::optional<Standing> next;
  if (node != nullptr) next = standing_of(*node);
  std::set<std::string> wake;
  const std::lock_guard lock(mutex_);
  const auto it = nodes_.find(name);
  std::optional<Standing> had;
  if (it != nodes_.end()) had = it->second;
  if (next) {
    nodes_[name] = *next;
    Zone& z = zone(next->zone);
    if (had && next->tainted && !had->tainted && z.evictions != nullptr) z.evictions->add();
  } else if (had) {
    nodes_.erase(it);
  }
  const bool same_zone = had && next && had->zone == next->zone;
  if (same_zone && had->ready == next->ready && had->counted == next->counted) return {};
  if (had) count(*had, name, -1);
  if (next) count(*next, name, 1);
  if (had && (!same_zone || next->ready)) forget(had->zone, name, wake);
  set_rates(now, wake);
  wake.erase(name);
  return {wake.begin(), wake.end()};
}

NodeZones::Turn NodeZones::ask(const std::string& name, bool needed, base::MonoTime now) {
  const std::lock_guard lock(mutex_);
  asked_ = true;
  const auto it = nodes_.find(name);
  if (it == nodes_.end() || all_down_) return {};
  Zone& z = zones_.at(it->second.zone);
  auto place = std::find(z.waiting.begin(), z.waiting.end(), name);
  if (!needed || granted_.count(name) != 0) {
    if (place != z.waiting.end()) z.waiting.erase(place);
    return {.now = true};
  }
  if (place == z.waiting.end()) place = z.waiting.insert(place, name);
  if (z.rate <= 0) return {};
  const auto before = place - z.waiting.begin();
  if (before == 0 && z.next <= now) {
    z.waiting.pop_front();
    granted_.insert(name);
    z.next = now + period(z.rate);
    return {.now = true};
  }
  return {.wait = std::max(z.next, now) + before * period(z.rate) - now};
}

}  // namespace orch::server
