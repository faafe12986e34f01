#include <algorithm>
#include <set>

#include "api/go_text.h"
#include "base/json.h"
#include "pki/pki.h"
#include "server/admission/plugins.h"
#include "server/admission/request.h"
#include "server/auth/node_graph.h"

namespace orch::server {
namespace {

bool one_of(std::string_view value, std::initializer_list<std::string_view> list) {
  return std::find(list.begin(), list.end(), value) != list.end();
}

bool in_domain(std::string_view domain, std::string_view suffix) {
  return domain == suffix || (domain.size() > suffix.size() && domain.ends_with(suffix) &&
                              domain[domain.size() - suffix.size() - 1] == '.');
}

/// Labels by which a node could attract workloads that were not meant for it.
bool forbidden_label(std::string_view key) {
  const size_t slash = key.find('/');
  if (slash == std::string_view::npos) return false;
  const std::string_view domain = key.substr(0, slash);
  if (in_domain(domain, "node-restriction.kubernetes.io")) return true;
  if (!in_domain(domain, "kubernetes.io") && !in_domain(domain, "k8s.io")) return false;
  if (in_domain(domain, "kubelet.kubernetes.io") || in_domain(domain, "node.kubernetes.io")) return false;
  return !one_of(key,
                 {"kubernetes.io/hostname", "topology.kubernetes.io/zone", "topology.kubernetes.io/region",
                  "failure-domain.beta.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/region",
                  "beta.kubernetes.io/instance-type", "node.kubernetes.io/instance-type", "kubernetes.io/os",
                  "kubernetes.io/arch", "beta.kubernetes.io/os", "beta.kubernetes.io/arch"});
}

std::string forbidden_changes(const Json& labels, const Json& old) {
  std::set<std::string> keys;
  for (const auto& [key, value] : labels.items()) {
    if (!old.contains(key) || old[key] != value) keys.insert(key);
  }
  for (const auto& [key, value] : old.items()) {
    if (!labels.contains(key)) keys.insert(key);
  }
  std::vector<std::string> out;
  std::copy_if(keys.begin(), keys.end(), std::back_inserter(out), forbidden_label);
  return api::join(out, ", ");
}

/// What the API object is that a mirror pod refers to, "" when it refers to none.
std::string api_reference(const Json& pod) {
  if (!base::string_at(pod, {"spec", "serviceAccountName"}).empty()) return "serviceaccounts";
  Json plain = pod;
  plain["metadata"].erase("annotations");
  const auto references = pod_references(plain);
  const auto refers = [&](NodeObject type) {
    return std::any_of(references.begin(), references.end(), [&](const auto& r) { return r.first == type; });
  };
  if (refers(NodeObject::kSecret)) return "secrets";
  if (refers(NodeObject::kConfigMap)) return "configmaps";
  if (!base::array_at(pod, {"spec", "resourceClaims"}).empty()) return "resourceclaims";
  const std::pair<const char*, const char*> volumes[] = {
      {"configMap", "configmaps (via configmap volumes)"},
      {"secret", "secrets (via secret volumes)"},
      {"csi", "csidrivers (via CSI volumes)"},
      {"glusterfs", "endpoints (via glusterFS volumes)"},
      {"persistentVolumeClaim", "persistentvolumeclaims"},
      {"ephemeral", "persistentvolumeclaims (via ephemeral volumes)"},
      {"azureFile", "secrets (via azureFile volumes)"}};
  const std::pair<const char*, const char*> sources[] = {
      {"configMap", "configmaps (via projected volumes)"},
      {"secret", "secrets (via projected volumes)"},
      {"serviceAccountToken", "serviceaccounts (via projected volumes)"},
      {"clusterTrustBundle", "clustertrustbundles"},
      {"podCertificate", "podcertificates"}};
  for (const Json& volume : base::array_at(pod, {"spec", "volumes"})) {
    for (const auto& [key, text] : volumes) {
      if (volume.contains(key)) return text;
    }
    for (const Json& source : base::array_at(volume, {"projected", "sources"})) {
      for (const auto& [key, text] : sources) {
        if (source.contains(key)) return text;
      }
    }
  }
  return {};
}

class NodeRestriction final : public AdmissionPlugin {
 public:
  NodeRestriction(const Lookup& lookup, Authorizer& authorizer) : lookup_(lookup), authorizer_(authorizer) {}
  std::string_view name() const override { return "NodeRestriction"; }

  bool handles(const AdmissionRequest& r) const override {
    return r.user != nullptr && r.operation != Operation::kConnect && node_identity(*r.user).has_value();
  }

