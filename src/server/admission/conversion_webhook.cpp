#include "server/admission/conversion_webhook.h"

#include "api/go_text.h"
#include "api/resources/common_validation.h"
#include "base/json.h"
#include "pki/pki.h"

namespace orch::server {

using base::Code;
using base::Result;
using base::Status;

namespace {

constexpr int64_t kTimeoutSeconds = 30;

Status unknown(std::string text) { return {Code::kUnknown, std::move(text)}; }

/// "stable.example.com/v1, Kind=Foo".
std::string full_kind(const Json& object) {
  return base::cat(base::string_at(object, {"apiVersion"}), ", Kind=", base::string_at(object, {"kind"}));
}

/// What conversion must leave as it is.
std::string identity_problem(const Json& original, const Json& converted) {
  const std::pair<const char*, const char*> members[] = {
      {"name", "name"}, {"namespace", "namespace"}, {"UID", "uid"}};
  for (const auto& [word, key] : members) {
    const std::string_view a = base::string_at(original, {"metadata", key});
    const std::string_view b = base::string_at(converted, {"metadata", key});
    if (a != b) return base::cat("must have the same ", word, ": ", a, " != ", b);
  }
  return {};
}

/// Labels and annotations are the converter's to choose, the rest of metadata is not.
Status restore_metadata(const Json& original, Json& converted) {
  const auto meta = converted.find("metadata");
  if (meta == converted.end()) return unknown("missing metadata in converted object");
  if (!meta->is_object()) return unknown("invalid metadata in converted object");
  Json next = base::object_at(original, {"metadata"});
  for (const char* key : {"labels", "annotations"}) {
    const auto own = meta->find(key);
    if (own == meta->end() || own->is_null()) {
      next.erase(key);
      continue;
    }
    if (!own->is_object()) return unknown(base::cat("invalid metadata.", key, " in converted object"));
    for (const auto& [name, value] : own->items()) {
      if (!value.is_string())
        return unknown(base::cat("metadata.", key, "[", name, "] is no string in converted object"));
    }
    api::FieldErrors errors;
    const bool labels = key[0] == 'l';
    if (base::object_at(original, {"metadata", key}) == *own) {
      // as it was, whatever it was
    } else if (labels) {
      api::validate_labels(*own, api::FieldPath("metadata.labels"), errors);
    } else {
      api::validate_annotations(*own, api::FieldPath("metadata.annotation"), errors);
    }
    if (!errors.empty()) return unknown(errors.text());
    next[key] = *own;
  }
  *meta = std::move(next);
  return {};
}

/// One converted object takes the place of the one that was sent.
Status take(Json converted, std::string_view api_version, const std::string& what, size_t index,
            Json& object) {
  const std::string invalid = base::cat(what, " returned invalid converted object at index ", index, ": ");
  const std::string_view version = base::string_at(converted, {"apiVersion"});
  if (version != api_version) {
    return unknown(
        base::cat(invalid, "invalid groupVersion (expected ", api_version, ", received ", version, ")"));
  }
  const std::string_view kind = base::string_at(object, {"kind"}), got = base::string_at(converted, {"kind"});
  if (kind != got)
    return unknown(base::cat(invalid, "invalid kind (expected ", kind, ", received ", got, ")"));
  if (const std::string problem = identity_problem(object, converted); !problem.empty())
    return unknown(invalid + problem);
  if (Status restored = restore_metadata(object, converted); !restored.ok()) {
    return unknown(
        base::cat(what, " returned invalid metadata in object at index ", index, ": ", restored.message()));
  }
  object = std::move(converted);
  return {};
}

class ConversionWebhook final : public api::Converter {
 public:
  ConversionWebhook(ConversionParts parts, const Json& definition) : parts_(std::move(parts)) {
    const Json& webhook = base::object_at(definition, {"spec", "conversion", "webhook"});
    target_ = parse_hook_target(base::object_at(webhook, {"clientConfig"}));
    version_ = conversion_review_version(webhook);
    name_ = base::string_at(definition, {"metadata", "name"});
  }

  bool remote() const override { return true; }

  Status convert(std::string_view api_version, std::vector<Json>& trees) const override {
    std::vector<Json*> wanted;
    std::vector<const Json*> sent;
    for (Json& tree : trees) {
      if (base::string_at(tree, {"apiVersion"}) == api_version) continue;
      wanted.push_back(&tree);
      sent.push_back(&tree);
    }
    if (wanted.empty()) return {};
    if (version_.empty()) return unknown("no supported conversion review versions");
    const base::MonoTime began = parts_.clock.mono();
    Status done = ask(api_version, sent, wanted);
    count(done, parts_.clock.mono() - began);
    return done;
  }

