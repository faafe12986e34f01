// The chain of built-in admission plugins, as kube-apiserver v1.35 has it on by default.
#pragma once

#include "base/clock.h"
#include "server/admission/plugins.h"
#include "server/admission/resource_quota.h"
#include "server/admission/selection.h"

namespace orch::server {

/// What the plugins work with; all must outlive the chain.
struct AdmissionParts {
  const Lookup& lookup;
  /// Everything: masters, node, RBAC.
  Authorizer& authorizer;
  const RbacAuthorizer& rbac;
  const base::Clock& clock;
  QuotaStatusWriter write_quota_status;
  ServiceAccountHooks service_account = ServiceAccountHooks::system();
  int64_t not_ready_toleration_seconds = 300, unreachable_toleration_seconds = 300;
  /// Which of the plugins run; checked by the caller.
  AdmissionSelection selection = {};
};

/// In Kubernetes' order. `configured` run before ResourceQuota, where webhooks and policies have their place.
void add_default_plugins(AdmissionChain& chain, AdmissionParts parts,
                         std::vector<std::unique_ptr<AdmissionPlugin>> configured = {});

}  // namespace orch::server
