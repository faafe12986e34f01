#include "api/cel/policy.h"

#include <map>
#include <optional>

#include "api/cel/admission.h"
#include "api/go_text.h"
#include "base/json.h"

namespace orch::api::cel {

namespace {

constexpr std::string_view kOutOfBudget =
    "validation failed due to running out of cost budget, no further validation rules will be run";

std::string trimmed(std::string_view text) {
  constexpr std::string_view kSpace = " \t\n\v\f\r";
  const size_t from = text.find_first_not_of(kSpace);
  if (from == std::string_view::npos) return {};
  return std::string(text.substr(from, text.find_last_not_of(kSpace) - from + 1));
}

using Fields = std::vector<std::pair<std::string, Type>>;

/// Which variables there are, and of what types where they are known.
struct Declared {
  bool params = false, authorizer = true, own_resource = true, variables = true;
  Type object = dyn_type(), params_type = dyn_type();
};

Environment::Options policy_options(const Declared& declared, const Fields& variables) {
  std::vector<Environment::Variable> out = {{"object", declared.object},
                                            {"oldObject", declared.object},
                                            {"request", admission_request_type()},
                                            {"namespaceObject", namespace_object_type()}};
  if (declared.variables) out.push_back({"variables", object_type("kubernetes.variables", variables)});
  if (declared.params) out.push_back({"params", declared.params_type});
  if (declared.authorizer) {
    out.push_back({"authorizer", authorizer_type()});
    if (declared.own_resource) out.push_back({"authorizer.requestResource", resource_check_type()});
  }
  return {.variables = std::move(out)};
}

Environment policy_environment(const Declared& declared, const Fields& variables) {
  return Environment(policy_options(declared, variables));
}

struct Expression : CheckedProgram {
  /// Where it stands in the spec: "validations", 0, "expression".
  const char* list = "";
  size_t index = 0;
  const char* field = "expression";
  std::string text, name;
  bool empty() const { return text.empty(); }
};

void prepare(Expression& e, const Environment& environment, Wanted wanted) {
  static_cast<CheckedProgram&>(e) = compile_checked(environment, e.text, wanted);
}

struct Validation {
  Expression expression, message_expression;
  std::string message, reason;
};

class Evaluator;

/// `variables`: evaluated when first asked for, at most once.
class Variables final : public LazyMap {
 public:
  Variables(const std::vector<Expression>& expressions, const Evaluator& evaluator)
      : expressions_(expressions), evaluator_(evaluator) {}
  std::optional<Value> find(std::string_view key) const override;

 private:
  const std::vector<Expression>& expressions_;
  const Evaluator& evaluator_;
  mutable std::map<std::string, Value, std::less<>> known_;
};

/// Evaluates expressions for one subject, out of one budget.
class Evaluator {
 public:
  Evaluator(const PolicySubject& subject, const Json& namespace_object,
            const std::vector<Expression>& variables, bool authorizer, uint64_t budget)
      : left_(budget) {
    activation_.set("object", Value::view(subject.object));
    activation_.set("oldObject", Value::view(subject.old_object));
    activation_.set("request", Value::view(subject.request));
    activation_.set("namespaceObject", Value::view(namespace_object));
    activation_.set("params", Value::view(subject.params));
    if (authorizer) {
      activation_.set("authorizer", Value::authorizer(subject.authorizer));
      activation_.set("authorizer.requestResource",
                      Value::resource_check(subject.authorizer, subject.own_resource));
    }
    activation_.set("variables", Value::lazy(std::make_shared<Variables>(variables, *this)));
  }
  Evaluator(const Evaluator&) = delete;
  Evaluator& operator=(const Evaluator&) = delete;

  struct Result {
    Value value;
    std::string error;
  };