  base::Status admit(AdmissionRequest& r) override {
    const std::string node(*node_identity(*r.user));
    if (node.empty())
      return refuse(r, base::cat("could not determine node from user ", api::go_quote(r.user->name)));
    const std::string quoted = api::go_quote(node);
    if (is_resource(r, "", "pods")) return pod(r, node, quoted);
    if (is_resource(r, "", "nodes")) return own_node(r, node, quoted);
    if (is_resource(r, "", "persistentvolumeclaims")) return claim(r, quoted);
    if (is_resource(r, "", "serviceaccounts")) return token(r, node);
    if (is_resource(r, "coordination.k8s.io", "leases")) return lease(r, node);
    if (is_resource(r, "storage.k8s.io", "csinodes")) {
      if (object_name(r) == node) return {};
      return refuse(r, "can only access CSINode with the same name as the requesting node");
    }
    if (is_resource(r, "resource.k8s.io", "resourceslices")) return resource_slice(r, node);
    if (is_resource(r, "certificates.k8s.io", "certificatesigningrequests")) return signing_request(r, node);
    if (is_resource(r, "certificates.k8s.io", "podcertificaterequests")) {
      return refuse(r, "PodCertificateRequest feature gate is disabled");
    }
    return {};
  }

 private:
  base::Status pod(const AdmissionRequest& r, const std::string& node, const std::string& quoted) const {
    if (r.subresource == "status") return pod_status(r, node, quoted);
    if (r.subresource == "eviction") {
      if (bound_to(r.ns, object_name(r)) == node) return {};
      return refuse(r, base::cat("node ", node, " can only evict pods with spec.nodeName set to itself"));
    }
    if (!r.subresource.empty()) {
      return refuse(r, base::cat("unexpected pod subresource ", api::go_quote(r.subresource),
                                 ", only 'status' and 'eviction' are allowed"));
    }
    if (r.operation == Operation::kCreate) return mirror_pod(r, node, quoted);
    if (r.operation == Operation::kDelete) {
      const api::ObjectPtr object = lookup_.get("pods", r.ns, r.name);
      if (!object) return missing("", "pods", r.name);
      if (base::string_at(object->tree(), {"spec", "nodeName"}) == node) return {};
      return refuse(r, base::cat("node ", quoted, " can only delete pods with spec.nodeName set to itself"));
    }
    return refuse(r, base::cat("unexpected operation \"UPDATE\", node ", quoted,
                               " can only create and delete mirror pods"));
  }

  std::string bound_to(std::string_view ns, std::string_view name) const {
    const api::ObjectPtr object = lookup_.get("pods", ns, name);
    return object ? std::string(base::string_at(object->tree(), {"spec", "nodeName"})) : std::string();
  }

  base::Status mirror_pod(const AdmissionRequest& r, const std::string& node,
                          const std::string& quoted) const {
    const Json& pod = *r.object;
    if (base::find_path(pod, {"metadata", "annotations", "kubernetes.io/config.mirror"}) == nullptr) {
      return refuse(r, base::cat("pod does not have \"kubernetes.io/config.mirror\" annotation, node ",
                                 quoted, " can only create mirror pods"));
    }
    if (base::string_at(pod, {"spec", "nodeName"}) != node) {
      return refuse(r, base::cat("node ", quoted, " can only create pods with spec.nodeName set to itself"));
    }
    const Json& owners = base::array_at(pod, {"metadata", "ownerReferences"});
    if (owners.size() > 1) {
      return refuse(
          r, base::cat("node ", quoted, " can only create pods with a single owner reference set to itself"));
    }
    if (owners.empty() || base::string_at(owners[0], {"apiVersion"}) != "v1" ||
        base::string_at(owners[0], {"kind"}) != "Node" || base::string_at(owners[0], {"name"}) != node) {
      return refuse(
          r, base::cat("node ", quoted, " can only create pods with an owner reference set to itself"));
    }
    if (!base::bool_at(owners[0], {"controller"})) {
      return refuse(r, base::cat("node ", quoted,
                                 " can only create pods with a controller owner reference set to itself"));
    }
    if (base::bool_at(owners[0], {"blockOwnerDeletion"})) {
      return refuse(r, base::cat("node ", quoted, " must not set blockOwnerDeletion on an owner reference"));
    }
    const api::ObjectPtr object = lookup_.get("nodes", "", node);
    if (!object) return missing("", "nodes", node);
    const std::string_view uid = base::string_at(owners[0], {"uid"});
    if (uid != object->uid()) {
      return refuse(r, base::cat("node ", node, " UID mismatch: expected ", uid, " got ", object->uid()));
    }
    const std::string reference = api_reference(pod);
    if (reference.empty()) return {};
    return refuse(r, base::cat("node ", quoted, " can not create pods that reference ", reference));
  }

