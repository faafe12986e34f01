// MutatingAdmissionWebhook and ValidatingAdmissionWebhook (k8s.io/apiserver/pkg/admission/plugin/webhook).
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <shared_mutex>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/metrics.h"
#include "client/hook_client.h"
#include "server/admission/plugins.h"
#include "server/admission/webhook.h"

namespace orch::server {

/// The webhooks of all configurations of one kind, in the order they are called. Thread-safe.
class WebhookSource {
 public:
  using Hooks = std::shared_ptr<const std::vector<std::shared_ptr<const Hook>>>;
  /// A configuration was made, changed (both) or deleted (`after` is null).
  void on_change(const api::ObjectPtr& before, const api::ObjectPtr& after);
  Hooks hooks() const;

 private:
  mutable std::shared_mutex mutex_;
  std::map<std::string, std::vector<std::shared_ptr<const Hook>>> by_name_;     // under mutex_
  Hooks hooks_ = std::make_shared<std::vector<std::shared_ptr<const Hook>>>();  // under mutex_
};

/// How the server reaches itself: for webhooks behind the service `kubernetes`.
struct Loopback {
  std::string address;  // "127.0.0.1:6443"
  std::string ca_pem, certificate_pem, key_pem;
};

/// All must outlive the plugins.
struct WebhookParts {
  const WebhookSource& source;
  const Lookup& lookup;
  const api::ResourceTable& table;
  Authorizer& authorizer;
  client::HookClient& client;
  const base::Clock& clock;
  base::Metrics& metrics;
  std::function<Loopback()> loopback;
};

/// One after another, each seeing what the ones before it made of the object.
std::unique_ptr<AdmissionPlugin> make_mutating_webhooks(WebhookParts parts);
/// All at the same time.
std::unique_ptr<AdmissionPlugin> make_validating_webhooks(WebhookParts parts);

/// Where a webhook is called, without body: kUnknown with what stands behind "failed to call webhook: " when
/// its service has no endpoint. Also for conversion webhooks.
base::Result<client::HookCall> locate_hook(const HookTarget& target, int64_t timeout_seconds,
                                           const Lookup& lookup, const std::function<Loopback()>& loopback);

}  // namespace orch::server