  /// Nothing when the budget is used up: then nothing more is to be evaluated.
  std::optional<Result> run(const Expression& e) {
    if (!e.program) return Result{{}, "compilation error: " + e.error};
    variable_cost_ = 0;
    const Evaluation done = e.program->evaluate(activation_);
    if (!spend(variable_cost_) || !spend(done.cost)) return std::nullopt;
    if (done.ok()) return Result{done.value, {}};
    return Result{{}, base::cat("expression '", e.text, "' resulted in error: ", done.error)};
  }

  Value variable(const Expression& e) const {
    const std::string what = "composited variable " + go_quote(e.name);
    if (!e.program) return Value::error(what + " fails to compile: " + e.error);
    const Evaluation done = e.program->evaluate(activation_);
    variable_cost_ += done.cost;
    return done.ok() ? done.value : Value::error(what + " fails to evaluate: " + done.error);
  }

  uint64_t left() const { return left_; }

 private:
  bool spend(uint64_t cost) {
    if (cost > left_) return false;
    left_ -= cost;
    return true;
  }

  Activation activation_;
  uint64_t left_;
  mutable uint64_t variable_cost_ = 0;
};

std::optional<Value> Variables::find(std::string_view key) const {
  const auto found = known_.find(key);
  if (found != known_.end()) return found->second;
  for (const Expression& e : expressions_) {
    if (e.name == key) return known_.emplace(e.name, evaluator_.variable(e)).first->second;
  }
  return std::nullopt;
}

class Compiled final : public PolicyExpressions {
 public:
  explicit Compiled(const Json& spec) {
    ignore_failures_ = base::string_at(spec, {"failurePolicy"}) == "Ignore";
    const Json* kind = base::find_path(spec, {"paramKind"});
    const bool params = kind != nullptr && !kind->is_null();
    Declared declared;
    declared.params = params;
    declared.variables = !base::array_at(spec, {"variables"}).empty();
    Fields fields;
    each(spec, "variables", [&](const Json& item, size_t i) {
      Expression e = read(item, "variables", i, "expression");
      e.name = base::string_at(item, {"name"});
      if (!e.empty()) prepare(e, policy_environment(declared, fields), Wanted::kAny);
      fields.emplace_back(e.name, e.program ? e.program->output_type() : dyn_type());
      variables_.push_back(std::move(e));
    });
    const Environment full = policy_environment(declared, fields);
    const Environment plain = policy_environment({.params = params, .variables = false}, {});
    declared.authorizer = false;
    const Environment messages = policy_environment(declared, fields);
    each(spec, "matchConditions", [&](const Json& item, size_t i) {
      Expression e = read(item, "matchConditions", i, "expression");
      e.text = trimmed(e.text);
      if (!e.empty()) prepare(e, plain, Wanted::kBool);
      conditions_.push_back(std::move(e));
    });
    each(spec, "validations", [&](const Json& item, size_t i) {
      Validation v;
      v.expression = read(item, "validations", i, "expression");
      if (!v.expression.empty()) prepare(v.expression, full, Wanted::kBool);
      v.message_expression = read(item, "validations", i, "messageExpression");
      if (!v.message_expression.empty()) prepare(v.message_expression, messages, Wanted::kString);
      v.message = base::string_at(item, {"message"});
      v.reason = base::string_at(item, {"reason"});
      validations_.push_back(std::move(v));
    });
    each(spec, "auditAnnotations", [&](const Json& item, size_t i) {
      Expression e = read(item, "auditAnnotations", i, "valueExpression");
      e.name = base::string_at(item, {"key"});
      if (!e.empty()) prepare(e, full, Wanted::kStringOrNull);
      annotations_.push_back(std::move(e));
    });
  }

  void report(PolicyPart part, size_t index, const FieldPath& spec, FieldErrors& errors) const override {
    switch (part) {
      case PolicyPart::kVariable:
        return report_one(variables_[index], spec, errors);
      case PolicyPart::kValidation:
        return report_one(validations_[index].expression, spec, errors);
      case PolicyPart::kMessage:
        return report_one(validations_[index].message_expression, spec, errors);
      case PolicyPart::kAuditAnnotation:
        return report_one(annotations_[index], spec, errors);
    }
  }

