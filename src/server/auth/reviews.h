// The review kinds of authorization.k8s.io and authentication.k8s.io: a question posted, answered in status.
#pragma once

#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/json_fwd.h"
#include "base/status.h"
#include "server/auth/auth.h"
#include "server/auth/rbac.h"

namespace orch::server {

// Each takes the posted object (decoded, defaults set, of version v1) and returns it with its status filled
// in. kInvalid and kBadRequest are worded as Kubernetes does. Thread-safe, stateless.

/// SubjectAccessReview: may spec.user do this?
base::Result<Json> review_subject_access(const Json& review, Authorizer& authorizer);
/// LocalSubjectAccessReview, posted to namespace `ns`.
base::Result<Json> review_local_subject_access(const Json& review, std::string_view ns,
                                               Authorizer& authorizer);
/// SelfSubjectAccessReview: may the asking user do this?
base::Result<Json> review_self_subject_access(const Json& review, const UserInfo& user,
                                              Authorizer& authorizer);
/// SelfSubjectRulesReview: what may the asking user do in spec.namespace?
base::Result<Json> review_self_subject_rules(const Json& review, const UserInfo& user,
                                             const RbacAuthorizer& rbac);
/// TokenReview: whose token is this? `api_audiences` stand in when the review names none.
base::Result<Json> review_token(const Json& review, Authenticator& authenticator,
                                const std::vector<std::string>& api_audiences);
/// SelfSubjectReview: who am I?
Json review_self_subject(const Json& review, const UserInfo& user, base::WallTime now);

}  // namespace orch::server
