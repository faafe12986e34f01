#include "server/admission/webhook_plugins.h"

#include <algorithm>

#include "api/go_text.h"
#include "api/patch/patch.h"
#include "base/json.h"
#include "base/log.h"
#include "pki/pki.h"
#include "server/admission/match_conditions.h"
#include "server/admission/request.h"
#include "server/admission/service_resolver.h"
#include "server/auth/forbidden.h"

namespace orch::server {

using base::Code;
using base::Result;
using base::Status;

void WebhookSource::on_change(const api::ObjectPtr& before, const api::ObjectPtr& after) {
  const std::string name(after != nullptr ? after->name() : before->name());
  std::vector<std::shared_ptr<const Hook>> parsed;
  if (after != nullptr) {
    for (Hook& hook : parse_hooks(*after)) parsed.push_back(std::make_shared<const Hook>(std::move(hook)));
  }
  std::unique_lock lock(mutex_);
  if (parsed.empty()) {
    by_name_.erase(name);
  } else {
    by_name_[name] = std::move(parsed);
  }
  auto all = std::make_shared<std::vector<std::shared_ptr<const Hook>>>();
  for (const auto& [key, hooks] : by_name_) all->insert(all->end(), hooks.begin(), hooks.end());
  hooks_ = std::move(all);
}

WebhookSource::Hooks WebhookSource::hooks() const {
  std::shared_lock lock(mutex_);
  return hooks_;
}

Result<client::HookCall> locate_hook(const HookTarget& target, int64_t timeout_seconds, const Lookup& lookup,
                                     const std::function<Loopback()>& loopback) {
  client::HookCall call;
  call.url = target.request_url(timeout_seconds);
  call.ca_pem = target.ca_pem;
  call.timeout = std::chrono::seconds(timeout_seconds);
  if (!target.is_service()) return call;
  constexpr int64_t kHttps = 443;
  if (target.service_ns == "default" && target.service_name == "kubernetes" &&
      target.service_port == kHttps && loopback) {
    Loopback own = loopback();
    call.connect_to = own.address;
    call.ca_pem = own.ca_pem + "\n" + call.ca_pem;
    call.certificate_pem = std::move(own.certificate_pem);
    call.key_pem = std::move(own.key_pem);
    return call;
  }
  auto address = resolve_service(lookup, target.service_ns, target.service_name, target.service_port);
  if (!address.ok()) {
    return Status(Code::kUnknown,
                  base::cat("Post ", api::go_quote(call.url), ": ", address.error().message()));
  }
  call.connect_to = address->text();
  return call;
}

namespace {

constexpr int kMostCode = 600;  // of metrics, so that they stay few

/// What became of one call.
struct Outcome {
  enum class Kind : uint8_t { kAllowed, kDenied, kFailedCall, kError };
  Kind kind = Kind::kAllowed;
  Status status;                      // of kFailedCall: the text behind "failed calling webhook "x": "
  int code = 200;                     // HTTP status, for metrics
  ReviewAnswer answer;                // of kAllowed
  VerbatimStatus verbatim = nullptr;  // of kDenied
};

Outcome failed(std::string text, int code) {
  return {Outcome::Kind::kFailedCall, Status(Code::kUnknown, std::move(text)), code, {}};
}

class WebhookPlugin : public AdmissionPlugin {
 public:
  WebhookPlugin(WebhookParts parts, const char* step) : parts_(std::move(parts)), step_(step) {}

  bool handles(const AdmissionRequest& request) const override {
    return !is_exempt(request) && !parts_.source.hooks()->empty();
  }

 protected:
  /// The version in which a webhook is to be called, nothing when it is not, or why the request fails.
  Result<std::optional<Invocation>> should_call(const Hook& hook, const AdmissionRequest& request,
                                                const std::vector<api::ResourcePtr>& equivalents) const {
    const auto in_namespace = matches_namespace(hook.namespaces, request, parts_.lookup);
    if (in_namespace.ok() && !*in_namespace) return std::optional<Invocation>();
    const auto selected = matches_object(hook.objects, request);
    if (selected.ok() && !*selected) return std::optional<Invocation>();
    auto invocation = match_rules(hook, request, equivalents);
    if (!invocation) return invocation;
    if (!in_namespace.ok()) return in_namespace.error();
    if (!selected.ok()) return selected.error();
    if (hook.conditions == nullptr) return invocation;
    auto shown = show_request(request, row_of(*invocation, request));
    if (!shown.ok()) return internal_error(shown.error().message());
    auto match =
        hook.conditions->match(request, {*shown->row, shown->object, shown->old_object, parts_.authorizer});
    if (match.ok() && *match) return invocation;
    if (match.ok()) count_exclusion(hook, request);
    if (match.ok() || hook.ignore_failures) return std::optional<Invocation>();
    return forbidden(request.resource->group, request.resource->plural, request.name,
                     match.error().message());
  }

