// NodeGraph: which objects the pods of each node use, so that a node can be given those and no others.
#pragma once

#include <map>
#include <set>
#include <shared_mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "api/object.h"
#include "base/json_fwd.h"

namespace orch::server {

enum class NodeObject : uint8_t {
  kSecret,
  kConfigMap,
  kServiceAccount,
  kVolumeClaim,
  kResourceClaim,
  kPod,
  kVolume,
  kVolumeAttachment,
  kResourceSlice,
};

/// Names of the objects in its own namespace that a pod's spec and status refer to. Mirror pods, which nodes
/// write themselves, refer to nothing.
std::set<std::pair<NodeObject, std::string>> pod_references(const Json& pod);

/// Fed by change notifications (`before` null for an add, `after` null for a delete); a pod is parsed once
/// when it is bound, not on each status update. Thread-safe.
class NodeGraph {
 public:
  void on_pod(const api::ObjectPtr& before, const api::ObjectPtr& after);
  void on_persistent_volume(const api::ObjectPtr& before, const api::ObjectPtr& after);
  void on_volume_attachment(const api::ObjectPtr& before, const api::ObjectPtr& after);
  void on_resource_slice(const api::ObjectPtr& before, const api::ObjectPtr& after);

  /// True when a pod on `node` uses the object (volumes by way of their claims, their secrets too), or the
  /// object is of that node itself.
  bool reaches(std::string_view node, NodeObject type, std::string_view ns, std::string_view name) const;

 private:
  using Key = std::pair<std::string, std::string>;  // namespace, name
  struct Pod {
    std::string uid;
    int64_t generation = 0;
    std::set<std::pair<NodeObject, std::string>> references;
  };
  struct Volume {
    Key claim;
    std::set<Key> secrets;
  };
  using Pods = std::map<Key, Pod>;

  void forget_pod(const Key& key);
  bool pod_uses(const Pods& pods, NodeObject type, std::string_view ns, std::string_view name) const;

  mutable std::shared_mutex mutex_;
  std::map<std::string, Pods, std::less<>> by_node_;
  std::map<Key, std::string> node_of_pod_;
  std::map<std::string, Volume, std::less<>> volumes_;
  std::map<std::string, std::string, std::less<>> node_of_attachment_, node_of_slice_;
};

}  // namespace orch::server
