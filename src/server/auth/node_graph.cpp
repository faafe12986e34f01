#include "server/auth/node_graph.h"

#include <algorithm>
#include <mutex>

#include "api/scan.h"
#include "base/json.h"

namespace orch::server {
namespace {

using References = std::set<std::pair<NodeObject, std::string>>;

void add(References& out, NodeObject type, std::string_view name) {
  if (!name.empty()) out.emplace(type, name);
}

void add_container(const Json& container, References& out) {
  for (const Json& source : base::array_at(container, {"envFrom"})) {
    add(out, NodeObject::kSecret, base::string_at(source, {"secretRef", "name"}));
    add(out, NodeObject::kConfigMap, base::string_at(source, {"configMapRef", "name"}));
  }
  for (const Json& variable : base::array_at(container, {"env"})) {
    add(out, NodeObject::kSecret, base::string_at(variable, {"valueFrom", "secretKeyRef", "name"}));
    add(out, NodeObject::kConfigMap, base::string_at(variable, {"valueFrom", "configMapKeyRef", "name"}));
  }
}

void add_volume(const Json& volume, std::string_view pod_name, References& out) {
  add(out, NodeObject::kSecret, base::string_at(volume, {"secret", "secretName"}));
  add(out, NodeObject::kSecret, base::string_at(volume, {"azureFile", "secretName"}));
  add(out, NodeObject::kSecret, base::string_at(volume, {"csi", "nodePublishSecretRef", "name"}));
  for (const char* driver : {"cephfs", "cinder", "flexVolume", "rbd", "scaleIO", "iscsi", "storageos"}) {
    add(out, NodeObject::kSecret, base::string_at(volume, {driver, "secretRef", "name"}));
  }
  add(out, NodeObject::kConfigMap, base::string_at(volume, {"configMap", "name"}));
  for (const Json& source : base::array_at(volume, {"projected", "sources"})) {
    add(out, NodeObject::kSecret, base::string_at(source, {"secret", "name"}));
    add(out, NodeObject::kConfigMap, base::string_at(source, {"configMap", "name"}));
  }
  add(out, NodeObject::kVolumeClaim, base::string_at(volume, {"persistentVolumeClaim", "claimName"}));
  if (volume.contains("ephemeral")) {
    add(out, NodeObject::kVolumeClaim, base::cat(pod_name, "-", base::string_at(volume, {"name"})));
  }
}

void add_resource_claims(const Json& pod, References& out) {
  for (const Json& claim : base::array_at(pod, {"spec", "resourceClaims"})) {
    add(out, NodeObject::kResourceClaim, base::string_at(claim, {"resourceClaimName"}));
  }
  // Claims made from templates are named in status only.
  for (const Json& claim : base::array_at(pod, {"status", "resourceClaimStatuses"})) {
    add(out, NodeObject::kResourceClaim, base::string_at(claim, {"resourceClaimName"}));
  }
  add(out, NodeObject::kResourceClaim,
      base::string_at(pod, {"status", "extendedResourceClaimStatus", "resourceClaimName"}));
}

/// Secrets of a volume that a node needs to mount it, with the claim's namespace where none is given.
std::set<std::pair<std::string, std::string>> volume_secrets(const Json& spec, const std::string& claim_ns) {
  std::set<std::pair<std::string, std::string>> out;
  const auto add_ref = [&](const Json* ref, bool default_ns) {
    if (ref == nullptr) return;
    const std::string_view name = base::string_at(*ref, {"name"});
    std::string ns(base::string_at(*ref, {"namespace"}));
    if (ns.empty() && default_ns) ns = claim_ns;
    if (!name.empty()) out.emplace(std::move(ns), name);
  };
  for (const char* driver : {"cephfs", "flexVolume", "rbd", "scaleIO", "iscsi"}) {
    add_ref(base::find_path(spec, {driver, "secretRef"}), true);
  }
  for (const char* driver : {"cinder", "storageos"})
    add_ref(base::find_path(spec, {driver, "secretRef"}), false);
  for (const char* ref : {"nodePublishSecretRef", "nodeStageSecretRef", "nodeExpandSecretRef"}) {
    add_ref(base::find_path(spec, {"csi", ref}), false);
  }
  if (const std::string_view name = base::string_at(spec, {"azureFile", "secretName"}); !name.empty()) {
    const std::string_view ns = base::string_at(spec, {"azureFile", "secretNamespace"});
    out.emplace(ns.empty() ? claim_ns : std::string(ns), name);
  }
  return out;
}

/// Keeps name -> spec.nodeName of cluster-scoped objects.
void follow_node_name(const api::ObjectPtr& before, const api::ObjectPtr& after,
                      std::map<std::string, std::string, std::less<>>& nodes) {
  if (!after) {
    if (before) nodes.erase(std::string(before->name()));
    return;
  }
  std::string node(base::string_at(after->tree(), {"spec", "nodeName"}));
  if (node.empty()) {
    nodes.erase(std::string(after->name()));
  } else {
    nodes[std::string(after->name())] = std::move(node);
  }
}

}  // namespace

References pod_references(const Json& pod) {
  References out;
  if (base::find_path(pod, {"metadata", "annotations", "kubernetes.io/config.mirror"}) != nullptr) return out;
  add(out, NodeObject::kServiceAccount, base::string_at(pod, {"spec", "serviceAccountName"}));
  for (const Json& secret : base::array_at(pod, {"spec", "imagePullSecrets"})) {
    add(out, NodeObject::kSecret, base::string_at(secret, {"name"}));
  }
  for (const char* list : {"initContainers", "containers", "ephemeralContainers"}) {
    for (const Json& container : base::array_at(pod, {"spec", list})) add_container(container, out);
  }
  for (const Json& volume : base::array_at(pod, {"spec", "volumes"})) {
    add_volume(volume, base::string_at(pod, {"metadata", "name"}), out);
  }
  add_resource_claims(pod, out);
  return out;
}

void NodeGraph::forget_pod(const Key& key) {
  const auto it = node_of_pod_.find(key);
  if (it == node_of_pod_.end()) return;
  const auto pods = by_node_.find(it->second);
  pods->second.erase(key);
  if (pods->second.empty()) by_node_.erase(pods);
  node_of_pod_.erase(it);
}

void NodeGraph::on_pod(const api::ObjectPtr& before, const api::ObjectPtr& after) {
  const api::ObjectPtr& any = after ? after : before;
  if (!any) return;
  const Key key(any->ns(), any->name());
  if (!after) {
    const std::unique_lock lock(mutex_);
    forget_pod(key);
    return;
  }
  const bool status_matters = api::mentions(after->bytes(), "\"resourceClaim");
  if (after->generation() != 0 && !status_matters) {
    const std::shared_lock lock(mutex_);
    if (const auto known = node_of_pod_.find(key); known != node_of_pod_.end()) {
      const Pod& pod = by_node_.find(known->second)->second.at(key);
      if (pod.uid == after->uid() && pod.generation == after->generation()) return;
    }
  }
  if (!api::mentions(after->bytes(), "\"nodeName\"")) {
    const std::unique_lock lock(mutex_);
    forget_pod(key);
    return;
  }
  const Json tree = after->tree();
  const std::string node(base::string_at(tree, {"spec", "nodeName"}));
  Pod pod{std::string(after->uid()), after->generation(), pod_references(tree)};
  const std::unique_lock lock(mutex_);
  forget_pod(key);
  if (node.empty()) return;
  by_node_[node][key] = std::move(pod);
  node_of_pod_[key] = node;
}

void NodeGraph::on_persistent_volume(const api::ObjectPtr& before, const api::ObjectPtr& after) {
  const api::ObjectPtr& any = after ? after : before;
  if (!any) return;
  Volume volume;
  if (after) {
    const Json tree = after->tree();
    volume.claim = {std::string(base::string_at(tree, {"spec", "claimRef", "namespace"})),
                    std::string(base::string_at(tree, {"spec", "claimRef", "name"}))};
    volume.secrets = volume_secrets(base::object_at(tree, {"spec"}), volume.claim.first);
  }
  const std::unique_lock lock(mutex_);
  if (volume.claim.second.empty()) {
    volumes_.erase(std::string(any->name()));
  } else {
    volumes_[std::string(any->name())] = std::move(volume);
  }
}

void NodeGraph::on_volume_attachment(const api::ObjectPtr& before, const api::ObjectPtr& after) {
  const std::unique_lock lock(mutex_);
  follow_node_name(before, after, node_of_attachment_);
}

void NodeGraph::on_resource_slice(const api::ObjectPtr& before, const api::ObjectPtr& after) {
  const std::unique_lock lock(mutex_);
  follow_node_name(before, after, node_of_slice_);
}

bool NodeGraph::pod_uses(const Pods& pods, NodeObject type, std::string_view ns,
                         std::string_view name) const {
  const std::pair<NodeObject, std::string> wanted(type, name);
  for (auto it = pods.lower_bound(Key(ns, "")); it != pods.end() && it->first.first == ns; ++it) {
    if (it->second.references.contains(wanted)) return true;
  }
  return false;
}

bool NodeGraph::reaches(std::string_view node, NodeObject type, std::string_view ns,
                        std::string_view name) const {
  const std::shared_lock lock(mutex_);
  if (type == NodeObject::kVolumeAttachment || type == NodeObject::kResourceSlice) {
    const auto& nodes = type == NodeObject::kVolumeAttachment ? node_of_attachment_ : node_of_slice_;
    const auto it = nodes.find(name);
    return it != nodes.end() && it->second == node;
  }
  const auto found = by_node_.find(node);
  if (found == by_node_.end()) return false;
  const Pods& pods = found->second;
  if (type == NodeObject::kPod) return pods.contains(Key(ns, name));
  const auto claim_used = [&](const Volume& volume) {
    return pod_uses(pods, NodeObject::kVolumeClaim, volume.claim.first, volume.claim.second);
  };
  if (type == NodeObject::kVolume) {
    const auto volume = volumes_.find(name);
    return volume != volumes_.end() && claim_used(volume->second);
  }
  if (pod_uses(pods, type, ns, name)) return true;
  return type == NodeObject::kSecret &&
         std::any_of(volumes_.begin(), volumes_.end(), [&](const auto& volume) {
           return volume.second.secrets.contains(Key(ns, name)) && claim_used(volume.second);
         });
}

}  // namespace orch::server
