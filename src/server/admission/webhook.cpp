#include "server/admission/webhook.h"

#include <algorithm>
#include <map>

#include "api/go_text.h"
#include "base/json.h"
#include "pki/pki.h"
#include "server/admission/match_conditions.h"
#include "server/admission/request.h"

namespace orch::server {

using base::Code;
using base::Result;
using base::Status;

namespace {

constexpr std::string_view kGroup = "admissionregistration.k8s.io";

std::vector<std::string> strings(const Json& tree, const char* key) {
  std::vector<std::string> out;
  for (const auto& one : base::array_at(tree, {key})) {
    if (one.is_string()) out.push_back(one.get<std::string>());
  }
  return out;
}

/// As path.Join("/", path) gives it, but for what steps back.
std::string clean_path(std::string_view path) {
  std::string out;
  while (!path.empty()) {
    const size_t slash = path.find('/');
    const std::string_view step = path.substr(0, slash);
    if (!step.empty() && step != ".") out += base::cat("/", step);
    path.remove_prefix(slash == std::string_view::npos ? path.size() : slash + 1);
  }
  return out.empty() ? "/" : out;
}

}  // namespace

HookTarget parse_hook_target(const Json& client) {
  HookTarget target;
  target.url = base::string_at(client, {"url"});
  if (const Json* service = base::find_path(client, {"service"});
      service != nullptr && service->is_object()) {
    target.service_ns = base::string_at(*service, {"namespace"});
    target.service_name = base::string_at(*service, {"name"});
    target.service_path = base::string_at(*service, {"path"});
    target.service_port = base::int_at(*service, {"port"}, target.service_port);
  }
  auto ca = pki::base64_decode(base::string_at(client, {"caBundle"}));
  if (ca.ok()) target.ca_pem = std::move(*ca);
  return target;
}

std::string HookTarget::request_url(int64_t timeout_seconds) const {
  std::string out;
  if (is_service()) {
    out =
        base::cat("https://", service_name, ".", service_ns, ".svc:", service_port, clean_path(service_path));
  } else {
    const size_t scheme = url.find("://");
    const size_t path = url.find('/', scheme == std::string::npos ? 0 : scheme + 3);
    out = path == std::string::npos ? url + "/" : url.substr(0, path) + clean_path(url.substr(path));
  }
  return base::cat(out, "?timeout=", timeout_seconds, "s");
}

std::vector<Hook> parse_hooks(const api::Object& configuration) {
  const Json tree = configuration.tree();
  const std::string name(configuration.name());
  std::vector<Hook> out;
  std::map<std::string, int> seen;
  for (const auto& one : base::array_at(tree, {"webhooks"})) {
    Hook hook;
    hook.configuration = name;
    hook.name = base::string_at(one, {"name"});
    hook.uid = base::cat(name, "/", hook.name, "/", seen[hook.name]++);
    hook.rules = parse_hook_rules(base::array_at(one, {"rules"}));
    hook.target = parse_hook_target(base::object_at(one, {"clientConfig"}));
    hook.ignore_failures = base::string_at(one, {"failurePolicy"}) == "Ignore";
    hook.equivalent = base::string_at(one, {"matchPolicy"}) == "Equivalent";
    hook.reinvoke = base::string_at(one, {"reinvocationPolicy"}) == "IfNeeded";
    hook.namespaces = parse_hook_selector(one, "namespaceSelector");
    hook.objects = parse_hook_selector(one, "objectSelector");
    hook.side_effects = base::string_at(one, {"sideEffects"});
    hook.timeout_seconds = base::int_at(one, {"timeoutSeconds"}, hook.timeout_seconds);
    hook.review_versions = strings(one, "admissionReviewVersions");
    hook.conditions = make_match_conditions(base::array_at(one, {"matchConditions"}));
    out.push_back(std::move(hook));
  }
  return out;
}

bool is_exempt(const AdmissionRequest& request) {
  const api::Resource& r = *request.resource;
  if (r.group != kGroup) return false;
  return r.kind == "ValidatingWebhookConfiguration" || r.kind == "MutatingWebhookConfiguration" ||
         r.kind == "ValidatingAdmissionPolicy" || r.kind == "ValidatingAdmissionPolicyBinding" ||
         r.kind == "MutatingAdmissionPolicy" || r.kind == "MutatingAdmissionPolicyBinding";
}

std::optional<Invocation> match_rules(const Hook& hook, const AdmissionRequest& request,
                                      const std::vector<api::ResourcePtr>& equivalents) {
  auto match = match_rules(hook.rules, hook.equivalent, request, equivalents);
  if (!match) return std::nullopt;
  return Invocation{&hook, std::move(match->row)};
}

std::string ObjectKind::api_version() const { return api::make_api_version(group, version); }

ObjectKind kind_of_request(const AdmissionRequest& request, const api::Resource& row) {
  if (!request.object_kind.empty()) {
    const auto [group, version] = api::split_api_version(request.object_api_version);
    return {std::string(group), std::string(version), request.object_kind};
  }
  const api::Subresource* sub = request.subresource.empty() ? nullptr : row.subresource(request.subresource);
  if (sub != nullptr && !sub->kind.empty()) return {sub->group, sub->version, sub->kind};
  return {row.group, row.version, row.kind};
}

std::string_view review_version(const Hook& hook) {
  for (const std::string& version : hook.review_versions) {
    if (version == "v1" || version == "v1beta1") return version;
  }
  return {};
}

namespace {

Json kind_json(const ObjectKind& kind) {
  return {{"group", kind.group}, {"version", kind.version}, {"kind", kind.kind}};
}

Json resource_json(const api::Resource& row) {
  return {{"group", row.group}, {"version", row.version}, {"resource", row.plural}};
}

Json options_json(const AdmissionRequest& request) {
  if (request.operation == Operation::kConnect) return nullptr;
  const char* kind = request.operation == Operation::kCreate   ? "CreateOptions"
                     : request.operation == Operation::kUpdate ? "UpdateOptions"
                                                               : "DeleteOptions";
  Json out = request.options != nullptr && request.options->is_object() ? *request.options : Json::object();
  out["kind"] = kind;
  out["apiVersion"] = "meta.k8s.io/v1";
  return out;
}

}  // namespace

Json request_json(const AdmissionRequest& request, const api::Resource& row) {
  const api::Resource& asked = request.requested();
  Json body = {{"kind", kind_json(kind_of_request(request, row))},
               {"resource", resource_json(row)},
               {"requestKind", kind_json(kind_of_request(request, asked))},
               {"requestResource", resource_json(asked)},
               {"operation", operation_name(request.operation)},
               {"userInfo", request.user != nullptr ? user_to_json(*request.user) : Json::object()},
               {"dryRun", request.dry_run},
               {"options", options_json(request)}};
  const auto set = [&body](const char* key, std::string_view value) {
    if (!value.empty()) body[key] = value;
  };
  set("subResource", request.subresource);
  set("requestSubResource", request.subresource);
  set("name", request.name);
  set("namespace", request_namespace(request));
  return body;
}

std::string make_review(const AdmissionRequest& request, const ReviewSubject& subject,
                        std::string_view version, std::string_view uid) {
  Json body = request_json(request, subject.row);
  body["uid"] = uid;
  body["object"] = subject.object;
  body["oldObject"] = subject.old_object;
  return base::dump_json({{"kind", "AdmissionReview"},
                          {"apiVersion", base::cat("admission.k8s.io/", version)},
                          {"request", std::move(body)}});
}

namespace {

Status invalid(std::string text) { return {Code::kUnknown, std::move(text)}; }

constexpr const char* kInvalidResponse = "received invalid webhook response: ";

std::string full_kind(const Json& review) {
  return base::cat(base::string_at(review, {"apiVersion"}), ", Kind=", base::string_at(review, {"kind"}));
}

/// What v1 demands of an answer; "" when it has it.
std::string v1_problem(const Json& review, const Json& response, std::string_view uid, bool mutating) {
  const std::string_view own = base::string_at(response, {"uid"});
  if (own != uid)
    return base::cat("expected response.uid=", api::go_quote(uid), ", got ", api::go_quote(own));
  if (base::string_at(review, {"kind"}) != "AdmissionReview" ||
      base::string_at(review, {"apiVersion"}) != "admission.k8s.io/v1") {
    return base::cat("expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got ",
                     full_kind(review));
  }
  const bool patch = !base::string_at(response, {"patch"}).empty();
  const Json* type = base::find_path(response, {"patchType"});
  if (type != nullptr && type->is_null()) type = nullptr;
  if (!mutating) {
    if (patch) return "validating webhook may not return response.patch";
    return type != nullptr ? "validating webhook may not return response.patchType" : "";
  }
  if (patch && type == nullptr) return "webhook returned response.patch but not response.patchType";
  if (!patch && type != nullptr) return "webhook returned response.patchType but not response.patch";
  if (type != nullptr && type->is_string() && type->get_ref<const std::string&>().empty())
    return "webhook returned invalid response.patchType of \"\"";
  return {};
}

/// The patch, or why there is none.
Status read_patch(const Json& response, std::string_view version, ReviewAnswer& out) {
  const std::string_view text = base::string_at(response, {"patch"});
  if (text.empty()) return {};
  auto bytes = pki::base64_decode(text);
  if (!bytes.ok())
    return invalid(
        base::cat("failed to call webhook: couldn't decode response.patch: ", bytes.error().message()));
  const std::string_view type = base::string_at(response, {"patchType"});
  if (version == "v1" && type != "JSONPatch")
    return invalid(base::cat("unsupported patch type ", api::go_quote(type)));
  auto patch = base::parse_json(*bytes);
  if (!patch.ok() || !patch->is_array()) {
    return invalid(base::cat("received undecodable patch in webhook response: ",
                             patch.ok() ? "json: cannot unmarshal into Go value of type jsonpatch.Patch"
                                        : patch.error().message()));
  }
  if (!patch->empty()) out.patch = std::move(*patch);
  return {};
}

}  // namespace

Result<ReviewAnswer> read_review(const std::string& body, std::string_view version, std::string_view uid,
                                 bool mutating) {
  auto review = base::parse_json(body);
  if (!review.ok() || !review->is_object()) {
    return invalid(base::cat("failed to call webhook: couldn't get version/kind; json parse error: ",
                             review.ok() ? "the answer is no object" : review.error().message()));
  }
  for (const char* key : {"kind", "apiVersion"}) {
    if (base::string_at(*review, {key}).empty()) {
      return invalid(base::cat("failed to call webhook: Object '", key[0] == 'k' ? "Kind" : "apiVersion",
                               "' is missing in '", body.substr(0, 1024), "'"));
    }
  }
  const Json* response = base::find_path(*review, {"response"});
  if (response == nullptr || !response->is_object())
    return invalid(base::cat(kInvalidResponse, "webhook response was absent"));
  if (version == "v1") {
    const std::string problem = v1_problem(*review, *response, uid, mutating);
    if (!problem.empty()) return invalid(kInvalidResponse + problem);
  }
  ReviewAnswer out;
  out.allowed = base::bool_at(*response, {"allowed"});
  for (const auto& warning : base::array_at(*response, {"warnings"})) {
    if (warning.is_string()) out.warnings.push_back(warning.get<std::string>());
  }
  for (const auto& [key, value] : base::object_at(*response, {"auditAnnotations"}).items()) {
    if (value.is_string()) out.audit_annotations.emplace_back(key, value.get<std::string>());
  }
  if (const Json* result = base::find_path(*response, {"status"}); result != nullptr && result->is_object())
    out.result = *result;
  if (out.allowed && mutating) ORCH_RETURN_IF_ERROR(read_patch(*response, version, out));
  return out;
}

Json denial(std::string_view webhook, const Json& result) {
  constexpr int64_t kBadRequest = 400;
  Json out = {{"kind", "Status"}, {"apiVersion", "v1"}, {"metadata", Json::object()}};
  for (const char* key : {"metadata", "details"}) {
    const Json* value = base::find_path(result, {key});
    if (value != nullptr && value->is_object()) out[key] = *value;
  }
  const std::string_view status = base::string_at(result, {"status"});
  out["status"] = status.empty() || status == "Success" ? std::string_view("Failure") : status;
  out["code"] = std::max(base::int_at(result, {"code"}), kBadRequest);
  const std::string_view message = base::string_at(result, {"message"});
  const std::string_view reason = base::string_at(result, {"reason"});
  if (!reason.empty()) out["reason"] = reason;
  const std::string by = base::cat("admission webhook ", api::go_quote(webhook), " denied the request");
  out["message"] = !message.empty()  ? base::cat(by, ": ", message)
                   : !reason.empty() ? base::cat(by, ": ", reason)
                                     : base::cat(by, " without explanation");
  return out;
}

}  // namespace orch::server
