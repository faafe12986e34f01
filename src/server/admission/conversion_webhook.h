// Conversion webhooks of CustomResourceDefinitions: strategy Webhook of spec.conversion
// (k8s.io/apiextensions-apiserver/pkg/apiserver/conversion).
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "api/resources/converter.h"
#include "base/metrics.h"
#include "client/hook_client.h"
#include "server/admission/webhook_plugins.h"

namespace orch::server {

/// All must outlive the converters.
struct ConversionParts {
  const Lookup& lookup;
  client::HookClient& client;
  const base::Clock& clock;
  base::Metrics& metrics;
  std::function<Loopback()> loopback;
};
api::ConverterFactory make_conversion_webhooks(ConversionParts parts);

// --- What converters send and understand; pure --------------------------------------------------------

/// "v1" or "v1beta1", the first of spec.conversion.webhook.conversionReviewVersions that is known, or "".
std::string_view conversion_review_version(const Json& webhook);
/// The text of a ConversionReview (apiextensions.k8s.io/v1 or v1beta1).
std::string make_conversion_review(const std::vector<const Json*>& objects, std::string_view api_version,
                                   std::string_view version, std::string_view uid);
/// Takes the objects of an answer in the place of those that were sent. kUnknown, worded as kube-apiserver.
base::Status read_conversion_review(const std::string& body, std::string_view api_version,
                                    std::string_view version, std::string_view uid,
                                    const std::vector<Json*>& objects);

}  // namespace orch::server
