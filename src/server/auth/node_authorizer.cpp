#include "server/auth/node_authorizer.h"

#include <algorithm>

#include "api/selector.h"
#include "base/json.h"
#include "server/auth/bootstrap_policy.h"

namespace orch::server {
namespace {

const Verdict kAllowed{Decision::kAllow, {}};

Verdict no(std::string reason = {}) { return {Decision::kNoOpinion, std::move(reason)}; }

bool one_of(std::string_view value, std::initializer_list<std::string_view> list) {
  return std::find(list.begin(), list.end(), value) != list.end();
}

bool selects_node(const Attributes& a, std::string_view field, std::string_view node) {
  const base::Result<api::FieldSelector> selector = api::FieldSelector::parse(a.field_selector);
  return selector.ok() && selector->exact(field) == node;
}

Verdict own_lease(std::string_view node, const Attributes& a) {
  if (!one_of(a.verb, {"get", "create", "update", "patch", "delete"})) {
    return no("can only get, create, update, patch, or delete a node lease");
  }
  if (a.ns != "kube-node-lease")
    return no("can only access leases in the \"kube-node-lease\" system namespace");
  // On create the name is in the body, where NodeRestriction looks.
  if (a.verb != "create" && a.name != node) {
    return no("can only access node lease with the same name as the requesting node");
  }
  return kAllowed;
}

Verdict own_csi_node(std::string_view node, const Attributes& a) {
  if (!one_of(a.verb, {"get", "create", "update", "patch", "delete"})) {
    return no("can only get, create, update, patch, or delete a CSINode");
  }
  if (!a.subresource.empty()) return no("cannot authorize CSINode subresources");
  if (a.verb != "create" && a.name != node) {
    return no("can only access CSINode with the same name as the requesting node");
  }
  return kAllowed;
}

Verdict own_node(std::string_view node, const Attributes& a) {
  if (a.subresource == "status") return one_of(a.verb, {"update", "patch"}) ? kAllowed : no();
  if (!a.subresource.empty()) return no();
  if (one_of(a.verb, {"create", "update", "patch"})) return kAllowed;
  if (!one_of(a.verb, {"get", "list", "watch"})) return no();
  if (a.name == node) return kAllowed;
  if (a.name.empty())
    return no(base::cat("node '", node, "' cannot read all nodes, only its own Node object"));
  return no(base::cat("node '", node, "' cannot read '", a.name, "', only its own Node object"));
}

std::vector<PolicyRule> node_rules() {
  for (const Json& object : bootstrap_policy()) {
    if (base::string_at(object, {"kind"}) == "ClusterRole" &&
        base::string_at(object, {"metadata", "name"}) == "system:node") {
      return rules_of(object);
    }
  }
  return {};
}

}  // namespace

NodeAuthorizer::NodeAuthorizer(const NodeGraph& graph) : graph_(graph), rules_(node_rules()) {}

Verdict NodeAuthorizer::related(std::string_view node, NodeObject type, const Attributes& a) const {
  if (a.name.empty()) return no("No Object name found");
  if (graph_.reaches(node, type, a.ns, a.name)) return kAllowed;
  return no(base::cat("no relationship found between node '", node, "' and this object"));
}

Verdict NodeAuthorizer::read_namespaced(std::string_view node, NodeObject type, const Attributes& a) const {
  if (!one_of(a.verb, {"get", "list", "watch"})) return no("can only read resources of this type");
  if (!a.subresource.empty()) return no("cannot read subresource");
  if (a.ns.empty()) return no("can only read namespaced object of this type");
  return related(node, type, a);
}

Verdict NodeAuthorizer::get(std::string_view node, NodeObject type, const Attributes& a) const {
  if (a.verb != "get") return no("can only get individual resources of this type");
  if (!a.subresource.empty()) return no("cannot get subresource");
  return related(node, type, a);
}

Verdict NodeAuthorizer::service_account(std::string_view node, const Attributes& a) const {
  if (a.verb == "get" && a.subresource.empty()) return read_namespaced(node, NodeObject::kServiceAccount, a);
  if (a.verb != "create" || a.name.empty())
    return no("can only create tokens for individual service accounts");
  if (a.subresource != "token") return no("can only create token subresource of serviceaccount");
  return related(node, NodeObject::kServiceAccount, a);
}

Verdict NodeAuthorizer::resource_slice(std::string_view node, const Attributes& a) const {
  if (!a.subresource.empty()) return no("cannot authorize ResourceSlice subresources");
  if (a.verb == "create") return kAllowed;
  if (one_of(a.verb, {"get", "update", "patch", "delete"}))
    return related(node, NodeObject::kResourceSlice, a);
  if (one_of(a.verb, {"watch", "list", "deletecollection"})) {
    if (selects_node(a, "spec.nodeName", node)) return kAllowed;
    return no("can only list/watch/deletecollection resourceslices with nodeName field selector");
  }
  return no(
      "only the following verbs are allowed for a ResourceSlice: get, watch, list, create, update, patch, "
      "delete, "
      "deletecollection");
}

Verdict NodeAuthorizer::pod(std::string_view node, const Attributes& a) const {
  if (a.subresource == "status") return one_of(a.verb, {"update", "patch"}) ? kAllowed : no();
  if (a.subresource == "eviction") return a.verb == "create" ? kAllowed : no();
  if (!a.subresource.empty()) return no();
  if (a.verb == "get") return related(node, NodeObject::kPod, a);
  if (one_of(a.verb, {"list", "watch"})) {
    if (selects_node(a, "spec.nodeName", node)) return kAllowed;
    if (!a.name.empty()) return related(node, NodeObject::kPod, a);
    return no("can only list/watch pods with spec.nodeName field selector");
  }
  return one_of(a.verb, {"create", "delete"}) ? kAllowed : no();
}

Verdict NodeAuthorizer::core(std::string_view node, const Attributes& a) const {
  if (a.resource == "secrets") return read_namespaced(node, NodeObject::kSecret, a);
  if (a.resource == "configmaps") return read_namespaced(node, NodeObject::kConfigMap, a);
  if (a.resource == "persistentvolumeclaims") {
    if (a.subresource != "status") return get(node, NodeObject::kVolumeClaim, a);
    if (!one_of(a.verb, {"update", "patch"})) return no("can only get/update/patch this type");
    return related(node, NodeObject::kVolumeClaim, a);
  }
  if (a.resource == "persistentvolumes") return get(node, NodeObject::kVolume, a);
  if (a.resource == "serviceaccounts") return service_account(node, a);
  if (a.resource == "nodes") return own_node(node, a);
  if (a.resource == "pods") return pod(node, a);
  return by_rules(a);
}

Verdict NodeAuthorizer::by_rules(const Attributes& a) const {
  const std::string path = resource_path(a);
  const bool allowed =
      std::any_of(rules_.begin(), rules_.end(), [&](const PolicyRule& rule) { return rule.allows(a, path); });
  return allowed ? kAllowed : no();
}

Verdict NodeAuthorizer::authorize(const Attributes& a) {
  if (a.user == nullptr) return {};
  const std::optional<std::string_view> node = node_identity(*a.user);
  if (!node) return {};
  if (node->empty()) return no(base::cat("unknown node for user \"", a.user->name, "\""));
  if (!a.resource_request) return by_rules(a);
  if (a.group.empty()) return core(*node, a);
  if (a.group == "coordination.k8s.io" && a.resource == "leases") return own_lease(*node, a);
  if (a.group == "storage.k8s.io" && a.resource == "csinodes") return own_csi_node(*node, a);
  if (a.group == "storage.k8s.io" && a.resource == "volumeattachments") {
    return get(*node, NodeObject::kVolumeAttachment, a);
  }
  if (a.group == "resource.k8s.io" && a.resource == "resourceclaims") {
    return get(*node, NodeObject::kResourceClaim, a);
  }
  if (a.group == "resource.k8s.io" && a.resource == "resourceslices") return resource_slice(*node, a);
  if (a.group == "certificates.k8s.io" && a.resource == "podcertificaterequests") return {};
  return by_rules(a);
}

}  // namespace orch::server
