#include "server/access.h"

#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "server/auth/reviews.h"

namespace orch::server {

using base::Code;
using base::Result;
using base::Status;

namespace {

/// A chain with those of its members that it owns.
class Chain final : public Authorizer {
 public:
  Chain(std::vector<Authorizer*> all, std::vector<std::unique_ptr<Authorizer>> own)
      : own_(std::move(own)), chain_(std::move(all)) {}
  Verdict authorize(const Attributes& a) override { return chain_.authorize(a); }

 private:
  const std::vector<std::unique_ptr<Authorizer>> own_;
  UnionAuthorizer chain_;
};

}  // namespace

Result<std::shared_ptr<Authorizer>> Access::make_chain() {
  auto configs = read_authorizers(args_);
  if (!configs.ok()) return configs.error();
  std::vector<Authorizer*> all = {&masters_, &health_};
  std::vector<std::unique_ptr<Authorizer>> own;
  for (const AuthorizerConfig& config : *configs) {
    switch (config.type) {
      case AuthorizerConfig::Type::kNode:
        all.push_back(&nodes_);
        break;
      case AuthorizerConfig::Type::kRbac:
        all.push_back(&rbac_);
        break;
      case AuthorizerConfig::Type::kAlwaysAllow:
        all.push_back(&everything_);
        break;
      case AuthorizerConfig::Type::kAlwaysDeny:
        all.push_back(&nothing_);
        break;
      case AuthorizerConfig::Type::kWebhook:
        auto webhook = make_webhook_authorizer(config.webhook, clock_);
        if (!webhook.ok()) return webhook.error();
        own.push_back(std::move(*webhook));
        all.push_back(own.back().get());
        break;
    }
  }
  return std::shared_ptr<Authorizer>(std::make_shared<Chain>(std::move(all), std::move(own)));
}

Status Access::open() {
  auto chain = make_chain();
  if (!chain.ok()) return chain.error();
  authorizer_.set(std::move(*chain));
  if (args_.authorization_config.empty()) return {};
  if (auto text = base::read_file(args_.authorization_config); text.ok()) read_ = std::move(*text);
  auto watch = base::FileWatch::start(args_.authorization_config, [this] {
    auto text = base::read_file(args_.authorization_config);
    if (!text.ok() || *text == read_) return;
    read_ = std::move(*text);
    auto changed = make_chain();
    if (changed.ok()) {
      authorizer_.set(std::move(*changed));
      base::log_info("auth", "authorization configuration read anew", {{"file", args_.authorization_config}});
    } else {
      base::log_error("auth", "the changed authorization configuration is not used",
                      {{"reason", changed.error().message()}});
    }
  });
  if (!watch.ok()) return watch.error();
  watch_ = std::move(*watch);
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
