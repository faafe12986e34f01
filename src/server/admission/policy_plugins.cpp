#include "server/admission/policy_plugins.h"

#include <algorithm>

#include "api/field_error.h"
#include "api/go_text.h"
#include "base/json.h"
#include "server/admission/request.h"
#include "server/admission/request_authorizer.h"
#include "server/admission/webhook.h"
#include "server/auth/forbidden.h"

namespace orch::server {

using base::Code;
using base::Status;
namespace cel = api::cel;

namespace {

constexpr size_t kMaxAnnotationValue = size_t{10} * 1024;
constexpr std::string_view kFailureAnnotation = "validation.policy.admission.k8s.io/validation_failure";

/// The first thing said of a key stays.
void annotate(const AdmissionRequest& request, std::string key, std::string value) {
  if (request.audit == nullptr) return;
  for (const auto& [known, text] : *request.audit) {
    if (known == key) return;
  }
  request.audit->emplace_back(std::move(key), std::move(value));
}

/// A JSON string as Go's encoder writes it.
std::string go_json(std::string_view text) {
  std::string out;
  for (const char c : base::dump_json(Json(text))) {
    if (c == '<' || c == '>' || c == '&') {
      out += c == '<' ? "\\u003c" : c == '>' ? "\\u003e" : "\\u0026";
    } else {
      out += c;
    }
  }
  return out;
}

std::string failure_annotation(const AdmissionBinding& binding, size_t index, const std::string& message) {
  std::vector<std::string> actions;
  for (const std::string& action : binding.actions) actions.push_back(go_json(action));
  return base::cat("[{\"message\":", go_json(message), ",\"policy\":", go_json(binding.policy),
                   ",\"binding\":", go_json(binding.name), ",\"expressionIndex\":", index,
                   ",\"validationActions\":[", api::join(actions, ","), "]}]");
}

Code code_of(std::string_view reason) {
  if (reason == "Forbidden") return Code::kForbidden;
  if (reason == "Unauthorized") return Code::kUnauthorized;
  if (reason == "RequestEntityTooLarge") return Code::kRequestEntityTooLarge;
  return Code::kInvalid;
}

const char* error_type(std::string_view message) {
  if (message.starts_with("compilation")) return "compile_error";
  if (message.starts_with("validation failed due to running out of cost budget")) return "out_of_budget";
  return "invalid_error";
}

/// One request against all policies in force.
class Dispatch {
 public:
  Dispatch(const PolicyParts& parts, const AdmissionRequest& request)
      : parts_(parts),
        request_(request),
        equivalents_(equivalent_rows(request, parts.table)),
        authorizer_(parts.authorizer, request) {}

  Status run(const PolicySet& set) {
    for (const BoundPolicy& one : set.policies) ORCH_RETURN_IF_ERROR(run_policy(one));
    return denied_;
  }

 private:
  /// What is evaluated for one policy, the same for all its bindings and params.
  struct Subject {
    ShownRequest shown;
    Json about;  // the variable `request`
  };
  using Annotations = std::map<std::string, std::vector<std::string>>;

  Status run_policy(const BoundPolicy& one) {
    const AdmissionPolicy& policy = *one.policy;
    const auto match = matches(policy.constraints, request_, equivalents_, parts_.lookup);
    if (!match.ok()) {
      misconfigured(policy, nullptr, match.error().message());
      return {};
    }
    if (!*match) return {};
    api::ResourcePtr kind;
    if (policy.has_params()) {
      auto found = find_param_kind(policy, parts_.table);
      if (!found.ok()) {
        misconfigured(policy, nullptr, found.error().message());
        return {};
      }
      kind = std::move(*found);
    }
    std::optional<Subject> subject;
    Annotations annotations;
    for (const auto& binding : one.bindings) {
      ORCH_RETURN_IF_ERROR(
          run_binding(policy, *binding, (*match)->of(request_), kind.get(), subject, annotations));
    }
    for (const auto& [key, values] : annotations)
      annotate(request_, base::cat(policy.name, "/", key), api::join(values, ", "));
    return {};
  }

  Status run_binding(const AdmissionPolicy& policy, const AdmissionBinding& binding, const api::Resource& row,
                     const api::Resource* kind, std::optional<Subject>& subject, Annotations& annotations) {
    if (binding.resources) {
      const auto match = matches(*binding.resources, request_, equivalents_, parts_.lookup);
      if (!match.ok()) {
        misconfigured(policy, &binding, match.error().message());
        return {};
      }
      if (!*match) return {};
    }
    const auto params = collect_params(policy, binding, kind, request_, {parts_.lookup, parts_.table});
    if (!params.ok()) {
      misconfigured(policy, &binding, params.error().message());
      return {};
    }
    if (!subject && !params->empty()) {
      auto shown = show_request(request_, row);
      if (!shown.ok()) {
        misconfigured(policy, &binding, "failed to convert object version: " + shown.error().message());
        return {};
      }
      subject.emplace(Subject{std::move(*shown), request_json(request_, row)});
    }
    ORCH_RETURN_IF_ERROR(find_namespace());
    for (const Json& param : *params) {
      const cel::PolicyOutcome outcome =
          policy.expressions().evaluate({subject->shown.object, subject->shown.old_object, subject->about,
                                         param, namespace_, authorizer_, own_resource(request_)});
      settle(policy, binding, outcome, annotations);
    }
    return {};
  }

