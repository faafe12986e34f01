#include "agent/kubelet/object_cache.h"

#include "base/file.h"
#include "base/json.h"

namespace orch::agent {

using base::Code;
using base::Result;
using base::Status;

/// One object. `ready` is set once the first list was tried.
struct ObjectCache::Entry {
  std::mutex starting;  // held while the informer starts: a second caller waits for the first
  std::unique_ptr<client::Informer> informer;
  // Under ObjectCache::mutex_.
  std::set<std::string> users;
  std::string stored;  // what the copy on disk holds
};

ObjectCache::ObjectCache(client::Client& client, base::Timers& timers, KeptFiles& files, std::string folder,
                         std::function<void(const std::string&)> on_change)
    : client_(client),
      timers_(timers),
      files_(files),
      folder_(std::move(folder)),
      on_change_(std::move(on_change)) {}

ObjectCache::~ObjectCache() {
  std::map<Key, std::shared_ptr<Entry>> entries;
  {
    std::lock_guard lock(mutex_);
    entries.swap(entries_);
  }
}

std::string ObjectCache::file_of(const Key& key) const {
  const auto& [kind, ns, name] = key;
  return base::cat(folder_, kind == Kind::kSecret ? "/secret_" : "/configmap_", ns, "_", name, ".json");
}

void ObjectCache::changed(Entry& entry, const Key& key, const api::ObjectPtr& after) {
  std::set<std::string> users;
  bool write = false;
  {
    std::lock_guard lock(mutex_);
    users = entry.users;
    const std::string bytes = after == nullptr ? std::string() : std::string(after->bytes());
    write = entry.stored != bytes;
    entry.stored = bytes;
  }
  if (write && after != nullptr) {
    files_.write(file_of(key), std::string(after->bytes()));
  } else if (write) {
    files_.remove(file_of(key));
  }
  for (const std::string& uid : users) on_change_(uid);
}

Result<api::ObjectPtr> ObjectCache::get(Kind kind, std::string_view ns, std::string_view name,
                                        const std::string& uid) {
  const Key key(kind, ns, name);
  const char* plural = kind == Kind::kSecret ? "secrets" : "configmaps";
  std::shared_ptr<Entry> entry;
  {
    std::lock_guard lock(mutex_);
    std::shared_ptr<Entry>& slot = entries_[key];
    if (slot == nullptr) slot = std::make_shared<Entry>();
    entry = slot;
  }
  {
    std::lock_guard lock(entry->starting);
    if (entry->informer == nullptr) {
      if (const auto text = base::read_file(file_of(key)); text.ok()) entry->stored = *text;
      client::ListOptions options;
      options.ns = ns;
      options.field_selector = base::cat("metadata.name=", name);
      entry->informer = client::make_informer(client_, timers_, {"", "v1", plural}, options);
      Entry* raw = entry.get();
      entry->informer->on_change([this, raw, key](const api::ObjectPtr&, const api::ObjectPtr& after) {
        changed(*raw, key, after);
      });
      entry->informer->start();
    }
  }
  {
    // Only now: its own first list is no change to the pod that asks.
    std::lock_guard lock(mutex_);
    entry->users.insert(uid);
  }
  if (entry->informer->synced()) {
    if (api::ObjectPtr object = entry->informer->get(ns, name)) return object;
    const bool secret = kind == Kind::kSecret;
    base::StatusDetails details;
    details.name = name;
    details.kind = plural;
    return Status(Code::kNotFound, base::cat(secret ? "secret" : "configmap", " \"", name, "\" not found"),
                  std::move(details));
  }
  std::string stored;
  {
    std::lock_guard lock(mutex_);
    stored = entry->stored;
  }
  if (!stored.empty()) {
    auto tree = base::parse_json(stored);
    if (tree.ok()) return api::Object::from_tree(*tree);
  }
  // The list failed: say how.
  auto direct = client_.get({"", "v1", plural}, ns, name);
  if (!direct.ok() && direct.error().code() == Code::kNotFound) {
    return Status(Code::kServiceUnavailable,
                  base::cat("failed to sync ", kind == Kind::kSecret ? "secret" : "configmap",
                            " cache: timed out waiting for the condition"));
  }
  return direct;
}

void ObjectCache::release(const std::string& uid) {
  std::vector<std::shared_ptr<Entry>> ended;  // destroyed after the lock: that waits for callbacks
  const std::lock_guard lock(mutex_);
  for (auto it = entries_.begin(); it != entries_.end();) {
    Entry& entry = *it->second;
    if (entry.users.erase(uid) != 0 && entry.users.empty()) {
      files_.remove(file_of(it->first));
      ended.push_back(std::move(it->second));
      it = entries_.erase(it);
    } else {
      ++it;
    }
  }
}

}  // namespace orch::agent
