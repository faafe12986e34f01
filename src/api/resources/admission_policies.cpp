// admissionregistration.k8s.io/v1: ValidatingAdmissionPolicy and ValidatingAdmissionPolicyBinding
// (pkg/apis/admissionregistration/validation).
#include <set>

#include "api/cel/policy.h"
#include "api/go_text.h"
#include "api/names.h"
#include "api/resources/admission_rules.h"
#include "api/resources/common_validation.h"
#include "api/resources/kinds.h"
#include "api/resources/match_conditions.h"
#include "api/resources/traits.h"
#include "api/resources/tree.h"
#include "api/structural/json_path.h"
#include "base/json.h"

namespace orch::api {
namespace {

constexpr const char* kGroup = "admissionregistration.k8s.io";
constexpr size_t kMaxAuditAnnotations = 20;
constexpr size_t kMaxValueExpression = size_t{5} * 1024;
constexpr std::string_view kNeedsOne = "validations or auditAnnotations must contain at least one item";
constexpr std::string_view kNotEmpty = "must be non-empty if specified";

using cel::PolicyPart;

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kSpace = " \t\n\v\f\r";
  const size_t from = text.find_first_not_of(kSpace);
  if (from == std::string_view::npos) return {};
  return text.substr(from, text.find_last_not_of(kSpace) - from + 1);
}

/// A name as CEL has it, none of its words.
bool is_identifier(std::string_view name) {
  static constexpr std::string_view kReserved[] = {
      "true",     "false",   "null",      "in",       "as",  "break",  "const",
      "continue", "else",    "for",       "function", "if",  "import", "let",
      "loop",     "package", "namespace", "return",   "var", "void",   "while"};
  for (const std::string_view word : kReserved) {
    if (name == word) return false;
  }
  const auto is_letter = [](char c) { return c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); };
  for (size_t i = 0; i < name.size(); ++i) {
    if (!is_letter(name[i]) && (i == 0 || name[i] < '0' || name[i] > '9')) return false;
  }
  return !name.empty();
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return out;
}

void validate_param_kind(const Json& kind, const FieldPath& path, FieldErrors& errors) {
  const std::string_view api_version = text_of(kind, "apiVersion"), name = text_of(kind, "kind");
  const FieldPath at = path.child("apiVersion");
  const size_t slash = api_version.find('/');
  if (api_version.empty()) {
    errors.required(at);
  } else if (slash != std::string_view::npos && api_version.find('/', slash + 1) != std::string_view::npos) {
    add_invalid(errors, at, api_version, base::cat("unexpected GroupVersion string: ", api_version));
  } else {
    const std::string_view group =
        slash == std::string_view::npos ? std::string_view() : api_version.substr(0, slash);
    const std::string_view version =
        slash == std::string_view::npos ? api_version : api_version.substr(slash + 1);
    if (!group.empty()) {
      const Problems problems = check_dns1123_subdomain(group);
      if (!problems.empty()) add_invalid(errors, at, group, join(problems, ","));
    }
    if (version.empty()) {
      add_invalid(errors, at, api_version, "version must be specified");
    } else if (const Problems problems = check_dns1035_label(version); !problems.empty()) {
      add_invalid(errors, at, version, join(problems, ","));
    }
  }
  if (name.empty()) {
    errors.required(path.child("kind"));
  } else if (const Problems problems = check_dns1035_label(lower(name)); !problems.empty()) {
    add_invalid(errors, path.child("kind"), name,
                "may have mixed case, but should otherwise match: " + join(problems, ","));
  }
}

void validate_named_rules(const Json& match, const char* list, const FieldPath& parent, FieldErrors& errors) {
  size_t i = 0;
  for (const Json& rule : list_of(match, list)) {
    const FieldPath path = parent.child(list).index(i++);
    std::set<std::string_view> seen;
    size_t k = 0;
    for (const Json& one : list_of(rule, "resourceNames")) {
      const FieldPath at = path.child("resourceNames").index(k++);
      add_problems(errors, at, text(one), check_path_segment_name(text(one)));
      if (!seen.insert(text(one)).second) errors.duplicate(at, one);
    }
    validate_admission_rule(rule, path, errors);
  }
}

