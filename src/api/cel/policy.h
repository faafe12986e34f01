// The expressions of a ValidatingAdmissionPolicy (admissionregistration.k8s.io/v1): compiled once per policy,
// as its validation and its enforcement need them, and evaluated for a request.
//
// What a policy may refer to: object, oldObject, request (kubernetes.AdmissionRequest), namespaceObject,
// params where it has a paramKind, authorizer and authorizer.requestResource (but not in messageExpression),
// and `variables`, each of which sees those before it and is evaluated when it is first asked for.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "api/cel/cel.h"
#include "api/field_error.h"
#include "base/json_fwd.h"

namespace orch::api::cel {

/// What a policy is evaluated for. All must outlive the evaluation; null JSON where there is none.
struct PolicySubject {
  const Json& object;
  const Json& old_object;
  /// An AdmissionRequest without its objects.
  const Json& request;
  const Json& params;
  const Json& namespace_object;
  const Authorizer& authorizer;
  /// What authorizer.requestResource asks about.
  Authorizer::Query own_resource = {};
};

/// The answer of one validation.
struct PolicyDecision {
  bool denied = false;
  /// The expression itself failed: `denied` is what the failurePolicy makes of it.
  bool failed = false;
  std::string message;
  /// metav1.StatusReason; "": Invalid.
  std::string reason;
};

/// An annotation for the audit event; with an `error` it could not be worked out and the request is refused.
struct PolicyAnnotation {
  std::string key, value, error;
};

struct PolicyOutcome {
  /// One per validation; a single one when the policy as a whole failed; none when it does not apply.
  std::vector<PolicyDecision> decisions;
  std::vector<PolicyAnnotation> annotations;
};

/// Where an expression stands: variables[].expression, validations[].expression and messageExpression,
/// auditAnnotations[].valueExpression.
enum class PolicyPart : uint8_t { kVariable, kValidation, kMessage, kAuditAnnotation };

/// Immutable, thread-safe.
class PolicyExpressions {
 public:
  virtual ~PolicyExpressions() = default;

  /// Of a policy's spec. What does not compile is remembered: see report() and the text of decisions.
  static std::shared_ptr<const PolicyExpressions> compile(const Json& spec);

  /// Why the expression at this place of the spec (as long as its list is) does not compile, as validation
  /// says it of the policy's fields ("spec.validations[0].expression: Invalid value: …: compilation failed:
  /// ERROR: …"). Nothing of an empty expression. For match conditions see
  /// validate_match_conditions.
  virtual void report(PolicyPart part, size_t index, const FieldPath& spec, FieldErrors& errors) const = 0;

  virtual PolicyOutcome evaluate(const PolicySubject& subject) const = 0;
};

/// A kind that a policy's matchConstraints name, for type checking.
struct PolicyKind {
  std::string group, version, kind;
  /// builtin_type() or openapi_type(), not yet named().
  Type type;
};

/// An item of status.typeChecking.expressionWarnings.
struct ExpressionWarning {
  std::string field_ref, warning;
};

/// What is wrong with the validations of a policy's spec and their message expressions when `object` and
/// `oldObject` are of these kinds, and `params` of that type (null: unknown): at run time they would fail.
std::vector<ExpressionWarning> check_policy_types(const Json& spec, const std::vector<PolicyKind>& kinds,
                                                  const Type& params);

}  // namespace orch::api::cel
