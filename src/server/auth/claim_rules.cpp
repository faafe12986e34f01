#include "server/auth/claim_rules.h"

#include <algorithm>
#include <optional>
#include <vector>

#include "api/cel/ast.h"
#include "api/cel/cel.h"
#include "api/resources/common_validation.h"
#include "base/json.h"

namespace orch::server {

using api::FieldErrors;
using api::FieldPath;
using base::Code;
using base::Result;
using base::Status;
namespace cel = api::cel;

namespace {

struct Expression {
  std::string text;
  std::shared_ptr<const cel::Program> program;
  std::string about;  // the message of a rule, the key of an extra value
};

const cel::Environment& claims_environment() {
  static const cel::Environment environment(
      {.variables = {{"claims", cel::map_type(cel::string_type(), cel::dyn_type())}}});
  return environment;
}

const cel::Environment& user_environment() {
  static const cel::Environment environment = [] {
    const cel::Type text = cel::string_type(), texts = cel::list_type(text);
    return cel::Environment(
        {.variables = {
             {"user", cel::object_type("kubernetes.UserInfo", {{"username", text},
                                                               {"uid", text},
                                                               {"groups", texts},
                                                               {"extra", cel::map_type(text, texts)}})}}});
  }();
  return environment;
}

/// Names that are no identifiers are reached by their escaped form as well.
Json with_escaped_names(const Json& tree) {
  if (tree.is_array()) {
    Json out = Json::array();
    for (const Json& one : tree) out.push_back(with_escaped_names(one));
    return out;
  }
  if (!tree.is_object()) return tree;
  Json out = Json::object();
  for (const auto& [name, value] : tree.items()) {
    Json inner = with_escaped_names(value);
    std::string escaped;
    if (name.find_first_of(".-/") != std::string::npos && cel::escape_name(name, escaped))
      out[escaped] = inner;
    out[name] = std::move(inner);
  }
  return out;
}

bool is_claims(const cel::Expr* e) {
  return e != nullptr && e->kind == cel::ExprKind::kIdent && e->name == "claims";
}

/// Whether an expression selects this claim, by `.` or `.?`.
bool selects(const cel::Expr* e, std::string_view claim) {
  if (e == nullptr) return false;
  if (e->kind == cel::ExprKind::kSelect && is_claims(e->target) && e->name == claim) return true;
  if (e->kind == cel::ExprKind::kCall && e->name == "_?._" && e->args.size() == 2 && is_claims(e->args[0])) {
    const std::string* field = e->args[1]->literal.as_string();
    if (field != nullptr && *field == claim) return true;
  }
  if (selects(e->target, claim)) return true;
  for (const cel::Expr* arg : e->args) {
    if (selects(arg, claim)) return true;
  }
  for (const auto& entry : e->entries) {
    if (selects(entry.key, claim) || selects(entry.value, claim)) return true;
  }
  const auto& loop = e->loop;
  for (const cel::Expr* part : {loop.range, loop.init, loop.condition, loop.step, loop.result}) {
    if (selects(part, claim)) return true;
  }
  return false;
}

bool uses_claim(const std::string& expression, std::string_view claim) {
  cel::Ast ast(expression);
  cel::parse(ast);
  return ast.issues.empty() && selects(ast.root, claim);
}

std::optional<Expression> compile(const cel::Environment& environment, std::string text, std::string about,
                                  bool condition, const FieldPath& path, FieldErrors& errors) {
  cel::Compilation compiled = environment.compile(text);
  if (!compiled.error.empty()) {
    errors.invalid(path, text, "compilation failed: " + compiled.error);
  } else if (compiled.program == nullptr) {
    errors.internal(path, "program instantiation failed: " + compiled.instantiation_error);
  } else if (condition && !cel::is_bool(compiled.program->output_type())) {
    errors.invalid(path, text, "must evaluate to bool");
  } else {
    return Expression{std::move(text), std::move(compiled.program), std::move(about)};
  }
  return std::nullopt;
}

Status refused(std::string_view what, std::string_view why) {
  return {Code::kUnauthorized, base::cat("oidc: error evaluating ", what, ": ", why)};
}

Result<cel::Value> evaluate(const Expression& expression, const cel::Activation& variables) {
  cel::Evaluation done = expression.program->evaluate(variables);
  if (done.ok()) return std::move(done.value);
  return Status(Code::kUnauthorized,
                base::cat("expression '", expression.text, "' resulted in error: ", done.error));
}

/// A string, a list of strings or null, without what is empty.
Result<std::vector<std::string>> texts_of(const cel::Value& value) {
  const Status wrong(Code::kUnauthorized, "expression must return a string or a list of strings");
  Json tree;
  if (!value.to_json(tree)) return wrong;
  std::vector<std::string> out;
  if (tree.is_null()) return out;
  if (tree.is_string()) tree = Json::array({tree});
  if (!tree.is_array()) return wrong;
  for (const Json& one : tree) {
    if (!one.is_string()) return wrong;
    if (!one.get_ref<const std::string&>().empty()) out.push_back(one.get<std::string>());
  }
  return out;
}

class Compiled final : public ClaimExpressions {
 public:
  bool names_user() const override { return username.has_value(); }

