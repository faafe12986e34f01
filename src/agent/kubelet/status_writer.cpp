#include "agent/kubelet/status_writer.h"

#include <algorithm>
#include <vector>

#include "agent/kubelet/pod_status.h"
#include "base/json.h"
#include "base/log.h"

namespace orch::agent {
namespace {

using base::Code;
using base::Status;
using std::chrono::milliseconds;

const client::ResourceRef kPods{"", "v1", "pods"};
constexpr size_t kWriters = 4;
constexpr milliseconds kFirstRetry{200}, kLastRetry{30000};

}  // namespace

struct StatusWriter::Entry {
  api::ObjectPtr seen;  // the newest known
  Json wanted;
  bool then_delete = false, dirty = false, busy = false, deleted = false;
  milliseconds delay{0};
  base::Timers::Id timer = 0;
};

StatusWriter::StatusWriter(client::Client& client, base::Timers& timers)
    : client_(client), timers_(timers), alive_(std::make_shared<bool>(true)), pool_("pod-status", kWriters) {}

StatusWriter::~StatusWriter() {
  std::vector<base::Timers::Id> timers;
  {
    std::lock_guard lock(mutex_);
    *alive_ = false;
    for (const auto& [uid, entry] : entries_) timers.push_back(entry->timer);
  }
  for (const auto id : timers) timers_.cancel(id);
  pool_.drain();
}

void StatusWriter::set(const api::ObjectPtr& seen, const Json& status, bool then_delete) {
  std::lock_guard lock(mutex_);
  const std::string uid(seen->uid());
  auto& slot = entries_[uid];
  if (slot == nullptr) slot = std::make_unique<Entry>();
  Entry& entry = *slot;
  if (entry.seen == nullptr || seen->revision() > entry.seen->revision()) entry.seen = seen;
  if (entry.wanted == status && entry.then_delete == then_delete && !then_delete) return;
  entry.wanted = status;
  entry.then_delete = entry.then_delete || then_delete;
  entry.dirty = true;
  if (!entry.busy && entry.timer == 0) post(uid);
}

void StatusWriter::forget(const std::string& uid) {
  base::Timers::Id timer = 0;
  {
    std::lock_guard lock(mutex_);
    const auto it = entries_.find(uid);
    if (it == entries_.end()) return;
    timer = it->second->timer;
    if (it->second->busy) {
      it->second->deleted = true;  // the writer erases it
    } else {
      entries_.erase(it);
    }
  }
  if (timer != 0) timers_.cancel(timer);
}

/// Under mutex_.
void StatusWriter::post(const std::string& uid) {
  entries_.at(uid)->busy = true;
  pool_.post([this, uid] { write(uid); });
}

/// Under mutex_.
void StatusWriter::retry_later(const std::string& uid, Entry& entry) {
  entry.delay = entry.delay.count() == 0 ? kFirstRetry : std::min(entry.delay * 2, kLastRetry);
  std::weak_ptr<bool> alive = alive_;
  entry.timer = timers_.after(entry.delay, [this, uid, alive] {
    const auto held = alive.lock();
    if (held == nullptr) return;
    std::lock_guard lock(mutex_);
    if (!*held) return;
    const auto it = entries_.find(uid);
    if (it == entries_.end()) return;
    it->second->timer = 0;
    if (!it->second->busy) post(uid);
  });
}

void StatusWriter::write(const std::string& uid) {
  api::ObjectPtr seen;
  Json wanted;
  bool then_delete = false;
  {
    std::lock_guard lock(mutex_);
    Entry& entry = *entries_.at(uid);
    seen = entry.seen;
    wanted = entry.wanted;
    then_delete = entry.then_delete;
    entry.dirty = false;
  }
  Status status;
  const Json tree = seen->tree();
  const Json patch = status_patch(base::object_at(tree, {"status"}), wanted, uid);
  if (!patch.is_null()) {
    auto answer =
        client_.patch(kPods, seen->ns(), seen->name(), client::PatchType::kStrategic, patch, "status");
    status = answer.status();
    if (answer.ok()) seen = *answer;
  }
  if (status.ok() && then_delete) {
    client::DeleteOptions options;
    options.grace_seconds = 0;
    options.uid = uid;
    status = client_.remove(kPods, seen->ns(), seen->name(), options);
  }
  // Gone, or refused for good. A conflict is a race lost too often, to be tried again, or another pod of the
  // same name: then this one is forgotten soon.
  const bool over = status.code() == Code::kNotFound || status.code() == Code::kInvalid;
  if (!status.ok() && status.code() != Code::kNotFound) {
    base::log_warning("kubelet", "pod status not written",
                      {{"pod", base::cat(seen->ns(), "/", seen->name())}, {"error", status.message()}});
  }
  std::lock_guard lock(mutex_);
  Entry& entry = *entries_.at(uid);
  entry.busy = false;
  if (entry.deleted) {
    entries_.erase(uid);
    return;
  }
  if (status.ok()) {
    if (seen->revision() > entry.seen->revision()) entry.seen = seen;
    entry.delay = milliseconds(0);
  }
  if (!*alive_) return;
  if (status.ok() || over) {
    if (entry.dirty) post(uid);
    return;
  }
  entry.dirty = true;
  retry_later(uid, entry);
}

}  // namespace orch::agent
