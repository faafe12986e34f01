#include "server/admission/request_authorizer.h"

#include "server/admission/matching.h"

namespace orch::server {

namespace cel = api::cel;

namespace {

const UserInfo& user_of(const AdmissionRequest& request) {
  static const UserInfo nobody;
  return request.user != nullptr ? *request.user : nobody;
}

}  // namespace

RequestAuthorizer::RequestAuthorizer(server::Authorizer& authorizer, const AdmissionRequest& request)
    : authorizer_(authorizer), user_(user_of(request)) {}

cel::Authorizer::Decision RequestAuthorizer::authorize(const Query& query) const {
  UserInfo account;
  if (!query.service_account_name.empty()) {
    account.name = service_account_user_name(query.service_account_namespace, query.service_account_name);
    account.groups = {std::string(kGroupServiceAccounts),
                      base::cat(kGroupServiceAccounts, ":", query.service_account_namespace),
                      std::string(kGroupAuthenticated)};
  }
  Attributes a;
  a.user = account.name.empty() ? &user_ : &account;
  a.verb = query.verb;
  a.resource_request = query.path.empty();
  a.path = query.path;
  a.group = query.group;
  a.version = query.version.empty() ? "*" : query.version;
  a.resource = query.resource;
  a.subresource = query.subresource;
  a.ns = query.namespace_;
  a.name = query.name;
  a.field_selector = query.field_selector;
  const Verdict verdict = authorizer_.authorize(a);
  return {verdict.decision == server::Decision::kAllow, verdict.reason, {}};
}

cel::Authorizer::Query own_resource(const AdmissionRequest& request) {
  const api::Resource& asked = request.requested();
  cel::Authorizer::Query query;
  query.group = asked.group;
  query.version = asked.version;
  query.resource = asked.plural;
  query.subresource = request.subresource;
  query.namespace_ = request_namespace(request);
  query.name = request.name;
  return query;
}

}  // namespace orch::server
