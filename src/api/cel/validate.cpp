// The checks Kubernetes adds to the type checker's (cel.ASTValidators of its base environment).
#include "api/cel/environment.h"
#include "api/cel/format_text.h"
#include "api/cel/program.h"
#include "api/cel/time_text.h"

namespace orch::api::cel {

namespace {

using Kind = Value::Kind;

/// Calls `visit` for every node, parents first; `exempt`: within the arguments of format().
template <typename Visit>
void walk(const Expr& e, bool exempt, Visit& visit) {
  visit(e, exempt);
  const bool below = exempt || (e.kind == ExprKind::kCall && e.name == "format");
  if (e.target != nullptr) walk(*e.target, below, visit);
  for (const Expr* arg : e.args) walk(*arg, below, visit);
  for (const Expr::Entry& entry : e.entries) {
    if (entry.key != nullptr) walk(*entry.key, below, visit);
    walk(*entry.value, below, visit);
  }
  if (e.kind == ExprKind::kComprehension) {
    for (const Expr* part : {e.loop.range, e.loop.init, e.loop.condition, e.loop.step, e.loop.result}) {
      walk(*part, below, visit);
    }
  }
}

bool bad_literal(std::string_view function, const Value& literal) {
  if (function == "matches") {
    std::string error;
    return literal.kind() == Kind::kString && compile_pattern(text_of(literal), error) == nullptr;
  }
  const Value value = convert(literal, function == "duration" ? *duration_type() : *timestamp_type());
  return value.is_error();
}

class Validator {
 public:
  Validator(Ast& ast, const Checked& checked) : ast_(ast), checked_(checked) {}

  void literals(std::string_view function) {
    auto visit = [&](const Expr& e, bool) {
      if (e.kind != ExprKind::kCall || e.name != function || e.args.empty()) return;
      const Expr& arg = *e.args[0];
      if (arg.kind != ExprKind::kLiteral || !bad_literal(function, arg.literal)) return;
      ast_.report(arg.id, "invalid " + std::string(function) + " argument");
    };
    walk(*ast_.root, false, visit);
  }

  void aggregates() {
    auto lists = [&](const Expr& e, bool exempt) {
      if (e.kind == ExprKind::kList && !exempt) list(e);
    };
    walk(*ast_.root, false, lists);
    auto maps = [&](const Expr& e, bool exempt) {
      if (e.kind == ExprKind::kMap && !exempt) map(e);
    };
    walk(*ast_.root, false, maps);
  }

  void formats() {
    auto visit = [&](const Expr& e, bool) {
      if (e.kind != ExprKind::kCall || !e.member || e.name != "format" || e.args.size() != 1) return;
      if (e.target->kind != ExprKind::kLiteral || e.target->literal.kind() != Kind::kString) return;
      if (e.args[0]->kind != ExprKind::kList) return;
      check_format(ast_, checked_, e);
    };
    walk(*ast_.root, false, visit);
  }

 private:
  Type unwrapped(const Expr& e, bool optional) const {
    const Type& type = checked_.type(e);
    return optional && !type->params.empty() ? type->params[0] : type;
  }

  /// Equal, or equal but for what is dyn in neither: types are compared as they stand.
  void same(const Expr& at, const Type& expected, const Type& actual, bool& good) {
    if (exact(*expected, *actual)) return;
    good = false;
    ast_.report(at.id,
                "expected type '" + format_type(*expected) + "' but found '" + format_type(*actual) + "'");
  }

  void list(const Expr& e) {
    Type element;
    for (size_t i = 0; i < e.args.size(); ++i) {
      Type type = unwrapped(*e.args[i], e.optional_args[i]);
      if (!element) {
        element = std::move(type);
        continue;
      }
      bool good = true;
      same(*e.args[i], element, type, good);
      if (!good) break;
    }
  }

  void map(const Expr& e) {
    Type key;
    Type value;
    for (const Expr::Entry& entry : e.entries) {
      const Type value_type = unwrapped(*entry.value, entry.optional);
      if (!key) {
        key = checked_.type(*entry.key);
        value = value_type;
        continue;
      }
      bool good = true;
      same(*entry.key, key, checked_.type(*entry.key), good);
      same(*entry.value, value, value_type, good);
    }
  }

  Ast& ast_;
  const Checked& checked_;
};

}  // namespace

void validate(Ast& ast, const Checked& checked) {
  Validator v(ast, checked);
  for (const char* function : {"duration", "timestamp", "matches"}) v.literals(function);
  v.aggregates();
  v.formats();
}

}  // namespace orch::api::cel