  Status map(const Json& claims, UserInfo& user) const override {
    const Json tree = with_escaped_names(claims);
    cel::Activation variables;
    variables.set("claims", cel::Value::view(tree));
    if (username) {
      ORCH_RETURN_IF_ERROR(text(*username, "username", variables, user.name));
      if (user.name.empty())
        return {Code::kUnauthorized, "oidc: empty username via CEL expression is not allowed"};
    }
    if (groups) {
      auto value = evaluate(*groups, variables);
      if (!value.ok()) return refused("group claim expression", value.error().message());
      auto list = texts_of(*value);
      if (!list.ok()) return refused("group claim expression", list.error().message());
      user.groups = std::move(*list);
    }
    if (uid) ORCH_RETURN_IF_ERROR(text(*uid, "uid", variables, user.uid));
    for (const Expression& one : extra) {
      auto value = evaluate(one, variables);
      if (!value.ok()) return value.error();
      auto list = texts_of(*value);
      if (!list.ok())
        return refused("extra claim expression", base::cat(one.text, ": ", list.error().message()));
      if (!list->empty()) user.extra[one.about] = std::move(*list);
    }
    return {};
  }

  Status check(const Json& claims, const UserInfo& user) const override {
    if (!claim_rules.empty()) {
      const Json tree = with_escaped_names(claims);
      cel::Activation variables;
      variables.set("claims", cel::Value::view(tree));
      ORCH_RETURN_IF_ERROR(hold(claim_rules, variables, "claim validation expression"));
    }
    if (user_rules.empty()) return {};
    Json tree = {{"username", user.name}, {"uid", user.uid}, {"groups", user.groups}};
    tree["extra"] = user.extra.empty() ? Json::object() : Json(user.extra);
    cel::Activation variables;
    variables.set("user", cel::Value::view(tree));
    return hold(user_rules, variables, "user info validation rule");
  }

  std::optional<Expression> username, groups, uid;
  std::vector<Expression> extra, claim_rules, user_rules;

 private:
  static Status text(const Expression& expression, std::string_view name, const cel::Activation& variables,
                     std::string& out) {
    const std::string what = base::cat(name, " claim expression");
    auto value = evaluate(expression, variables);
    if (!value.ok()) return refused(what, value.error().message());
    Json tree;
    if (!value->to_json(tree) || !tree.is_string()) return refused(what, what + " must return a string");
    out = tree.get<std::string>();
    return {};
  }