  static const api::Resource& row_of(const Invocation& invocation, const AdmissionRequest& request) {
    return invocation.row != nullptr ? *invocation.row : request.requested();
  }

  /// Why a webhook cannot be called at all; nothing when it can.
  static std::optional<Outcome> refuse_dry_run(const Hook& hook, const AdmissionRequest& request) {
    if (!request.dry_run || hook.side_effects == "None" || hook.side_effects == "NoneOnDryRun")
      return std::nullopt;
    if (hook.side_effects.empty()) return failed("Webhook SideEffects is nil", 400);
    const std::string text =
        base::cat("admission webhook ", api::go_quote(hook.name), " does not support dry run");
    return Outcome{Outcome::Kind::kError, Status(Code::kBadRequest, text), 0, {}};
  }

  struct Prepared {
    client::HookCall call;
    std::string version, uid;
  };
  Result<Prepared> prepare(const Hook& hook, const AdmissionRequest& request,
                           const ShownRequest& shown) const {
    Prepared out;
    out.version = review_version(hook);
    if (out.version.empty()) {
      return Status(
          Code::kBadRequest,
          "could not create admission objects: webhook does not accept known AdmissionReview versions "
          "(v1, v1beta1)");
    }
    auto call = locate_hook(hook.target, hook.timeout_seconds, parts_.lookup, parts_.loopback);
    if (!call.ok())
      return Status(Code::kServiceUnavailable, "failed to call webhook: " + call.error().message());
    out.call = std::move(*call);
    out.uid = pki::make_uuid();
    out.call.body = make_review(request, {*shown.row, shown.object, shown.old_object}, out.version, out.uid);
    return out;
  }

  /// What an answer means; warnings and audit annotations go where the request wants them.
  Outcome judge(const Hook& hook, const AdmissionRequest& request, const Prepared& prepared,
                const Result<std::string>& answered, bool mutating) const {
    if (!answered.ok()) {
      const bool on_the_way = answered.error().code() == Code::kUnknown;
      return failed("failed to call webhook: " + answered.error().message(),
                    on_the_way ? 503 : answered.error().http_code());
    }
    auto answer = read_review(*answered, prepared.version, prepared.uid, mutating);
    if (!answer.ok()) return failed(answer.error().message(), 503);
    if (request.audit != nullptr) {
      for (const auto& [key, value] : answer->audit_annotations)
        request.audit->emplace_back(base::cat(hook.name, "/", key), value);
    }
    for (const auto& text : answer->warnings) warn(request, text);
    if (answer->allowed) return {Outcome::Kind::kAllowed, {}, 200, std::move(*answer)};
    auto status = std::make_shared<const Json>(denial(hook.name, answer->result));
    const int code = static_cast<int>(base::int_at(*status, {"code"}));
    return {Outcome::Kind::kDenied, Status::from_response(code, base::dump_json(*status)), code, {}, status};
  }

  /// The request's fate after this webhook: OK to go on. Counts.
  Status settle(const Hook& hook, const AdmissionRequest& request, const Outcome& outcome,
                base::Duration took) const {
    const bool call_failed = outcome.kind == Outcome::Kind::kFailedCall;
    const bool rejected = outcome.kind != Outcome::Kind::kAllowed && !(call_failed && hook.ignore_failures);
    count(hook, request, outcome, rejected, took);
    if (!call_failed) return outcome.status;
    const std::string text =
        base::cat("failed calling webhook ", api::go_quote(hook.name), ": ", outcome.status.message());
    if (!hook.ignore_failures) return internal_error(text);
    base::log_warning("admission", base::cat("failing open: ", text));
    parts_.metrics
        .counter("apiserver_admission_webhook_fail_open_count",
                 "Admission webhook fail open count, by name and admission type.",
                 {{"name", hook.name}, {"type", step_}})
        .add();
    return {};
  }

  WebhookParts parts_;
  const char* const step_;  // as metrics name it

 private:
  void count_exclusion(const Hook& hook, const AdmissionRequest& request) const {
    parts_.metrics
        .counter("apiserver_admission_match_condition_exclusions_total",
                 "Requests that matchConditions kept from a webhook, by name, kind, type and operation.",
                 {{"name", hook.name},
                  {"kind", "webhook"},
                  {"type", step_},
                  {"operation", std::string(operation_name(request.operation))}})
        .add();
  }

