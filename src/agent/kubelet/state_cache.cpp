#include "agent/kubelet/state_cache.h"

#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/log.h"

namespace orch::agent {

size_t intent_fingerprint(const Json& pod) {
  Json copy = Json::object();
  copy["spec"] = base::object_at(pod, {"spec"});
  const Json& metadata = base::object_at(pod, {"metadata"});
  for (const char* key : {"name", "namespace", "uid", "labels", "annotations", "deletionTimestamp",
                          "deletionGracePeriodSeconds"}) {
    if (const auto it = metadata.find(key); it != metadata.end()) copy[key] = *it;
  }
  return std::hash<std::string>()(base::dump_json(copy));
}

std::vector<api::ObjectPtr> StateCache::load() {
  std::vector<api::ObjectPtr> out;
  const auto names = base::list_dir(folder_);
  if (!names.ok()) return out;
  for (const std::string& name : *names) {
    const std::string path = folder_ + "/" + name;
    const auto text = base::read_file(path);
    auto tree = text.ok() ? base::parse_json(*text) : base::Result<Json>(text.error());
    auto object = tree.ok() ? api::Object::from_tree(*tree) : base::Result<api::ObjectPtr>(tree.error());
    if (!object.ok()) {
      base::log_warning("kubelet", "a saved pod cannot be read", {{"file", path}});
      ::unlink(path.c_str());
      continue;
    }
    {
      std::lock_guard lock(mutex_);
      saved_[std::string((*object)->uid())] = intent_fingerprint(*tree);
    }
    out.push_back(std::move(*object));
  }
  return out;
}

void StateCache::save(const api::ObjectPtr& pod) {
  const std::string uid(pod->uid());
  const size_t fingerprint = intent_fingerprint(pod->tree());
  {
    std::lock_guard lock(mutex_);
    const auto it = saved_.find(uid);
    if (it != saved_.end() && it->second == fingerprint) return;
    saved_[uid] = fingerprint;
  }
  files_.write(file_of(uid), std::string(pod->bytes()));
}

void StateCache::remove(const std::string& uid) {
  {
    std::lock_guard lock(mutex_);
    saved_.erase(uid);
  }
  files_.remove(file_of(uid));
}

}  // namespace orch::agent