  static Status hold(const std::vector<Expression>& rules, const cel::Activation& variables,
                     std::string_view what) {
    // All are evaluated before any is judged: an error in a later one comes first.
    std::vector<cel::Value> values;
    for (const Expression& rule : rules) {
      auto value = evaluate(rule, variables);
      if (!value.ok()) return refused(what, value.error().message());
      values.push_back(std::move(*value));
    }
    for (size_t i = 0; i < rules.size(); ++i) {
      const std::optional<bool> holds = values[i].as_bool();
      if (!holds) return refused(what, "validation expression must return a boolean");
      if (!*holds)
        return refused(what,
                       base::cat("validation expression '", rules[i].text, "' failed: ", rules[i].about));
    }
    return {};
  }
};

bool is_reserved(std::string_view key) {
  const std::string_view domain = key.substr(0, key.find('/'));
  if (domain.size() == key.size()) return false;
  const auto under = [&](std::string_view root) {
    return domain == root ||
           (domain.size() > root.size() && domain.substr(domain.size() - root.size()) == root &&
            domain[domain.size() - root.size() - 1] == '.');
  };
  return under("kubernetes.io") || under("k8s.io");
}

void read_claim_rules(const Json& jwt, const FieldPath& path, Compiled& out, FieldErrors& errors) {
  const Json& rules = base::array_at(jwt, {"claimValidationRules"});
  std::vector<std::string> claims, expressions;
  const auto seen = [](std::vector<std::string>& list, const std::string& one) {
    if (std::find(list.begin(), list.end(), one) != list.end()) return true;
    list.push_back(one);
    return false;
  };
  for (size_t i = 0; i < rules.size(); ++i) {
    const FieldPath at = path.child("claimValidationRules").index(i);
    const std::string claim(base::string_at(rules[i], {"claim"}));
    const std::string expression(base::string_at(rules[i], {"expression"}));
    const std::string message(base::string_at(rules[i], {"message"}));
    const std::string required(base::string_at(rules[i], {"requiredValue"}));
    if (!claim.empty() && !expression.empty()) {
      errors.invalid(at, claim, "claim and expression can't both be set");
    } else if (!claim.empty()) {
      if (!message.empty())
        errors.invalid(at.child("message"), message, "may not be specified when claim is set");
      if (seen(claims, claim)) errors.duplicate(at.child("claim"), claim);
    } else if (expression.empty()) {
      errors.required(at, "claim or expression is required");
    } else {
      if (!required.empty())
        errors.invalid(at.child("requiredValue"), required, "may not be specified when expression is set");
      if (seen(expressions, expression)) {
        errors.duplicate(at.child("expression"), expression);
      } else if (auto made = compile(claims_environment(), expression, message, true, at.child("expression"),
                                     errors)) {
        out.claim_rules.push_back(std::move(*made));
      }
    }
  }
}

void read_user_rules(const Json& jwt, const FieldPath& path, Compiled& out, FieldErrors& errors) {
  const Json& rules = base::array_at(jwt, {"userValidationRules"});
  for (size_t i = 0; i < rules.size(); ++i) {
    const FieldPath at = path.child("userValidationRules").index(i).child("expression");
    const std::string expression(base::string_at(rules[i], {"expression"}));
    const bool again =
        std::any_of(rules.begin(), rules.begin() + static_cast<std::ptrdiff_t>(i),
                    [&](const Json& r) { return base::string_at(r, {"expression"}) == expression; });
    if (expression.empty()) {
      errors.required(at);
    } else if (again) {
      errors.duplicate(at, expression);
    } else if (auto made = compile(user_environment(), expression,
                                   std::string(base::string_at(rules[i], {"message"})), true, at, errors)) {
      out.user_rules.push_back(std::move(*made));
    }
  }
}

/// username, groups or uid.
std::optional<Expression> read_mapping(const Json& mappings, const char* name, const FieldPath& path,
                                       FieldErrors& errors) {
  const Json& mapping = base::object_at(mappings, {name});
  const std::string expression(base::string_at(mapping, {"expression"}));
  if (expression.empty()) return std::nullopt;
  const FieldPath at = path.child(name);
  if (!base::string_at(mapping, {"claim"}).empty()) {
    errors.invalid(at, "", "claim and expression can't both be set");
    return std::nullopt;
  }
  if (const Json* prefix = base::find_path(mapping, {"prefix"}); prefix != nullptr && prefix->is_string())
    errors.invalid(at.child("prefix"), *prefix, "may not be specified when expression is set");
  return compile(claims_environment(), expression, {}, false, at.child("expression"), errors);
}

void read_extra(const Json& mappings, const FieldPath& path, Compiled& out, FieldErrors& errors) {
  const Json& list = base::array_at(mappings, {"extra"});
  for (size_t i = 0; i < list.size(); ++i) {
    const FieldPath at = path.child("extra").index(i);
    const std::string key(base::string_at(list[i], {"key"}));
    const std::string expression(base::string_at(list[i], {"valueExpression"}));
    api::validate_domain_prefixed_path(key, at.child("key"), errors);
    if (std::any_of(key.begin(), key.end(), [](char c) { return c >= 'A' && c <= 'Z'; }))
      errors.invalid(at.child("key"), key, "must be lowercase");
    if (is_reserved(key))
      errors.invalid(at.child("key"), key,
                     "k8s.io, kubernetes.io and their subdomains are reserved for Kubernetes use");
    if (std::any_of(list.begin(), list.begin() + static_cast<std::ptrdiff_t>(i),
                    [&](const Json& m) { return base::string_at(m, {"key"}) == key; })) {
      errors.duplicate(at.child("key"), key);
    } else if (expression.empty()) {
      errors.required(at.child("valueExpression"));
    } else if (auto made = compile(claims_environment(), expression, key, false, at.child("valueExpression"),
                                   errors)) {
      out.extra.push_back(std::move(*made));
    }
  }
}

/// An address that nobody verified names nobody.
void check_email(const Compiled& out, const FieldPath& path, FieldErrors& errors) {
  if (!out.username || !uses_claim(out.username->text, "email")) return;
  const auto verified = [](const Expression& e) { return uses_claim(e.text, "email_verified"); };
  if (verified(*out.username) || std::any_of(out.extra.begin(), out.extra.end(), verified) ||
      std::any_of(out.claim_rules.begin(), out.claim_rules.end(), verified))
    return;
  errors.invalid(
      path.child("username").child("expression"), out.username->text,
      "claims.email_verified must be used in claimMappings.username.expression or "
      "claimMappings.extra[*].valueExpression or claimValidationRules[*].expression when claims.email "
      "is used in claimMappings.username.expression");
}

}  // namespace

std::shared_ptr<const ClaimExpressions> read_claim_expressions(const Json& jwt, const FieldPath& path,
                                                               FieldErrors& errors) {
  auto out = std::make_shared<Compiled>();
  read_claim_rules(jwt, path, *out, errors);
  const Json& mappings = base::object_at(jwt, {"claimMappings"});
  const FieldPath mapped = path.child("claimMappings");
  out->username = read_mapping(mappings, "username", mapped, errors);
  out->groups = read_mapping(mappings, "groups", mapped, errors);
  out->uid = read_mapping(mappings, "uid", mapped, errors);
  read_extra(mappings, mapped, *out, errors);
  check_email(*out, mapped, errors);
  read_user_rules(jwt, path, *out, errors);
  const bool any = out->username || out->groups || out->uid || !out->extra.empty() ||
                   !out->claim_rules.empty() || !out->user_rules.empty();
  return any ? out : nullptr;
}

}  // namespace orch::server