  PolicyOutcome evaluate(const PolicySubject& subject) const override {
    PolicyOutcome out;
    std::string problem;
    if (!matches(subject, problem)) {
      if (!problem.empty()) out.decisions.push_back(failure(std::move(problem)));
      return out;
    }
    Evaluator evaluator(subject, subject.namespace_object, variables_, true, kRuntimeBudget);
    std::vector<Evaluator::Result> results;
    for (const Validation& v : validations_) {
      std::optional<Evaluator::Result> result = evaluator.run(v.expression);
      if (!result) {
        out.decisions.push_back(failure(std::string(kOutOfBudget)));
        return out;
      }
      results.push_back(std::move(*result));
    }
    decide(subject, results, evaluator.left(), out);
    annotate(subject, out);
    return out;
  }

 private:
  template <typename Take>
  static void each(const Json& spec, const char* list, Take take) {
    size_t i = 0;
    for (const Json& item : base::array_at(spec, {list})) take(item, i++);
  }

  static Expression read(const Json& item, const char* list, size_t index, const char* field) {
    Expression e;
    e.list = list;
    e.index = index;
    e.field = field;
    e.text = base::string_at(item, {field});
    if (trimmed(e.text).empty()) e.text.clear();
    return e;
  }

  static void report_one(const Expression& e, const FieldPath& spec, FieldErrors& errors) {
    e.report(spec.child(e.list).index(e.index).child(e.field), e.text, errors);
  }

  PolicyDecision failure(std::string message) const {
    PolicyDecision out;
    out.denied = !ignore_failures_;
    out.failed = true;
    out.message = std::move(message);
    return out;
  }

  /// False if one condition is false, or if some failed: then `problem` says how, unless failures are
  /// ignored.
  bool matches(const PolicySubject& subject, std::string& problem) const {
    if (conditions_.empty()) return true;
    const Json no_namespace;  // conditions are asked before it is looked up
    Evaluator evaluator(subject, no_namespace, variables_, true, kMatchConditionsBudget);
    std::vector<std::string> errors;
    bool excluded = false;
    for (const Expression& e : conditions_) {
      const std::optional<Evaluator::Result> result = evaluator.run(e);
      if (!result) {
        if (!ignore_failures_) problem = kOutOfBudget;
        return false;
      }
      if (!result->error.empty()) errors.push_back(result->error);
      excluded = excluded || result->value.as_bool() == false;
    }
    if (excluded) return false;
    if (errors.empty()) return true;
    if (!ignore_failures_) problem = errors.size() == 1 ? errors[0] : "[" + join(errors, ", ") + "]";
    return false;
  }

  void decide(const PolicySubject& subject, const std::vector<Evaluator::Result>& results, uint64_t budget,
              PolicyOutcome& out) const {
    Evaluator messages(subject, subject.namespace_object, variables_, false, budget);
    std::vector<std::string> texts(validations_.size());
    bool out_of_budget = false;
    for (size_t i = 0; i < validations_.size() && !out_of_budget; ++i) {
      if (validations_[i].message_expression.empty()) continue;
      const std::optional<Evaluator::Result> result = messages.run(validations_[i].message_expression);
      out_of_budget = !result.has_value();
      if (result && result->value.as_string() != nullptr) texts[i] = trimmed(*result->value.as_string());
    }
    for (size_t i = 0; i < validations_.size(); ++i) {
      PolicyDecision decision;
      if (!results[i].error.empty()) {
        decision = failure(results[i].error);
      } else if (out_of_budget) {
        decision = failure("failed messageExpression: " + std::string(kOutOfBudget));
      } else if (!results[i].value.is_true()) {
        decision.denied = true;
        decision.reason = validations_[i].reason.empty() ? "Invalid" : validations_[i].reason;
        decision.message = message(validations_[i], std::move(texts[i]));
      }
      out.decisions.push_back(std::move(decision));
    }
  }