  void count(const Hook& hook, const AdmissionRequest& request, const Outcome& outcome, bool rejected,
             base::Duration took) const {
    const std::string operation(operation_name(request.operation));
    const std::string code = std::to_string(std::min(outcome.code, kMostCode));
    const std::string rejected_text = rejected ? "true" : "false";
    parts_.metrics
        .counter("apiserver_admission_webhook_request_total",
                 "Admission webhook requests, by name, type, operation, code and whether rejected.",
                 {{"name", hook.name},
                  {"type", step_},
                  {"operation", operation},
                  {"code", code},
                  {"rejected", rejected_text}})
        .add();
    parts_.metrics
        .histogram(
            "apiserver_admission_webhook_admission_duration_seconds",
            "Admission webhook latency, by name, type, operation and whether rejected.",
            {{"name", hook.name}, {"type", step_}, {"operation", operation}, {"rejected", rejected_text}})
        .observe(std::chrono::duration<double>(took).count());
    if (!rejected) return;
    const char* error = outcome.kind == Outcome::Kind::kDenied       ? "no_error"
                        : outcome.kind == Outcome::Kind::kFailedCall ? "calling_webhook_error"
                                                                     : "apiserver_internal_error";
    parts_.metrics
        .counter("apiserver_admission_webhook_rejection_count",
                 "Admission webhook rejections, by name, type, operation, error type and code.",
                 {{"name", hook.name},
                  {"type", step_},
                  {"operation", operation},
                  {"error_type", error},
                  {"rejection_code", code}})
        .add();
  }
};

class MutatingWebhooks final : public WebhookPlugin {
 public:
  explicit MutatingWebhooks(WebhookParts parts) : WebhookPlugin(std::move(parts), "admit") {}
  std::string_view name() const override { return "MutatingAdmissionWebhook"; }

  Status admit(AdmissionRequest& request) override {
    Reinvocation& rounds = request.reinvocation;
    if (rounds.again && changed_since(rounds, request)) require_again(rounds);
    const auto hooks = parts_.source.hooks();
    const auto same = equivalent_rows(request, parts_.table);
    Status out;
    for (const auto& hook : *hooks) {
      out = run(*hook, request, same);
      if (!out.ok()) break;
    }
    if (request.object != nullptr && rounds.wanted && !rounds.again)
      rounds.last_output = std::make_shared<const Json>(*request.object);
    return out;
  }

 private:
  /// A plugin of the chain changed what the webhooks had put out.
  static bool changed_since(const Reinvocation& rounds, const AdmissionRequest& request) {
    if (rounds.last_output == nullptr || request.object == nullptr) return false;
    return *rounds.last_output != *request.object;
  }
  static void require_again(Reinvocation& rounds) { rounds.due.merge(std::exchange(rounds.invoked, {})); }

  Status run(const Hook& hook, AdmissionRequest& request, const std::vector<api::ResourcePtr>& same) {
    Reinvocation& rounds = request.reinvocation;
    auto invocation = should_call(hook, request, same);
    if (!invocation.ok()) return invocation.error();
    if (!*invocation || (rounds.again && !rounds.due.contains(hook.uid))) return {};
    const base::MonoTime began = parts_.clock.mono();
    bool changed = false;
    const Outcome outcome = call(hook, request, row_of(**invocation, request), changed);
    if (changed) {
      request.changed_outside = true;
      require_again(rounds);
      rounds.wanted = true;
    }
    if (hook.reinvoke) rounds.invoked.insert(hook.uid);
    if (request.verbatim != nullptr) *request.verbatim = outcome.verbatim;
    return settle(hook, request, outcome, parts_.clock.mono() - began);
  }

  Outcome call(const Hook& hook, AdmissionRequest& request, const api::Resource& row, bool& changed) {
    if (auto refused = refuse_dry_run(hook, request)) return std::move(*refused);
    auto shown = show_request(request, row);
    if (!shown.ok()) return error(shown.error().message());
    auto prepared = prepare(hook, request, *shown);
    if (!prepared.ok()) return failed(prepared.error().message(), prepared.error().http_code());
    const auto answers = parts_.client.call({prepared->call});
    Outcome outcome = judge(hook, request, *prepared, answers[0], true);
    if (outcome.kind != Outcome::Kind::kAllowed || outcome.answer.patch.is_null()) return outcome;
    if (request.object == nullptr) {
      return error(base::cat("admission webhook ", api::go_quote(hook.name),
                             " attempted to modify the object, which is not supported for this operation"));
    }
    auto patched = api::json_patch(shown->object, outcome.answer.patch);
    if (!patched.ok()) return error(patch_problem(patched.error()));
    changed = *patched != shown->object;
    if (!changed) return outcome;
    if (Status taken = take(request, row, std::move(*patched)); !taken.ok()) return error(taken.message());
    return outcome;
  }

