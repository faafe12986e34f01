// Admission webhooks as values: what a configuration says, whether a request is for them, what they are sent
// and what their answers mean (admissionregistration.k8s.io/v1, admission.k8s.io/v1 and v1beta1). Pure.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "api/object.h"
#include "base/json.h"
#include "base/status.h"
#include "server/admission/matching.h"

namespace orch::server {

class MatchConditions;

/// Where a webhook is: clientConfig.
struct HookTarget {
  std::string url;  // or
  std::string service_ns, service_name, service_path;
  int64_t service_port = 443;
  std::string ca_pem;
  /// What is asked for: "https://svc.ns.svc:443/path" or the URL, and "?timeout=…".
  std::string request_url(int64_t timeout_seconds) const;
  bool is_service() const { return !service_name.empty(); }
};

/// From a WebhookClientConfig, which admission and conversion have alike.
HookTarget parse_hook_target(const Json& client);

/// One webhook of a configuration.
struct Hook {
  std::string configuration, name;
  std::string uid;  // tells it from others of the same name
  std::vector<HookRule> rules;
  HookTarget target;
  bool ignore_failures = false;  // failurePolicy
  bool equivalent = true;        // matchPolicy
  bool reinvoke = false;         // reinvocationPolicy
  base::Result<api::LabelSelector> namespaces = api::LabelSelector(), objects = api::LabelSelector();
  std::string side_effects;
  int64_t timeout_seconds = 10;
  std::vector<std::string> review_versions;
  std::shared_ptr<const MatchConditions> conditions;  // null: none
};

/// The webhooks of a MutatingWebhookConfiguration or ValidatingWebhookConfiguration, in its order.
std::vector<Hook> parse_hooks(const api::Object& configuration);

/// Webhook configurations and admission policies are not admitted by what they configure.
bool is_exempt(const AdmissionRequest& request);

/// A version of the request's resource that a webhook wants to see.
struct Invocation {
  const Hook* hook = nullptr;
  api::ResourcePtr row;  // null: the one that was asked for
};
/// By the rules alone: nothing, or in which version. `equivalents`: other rows with the same storage, in
/// order.
std::optional<Invocation> match_rules(const Hook& hook, const AdmissionRequest& request,
                                      const std::vector<api::ResourcePtr>& equivalents);

/// Group, version, kind.
struct ObjectKind {
  std::string group, version, kind;
  std::string api_version() const;
};
/// Kind of what a request for `row` carries.
ObjectKind kind_of_request(const AdmissionRequest& request, const api::Resource& row);

/// The request of an AdmissionReview without its uid and objects.
Json request_json(const AdmissionRequest& request, const api::Resource& row);

/// What a review is made from besides the request.
struct ReviewSubject {
  const api::Resource& row;  // as the webhook sees it
  const Json& object;        // null JSON where there is none
  const Json& old_object;
};
/// "v1" or "v1beta1", the first that is known; "" when none is.
std::string_view review_version(const Hook& hook);
/// The text of the AdmissionReview to send.
std::string make_review(const AdmissionRequest& request, const ReviewSubject& subject,
                        std::string_view version, std::string_view uid);

/// An answer that was understood.
struct ReviewAnswer {
  bool allowed = false;
  Json patch;  // a JSON patch, or null
  std::vector<std::string> warnings;
  std::vector<std::pair<std::string, std::string>> audit_annotations;
  Json result;  // metav1.Status of a refusal, or null
};
/// kUnknown with what stands behind "failed calling webhook "x": ".
base::Result<ReviewAnswer> read_review(const std::string& body, std::string_view version,
                                       std::string_view uid, bool mutating);

/// The metav1.Status that a refusal is answered with.
Json denial(std::string_view webhook, const Json& result);

}  // namespace orch::server
