#include "server/scheduler/census.h"

#include "base/status.h"

namespace orch::server::scheduler {

namespace {

void bump(std::unordered_map<std::string, int64_t>& counts, const std::string& key, int64_t n) {
  auto it = counts.try_emplace(key, 0).first;
  if ((it->second += n) == 0) counts.erase(it);
}

/// What all pods of a group have in common.
std::string group_key(const api::Object& pod) {
  std::string key(1, pod.deleting() ? 'd' : ' ');
  for (size_t i = 0; i < pod.label_count(); ++i) {
    const auto [name, value] = pod.label(i);
    key.append(name).append("=").append(value).append("\n");
  }
  return key;
}

std::string claim_key(std::string_view ns, std::string_view claim) { return base::cat(ns, "/", claim); }

}  // namespace

void Counts::add(const NodeInfo& node, int64_t n) {
  auto it = on_.try_emplace(&node, 0).first;
  if ((it->second += n) == 0) on_.erase(it);
  for (auto& [key, values] : topologies_) {
    auto label = node.labels.find(key);
    if (label == node.labels.end()) continue;
    bump(values.of, label->second, n);
    values.total += n;
  }
}

const Counts::ByValue& Counts::by(const std::string& topology_key) const {
  auto [it, fresh] = topologies_.try_emplace(topology_key);
  ByValue& values = it->second;
  if (!fresh) return values;
  for (const auto& [node, n] : on_) {
    auto label = node->labels.find(topology_key);
    if (label == node->labels.end()) continue;
    values.of[label->second] += n;
    values.total += n;
  }
  return values;
}

void Tally::add(const Counts::ByValue& values, int64_t times) {
  constexpr size_t kLarge = 64;
  total_ += values.total;
  if (values.of.size() > kLarge) {
    large_.emplace_back(&values, times);
    return;
  }
  for (const auto& [value, n] : values.of) small_[value] += n * times;
}

void Tally::adjust(const std::string& value, int64_t by) {
  small_[value] += by;
  total_ += by;
}

int64_t Tally::at(const std::string& value) const {
  int64_t sum = 0;
  if (auto it = small_.find(value); it != small_.end()) sum = it->second;
  for (const auto& [values, times] : large_) {
    if (auto it = values->of.find(value); it != values->of.end()) sum += it->second * times;
  }
  return sum;
}

void Census::count(const PodInfo& pod, const NodeInfo& node, int64_t n) {
  auto of_namespace = groups_.try_emplace(pod.ns).first;
  auto group = of_namespace->second.try_emplace(group_key(*pod.object)).first;
  if (group->second.sample == nullptr) {
    group->second.sample = pod.object;
    group->second.deleting = pod.object->deleting();
  }
  group->second.counts.add(node, n);
  if (group->second.counts.empty()) {
    of_namespace->second.erase(group);
    if (of_namespace->second.empty()) groups_.erase(of_namespace);
  }
  if (pod.terms != nullptr) {
    auto it = term_groups_.try_emplace(pod.terms->key).first;
    if (it->second.terms == nullptr) it->second.terms = pod.terms;
    it->second.counts.add(node, n);
    if (it->second.counts.empty()) term_groups_.erase(it);
  }
  for (const PodVolume& v : pod.volumes) {
    if (v.kind == PodVolume::Kind::kClaim) bump(claims_, claim_key(pod.ns, v.source), n);
  }
}

void Census::add_node(const NodeInfo& node) {
  for (const auto& [uid, pod] : node.pods) count(*pod, node, 1);
  for (const auto& [name, size] : node.image_sizes) bump(images_, name, 1);
}

void Census::remove_node(const NodeInfo& node) {
  for (const auto& [uid, pod] : node.pods) count(*pod, node, -1);
  for (const auto& [name, size] : node.image_sizes) bump(images_, name, -1);
}

void Census::each_group(const std::function<void(std::string_view ns, const Group&)>& visit) const {
  for (const auto& [ns, groups] : groups_) {
    for (const auto& [key, group] : groups) visit(ns, group);
  }
}

void Census::each_group(std::string_view ns, const std::function<void(const Group&)>& visit) const {
  auto it = groups_.find(ns);
  if (it == groups_.end()) return;
  for (const auto& [key, group] : it->second) visit(group);
}

int64_t Census::nodes_with_image(const std::string& name) const {
  auto it = images_.find(name);
  return it == images_.end() ? 0 : it->second;
}

int64_t Census::uses_of_claim(std::string_view ns, std::string_view claim) const {
  auto it = claims_.find(claim_key(ns, claim));
  return it == claims_.end() ? 0 : it->second;
}

}  // namespace orch::server::scheduler