  static Outcome error(const std::string& text) {
    return {Outcome::Kind::kError, internal_error(text), 0, {}};
  }

  static std::string patch_problem(const Status& status) {
    const auto* details = status.details();
    return details != nullptr && !details->causes.empty() ? details->causes[0].message : status.message();
  }

  /// The patched object becomes the request's.
  static Status take(AdmissionRequest& request, const api::Resource& row, Json patched) {
    if (request.part != nullptr) return request.part->take(patched, *request.object);
    Json* meta = patched.is_object() && patched["metadata"].is_object() ? &patched["metadata"] : nullptr;
    if (meta != nullptr && request.owners != nullptr) {
      const auto fields = meta->find("managedFields");
      *request.owners =
          fields == meta->end() || !fields->is_array() || fields->empty() ? "" : base::dump_json(*fields);
      if (fields != meta->end()) meta->erase(fields);
    }
    if (request.versions == nullptr || !request.object_kind.empty()) {
      *request.object = std::move(patched);
      return {};
    }
    auto read = request.versions->read(std::move(patched), row, *request.resource);
    if (!read.ok()) return read.error();
    *request.object = std::move(*read);
    return {};
  }
};

class ValidatingWebhooks final : public WebhookPlugin {
 public:
  explicit ValidatingWebhooks(WebhookParts parts) : WebhookPlugin(std::move(parts), "validating") {}
  std::string_view name() const override { return "ValidatingAdmissionWebhook"; }

  Status validate(const AdmissionRequest& request) override {
    const auto hooks = parts_.source.hooks();
    const auto same = equivalent_rows(request, parts_.table);
    std::vector<Invocation> relevant;
    for (const auto& hook : *hooks) {
      auto invocation = should_call(*hook, request, same);
      if (!invocation.ok()) return invocation.error();
      if (*invocation) relevant.push_back(std::move(**invocation));
    }
    return relevant.empty() ? Status() : call_all(relevant, request);
  }

 private:
  Status call_all(const std::vector<Invocation>& relevant, const AdmissionRequest& request) {
    const base::MonoTime began = parts_.clock.mono();
    std::vector<Outcome> outcomes(relevant.size());
    std::vector<Prepared> prepared(relevant.size());
    std::vector<client::HookCall> calls;
    std::vector<size_t> called;
    Result<ShownRequest> shown = ShownRequest();
    for (size_t i = 0; i < relevant.size(); ++i) {
      const Hook& hook = *relevant[i].hook;
      const api::Resource& row = row_of(relevant[i], request);
      if (auto refused = refuse_dry_run(hook, request)) {
        outcomes[i] = std::move(*refused);
        continue;
      }
      if (shown->row != &row) shown = show_request(request, row);
      if (!shown.ok()) return internal_error(shown.error().message());
      auto ready = prepare(hook, request, *shown);
      if (!ready.ok()) {
        outcomes[i] = failed(ready.error().message(), ready.error().http_code());
        continue;
      }
      prepared[i] = std::move(*ready);
      calls.push_back(std::move(prepared[i].call));
      called.push_back(i);
    }
    const auto answers = parts_.client.call(calls);
    Status out;
    for (size_t k = 0; k < called.size(); ++k) {
      const size_t i = called[k];
      outcomes[i] = judge(*relevant[i].hook, request, prepared[i], answers[k], false);
    }
    // The first refusal is the answer.
    VerbatimStatus first;
    for (size_t i = 0; i < relevant.size(); ++i) {
      Status one = settle(*relevant[i].hook, request, outcomes[i], parts_.clock.mono() - began);
      if (one.ok() || !out.ok()) continue;
      out = std::move(one);
      first = outcomes[i].verbatim;
    }
    if (request.verbatim != nullptr) *request.verbatim = first;
    return out;
  }
};

}  // namespace

std::unique_ptr<AdmissionPlugin> make_mutating_webhooks(WebhookParts parts) {
  return std::make_unique<MutatingWebhooks>(std::move(parts));
}

std::unique_ptr<AdmissionPlugin> make_validating_webhooks(WebhookParts parts) {
  return std::make_unique<ValidatingWebhooks>(std::move(parts));
}

}  // namespace orch::server
