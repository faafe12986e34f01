#include "server/admission/match_conditions.h"

#include <vector>

#include "api/resources/match_conditions.h"
#include "base/json.h"
#include "server/admission/request.h"
#include "server/admission/request_authorizer.h"
#include "server/admission/webhook.h"

namespace orch::server {

using base::Code;
using base::Result;
using base::Status;
namespace cel = api::cel;

namespace {

struct Condition {
  std::string expression;
  cel::CheckedProgram compiled;
};

class Compiled final : public MatchConditions {
 public:
  explicit Compiled(std::vector<Condition> conditions) : conditions_(std::move(conditions)) {}

  Result<bool> match(const AdmissionRequest& request, const MatchSubject& subject) const override {
    const Json about = request_json(request, subject.row);
    cel::Activation variables;
    variables.set("object", cel::Value::view(subject.object));
    variables.set("oldObject", cel::Value::view(subject.old_object));
    variables.set("request", cel::Value::view(about));
    variables.set("namespaceObject", cel::Value());
    const RequestAuthorizer authorizer(subject.authorizer, request);
    variables.set("authorizer", cel::Value::authorizer(authorizer));
    variables.set("authorizer.requestResource",
                  cel::Value::resource_check(authorizer, own_resource(request)));
    return evaluate(variables);
  }

 private:
  Result<bool> evaluate(const cel::Activation& variables) const {
    std::vector<std::string> errors;
    uint64_t left = cel::kMatchConditionsBudget;
    for (const Condition& condition : conditions_) {
      if (condition.compiled.program == nullptr) {
        errors.push_back("compilation error: " + condition.compiled.error);
        continue;
      }
      const cel::Evaluation done = condition.compiled.program->evaluate(variables);
      if (done.cost > left) {
        return Status(Code::kUnknown,
                      "validation failed due to running out of cost budget, no further validation rules will "
                      "be run");
      }
      left -= done.cost;
      if (!done.ok()) {
        errors.push_back(
            base::cat("expression '", condition.expression, "' resulted in error: ", done.error));
      } else if (done.value.as_bool() == false) {
        return false;
      }
    }
    if (errors.empty()) return true;
    return Status(Code::kUnknown, aggregate_text(errors));
  }

  const std::vector<Condition> conditions_;
};

}  // namespace

std::shared_ptr<const MatchConditions> make_match_conditions(const Json& conditions) {
  if (conditions.empty()) return nullptr;
  std::vector<Condition> out;
  for (const auto& one : conditions) {
    std::string expression(base::string_at(one, {"expression"}));
    auto compiled = api::compile_match_condition(expression);
    out.push_back({std::move(expression), std::move(compiled)});
  }
  return std::make_shared<Compiled>(std::move(out));
}

}  // namespace orch::server
