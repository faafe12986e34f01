#include "datastore/encrypted/encrypted_store.h"

#include <algorithm>

#include "base/log.h"

namespace orch::datastore {

using base::Code;
using base::Result;
using base::Status;

namespace {

constexpr std::string_view kRoot = "/registry/";

constexpr std::string_view kSealed = "k8s:enc:";

Range refused(Outcome outcome, std::string message) {
  Range range;
  range.outcome = outcome;
  range.message = std::move(message);
  return range;
}

/// Why what was given to a subscriber is not whole.
struct Failure {
  std::mutex mutex;
  std::string message;  // under mutex
};

bool looks_sealed(const std::string& value) { return value.compare(0, kSealed.size(), kSealed) == 0; }

}  // namespace

EncryptedStore::EncryptedStore(Store& store, std::shared_ptr<const Keyring> keyring)
    : store_(store), opened_at_(store.revision()), keyring_(std::move(keyring)) {
  if (!keyring_->rules().empty()) history_whole_ = probe_history();
}

bool EncryptedStore::probe_history() const {
  bool whole = true;
  const auto look = [&](const KeyValue& kv) {
    if (whole && keyring_->covers(kv.key)) whole = keyring_->open(kv.key, kv.value).ok();
  };
  const Revision first = store_.compacted();
  if (first > 0) {
    for (const KeyValue& kv : store_.range({}, prefix_end({}), first, 0).items) look(kv);
  }
  // What is written while this looks can be read.
  (void)store_.subscribe({}, first, [&](const std::vector<Event>& events) {
    for (const Event& e : events) {
      if (e.type == Event::Type::kPut) look(e.kv);
    }
  });
  return whole;
}

EncryptedStore::~EncryptedStore() = default;

std::shared_ptr<const Keyring> EncryptedStore::keyring() const {
  std::shared_lock lock(mutex_);
  return keyring_;
}

Revision EncryptedStore::history_begins(std::string_view prefix) const {
  const Revision begins = store_.history_begins(prefix);
  return !history_whole_ && keyring()->covers(prefix) ? std::max(begins, opened_at_) : begins;
}

void EncryptedStore::note(const std::string& key, bool stale) const {
  if (!stale) {
    std::shared_lock lock(mutex_);
    if (stale_.find(key) == stale_.end()) return;
  }
  std::unique_lock lock(mutex_);
  if (stale) {
    stale_.insert(key);
  } else {
    stale_.erase(key);
  }
}

bool EncryptedStore::open(KeyValue& kv, std::string& message) const {
  const auto ring = keyring();
  if (!ring->covers(kv.key) && !looks_sealed(kv.value)) return true;
  auto opened = ring->open(kv.key, kv.value);
  if (!opened.ok()) {
    message = opened.error().message();
    return false;
  }
  kv.value = std::move(opened->value);
  if (ring->covers(kv.key)) note(kv.key, opened->stale);
  return true;
}

Range EncryptedStore::range(std::string_view start, std::string_view end, Revision at, int64_t limit) const {
  Range range = store_.range(start, end, at, limit);
  if (range.outcome != Outcome::kOk) return range;
  const bool old = at > 0 && at <= opened_at_;
  std::vector<KeyValue> readable;
  readable.reserve(range.items.size());
  for (KeyValue& kv : range.items) {
    std::string message;
    if (open(kv, message)) {
      readable.push_back(std::move(kv));
    } else if (at == 0 || !readable_now(kv.key)) {
      return refused(Outcome::kFailed, std::move(message));
    } else if (!old) {
      return refused(Outcome::kCompacted, std::move(message));
    }
  }
  range.items = std::move(readable);
  return range;
}

bool EncryptedStore::readable_now(const std::string& key) const {
  Range now = store_.range(key, {}, 0, 0);
  std::string message;
  return now.outcome == Outcome::kOk && (now.items.empty() || open(now.items[0], message));
}

void EncryptedStore::write(Write write, std::function<void(const WriteResult&)> done) {
  if (write.type == Write::Type::kDelete) {
    note(write.key, false);
    store_.write(std::move(write), std::move(done));
    return;
  }
  const auto ring = keyring();
  if (!ring->covers(write.key)) {
    store_.write(std::move(write), std::move(done));
    return;
  }
  auto sealed = ring->seal(write.key, write.value);
  if (!sealed.ok()) {
    WriteResult failed;
    failed.outcome = Outcome::kFailed;
    failed.message = sealed.error().message();
    done(failed);
    return;
  }
  write.value = std::move(*sealed);
  store_.write(std::move(write), std::move(done));
}

SubscribeResult EncryptedStore::subscribe(std::string_view prefix, Revision after, Listener listener) {
  // The history arrives before subscribe() returns, on this thread; what is written later can be read.
  auto failure = std::make_shared<Failure>();
  auto result = store_.subscribe(
      prefix, after, [this, failure, listener = std::move(listener)](const std::vector<Event>& events) {
        const auto ring = keyring();
        const auto concerned = [&ring](const Event& e) {
          return ring->covers(e.kv.key) || looks_sealed(e.kv.value);
        };
        // Nearly all events are of other resources: those are passed on as they are.
        if (std::none_of(events.begin(), events.end(), concerned)) {
          listener(events);
          return;
        }
        std::vector<Event> plain;
        plain.reserve(events.size());
        for (const Event& e : events) {
          plain.push_back(e);
          if (!concerned(e)) continue;
          if (e.type == Event::Type::kDelete) {
            note(e.kv.key, false);
            continue;
          }
          std::string message;
          if (open(plain.back().kv, message)) continue;
          plain.pop_back();
          if (e.kv.mod_revision <= opened_at_ && readable_now(e.kv.key)) continue;
          base::log_error("encryption", message);
          std::lock_guard lock(failure->mutex);
          failure->message = std::move(message);
        }
        listener(plain);
      });
  std::string message;
  {
    std::lock_guard lock(failure->mutex);
    message = failure->message;
  }
  if (result.outcome != Outcome::kOk || message.empty()) return result;
  result.subscription.reset();
  return {Outcome::kFailed, std::move(message), nullptr};
}

bool EncryptedStore::stale(std::string_view key) const {
  std::shared_lock lock(mutex_);
  return stale_.find(key) != stale_.end();
}

std::vector<std::string> EncryptedStore::stale_keys() const {
  std::shared_lock lock(mutex_);
  return {stale_.begin(), stale_.end()};
}

Status EncryptedStore::reload(std::shared_ptr<const Keyring> next) {
  const auto before = keyring();
  const auto concerned = [&](const KeyValue& kv) { return before->covers(kv.key) || next->covers(kv.key); };
  const Range all = store_.range(kRoot, prefix_end(kRoot), 0, 0);
  if (all.outcome != Outcome::kOk) return Status(Code::kInternal, all.message);
  for (const KeyValue& kv : all.items) {
    if (!concerned(kv)) continue;
    auto opened = next->open(kv.key, kv.value);
    if (!opened.ok()) return opened.error();
  }
  {
    std::unique_lock lock(mutex_);
    keyring_ = next;
    stale_.clear();
  }
  // What was written meanwhile under the old keys is there by now, or its event is still to come.
  const Range again = store_.range(kRoot, prefix_end(kRoot), 0, 0);
  for (const KeyValue& kv : again.items) {
    if (!concerned(kv)) continue;
    auto opened = next->open(kv.key, kv.value);
    if (opened.ok() && opened->stale) note(kv.key, true);
  }
  return {};
}

Result<int64_t> EncryptedStore::rewrite_stale() {
  int64_t written = 0;
  for (const std::string& key : stale_keys()) {
    const Range found = range(key, {}, 0, 0);
    if (found.outcome != Outcome::kOk) return Status(Code::kInternal, found.message);
    if (found.items.empty()) {
      note(key, false);
      continue;
    }
    const KeyValue& kv = found.items[0];
    const WriteResult result = write_sync({Write::Type::kPut, key, kv.value, kv.mod_revision});
    if (result.outcome == Outcome::kConflict) continue;
    if (result.outcome != Outcome::kOk) return Status(Code::kInternal, result.message);
    note(key, false);
    ++written;
  }
  return written;
}

}  // namespace orch::datastore
