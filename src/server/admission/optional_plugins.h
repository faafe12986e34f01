// Plugins that run only when asked for by name (--enable-admission-plugins). All are thread-safe.
#pragma once

#include <memory>

#include "server/admission/admission.h"
#include "server/auth/lookup.h"

namespace orch::server {

/// AlwaysAdmit and AlwaysDeny.
std::unique_ptr<AdmissionPlugin> make_always_admit();
std::unique_ptr<AdmissionPlugin> make_always_deny();
/// AlwaysPullImages: no container starts from an image that somebody else pulled.
std::unique_ptr<AdmissionPlugin> make_always_pull_images();
/// DenyServiceExternalIPs: services get no new spec.externalIPs.
std::unique_ptr<AdmissionPlugin> make_deny_external_ips();
/// NamespaceExists: nothing is written in a namespace that is not there. `lookup` must outlive it.
std::unique_ptr<AdmissionPlugin> make_namespace_exists(const Lookup& lookup);
/// ExtendedResourceToleration: pods that ask for an extended resource tolerate the taint of that name.
std::unique_ptr<AdmissionPlugin> make_extended_resource_toleration();
/// LimitPodHardAntiAffinityTopology: required anti-affinity keeps pods apart by node only.
std::unique_ptr<AdmissionPlugin> make_limit_anti_affinity();

}  // namespace orch::server
