#include "server/scheduler/informer_objects.h"

namespace orch::server::scheduler {

namespace {

/// In the order of Kind.
const client::ResourceRef kResources[kKinds] = {
    {"", "v1", "namespaces"},
    {"", "v1", "services"},
    {"", "v1", "replicationcontrollers"},
    {"apps", "v1", "replicasets"},
    {"apps", "v1", "statefulsets"},
    {"", "v1", "persistentvolumeclaims"},
    {"", "v1", "persistentvolumes"},
    {"storage.k8s.io", "v1", "storageclasses"},
    {"storage.k8s.io", "v1", "csinodes"},
    {"storage.k8s.io", "v1", "csidrivers"},
    {"storage.k8s.io", "v1", "csistoragecapacities"},
    {"storage.k8s.io", "v1", "volumeattachments"},
    {"policy", "v1", "poddisruptionbudgets"},
    {"resource.k8s.io", "v1", "resourceclaims"},
    {"resource.k8s.io", "v1", "resourceslices"},
    {"resource.k8s.io", "v1", "deviceclasses"},
};

}  // namespace

InformerObjects::InformerObjects(client::InformerFactory& informers) : informers_{} {
  for (size_t i = 0; i < kKinds; ++i) informers_[i] = &informers.get(kResources[i]);
}

api::ObjectPtr InformerObjects::get(Kind kind, std::string_view ns, std::string_view name) const {
  return informer(kind).get(ns, name);
}

std::vector<api::ObjectPtr> InformerObjects::list(Kind kind, std::string_view ns) const {
  return ns.empty() ? informer(kind).list() : informer(kind).list_namespace(ns);
}

}  // namespace orch::server::scheduler
