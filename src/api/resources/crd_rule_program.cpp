#include "api/resources/crd_rule_program.h"

#include "api/resources/crd_rules.h"
#include "base/json.h"

namespace orch::api {

namespace {

std::string trimmed(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n\v\f";
  const size_t begin = text.find_first_not_of(kSpace);
  if (begin == std::string_view::npos) return {};
  return std::string(text.substr(begin, text.find_last_not_of(kSpace) - begin + 1));
}

void compile_rule(const cel::Environment& environment, const cel::Type& type, const std::string& text,
                  RuleProgram& out) {
  const cel::Compilation made = environment.compile(text);
  if (!made.error.empty()) {
    out.error = "compilation failed: " + made.error;
  } else if (!made.instantiation_error.empty()) {
    out.error = "program instantiation failed: " + made.instantiation_error;
  } else if (!cel::is_bool(made.program->output_type())) {
    out.error = "cel expression must evaluate to a bool";
  } else {
    out.program = made.program;
    out.uses_old = made.program->uses("oldSelf");
    out.cost = made.program->estimate_cost(type).max;
  }
}

void compile_message(const cel::Environment& environment, const cel::Type& type, const std::string& text,
                     RuleProgram& out) {
  const cel::Compilation made = environment.compile(text);
  if (!made.error.empty()) {
    out.message_error = "messageExpression compilation failed: " + made.error;
  } else if (!made.instantiation_error.empty()) {
    out.message_error = "messageExpression instantiation failed: " + made.instantiation_error;
  } else if (!cel::is_string(made.program->output_type())) {
    out.message_error = "messageExpression must evaluate to a string";
  } else {
    out.message = made.program;
    out.message_cost = made.program->estimate_cost(type).max;
  }
}

}  // namespace

cel::Type rule_type(const std::shared_ptr<const Json>& root, const Json& schema, bool resource_root) {
  cel::Type type = cel::openapi_type(root, schema, resource_root);
  return type != nullptr ? cel::named(type, "selfType") : nullptr;
}

std::vector<RuleProgram> compile_rules(const Json& schema, const cel::Type& type) {
  std::vector<RuleProgram> out;
  std::unique_ptr<const cel::Environment> plain, optional;
  for (const Json& rule : base::array_at(schema, {"x-kubernetes-validations"})) {
    RuleProgram& one = out.emplace_back();
    const std::string text(base::string_at(rule, {"rule"}));
    const std::string expression(base::string_at(rule, {"messageExpression"}));
    one.text = trimmed(text);
    one.message_text = trimmed(base::string_at(rule, {"message"}));
    one.reason = base::string_at(rule, {"reason"});
    one.optional_old = base::bool_at(rule, {"optionalOldSelf"});
    if (const std::string_view field = base::string_at(rule, {"fieldPath"}); !field.empty())
      one.field_path = find_field(schema, field, true).path;
    if (one.text.empty()) continue;
    auto& environment = one.optional_old ? optional : plain;
    if (environment == nullptr) {
      cel::Environment::Options options;
      options.variables = {{"self", type}, {"oldSelf", one.optional_old ? cel::optional_type(type) : type}};
      environment = std::make_unique<const cel::Environment>(std::move(options));
    }
    compile_rule(*environment, type, text, one);
    if (one.program != nullptr && !expression.empty()) compile_message(*environment, type, expression, one);
  }
  return out;
}

}  // namespace orch::api