  static base::Status pod_status(const AdmissionRequest& r, const std::string& node,
                                 const std::string& quoted) {
    if (r.operation != Operation::kUpdate) return refuse(r, "unexpected operation");
    const Json &old = *r.old_object, &fresh = *r.object;
    if (base::string_at(old, {"spec", "nodeName"}) != node) {
      return refuse(r, base::cat("node ", quoted,
                                 " can only update pod status for pods with spec.nodeName set to itself"));
    }
    if (base::object_at(old, {"metadata", "labels"}) != base::object_at(fresh, {"metadata", "labels"})) {
      return refuse(r, base::cat("node ", quoted, " cannot update labels through pod status"));
    }
    if (base::array_at(old, {"status", "resourceClaimStatuses"}) !=
        base::array_at(fresh, {"status", "resourceClaimStatuses"})) {
      return refuse(r, base::cat("node ", quoted, " cannot update resource claim statues"));
    }
    if (base::object_at(old, {"status", "extendedResourceClaimStatus"}) !=
        base::object_at(fresh, {"status", "extendedResourceClaimStatus"})) {
      return refuse(r, base::cat("node ", quoted, " cannot update extended resource claim status"));
    }
    return {};
  }

  static base::Status own_node(const AdmissionRequest& r, const std::string& node,
                               const std::string& quoted) {
    const std::string name = object_name(r);
    if (name != node) {
      return refuse(r, base::cat("node ", quoted, " is not allowed to modify node ", api::go_quote(name)));
    }
    if (r.object == nullptr) return {};
    const Json none = Json::object();
    const bool create = r.operation == Operation::kCreate;
    const Json& old = create || r.old_object == nullptr ? none : *r.old_object;
    const Json* source = base::find_path(*r.object, {"spec", "configSource"});
    const std::string labels = forbidden_changes(base::object_at(*r.object, {"metadata", "labels"}),
                                                 base::object_at(old, {"metadata", "labels"}));
    if (create) {
      if (source != nullptr) {
        return refuse(
            r, base::cat("node ", quoted, " is not allowed to create pods with a non-nil configSource"));
      }
      if (labels.empty()) return {};
      return refuse(r, base::cat("node ", quoted, " is not allowed to set the following labels: ", labels));
    }
    if (source != nullptr && *source != base::object_at(old, {"spec", "configSource"})) {
      return refuse(r, base::cat("node ", quoted,
                                 " is not allowed to update configSource to a new non-nil configSource"));
    }
    if (base::array_at(*r.object, {"spec", "taints"}) != base::array_at(old, {"spec", "taints"})) {
      return refuse(r, base::cat("node ", quoted, " is not allowed to modify taints"));
    }
    if (base::array_at(*r.object, {"metadata", "ownerReferences"}) !=
        base::array_at(old, {"metadata", "ownerReferences"})) {
      return refuse(r, base::cat("node ", quoted, " is not allowed to modify ownerReferences"));
    }
    return labels.empty() ? base::Status() : refuse(r, "is not allowed to modify labels: " + labels);
  }

  static base::Status claim(const AdmissionRequest& r, const std::string& quoted) {
    if (r.subresource != "status" || r.operation != Operation::kUpdate)
      return refuse(r, "may only update PVC status");
    const auto strip = [](Json tree) {
      tree["metadata"].erase("resourceVersion");
      tree["metadata"].erase("managedFields");
      for (const char* field :
           {"capacity", "conditions", "allocatedResourceStatuses", "allocatedResources"}) {
        tree["status"].erase(field);
      }
      return tree;
    };
    Json old = *r.old_object, fresh = *r.object;
    for (Json* tree : {&old, &fresh}) {
      if (!(*tree)["status"].is_object()) (*tree)["status"] = Json::object();
    }
    if (strip(std::move(old)) == strip(std::move(fresh))) return {};
    return refuse(
        r, base::cat("node ", quoted,
                     " is not allowed to update fields other than status.quantity and status.conditions"));
  }

  base::Status token(const AdmissionRequest& r, const std::string& node) const {
    if (r.operation != Operation::kCreate || r.subresource != "token") return {};
    const Json& ref = base::object_at(*r.object, {"spec", "boundObjectRef"});
    const std::string_view name = base::string_at(ref, {"name"}), uid = base::string_at(ref, {"uid"});
    if (base::string_at(ref, {"apiVersion"}) != "v1" || base::string_at(ref, {"kind"}) != "Pod" ||
        name.empty()) {
      return refuse(r, "node requested token not bound to a pod");
    }
    if (uid.empty()) return refuse(r, "node requested token with a pod binding without a uid");
    const api::ObjectPtr object = lookup_.get("pods", r.ns, name);
    if (!object) return missing("", "pods", name);
    if (uid != object->uid()) {
      return refuse(
          r, base::cat("the UID in the bound object reference (", uid,
                       ") does not match the UID in record. The object might have been deleted and then "
                       "recreated"));
    }
    const Json pod = object->tree();
    if (base::string_at(pod, {"spec", "nodeName"}) != node) {
      return refuse(r, "node requested token bound to a pod scheduled on a different node");
    }
    return audience(r, pod);
  }

