#include "server/admission/defaults.h"

#include "server/admission/optional_plugins.h"

namespace orch::server {

void add_default_plugins(AdmissionChain& chain, AdmissionParts parts,
                         std::vector<std::unique_ptr<AdmissionPlugin>> configured) {
  const Lookup& lookup = parts.lookup;
  const auto add = [&](std::unique_ptr<AdmissionPlugin> plugin) {
    if (parts.selection.runs(plugin->name())) chain.add(std::move(plugin));
  };
  add(make_always_admit());
  add(make_namespace_lifecycle(lookup));
  add(make_namespace_exists(lookup));
  add(make_limit_anti_affinity());
  add(make_limit_ranger(lookup));
  add(make_service_account(lookup, std::move(parts.service_account)));
  add(make_node_restriction(lookup, parts.authorizer));
  add(make_taint_nodes_by_condition());
  add(make_always_pull_images());
  add(make_pod_security(lookup, parts.selection.pod_security));
  add(make_priority(lookup));
  add(make_default_toleration_seconds(parts.not_ready_toleration_seconds,
                                      parts.unreachable_toleration_seconds));
  add(make_extended_resource_toleration());
  add(make_default_storage_class(lookup));
  add(make_storage_protection());
  add(make_claim_resize(lookup));
  add(make_runtime_class(lookup));
  add(make_certificate_approval(parts.authorizer));
  add(make_certificate_signing(parts.authorizer));
  add(make_certificate_subject_restriction());
  add(make_default_ingress_class(lookup));
  add(make_deny_external_ips());
  add(make_pod_topology_labels(lookup));
  for (auto& plugin : configured) add(std::move(plugin));
  add(make_certificate_requester());
  // Storage checks this in Kubernetes, after all admission; a quota is better charged last.
  add(make_rbac_escalation(parts.rbac, parts.authorizer));
  add(make_resource_quota(lookup, std::move(parts.write_quota_status), parts.clock));
  add(make_always_deny());
}

}  // namespace orch::server
