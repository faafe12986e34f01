// The built-in admission plugins, one maker each; defaults.h puts them in order. `lookup`, `authorizer` and
// `rbac` must outlive the plugin. All are thread-safe.
#pragma once

#include <functional>
#include <memory>

#include "base/clock.h"
#include "server/admission/admission.h"
#include "server/admission/pod_security_policy.h"
#include "server/auth/lookup.h"
#include "server/auth/rbac.h"

namespace orch::server {

/// NamespaceLifecycle: nothing is made in a namespace that is missing or terminating; default, kube-system
/// and kube-public stay.
std::unique_ptr<AdmissionPlugin> make_namespace_lifecycle(const Lookup& lookup);

/// LimitRanger: default requests and limits of containers, and the bounds that LimitRanges set.
std::unique_ptr<AdmissionPlugin> make_limit_ranger(const Lookup& lookup);

struct ServiceAccountHooks {
  /// Random bits for the token volume's name.
  std::function<uint64_t()> entropy;
  /// Sleeps; a new namespace's default account is waited for, a second at most.
  std::function<void(base::Duration)> wait;
  /// From the system's generator, and really sleeping.
  static ServiceAccountHooks system();
};
/// ServiceAccount: the default account, its pull secrets, and a projected token volume in each container.
std::unique_ptr<AdmissionPlugin> make_service_account(const Lookup& lookup, ServiceAccountHooks hooks);

/// NodeRestriction: a kubelet changes only its own node, lease and CSINode and the pods bound to it, and asks
/// only for tokens of those.
std::unique_ptr<AdmissionPlugin> make_node_restriction(const Lookup& lookup, Authorizer& authorizer);

/// TaintNodesByCondition: a new node is not ready until the node controller says so.
std::unique_ptr<AdmissionPlugin> make_taint_nodes_by_condition();

/// PodSecurity: the levels privileged, baseline and restricted that labels of the namespace ask for, enforced
/// and warned of; `settings` says what holds where labels are silent, and whom it does not concern.
std::unique_ptr<AdmissionPlugin> make_pod_security(const Lookup& lookup,
                                                   pod_security::Settings settings = {});

/// Priority: priorityClassName to priority and preemption policy; at most one default PriorityClass.
std::unique_ptr<AdmissionPlugin> make_priority(const Lookup& lookup);

/// DefaultTolerationSeconds: a pod stays this long on a node that is not ready or cannot be reached.
std::unique_ptr<AdmissionPlugin> make_default_toleration_seconds(int64_t not_ready = 300,
                                                                 int64_t unreachable = 300);

/// DefaultStorageClass: the default class for claims that name none.
std::unique_ptr<AdmissionPlugin> make_default_storage_class(const Lookup& lookup);
/// StorageObjectInUseProtection: finalizers that keep used volumes and claims.
std::unique_ptr<AdmissionPlugin> make_storage_protection();
/// PersistentVolumeClaimResize: claims grow only where their class allows it.
std::unique_ptr<AdmissionPlugin> make_claim_resize(const Lookup& lookup);

/// RuntimeClass: overhead and scheduling of the pod's RuntimeClass.
std::unique_ptr<AdmissionPlugin> make_runtime_class(const Lookup& lookup);

/// CertificateApproval, CertificateSigning: needs the right to approve or sign for the request's signer.
std::unique_ptr<AdmissionPlugin> make_certificate_approval(Authorizer& authorizer);
std::unique_ptr<AdmissionPlugin> make_certificate_signing(Authorizer& authorizer);
/// CertificateSubjectRestriction: no client certificate for system:masters.
std::unique_ptr<AdmissionPlugin> make_certificate_subject_restriction();
/// Writes the requesting user into spec.username, uid, groups and extra of a new CertificateSigningRequest.
std::unique_ptr<AdmissionPlugin> make_certificate_requester();

/// DefaultIngressClass: the default class for ingresses that name none.
std::unique_ptr<AdmissionPlugin> make_default_ingress_class(const Lookup& lookup);

/// PodTopologyLabels: zone and region of the node, copied to pods and bindings.
std::unique_ptr<AdmissionPlugin> make_pod_topology_labels(const Lookup& lookup);

/// What kube-apiserver checks in the storage of RBAC kinds: nobody grants what they do not hold.
std::unique_ptr<AdmissionPlugin> make_rbac_escalation(const RbacAuthorizer& rbac, Authorizer& authorizer);

/// The two PriorityClasses of every cluster, complete: to be created at start where missing.
std::vector<Json> system_priority_classes();

}  // namespace orch::server
