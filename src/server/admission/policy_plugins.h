// ValidatingAdmissionPolicy (k8s.io/apiserver/pkg/admission/plugin/policy/validating).
#pragma once

#include <memory>

#include "base/metrics.h"
#include "server/admission/admission_policy.h"

namespace orch::server {

/// All must outlive the plugins.
struct PolicyParts {
  const PolicySource& source;
  const Lookup& lookup;
  const api::ResourceTable& table;
  Authorizer& authorizer;
  base::Metrics& metrics;
};

/// Refuses, warns and annotates audit events as policies in force say.
std::unique_ptr<AdmissionPlugin> make_validating_policies(PolicyParts parts);

/// What kube-apiserver checks in the storage of policies and bindings: who writes one that reads params may
/// read those.
std::unique_ptr<AdmissionPlugin> make_policy_param_access(PolicyParts parts);

}  // namespace orch::server