  static std::string message(const Validation& v, std::string text) {
    if (text.size() > kMaxMessageBytes || text.find('\n') != std::string::npos) text.clear();
    if (text.empty()) text = trimmed(v.message);
    return text.empty() ? "failed expression: " + trimmed(v.expression.text) : text;
  }

  void annotate(const PolicySubject& subject, PolicyOutcome& out) const {
    Evaluator evaluator(subject, subject.namespace_object, variables_, true, kRuntimeBudget);
    for (const Expression& e : annotations_) {
      std::optional<Evaluator::Result> result = evaluator.run(e);
      if (!result) {
        out.decisions = {failure(std::string(kOutOfBudget))};
        out.annotations.clear();
        return;
      }
      if (!result->error.empty()) {
        if (!ignore_failures_) out.annotations.push_back({e.name, {}, std::move(result->error)});
        continue;
      }
      if (result->value.kind() == Value::Kind::kNull) continue;
      if (result->value.as_string() == nullptr) continue;
      std::string text = trimmed(*result->value.as_string());
      if (!text.empty()) out.annotations.push_back({e.name, std::move(text), {}});
    }
  }

  bool ignore_failures_ = false;
  std::vector<Expression> variables_, conditions_, annotations_;
  std::vector<Validation> validations_;
};

}  // namespace

std::shared_ptr<const PolicyExpressions> PolicyExpressions::compile(const Json& spec) {
  return std::make_shared<Compiled>(spec);
}

namespace {

/// What an expression says when it is compiled for each kind; "" if nothing.
std::string type_problems(const std::string& expression, const std::vector<PolicyKind>& kinds,
                          const std::vector<std::unique_ptr<Environment>>& environments) {
  std::string out;
  for (size_t i = 0; i < kinds.size(); ++i) {
    // That it cannot be instantiated is no matter of types.
    const std::string error = environments[i]->compile(expression).error;
    if (error.empty()) continue;
    const PolicyKind& k = kinds[i];
    if (!out.empty()) out += '\n';
    out += base::cat(k.group, "/", k.version, ", Kind=", k.kind, ": ", error, "\n");
  }
  return out;
}

}  // namespace

std::vector<ExpressionWarning> check_policy_types(const Json& spec, const std::vector<PolicyKind>& kinds,
                                                  const Type& params) {
  std::vector<std::unique_ptr<Environment>> environments;
  for (const PolicyKind& kind : kinds) {
    Declared declared;
    declared.object = named(kind.type, kind.kind + "Type");
    declared.own_resource = false;  // Kubernetes forgets it here
    declared.params = params != nullptr;
    if (params) declared.params_type = named(params, "paramsType");
    Fields fields;
    for (const Json& variable : base::array_at(spec, {"variables"})) {
      Expression e;
      e.text = base::string_at(variable, {"expression"});
      prepare(e, policy_environment(declared, fields), Wanted::kAny);
      fields.emplace_back(base::string_at(variable, {"name"}),
                          e.program ? e.program->output_type() : dyn_type());
    }
    environments.push_back(std::make_unique<Environment>(policy_options(declared, fields)));
  }
  std::vector<ExpressionWarning> out;
  size_t i = 0;
  for (const Json& validation : base::array_at(spec, {"validations"})) {
    const FieldPath path = FieldPath("spec").child("validations").index(i++);
    for (const char* field : {"expression", "messageExpression"}) {
      const std::string text(base::string_at(validation, {field}));
      if (text.empty()) continue;
      std::string problems = type_problems(text, kinds, environments);
      if (!problems.empty()) out.push_back({path.child(field).text(), std::move(problems)});
    }
  }
  return out;
}

}  // namespace orch::api::cel
