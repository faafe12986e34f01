// What several controllers ask about pods, and the pods they make.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/object.h"
#include "api/selector.h"
#include "base/clock.h"
#include "base/json.h"
#include "server/controllers/controller.h"

namespace orch::server {

inline const client::ResourceRef kPods{"", "v1", "pods"};
inline const client::ResourceRef kNodes{"", "v1", "nodes"};
inline const client::ResourceRef kServices{"", "v1", "services"};
inline const client::ResourceRef kNamespaces{"", "v1", "namespaces"};
inline const client::ResourceRef kConfigMaps{"", "v1", "configmaps"};
inline const client::ResourceRef kSecrets{"", "v1", "secrets"};
inline const client::ResourceRef kServiceAccounts{"", "v1", "serviceaccounts"};
inline const client::ResourceRef kEndpoints{"", "v1", "endpoints"};
inline const client::ResourceRef kEndpointSlices{"discovery.k8s.io", "v1", "endpointslices"};
inline const client::ResourceRef kReplicaSets{"apps", "v1", "replicasets"};
inline const client::ResourceRef kDeployments{"apps", "v1", "deployments"};
inline const client::ResourceRef kDaemonSets{"apps", "v1", "daemonsets"};
inline const client::ResourceRef kReplicationControllers{"", "v1", "replicationcontrollers"};
inline const client::ResourceRef kJobs{"batch", "v1", "jobs"};
inline const client::ResourceRef kCronJobs{"batch", "v1", "cronjobs"};
inline const client::ResourceRef kStatefulSets{"apps", "v1", "statefulsets"};
inline const client::ResourceRef kClaims{"", "v1", "persistentvolumeclaims"};
inline const client::ResourceRef kLeases{"coordination.k8s.io", "v1", "leases"};

/// A pod with the parts of it that decisions look at, parsed once per plan.
struct PodView {
  api::ObjectPtr object;
  Json tree;
};

bool pod_ready(const Json& pod);
/// Ready for at least `min_ready_seconds`.
bool pod_available(const Json& pod, int64_t min_ready_seconds, base::WallTime now);
/// When a ready pod becomes available; nothing when it is, or is not ready.
std::optional<base::Duration> until_available(const Json& pod, int64_t min_ready_seconds, base::WallTime now);
/// Neither finished nor under deletion.
bool pod_active(const api::Object& object, const Json& pod);

/// A pod from a template, owned by `owner`.
Json pod_from_template(const api::Object& owner, const Json& pod_template, const std::string& name);
/// A name "<prefix>-xxxxx" that no pod of the namespace has, from a seed.
std::string free_pod_name(const View& view, std::string_view ns, std::string_view prefix,
                          std::string_view seed, base::WallTime now, size_t index);

/// How a kind takes possession of pods.
struct ClaimPolicy {
  bool finished_too = false;   // adopts pods that have ended as well
  std::string_view finalizer;  // put on what it adopts, taken off what it lets go; "" for none
  /// Asked besides the selector, where the kind knows its pods by more than labels.
  std::function<bool(const api::Object& pod)> member = {};
};
/// Pods that belong to a controller object: owned ones that match its selector, plus adoptions and releases
/// that bring reality there, as writes in `plan`. Finished and deleting pods are included. An adopted pod is
/// returned as it will be. `owners`: where the owner is looked up again before it adopts.
std::vector<PodView> claim_pods(const View& view, const client::ResourceRef& owners, const api::Object& owner,
                                const api::LabelSelector& selector, Plan& plan, const ClaimPolicy& how = {});
/// Where the kind keeps what selects its pods; the spec as a tree.
using SelectorOf = std::function<api::LabelSelector(const Json& spec)>;
/// A metav1.LabelSelector in spec.selector; one that cannot be read selects nothing.
api::LabelSelector label_selector_of(const Json& spec);
/// Source of pods for a controller of `kind`: wakes their controlling owner of that kind, or, for a pod
/// without any, those objects of `owners` in its namespace that select it and so may adopt it.
Source owned_pods(const client::ResourceRef& owners, std::string kind, SelectorOf selector);

/// How many active pods of `related` each node has.
using PodsPerNode = std::map<std::string, int64_t, std::less<>>;
/// Order in which surplus pods go, first the one that hurts least (as kube-controller-manager ranks them);
/// `related` counts those the owner's siblings have too, so that crowded nodes give first.
void sort_for_deletion(std::vector<PodView>& pods, const PodsPerNode& related, base::WallTime now);
/// The same for controllers that know no deletion cost and no siblings: those that have come least far first.
void sort_by_progress(std::vector<PodView>& pods);

/// Claims of a pod's volumes, those made for the pod included, as "namespace/name": an index.
std::vector<std::string> claims_of_volumes(const api::Object& pod);

/// The namespace is going away, so nothing can be made in it: no failure to report.
bool namespace_terminating(const base::Status& why);

}  // namespace orch::server
