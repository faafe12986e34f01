// NodeAuthorizer: what a kubelet (system:node:<name>, group system:nodes) may do.
#pragma once

#include <string_view>
#include <vector>

#include "server/auth/auth.h"
#include "server/auth/node_graph.h"
#include "server/auth/rbac_rule.h"

namespace orch::server {

/// A node reads the secrets, config maps, service accounts, claims and volumes its pods use, its own pods,
/// node object, lease and CSINode, and writes what concerns itself; the rest is by the rules of the
/// ClusterRole system:node. What the object of a write says is checked by the admission plugin
/// NodeRestriction. Never denies: others may allow more. Thread-safe.
class NodeAuthorizer final : public Authorizer {
 public:
  /// `graph` must outlive this.
  explicit NodeAuthorizer(const NodeGraph& graph);
  Verdict authorize(const Attributes& attributes) override;

 private:
  Verdict related(std::string_view node, NodeObject type, const Attributes& a) const;
  Verdict read_namespaced(std::string_view node, NodeObject type, const Attributes& a) const;
  Verdict get(std::string_view node, NodeObject type, const Attributes& a) const;
  Verdict service_account(std::string_view node, const Attributes& a) const;
  Verdict resource_slice(std::string_view node, const Attributes& a) const;
  Verdict pod(std::string_view node, const Attributes& a) const;
  Verdict core(std::string_view node, const Attributes& a) const;
  Verdict by_rules(const Attributes& a) const;

  const NodeGraph& graph_;
  const std::vector<PolicyRule> rules_;
};

}  // namespace orch::server