 private:
  Status ask(std::string_view api_version, const std::vector<const Json*>& sent,
             const std::vector<Json*>& wanted) const {
    const std::string what = "conversion webhook for " + full_kind(*sent[0]);
    auto call = locate_hook(target_, kTimeoutSeconds, parts_.lookup, parts_.loopback);
    if (!call.ok()) return unknown(base::cat(what, " failed: ", call.error().message()));
    const std::string uid = pki::make_uuid();
    call->body = make_conversion_review(sent, api_version, version_, uid);
    auto answers = parts_.client.call({std::move(*call)});
    if (!answers[0].ok()) return unknown(base::cat(what, " failed: ", answers[0].error().message()));
    return read_conversion_review(*answers[0], api_version, version_, uid, wanted);
  }

  void count(const Status& done, base::Duration took) const {
    const char* result = done.ok() ? "success" : "failure";
    parts_.metrics
        .counter("apiserver_conversion_webhook_request_total",
                 "Counter for conversion webhook requests with success/failure and failure error type",
                 {{"result", result}, {"failure_type", done.ok() ? "" : "conversion_webhook_call_failure"}})
        .add();
    parts_.metrics
        .histogram("apiserver_conversion_webhook_duration_seconds", "Conversion webhook request latency",
                   {{"result", result}, {"failure_type", done.ok() ? "" : "conversion_webhook_call_failure"}})
        .observe(std::chrono::duration<double>(took).count());
  }

  const ConversionParts parts_;
  HookTarget target_;
  std::string version_, name_;
};

}  // namespace

api::ConverterFactory make_conversion_webhooks(ConversionParts parts) {
  return [parts = std::move(parts)](const Json& definition) -> std::shared_ptr<const api::Converter> {
    return std::make_shared<ConversionWebhook>(parts, definition);
  };
}

std::string_view conversion_review_version(const Json& webhook) {
  for (const auto& version : base::array_at(webhook, {"conversionReviewVersions"})) {
    if (version == "v1") return "v1";
    if (version == "v1beta1") return "v1beta1";
  }
  return {};
}

std::string make_conversion_review(const std::vector<const Json*>& objects, std::string_view api_version,
                                   std::string_view version, std::string_view uid) {
  Json list = Json::array();
  for (const Json* object : objects) list.push_back(*object);
  return base::dump_json(
      {{"kind", "ConversionReview"},
       {"apiVersion", base::cat("apiextensions.k8s.io/", version)},
       {"request", {{"uid", uid}, {"desiredAPIVersion", api_version}, {"objects", std::move(list)}}},
       {"response",
        {{"uid", ""}, {"convertedObjects", nullptr}, {"result", {{"metadata", Json::object()}}}}}});
}

namespace {

/// Why an answer is none; "" when it is one.
std::string answer_problem(const Json& review, std::string_view version, std::string_view uid) {
  if (version == "v1" && (base::string_at(review, {"kind"}) != "ConversionReview" ||
                          base::string_at(review, {"apiVersion"}) != "apiextensions.k8s.io/v1")) {
    return base::cat("expected webhook response of apiextensions.k8s.io/v1, Kind=ConversionReview, got ",
                     full_kind(review));
  }
  const Json* response = base::find_path(review, {"response"});
  if (response == nullptr || !response->is_object()) return "no response provided";
  const std::string_view own = base::string_at(*response, {"uid"});
  if (version == "v1" && own != uid)
    return base::cat("expected response.uid=", api::go_quote(uid), ", got ", api::go_quote(own));
  const std::string_view status = base::string_at(*response, {"result", "status"});
  if (status == "Success") return {};
  const std::string_view message = base::string_at(*response, {"result", "message"});
  return message.empty() ? base::cat("response.result.status was '", status, "', not 'Success'")
                         : std::string(message);
}

}  // namespace

Status read_conversion_review(const std::string& body, std::string_view api_version, std::string_view version,
                              std::string_view uid, const std::vector<Json*>& objects) {
  const std::string what = "conversion webhook for " + full_kind(*objects[0]);
  auto review = base::parse_json(body);
  if (!review.ok()) {
    return unknown(
        base::cat(what, " failed: couldn't get version/kind; json parse error: ", review.error().message()));
  }
  if (const std::string problem = answer_problem(*review, version, uid); !problem.empty())
    return unknown(base::cat(what, " failed: ", problem));
  Json converted = base::array_at(*review, {"response", "convertedObjects"});
  if (converted.size() != objects.size()) {
    return unknown(base::cat(what, " returned ", converted.size(), " objects, expected ", objects.size()));
  }
  for (size_t i = 0; i < objects.size(); ++i)
    ORCH_RETURN_IF_ERROR(take(std::move(converted[i]), api_version, what, i, *objects[i]));
  return {};
}

}  // namespace orch::server