void validate_match_resources(const Json& match, const FieldPath& path, FieldErrors& errors) {
  if (!has(match, "matchPolicy")) errors.required(path.child("matchPolicy"));
  validate_one_of(match, "matchPolicy", {"Equivalent", "Exact"}, path, errors);
  for (const char* selector : {"namespaceSelector", "objectSelector"}) {
    if (!has(match, selector)) errors.required(path.child(selector));
    validate_label_selector(member_of(match, selector), path.child(selector), errors);
  }
  validate_named_rules(match, "resourceRules", path, errors);
  validate_named_rules(match, "excludeResourceRules", path, errors);
}

void validate_variable(const Json& variable, const FieldPath& path, FieldErrors& errors) {
  const std::string_view name = text_of(variable, "name");
  if (trimmed(name).empty()) {
    errors.required(path.child("name"), "name is not specified");
  } else if (!is_identifier(name)) {
    add_invalid(errors, path.child("name"), name, "must be a valid CEL identifier");
  }
  if (trimmed(text_of(variable, "expression")).empty())
    errors.required(path.child("expression"), "expression is not specified");
}

/// All but what its expressions say.
void validate_validation(const Json& validation, const FieldPath& path, FieldErrors& errors) {
  const std::string_view message = text_of(validation, "message");
  if (!message.empty() && trimmed(message).empty()) {
    add_invalid(errors, path.child("message"), message, kNotEmpty);
  } else if (trimmed(message).find_first_of("\n\r") != std::string_view::npos) {
    add_invalid(errors, path.child("message"), message, "must not contain line breaks");
  }
  validate_one_of(validation, "reason", {"Forbidden", "Invalid", "RequestEntityTooLarge"}, path, errors);
}

class PolicyValidation {
 public:
  PolicyValidation(const Json& object, FieldErrors& errors)
      : object_(object),
        spec_(map_of(object, "spec")),
        expressions_(cel::PolicyExpressions::compile(spec_)),
        errors_(errors) {}

  void run(bool check_conditions) {
    if (!has(spec_, "failurePolicy")) errors_.required(path_.child("failurePolicy"));
    validate_one_of(spec_, "failurePolicy", {"Fail", "Ignore"}, path_, errors_);
    const bool params = has(spec_, "paramKind");
    if (params) validate_param_kind(member_of(spec_, "paramKind"), path_.child("paramKind"), errors_);
    constraints();
    if (check_conditions) {
      validate_match_conditions(list_of(spec_, "matchConditions"), path_.child("matchConditions"), errors_,
                                params);
    }
    size_t i = 0;
    for (const Json& variable : list_of(spec_, "variables")) {
      validate_variable(variable, path_.child("variables").index(i), errors_);
      expressions_->report(PolicyPart::kVariable, i++, path_, errors_);
    }
    if (list_of(spec_, "validations").empty() && list_of(spec_, "auditAnnotations").empty()) {
      errors_.required(path_.child("validations"), kNeedsOne);
      errors_.required(path_.child("auditAnnotations"), kNeedsOne);
      return;
    }
    validations();
    annotations();
  }

 private:
  void constraints() {
    const FieldPath path = path_.child("matchConstraints");
    if (!has(spec_, "matchConstraints")) return errors_.required(path);
    const Json& constraints = member_of(spec_, "matchConstraints");
    validate_match_resources(constraints, path, errors_);
    if (list_of(constraints, "resourceRules").empty()) errors_.required(path.child("resourceRules"));
  }

