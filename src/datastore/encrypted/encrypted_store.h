// EncryptedStore: a Store whose values of some resources are encrypted before they reach the store beneath,
// and come back plain. Everybody above it, the caches among them, sees plain values only.
#pragma once

#include <memory>
#include <mutex>
#include <set>
#include <shared_mutex>
#include <string>
#include <string_view>
#include <vector>

#include "datastore/encrypted/keyring.h"
#include "datastore/store.h"

namespace orch::datastore {

/// Thread-safe like every Store. A value that cannot be decrypted makes its range or subscription kFailed
/// with the reason: wrong data is never given. Only what was replaced since may be unreadable, because its
/// key is gone by now: it is left out of the history from before this was opened, and later than that
/// kCompacted.
class EncryptedStore final : public Store {
 public:
  /// `store` must outlive this.
  EncryptedStore(Store& store, std::shared_ptr<const Keyring> keyring);
  ~EncryptedStore() override;

  Revision revision() const override { return store_.revision(); }
  Revision compacted() const override { return store_.compacted(); }
  /// Of encrypted resources nothing is known from before this was opened if a key of that time is gone.
  Revision history_begins(std::string_view prefix) const override;
  Range range(std::string_view start, std::string_view end, Revision at, int64_t limit) const override;
  void write(Write write, std::function<void(const WriteResult&)> done) override;
  SubscribeResult subscribe(std::string_view prefix, Revision after, Listener listener) override;
  Outcome compact(Revision at) override { return store_.compact(at); }
  base::Status snapshot(const std::string& path) override { return store_.snapshot(path); }
  int64_t size() const override { return store_.size(); }
  base::Status health() const override { return store_.health(); }

  /// Whether the value of a key is stored in another way than it would be now: a write should renew it
  /// although it does not change.
  bool stale(std::string_view key) const;

  /// From now on this keyring reads and writes. What is stored under another key becomes stale. kInternal,
  /// and nothing changed, when something that is stored could not be read with it.
  base::Status reload(std::shared_ptr<const Keyring> keyring);
  /// Stores anew what is stale, one after the other, each on condition that nobody wrote it meanwhile (then
  /// it is fresh). Gives how many.
  base::Result<int64_t> rewrite_stale();
  /// Keys stored in another way than they would be now.
  std::vector<std::string> stale_keys() const;

 private:
  std::shared_ptr<const Keyring> keyring() const;
  /// Opens what was read; false with `message` when it cannot.
  bool open(KeyValue& kv, std::string& message) const;
  void note(const std::string& key, bool stale) const;
  /// Whether what is stored under a key now can be read, or there is nothing.
  bool readable_now(const std::string& key) const;
  /// Whether all that the store still has of former values can be read.
  bool probe_history() const;

  Store& store_;
  const Revision opened_at_;
  bool history_whole_ = true;  // set by the constructor
  mutable std::shared_mutex mutex_;
  std::shared_ptr<const Keyring> keyring_;            // under mutex_
  mutable std::set<std::string, std::less<>> stale_;  // under mutex_
};

}  // namespace orch::datastore
