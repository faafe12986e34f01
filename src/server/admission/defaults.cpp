#include "server/admission/defaults.h"

namespace orch::server {

void add_default_plugins(AdmissionChain& chain, AdmissionParts parts,
                         std::vector<std::unique_ptr<AdmissionPlugin>> webhooks) {
  const Lookup& lookup = parts.lookup;
  chain.add(make_namespace_lifecycle(lookup));
  chain.add(make_limit_ranger(lookup));
  chain.add(make_service_account(lookup, std::move(parts.service_account)));
  chain.add(make_node_restriction(lookup, parts.authorizer));
  chain.add(make_taint_nodes_by_condition());
  chain.add(make_pod_security(lookup));
  chain.add(make_priority(lookup));
  chain.add(make_default_toleration_seconds(parts.not_ready_toleration_seconds,
                                            parts.unreachable_toleration_seconds));
  chain.add(make_default_storage_class(lookup));
  chain.add(make_storage_protection());
  chain.add(make_claim_resize(lookup));
  chain.add(make_runtime_class(lookup));
  chain.add(make_certificate_approval(parts.authorizer));
  chain.add(make_certificate_signing(parts.authorizer));
  chain.add(make_certificate_subject_restriction());
  chain.add(make_default_ingress_class(lookup));
  chain.add(make_pod_topology_labels(lookup));
  for (auto& plugin : webhooks) chain.add(std::move(plugin));
  // Storage checks this in Kubernetes, after all admission; a quota is better charged last.
  chain.add(make_rbac_escalation(parts.rbac, parts.authorizer));
  chain.add(make_resource_quota(lookup, std::move(parts.write_quota_status), parts.clock));
}

}  // namespace orch::server