  void validations() {
    size_t i = 0;
    for (const Json& validation : list_of(spec_, "validations")) {
      const FieldPath path = path_.child("validations").index(i);
      if (trimmed(text_of(validation, "expression")).empty()) {
        errors_.required(path.child("expression"), "expression is not specified");
      } else {
        expressions_->report(PolicyPart::kValidation, i, path_, errors_);
      }
      const std::string_view message = text_of(validation, "messageExpression");
      if (!message.empty() && trimmed(message).empty()) {
        add_invalid(errors_, path.child("messageExpression"), message, kNotEmpty);
      } else {
        expressions_->report(PolicyPart::kMessage, i, path_, errors_);
      }
      validate_validation(validation, path, errors_);
      ++i;
    }
  }

  void annotations() {
    const Json& list = list_of(spec_, "auditAnnotations");
    if (list.size() > kMaxAuditAnnotations) {
      std::string value;
      for (const Json& one : list) {
        value += base::cat(
            value.empty() ? "" : ",",
            go_struct({{"Key", text_of(one, "key")}, {"ValueExpression", text_of(one, "valueExpression")}}));
      }
      add_cause(errors_, "FieldValueInvalid", path_.child("auditAnnotations"),
                base::cat("Invalid value: [", value, "]: must not have more than ", kMaxAuditAnnotations,
                          " auditAnnotations"));
    }
    const std::string name(name_of(object_));
    std::set<std::string_view> keys;
    size_t i = 0;
    for (const Json& annotation : list) {
      const FieldPath path = path_.child("auditAnnotations").index(i);
      const std::string_view key = text_of(annotation, "key");
      if (name.empty()) {
        add_invalid(errors_, path.child("key"), key, "requires metadata.name be non-empty");
      } else {
        validate_qualified_name(base::cat(name, "/", key), path.child("key"), errors_);
      }
      const std::string_view value = trimmed(text_of(annotation, "valueExpression"));
      if (value.empty()) {
        errors_.required(path.child("valueExpression"), "valueExpression is not specified");
      } else if (value.size() > kMaxValueExpression) {
        errors_.required(path.child("valueExpression"),
                         base::cat("must not exceed ", kMaxValueExpression, " bytes in length"));
      } else {
        expressions_->report(PolicyPart::kAuditAnnotation, i, path_, errors_);
      }
      if (!keys.insert(key).second) errors_.duplicate(path.child("key"), Json(key));
      ++i;
    }
  }

  const Json& object_;
  const Json& spec_;
  const FieldPath path_{"spec"};
  const std::shared_ptr<const cel::PolicyExpressions> expressions_;
  FieldErrors& errors_;
};

/// A first step without its dot is one all the same.
std::string path_text(std::string_view field) {
  const bool bare = (field[0] >= 'a' && field[0] <= 'z') || (field[0] >= 'A' && field[0] <= 'Z');
  return base::cat(bare ? "." : "", field);
}

void validate_policy_status(const Json& object, FieldErrors& errors) {
  const Json& status = map_of(object, "status");
  const FieldPath path("status");
  size_t i = 0;
  for (const Json& warning : list_of(map_of(status, "typeChecking"), "expressionWarnings")) {
    const FieldPath at = path.child("typeChecking").child("expressionWarnings").index(i++);
    if (text_of(warning, "warning").empty()) errors.required(at.child("warning"));
    const std::string_view field = trimmed(text_of(warning, "fieldRef"));
    if (field.empty()) {
      errors.required(at.child("fieldRef"));
    } else if (auto parsed = structural::JsonPath::parse(path_text(field)); !parsed.ok()) {
      add_invalid(errors, at.child("fieldRef"), field,
                  base::cat("invalid JSONPath: ", parsed.error().message()));
    }
  }
  validate_conditions(list_of(status, "conditions"), path.child("conditions"), errors);
}

