#include "server/controllers/manager_options.h"

#include <algorithm>
#include <array>

namespace orch::server {

namespace {

struct Known {
  std::string_view name, alias;
};

/// Every controller of kube-controller-manager, whether Orch has it or needs none.
constexpr auto kKnown = std::to_array<Known>({
    {"bootstrap-signer-controller", "bootstrapsigner"},
    {"certificatesigningrequest-approving-controller", "csrapproving"},
    {"certificatesigningrequest-cleaner-controller", "csrcleaner"},
    {"certificatesigningrequest-signing-controller", "csrsigning"},
    {"cloud-node-lifecycle-controller", "cloud-node-lifecycle"},
    {"clusterrole-aggregation-controller", "clusterrole-aggregation"},
    {"cronjob-controller", "cronjob"},
    {"daemonset-controller", "daemonset"},
    {"deployment-controller", "deployment"},
    {"device-taint-eviction-controller", ""},
    {"disruption-controller", "disruption"},
    {"endpoints-controller", "endpoint"},
    {"endpointslice-controller", "endpointslice"},
    {"endpointslice-mirroring-controller", "endpointslicemirroring"},
    {"ephemeral-volume-controller", "ephemeral-volume"},
    {"garbage-collector-controller", "garbagecollector"},
    {"horizontal-pod-autoscaler-controller", "horizontalpodautoscaling"},
    {"job-controller", "job"},
    {"kube-apiserver-serving-clustertrustbundle-publisher-controller", ""},
    {"legacy-serviceaccount-token-cleaner-controller", "legacy-service-account-token-cleaner"},
    {"namespace-controller", "namespace"},
    {"node-ipam-controller", "nodeipam"},
    {"node-lifecycle-controller", "nodelifecycle"},
    {"node-route-controller", "route"},
    {"persistentvolume-attach-detach-controller", "attachdetach"},
    {"persistentvolume-binder-controller", "persistentvolume-binder"},
    {"persistentvolume-expander-controller", "persistentvolume-expander"},
    {"persistentvolume-protection-controller", "pv-protection"},
    {"persistentvolumeclaim-protection-controller", "pvc-protection"},
    {"pod-garbage-collector-controller", "podgc"},
    {"podcertificaterequest-cleaner-controller", ""},
    {"replicaset-controller", "replicaset"},
    {"replicationcontroller-controller", "replicationcontroller"},
    {"resourceclaim-controller", "resource-claim-controller"},
    {"resourcequota-controller", "resourcequota"},
    {"root-ca-certificate-publisher-controller", "root-ca-cert-publisher"},
    {"selinux-warning-controller", ""},
    {"service-cidr-controller", ""},
    {"service-lb-controller", "service"},
    {"serviceaccount-controller", "serviceaccount"},
    {"serviceaccount-token-controller", "serviceaccount-token"},
    {"statefulset-controller", "statefulset"},
    {"storage-version-migrator-controller", "svm"},
    {"storageversion-garbage-collector-controller", "storage-version-gc"},
    {"taint-eviction-controller", ""},
    {"token-cleaner-controller", "tokencleaner"},
    {"ttl-after-finished-controller", "ttl-after-finished"},
    {"ttl-controller", "ttl"},
    {"validatingadmissionpolicy-status-controller", ""},
    {"volumeattributesclass-protection-controller", ""},
});

}  // namespace

std::string_view controller_name(std::string_view name_or_alias) {
  for (const Known& k : kKnown) {
    if (!k.alias.empty() && k.alias == name_or_alias) return k.name;
  }
  return name_or_alias;
}

base::Status check_controllers(const std::vector<std::string>& controllers) {
  for (const std::string& entry : controllers) {
    if (entry == "*") continue;
    const std::string_view name = std::string_view(entry).substr(entry.rfind('-', 0) == 0 ? 1 : 0);
    const std::string_view known = controller_name(name);
    if (std::any_of(kKnown.begin(), kKnown.end(), [&](const Known& k) { return k.name == known; })) continue;
    return {base::Code::kBadRequest, base::cat("\"", name, "\" is not in the list of known controllers")};
  }
  return {};
}

bool ManagerOptions::enabled(std::string_view name) const {
  bool all = false;
  for (const std::string& entry : controllers) {
    const bool off = entry.rfind('-', 0) == 0;
    if (entry == "*") {
      all = true;
    } else if (controller_name(std::string_view(entry).substr(off ? 1 : 0)) == name) {
      return !off;
    }
  }
  return all;
}

}  // namespace orch::server