  void settle(const AdmissionPolicy& policy, const AdmissionBinding& binding,
              const cel::PolicyOutcome& outcome, Annotations& annotations) {
    for (size_t i = 0; i < outcome.decisions.size(); ++i) {
      const cel::PolicyDecision& decision = outcome.decisions[i];
      const char* error = error_type(decision.message);
      if (!decision.denied) {
        if (decision.failed) count(policy, binding, error, "allow");
        continue;
      }
      for (const std::string& action : binding.actions) {
        if (action == "Deny") {
          deny(policy, &binding, decision.message, decision.reason);
          count(policy, binding, error, "deny");
        } else if (action == "Audit") {
          annotate(request_, std::string(kFailureAnnotation),
                   failure_annotation(binding, i, decision.message));
          count(policy, binding, error, "audit");
        } else if (action == "Warn") {
          warn(request_, base::cat("Validation failed for ValidatingAdmissionPolicy '", policy.name,
                                   "' with binding '", binding.name, "': ", decision.message));
          count(policy, binding, error, "warn");
        }
      }
    }
    for (const cel::PolicyAnnotation& one : outcome.annotations) {
      if (!one.error.empty()) {
        deny(policy, &binding, one.error, {});
        count(policy, binding, error_type(one.error), "deny");
        continue;
      }
      std::vector<std::string>& values = annotations[one.key];
      std::string value = one.value.substr(0, kMaxAnnotationValue);
      if (std::find(values.begin(), values.end(), value) == values.end()) values.push_back(std::move(value));
    }
  }

  void misconfigured(const AdmissionPolicy& policy, const AdmissionBinding* binding, std::string_view why) {
    if (policy.ignore_failures) return;
    deny(policy, binding,
         base::cat("failed to configure ", binding == nullptr ? "policy" : "binding", ": ", why), {});
  }

  /// The first denial is the answer.
  void deny(const AdmissionPolicy& policy, const AdmissionBinding* binding, std::string_view why,
            std::string_view reason) {
    if (!denied_.ok()) return;
    const std::string with =
        binding == nullptr ? std::string() : base::cat("with binding '", binding->name, "' ");
    const std::string text =
        base::cat("ValidatingAdmissionPolicy '", policy.name, "' ", with, "denied request: ", why);
    const api::Resource& asked = request_.requested();
    const Status refusal = forbidden(asked.group, asked.plural, object_name(request_), text);
    base::StatusDetails details = refusal.details() != nullptr ? *refusal.details() : base::StatusDetails();
    details.causes.push_back({"", text, ""});
    denied_ = Status(code_of(reason), refusal.message(), std::move(details));
  }

  /// namespaceObject: once, when first wanted.
  Status find_namespace() {
    const std::string_view ns = request_namespace(request_);
    if (has_namespace_ || ns.empty() || is_resource(request_, "", "namespaces")) return {};
    const api::ObjectPtr found = parts_.lookup.get("namespaces", "", ns);
    if (found == nullptr) return missing("", "namespaces", ns);
    namespace_ = found->tree();
    has_namespace_ = true;
    return {};
  }

  void count(const AdmissionPolicy& policy, const AdmissionBinding& binding, const char* error,
             const char* action) const {
    parts_.metrics
        .counter("apiserver_validating_admission_policy_check_total",
                 "Checks of validating admission policies, by policy, binding, error and what was done.",
                 {{"policy", policy.name},
                  {"policy_binding", binding.name},
                  {"error_type", error},
                  {"enforcement_action", action}})
        .add();
  }

  const PolicyParts& parts_;
  const AdmissionRequest& request_;
  const std::vector<api::ResourcePtr> equivalents_;
  const RequestAuthorizer authorizer_;
  Json namespace_;
  bool has_namespace_ = false;
  Status denied_;
};

class ValidatingPolicies final : public AdmissionPlugin {
 public:
  explicit ValidatingPolicies(PolicyParts parts) : parts_(parts) {}
  std::string_view name() const override { return "ValidatingAdmissionPolicy"; }
  bool handles(const AdmissionRequest& request) const override {
    return parts_.source.policies()->concern(request.resource->plural) && !is_beyond_policies(request);
  }
  Status validate(const AdmissionRequest& request) override {
    const auto set = parts_.source.policies();
    return Dispatch(parts_, request).run(*set);
  }

