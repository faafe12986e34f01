// `authorizer` in expressions of webhooks and policies.
#pragma once

#include "api/cel/cel.h"
#include "server/admission/admission.h"

namespace orch::server {

/// Asks the cluster's authorizer, for the user of one request. Both must outlive it.
class RequestAuthorizer final : public api::cel::Authorizer {
 public:
  RequestAuthorizer(server::Authorizer& authorizer, const AdmissionRequest& request);
  Decision authorize(const Query& query) const override;

 private:
  server::Authorizer& authorizer_;
  const UserInfo& user_;
};

/// What `authorizer.requestResource` asks about.
api::cel::Authorizer::Query own_resource(const AdmissionRequest& request);

}  // namespace orch::server