  /// A node asks for tokens only of audiences that the pod's volumes need.
  base::Status audience(const AdmissionRequest& r, const Json& pod) const {
    const Json& audiences = base::array_at(*r.object, {"spec", "audiences"});
    if (audiences.size() > 1) return refuse(r, "node may only request 0 or 1 audiences");
    const std::string wanted =
        audiences.empty() || !audiences[0].is_string() ? "" : audiences[0].get<std::string>();
    for (const Json& volume : base::array_at(pod, {"spec", "volumes"})) {
      for (const Json& source : base::array_at(volume, {"projected", "sources"})) {
        if (source.contains("serviceAccountToken") &&
            base::string_at(source, {"serviceAccountToken", "audience"}) == wanted) {
          return {};
        }
      }
      if (driver_has_audience(r.ns, pod, volume, wanted)) return {};
    }
    Attributes a;
    a.user = r.user;
    a.verb = "request-serviceaccounts-token-audience";
    a.resource_request = true;
    a.version = "v1";
    a.ns = r.ns;
    a.resource = wanted;
    a.name = r.name;
    if (authorizer_.authorize(a).decision == Decision::kAllow) return {};
    return refuse(r, base::cat("audience ", api::go_quote(wanted), " not found in pod spec volume, ",
                               r.user->name, " is not authorized to request tokens for this audience"));
  }

  bool driver_has_audience(std::string_view ns, const Json& pod, const Json& volume,
                           std::string_view wanted) const {
    std::string driver(base::string_at(volume, {"csi", "driver"}));
    std::string claim(base::string_at(volume, {"persistentVolumeClaim", "claimName"}));
    if (volume.contains("ephemeral")) {
      claim = base::cat(base::string_at(pod, {"metadata", "name"}), "-", base::string_at(volume, {"name"}));
    }
    if (const api::ObjectPtr pvc =
            claim.empty() ? nullptr : lookup_.get("persistentvolumeclaims", ns, claim)) {
      const std::string name(base::string_at(pvc->tree(), {"spec", "volumeName"}));
      if (const api::ObjectPtr pv = lookup_.get("persistentvolumes", "", name)) {
        driver = base::string_at(pv->tree(), {"spec", "csi", "driver"});
      }
    }
    const api::ObjectPtr object =
        driver.empty() ? nullptr : lookup_.get("csidrivers.storage.k8s.io", "", driver);
    if (!object) return false;
    const Json tree = object->tree();
    const Json& requests = base::array_at(tree, {"spec", "tokenRequests"});
    return std::any_of(requests.begin(), requests.end(),
                       [&](const Json& t) { return base::string_at(t, {"audience"}) == wanted; });
  }

  static base::Status lease(const AdmissionRequest& r, const std::string& node) {
    if (r.ns != "kube-node-lease") {
      return refuse(r, "can only access leases in the \"kube-node-lease\" system namespace");
    }
    if (object_name(r) == node) return {};
    return refuse(r, "can only access node lease with the same name as the requesting node");
  }

  static base::Status resource_slice(const AdmissionRequest& r, const std::string& node) {
    const bool create = r.operation == Operation::kCreate;
    const Json* slice = create ? r.object : r.old_object;
    if ((!create && r.operation != Operation::kDelete) || slice == nullptr) return {};
    if (base::string_at(*slice, {"spec", "nodeName"}) == node) return {};
    return refuse(r, base::cat("can only ", create ? "create" : "delete",
                               " ResourceSlice with the same NodeName as the requesting node"));
  }

  static base::Status signing_request(const AdmissionRequest& r, const std::string& node) {
    if (r.operation != Operation::kCreate || !r.subresource.empty()) return {};
    const std::string_view signer = base::string_at(*r.object, {"spec", "signerName"});
    if (!one_of(signer, {"kubernetes.io/kubelet-serving", "kubernetes.io/kube-apiserver-client-kubelet"}))
      return {};
    const base::Result<std::string> pem = pki::base64_decode(base::string_at(*r.object, {"spec", "request"}));
    if (!pem.ok()) return refuse(r, "unable to parse csr: " + pem.error().message());
    const base::Result<pki::CertificateInfo> csr = pki::parse_csr(*pem);
    if (!csr.ok()) return refuse(r, "unable to parse csr: " + csr.error().message());
    if (csr->common_name == "system:node:" + node) return {};
    return refuse(r, base::cat("can only create a node CSR with CN=system:node:", node));
  }

  const Lookup& lookup_;
  Authorizer& authorizer_;
};

}  // namespace

std::unique_ptr<AdmissionPlugin> make_node_restriction(const Lookup& lookup, Authorizer& authorizer) {
  return std::make_unique<NodeRestriction>(lookup, authorizer);
}

}  // namespace orch::server