void validate_param_ref(const Json& ref, const FieldPath& path, FieldErrors& errors) {
  constexpr std::string_view kExclusive = "name and selector are mutually exclusive";
  const std::string_view name = text_of(ref, "name");
  const bool selects = has(ref, "selector");
  if (!name.empty()) {
    add_problems(errors, path.child("name"), name, check_path_segment_name(name));
    if (selects) errors.forbidden(path.child("name"), kExclusive);
  }
  if (selects) {
    validate_label_selector(member_of(ref, "selector"), path.child("selector"), errors);
    if (!name.empty()) errors.forbidden(path.child("selector"), kExclusive);
  }
  if (name.empty() && !selects) errors.required(path, "one of name or selector must be specified");
  if (text_of(ref, "parameterNotFoundAction").empty()) {
    errors.required(path.child("parameterNotFoundAction"));
  } else {
    validate_one_of(ref, "parameterNotFoundAction", {"Deny", "Allow"}, path, errors);
  }
}

void validate_actions(const Json& actions, const FieldPath& path, FieldErrors& errors) {
  static const std::vector<std::string> supported = {"Audit", "Deny", "Warn"};
  std::set<std::string_view> seen;
  for (size_t i = 0; i < actions.size(); ++i) {
    const std::string_view action = text(actions[i]);
    bool known = false;
    for (const std::string& one : supported) known = known || one == action;
    if (!known) errors.not_supported(path.index(i), action, supported);
    if (!seen.insert(action).second) errors.duplicate(path.index(i), actions[i]);
  }
  if (seen.contains("Deny") && seen.contains("Warn")) {
    errors.invalid(
        path, actions,
        "must not contain both Deny and Warn (repeating the same validation failure information in "
        "the API response and headers serves no purpose)");
  }
  if (seen.empty()) errors.required(path, "at least one validation action is required");
}

void validate_binding(const Json& object, FieldErrors& errors) {
  const Json& spec = map_of(object, "spec");
  const FieldPath path("spec");
  const std::string_view policy = text_of(spec, "policyName");
  if (policy.empty()) {
    errors.required(path.child("policyName"));
  } else {
    validate_dns1123_subdomain(policy, path.child("policyName"), errors);
  }
  if (has(spec, "paramRef")) validate_param_ref(member_of(spec, "paramRef"), path.child("paramRef"), errors);
  if (has(spec, "matchResources"))
    validate_match_resources(member_of(spec, "matchResources"), path.child("matchResources"), errors);
  validate_actions(list_of(spec, "validationActions"), path.child("validationActions"), errors);
}

void default_match(Json& spec, const char* key) {
  Json* match = object_in(spec, key);
  if (match == nullptr) return;
  default_pointer(*match, "matchPolicy", "Equivalent");
  default_pointer(*match, "namespaceSelector", Json::object());
  default_pointer(*match, "objectSelector", Json::object());
  for (const char* list : {"resourceRules", "excludeResourceRules"})
    each(*match, list, [](Json& rule) { default_pointer(rule, "scope", "*"); });
}

}  // namespace

Strategy admission_policy_strategy() {
  Strategy s = traits_of(kGroup, "ValidatingAdmissionPolicy");
  s.set_defaults = [](Json& object) {
    Json& spec = child(object, "spec");
    default_pointer(spec, "failurePolicy", "Fail");
    default_match(spec, "matchConstraints");
  };
  s.validate = [](const Json& object, FieldErrors& errors) { PolicyValidation(object, errors).run(true); };
  s.validate_update = [](const Json& object, const Json& old, FieldErrors& errors) {
    const Json &spec = map_of(object, "spec"), &before = map_of(old, "spec");
    const bool changed =
        !same_member(spec, before, "paramKind") || !same_member(spec, before, "matchConditions");
    PolicyValidation(object, errors).run(changed);
  };
  s.validate_status_update = [](const Json& object, const Json&, FieldErrors& errors) {
    validate_policy_status(object, errors);
  };
  return s;
}

Strategy admission_policy_binding_strategy() {
  Strategy s = traits_of(kGroup, "ValidatingAdmissionPolicyBinding");
  s.set_defaults = [](Json& object) {
    if (Json* spec = object_in(object, "spec"); spec != nullptr) default_match(*spec, "matchResources");
  };
  s.validate = validate_binding;
  s.validate_update = [](const Json& object, const Json&, FieldErrors& errors) {
    validate_binding(object, errors);
  };
  return s;
}

}  // namespace orch::api