 private:
  const PolicyParts parts_;
};

/// A user as Go prints the struct.
std::string go_user(const UserInfo& user) {
  std::string extra;
  for (const auto& [key, values] : user.extra)
    extra += base::cat(extra.empty() ? "" : " ", key, ":[", api::join(values, " "), "]");
  return base::cat("&{", user.name, " ", user.uid, " [", api::join(user.groups, " "), "] map[", extra, "]}");
}

class PolicyParamAccess final : public AdmissionPlugin {
 public:
  explicit PolicyParamAccess(PolicyParts parts) : parts_(parts) {}
  std::string_view name() const override { return "PolicyParamAccess"; }

  bool handles(const AdmissionRequest& r) const override {
    return r.resource->group == "admissionregistration.k8s.io" && r.subresource.empty() &&
           r.object != nullptr && r.user != nullptr && !r.user->in_group(kGroupMasters) &&
           (r.operation == Operation::kCreate || r.operation == Operation::kUpdate);
  }

  Status validate(const AdmissionRequest& r) override {
    api::FieldErrors errors;
    const api::FieldPath spec("spec");
    if (r.resource->kind == "ValidatingAdmissionPolicy") {
      if (std::string text = policy_problem(r); !text.empty())
        errors.forbidden(spec.child("paramKind"), text);
    } else if (r.resource->kind == "ValidatingAdmissionPolicyBinding") {
      if (std::string text = binding_problem(r); !text.empty())
        errors.forbidden(spec.child("paramRef"), text);
    }
    return errors.to_status(r.resource->group, r.resource->kind, r.name);
  }

 private:
  static const Json* member(const Json* object, const char* key) {
    const Json* found = object == nullptr ? nullptr : base::find_path(*object, {"spec", key});
    return found != nullptr && found->is_object() ? found : nullptr;
  }

  /// Group, version and resource to ask about; resource "*" when the kind is unknown.
  struct Kind {
    std::string group = "*", version = "*", resource = "*";
  };
  Kind resolve(const Json& param_kind) const {
    const auto [group, version] = api::split_api_version(base::string_at(param_kind, {"apiVersion"}));
    const auto row = parts_.table.find_kind(group, version, base::string_at(param_kind, {"kind"}));
    return {std::string(group), std::string(version), row != nullptr ? row->plural : "*"};
  }

  bool may(const AdmissionRequest& r, const Kind& kind, std::string_view verb, std::string_view ns,
           std::string_view name) const {
    Attributes a;
    a.user = r.user;
    a.verb = verb;
    a.resource_request = true;
    a.group = kind.group;
    a.version = kind.version;
    a.resource = kind.resource;
    a.ns = ns;
    a.name = name;
    return parts_.authorizer.authorize(a).decision == Decision::kAllow;
  }

  std::string policy_problem(const AdmissionRequest& r) const {
    const Json* kind = member(r.object, "paramKind");
    if (kind == nullptr) return {};
    if (const Json* old = member(r.old_object, "paramKind"); old != nullptr && *old == *kind) return {};
    if (may(r, resolve(*kind), "get", "*", "*")) return {};
    return base::cat("user ", go_user(*r.user),
                     " must have \"get\" permission on all objects of the referenced paramKind (kind=",
                     base::string_at(*kind, {"kind"}),
                     ", apiVersion=", base::string_at(*kind, {"apiVersion"}), ")");
  }

  std::string binding_problem(const AdmissionRequest& r) const {
    const Json* ref = member(r.object, "paramRef");
    if (ref == nullptr) return {};
    const std::string policy_name(base::string_at(*r.object, {"spec", "policyName"}));
    const api::ObjectPtr policy =
        parts_.lookup.get("validatingadmissionpolicies.admissionregistration.k8s.io", "", policy_name);
    Json tree;
    if (policy != nullptr) tree = policy->tree();
    const Json* param_kind = member(&tree, "paramKind");
    const Kind kind = param_kind != nullptr ? resolve(*param_kind) : Kind();
    const std::string_view name = base::string_at(*ref, {"name"});
    const std::string_view verb = name.empty() ? "list" : "get";
    if (may(r, kind, verb, base::string_at(*ref, {"namespace"}), name)) return {};
    const std::string user = go_user(*r.user);
    const std::string everything =
        base::cat(" to determine minimum required permissions and user ", user, " does not have \"", verb,
                  "\" permission for all groups, versions and resources");
    if (policy == nullptr) return base::cat("unable to get policy ", policy_name, everything);
    if (param_kind != nullptr && kind.resource == "*") {
      return base::cat(
          "unable to resolve paramKind &ParamKind{APIVersion:", base::string_at(*param_kind, {"apiVersion"}),
          ",Kind:", base::string_at(*param_kind, {"kind"}), ",}", everything);
    }
    return base::cat("user ", user, " does not have \"", verb,
                     "\" permission on the object referenced by paramRef");
  }

  const PolicyParts parts_;
};

}  // namespace

std::unique_ptr<AdmissionPlugin> make_validating_policies(PolicyParts parts) {
  return std::make_unique<ValidatingPolicies>(parts);
}

std::unique_ptr<AdmissionPlugin> make_policy_param_access(PolicyParts parts) {
  return std::make_unique<PolicyParamAccess>(parts);
}

}  // namespace orch::server
