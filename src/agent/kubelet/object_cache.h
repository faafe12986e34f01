// ObjectCache: config maps and secrets that this node's pods name, each kept by a watch of its own (a node
// may read only what its pods name), with a copy on disk for when the server is away.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>

#include "agent/kubelet/kept_files.h"
#include "agent/kubelet/object_source.h"
#include "base/timer.h"
#include "client/client.h"
#include "client/informer.h"

namespace orch::agent {

class ObjectCache {
 public:
  /// `folder` holds the copies (0600). `on_change` is called with the uid of each pod that uses an object
  /// that changed; must be short.
  ObjectCache(client::Client& client, base::Timers& timers, KeptFiles& files, std::string folder,
              std::function<void(const std::string& uid)> on_change);
  ~ObjectCache();

  enum class Kind : uint8_t { kConfigMap, kSecret };
  /// The object now; from then on `uid` hears of changes. Blocks for one request at the first call for an
  /// object. kNotFound once the server says so; while it is away, the copy on disk.
  base::Result<api::ObjectPtr> get(Kind kind, std::string_view ns, std::string_view name,
                                   const std::string& uid);
  /// The pod is gone: objects that no other pod uses are no longer watched or kept.
  void release(const std::string& uid);

 private:
  struct Entry;
  using Key = std::tuple<Kind, std::string, std::string>;
  std::string file_of(const Key& key) const;
  void changed(Entry& entry, const Key& key, const api::ObjectPtr& after);

  client::Client& client_;
  base::Timers& timers_;
  KeptFiles& files_;
  const std::string folder_;
  const std::function<void(const std::string&)> on_change_;
  std::mutex mutex_;
  std::map<Key, std::shared_ptr<Entry>> entries_;  // under mutex_
};

/// ObjectSource for one pod.
class PodObjects final : public ObjectSource {
 public:
  PodObjects(ObjectCache& cache, std::string uid) : cache_(cache), uid_(std::move(uid)) {}
  base::Result<api::ObjectPtr> config_map(std::string_view ns, std::string_view name) override {
    return cache_.get(ObjectCache::Kind::kConfigMap, ns, name, uid_);
  }
  base::Result<api::ObjectPtr> secret(std::string_view ns, std::string_view name) override {
    return cache_.get(ObjectCache::Kind::kSecret, ns, name, uid_);
  }

 private:
  ObjectCache& cache_;
  const std::string uid_;
};

}  // namespace orch::agent
