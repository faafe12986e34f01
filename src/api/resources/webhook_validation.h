// What a clientConfig may say of the webhook behind it (k8s.io/apiserver/pkg/util/webhook): shared by
// admission webhooks and the conversion webhooks of custom resources.
#pragma once

#include <string>
#include <string_view>

#include "api/field_error.h"
#include "base/json_fwd.h"
#include "base/status.h"

namespace orch::api {

/// The parts of a URL as Go's url.Parse tells them apart.
struct UrlParts {
  std::string scheme, user, host, path, query, fragment;
  bool has_user = false;
  /// The host without its port and brackets, and the port, 0 without one.
  std::string host_name() const;
  int port() const;
};
/// kBadRequest in Go's words: `parse "x": first path segment in URL cannot contain colon`.
base::Result<UrlParts> parse_url(std::string_view text);

/// ValidateWebhookURL.
void validate_webhook_url(std::string_view url, const FieldPath& path, FieldErrors& errors,
                          bool force_https = true);
/// ValidateWebhookService of a ServiceReference that has its defaults.
void validate_webhook_service(const Json& service, const FieldPath& path, FieldErrors& errors);
/// Exactly one of url and service, and that one right. `required`: what is said when it is none or both.
void validate_webhook_client(const Json& client, const FieldPath& path, FieldErrors& errors,
                             std::string_view required = "exactly one of url or service is required");

}  // namespace orch::api
