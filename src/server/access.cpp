#include "server/access.h"

#include "base/json.h"
#include "server/auth/reviews.h"

namespace orch::server {

using base::Code;
using base::Result;
using base::Status;

Status Access::open() {
  auto webhook = make_webhook_authorizer(args_, clock_);
  if (!webhook.ok()) return webhook.error();
  webhook_ = std::move(*webhook);
  std::vector<Authorizer*> chain = {&masters_, &health_};
  std::vector<std::string> modes = args_.authorization_modes;
  if (modes.empty()) modes = {"Node", "RBAC"};
  for (const std::string& mode : modes) {
    if (mode == "Node") chain.push_back(&nodes_);
    if (mode == "RBAC") chain.push_back(&rbac_);
    if (mode == "Webhook" && webhook_ != nullptr) chain.push_back(webhook_.get());
    if (mode == "AlwaysAllow") chain.push_back(&everything_);
    if (mode == "AlwaysDeny") chain.push_back(&nothing_);
  }
  authorizer_.set(std::make_shared<UnionAuthorizer>(std::move(chain)));
  return {};
}

void Access::follow(client::InformerFactory& informers) {
  const auto feed = [&](const char* group, const char* plural, auto member, auto& target) {
    informers.get({group, "v1", plural})
        .on_change([&target, member](const api::ObjectPtr& before, const api::ObjectPtr& after) {
          (target.*member)(before, after);
        });
  };
  constexpr const char* kRbac = "rbac.authorization.k8s.io";
  feed(kRbac, "roles", &RbacAuthorizer::on_role, rbac_);
  feed(kRbac, "clusterroles", &RbacAuthorizer::on_cluster_role, rbac_);
  feed(kRbac, "rolebindings", &RbacAuthorizer::on_role_binding, rbac_);
  feed(kRbac, "clusterrolebindings", &RbacAuthorizer::on_cluster_role_binding, rbac_);
  feed("", "pods", &NodeGraph::on_pod, graph_);
  feed("", "persistentvolumes", &NodeGraph::on_persistent_volume, graph_);
  feed("storage.k8s.io", "volumeattachments", &NodeGraph::on_volume_attachment, graph_);
  feed("resource.k8s.io", "resourceslices", &NodeGraph::on_resource_slice, graph_);
}

Result<Json> Access::review(std::string_view kind, const Json& body, const UserInfo& user,
                            const Authentication& authentication) {
  if (kind == "SubjectAccessReview") return review_subject_access(body, authorizer_);
  if (kind == "LocalSubjectAccessReview") {
    return review_local_subject_access(body, base::string_at(body, {"metadata", "namespace"}), authorizer_);
  }
  if (kind == "SelfSubjectAccessReview") return review_self_subject_access(body, user, authorizer_);
  if (kind == "SelfSubjectRulesReview") return review_self_subject_rules(body, user, rbac_);
  if (kind == "TokenReview")
    return review_token(body, *authentication.authenticator, authentication.audiences);
  if (kind == "SelfSubjectReview") return review_self_subject(body, user, clock_.now());
  return Status(Code::kMethodNotAllowed, "the server does not allow this method on the requested resource");
}

}  // namespace orch::server
