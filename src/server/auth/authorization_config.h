// AuthorizationConfiguration of apiserver.config.k8s.io/v1: which authorizers there are, in which order, and
// when a webhook among them is asked (KEP-3221). Pure.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/json_fwd.h"
#include "base/status.h"
#include "server/auth/auth.h"

namespace orch::server {

/// The spec of the SubjectAccessReview that a request would be asked about, in `version`.
Json review_spec(const Attributes& attributes, std::string_view version);

/// matchConditions over a SubjectAccessReview, compiled. Immutable, thread-safe.
class ReviewConditions {
 public:
  virtual ~ReviewConditions() = default;
  /// False as soon as one is false; kUnknown when none is and one cannot be evaluated.
  virtual base::Result<bool> match(const Attributes& attributes) const = 0;
};

struct WebhookAuthorizerConfig {
  std::string kubeconfig;  // "": within the cluster, which a server is not
  std::string version;     // of the SubjectAccessReview
  base::Duration timeout{}, allowed_ttl{}, refused_ttl{};
  bool deny_on_failure = false;
  std::shared_ptr<const ReviewConditions> conditions;  // null: it is asked about everything
};

struct AuthorizerConfig {
  enum class Type : uint8_t { kNode, kRbac, kWebhook, kAlwaysAllow, kAlwaysDeny };
  Type type = Type::kRbac;
  std::string name;
  WebhookAuthorizerConfig webhook;
};

/// From YAML or JSON. kBadRequest in Kubernetes' words for what is not valid.
base::Result<std::vector<AuthorizerConfig>> parse_authorization_config(std::string_view text);

}  // namespace orch::server
