#include "agent/kubelet/runtime_cache.h"

namespace orch::agent {
namespace {

bool same(const ContainerStatus& a, const ContainerStatus& b) {
  return a.state == b.state && a.exit_code == b.exit_code && a.finished_at_ns == b.finished_at_ns &&
         a.started_at_ns == b.started_at_ns && a.reason == b.reason;
}

bool same(const SandboxStatus& a, const SandboxStatus& b) { return a.ready == b.ready && a.ips == b.ips; }

// Two may ask about the same thing at once, and the older answer may come last. What has ended never runs
// again, so such an answer is known by that.
bool is_older(const ContainerStatus& answer, const ContainerStatus& known) {
  if (known.state == ContainerState::kExited) return answer.state != ContainerState::kExited;
  return known.state == ContainerState::kRunning && answer.state == ContainerState::kCreated;
}
bool is_older(const SandboxStatus& answer, const SandboxStatus& known) {
  return answer.ready && !known.ready;
}

}  // namespace

base::Result<std::set<std::string>> RuntimeCache::relist() {
  auto sandboxes = runtime_.list_sandboxes();
  if (!sandboxes.ok()) return sandboxes.error();
  auto containers = runtime_.list_containers();
  if (!containers.ok()) return containers.error();
  std::set<std::string> changed, seen;
  for (const SandboxStatus& s : *sandboxes) {
    const std::string uid(label_of(s.labels, label::kPodUid));
    if (uid.empty()) continue;
    seen.insert(s.id);
    bool refresh = true;
    {
      std::lock_guard lock(mutex_);
      const auto it = sandboxes_.find(s.id);
      refresh = it == sandboxes_.end() || it->second.ready != s.ready;
    }
    if (!refresh) continue;
    auto full = runtime_.sandbox_status(s.id);
    if (!full.ok()) continue;
    add_sandbox(*full);
    changed.insert(uid);
  }
  for (const ContainerStatus& c : *containers) {
    const std::string uid(label_of(c.labels, label::kPodUid));
    if (uid.empty()) continue;
    seen.insert(c.id);
    bool refresh = true;
    {
      std::lock_guard lock(mutex_);
      const auto it = containers_.find(c.id);
      refresh = it == containers_.end() || it->second.state != c.state;
    }
    if (!refresh) continue;
    auto full = runtime_.container_status(c.id);
    if (!full.ok()) continue;
    full->sandbox_id = c.sandbox_id;
    add_container(*full);
    changed.insert(uid);
  }
  std::vector<std::string> gone;
  {
    std::lock_guard lock(mutex_);
    for (const auto& [id, uid] : owners_) {
      if (seen.count(id) == 0) {
        gone.push_back(id);
        changed.insert(uid);
      }
    }
  }
  // What was made between the two lists and now is not gone: ask once more.
  for (const std::string& id : gone) {
    bool differs = false;
    (void)refresh(id, &differs);
  }
  return changed;
}

std::string RuntimeCache::refresh(const std::string& id, bool* changed) {
  *changed = false;
  std::string uid;
  std::string sandbox;
  bool is_sandbox = false;
  {
    std::lock_guard lock(mutex_);
    const auto it = owners_.find(id);
    if (it == owners_.end()) return {};
    uid = it->second;
    is_sandbox = sandboxes_.count(id) != 0;
    if (!is_sandbox) sandbox = containers_[id].sandbox_id;
  }
  if (is_sandbox) {
    refresh_sandbox(id, changed);
    return uid;
  }
  auto status = runtime_.container_status(id);
  if (!status.ok()) {
    if (status.error().code() != base::Code::kNotFound) return uid;
    remove(id);
    *changed = true;
    return uid;
  }
  status->sandbox_id = sandbox;
  std::lock_guard lock(mutex_);
  const auto it = containers_.find(id);
  if (it == containers_.end() || is_older(*status, it->second)) return uid;
  *changed = !same(it->second, *status);
  it->second = std::move(*status);
  return uid;
}

void RuntimeCache::refresh_sandbox(const std::string& id, bool* changed) {
  auto status = runtime_.sandbox_status(id);
  if (!status.ok()) {
    if (status.error().code() != base::Code::kNotFound) return;
    remove(id);
    *changed = true;
    return;
  }
  std::lock_guard lock(mutex_);
  const auto it = sandboxes_.find(id);
  if (it == sandboxes_.end() || is_older(*status, it->second)) return;
  *changed = !same(it->second, *status);
  it->second = std::move(*status);
}

PodRuntime RuntimeCache::pod(std::string_view uid) const {
  PodRuntime out;
  {
    std::lock_guard lock(mutex_);
    if (const auto it = sandboxes_of_.find(uid); it != sandboxes_of_.end()) {
      for (const std::string& id : it->second) out.sandboxes.push_back(sandboxes_.at(id));
    }
    if (const auto it = containers_of_.find(uid); it != containers_of_.end()) {
      for (const std::string& id : it->second) out.containers.push_back(containers_.at(id));
    }
  }
  out.sort();
  return out;
}

std::vector<std::string> RuntimeCache::pods() const {
  std::lock_guard lock(mutex_);
  std::set<std::string> uids;
  for (const auto& [id, uid] : owners_) uids.insert(uid);
  return {uids.begin(), uids.end()};
}

void RuntimeCache::add_sandbox(const SandboxStatus& status) {
  const std::string uid(label_of(status.labels, label::kPodUid));
  std::lock_guard lock(mutex_);
  const auto known = sandboxes_.find(status.id);
  if (known != sandboxes_.end() && is_older(status, known->second)) return;
  sandboxes_[status.id] = status;
  owners_[status.id] = uid;
  sandboxes_of_[uid].insert(status.id);
}

void RuntimeCache::add_container(const ContainerStatus& status) {
  const std::string uid(label_of(status.labels, label::kPodUid));
  std::lock_guard lock(mutex_);
  const auto known = containers_.find(status.id);
  if (known != containers_.end() && is_older(status, known->second)) return;
  containers_[status.id] = status;
  owners_[status.id] = uid;
  containers_of_[uid].insert(status.id);
}

void RuntimeCache::remove(const std::string& id) {
  std::lock_guard lock(mutex_);
  const auto it = owners_.find(id);
  if (it == owners_.end()) return;
  for (auto* ids : {&sandboxes_of_, &containers_of_}) {
    if (const auto of = ids->find(it->second); of != ids->end()) {
      of->second.erase(id);
      if (of->second.empty()) ids->erase(of);
    }
  }
  sandboxes_.erase(id);
  containers_.erase(id);
  owners_.erase(it);
}

bool RuntimeCache::ended(const std::string& id) const {
  std::lock_guard lock(mutex_);
  if (const auto c = containers_.find(id); c != containers_.end())
    return c->second.state == ContainerState::kExited;
  const auto s = sandboxes_.find(id);
  return s == sandboxes_.end() || !s->second.ready;
}

std::string RuntimeCache::owner(const std::string& id) const {
  std::lock_guard lock(mutex_);
  const auto it = owners_.find(id);
  return it == owners_.end() ? std::string() : it->second;
}

}  // namespace orch::agent
