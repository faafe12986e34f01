// The macros: has, all, exists, exists_one, map, filter, those with two variables, optMap, optFlatMap,
// sortBy.
#include "api/cel/ast.h"

namespace orch::api::cel {

namespace {

/// Makes nodes at the place of the macro's call.
class Expander {
 public:
  Expander(Ast& ast, int64_t id) : ast_(ast), offset_(ast.offset(id)) {}

  Expr* make(ExprKind kind) { return ast_.add(ast_.new_id(offset_), kind); }
  Expr* literal(Value value) {
    Expr* e = make(ExprKind::kLiteral);
    e->literal = std::move(value);
    return e;
  }
  Expr* ident(std::string_view name) {
    Expr* e = make(ExprKind::kIdent);
    e->name = name;
    return e;
  }
  Expr* accumulator() { return ident(kAccumulator); }
  Expr* list(std::vector<Expr*> items = {}) {
    Expr* e = make(ExprKind::kList);
    e->optional_args.resize(items.size());
    e->args = std::move(items);
    return e;
  }
  Expr* call(std::string_view function, std::vector<Expr*> args) {
    Expr* e = make(ExprKind::kCall);
    e->name = function;
    e->args = std::move(args);
    return e;
  }
  Expr* member_call(std::string_view function, Expr* target, std::vector<Expr*> args = {}) {
    Expr* e = call(function, std::move(args));
    e->target = target;
    e->member = true;
    return e;
  }
  Expr* loop(Expr* range, std::string variable, std::string variable2, std::string_view accumulator,
             Expr* init, Expr* condition, Expr* step, Expr* result) {
    Expr* e = make(ExprKind::kComprehension);
    e->loop = {range,
               init,
               condition,
               step,
               result,
               std::move(variable),
               std::move(variable2),
               std::string(accumulator)};
    for (const Expr* part : {range, init, condition, step, result})
      e->depth = std::max(e->depth, part->depth);
    return e;
  }
  /// Evaluates `init` once under a name.
  Expr* bind(const std::string& name, Expr* init, Expr* result) {
    return loop(list(), "#unused", "", name, init, literal(Value::of(false)), ident(name), result);
  }

  /// The same tree with ids of its own.
  Expr* copy(const Expr* e) {
    Expr* c = ast_.add(ast_.new_id(ast_.offset(e->id)), e->kind);
    const int64_t id = c->id;
    *c = *e;
    c->id = id;
    if (c->target != nullptr) c->target = copy(c->target);
    for (Expr*& arg : c->args) arg = copy(arg);
    for (Expr::Entry& entry : c->entries) {
      entry.id = ast_.new_id(offset_);
      if (entry.key != nullptr) entry.key = copy(entry.key);
      entry.value = copy(entry.value);
    }
    for (Expr** part : {&c->loop.range, &c->loop.init, &c->loop.condition, &c->loop.step, &c->loop.result}) {
      if (*part != nullptr) *part = copy(*part);
    }
    return c;
  }

  Expr* error(const Expr* at, std::string message) {
    Expr* e = ast_.add(ast_.new_id(ast_.offset(at->id)), ExprKind::kUnspecified);
    ast_.report(e->id, std::move(message));
    return e;
  }

 private:
  Ast& ast_;
  int32_t offset_;
};

bool is_accumulator(std::string_view name) { return name == kAccumulator || name == "__result__"; }

struct Variables {
  std::string first, second;
};

/// The variable or the two of a macro; null, or the error.
Expr* variables(Expander& x, const std::vector<Expr*>& args, bool two, const char* complaint,
                Variables& out) {
  for (size_t i = 0; i < (two ? 2U : 1U); ++i) {
    if (args[i]->kind != ExprKind::kIdent) return x.error(args[i], complaint);
  }
  out.first = args[0]->name;
  if (two) {
    out.second = args[1]->name;
    if (out.first == out.second) return x.error(args[1], "duplicate variable name: " + out.first);
  }
  for (size_t i = 0; i < (two ? 2U : 1U); ++i) {
    if (is_accumulator(args[i]->name)) {
      return x.error(args[i], "iteration variable overwrites accumulator variable");
    }
  }
  return nullptr;
}

Expr* quantifier(Expander& x, std::string_view kind, Expr* range, const std::vector<Expr*>& args) {
  const bool two = args.size() == 3;
  Variables vars;
  if (Expr* error = variables(x, args, two, "argument must be a simple name", vars)) return error;
  Expr* test = args.back();
  if (kind == "all") {
    Expr* init = x.literal(Value::of(true));
    Expr* condition = x.call("@not_strictly_false", {x.accumulator()});
    Expr* step = x.call("_&&_", {x.accumulator(), test});
    return x.loop(range, vars.first, vars.second, kAccumulator, init, condition, step, x.accumulator());
  }
  if (kind == "exists") {
    Expr* init = x.literal(Value::of(false));
    Expr* condition = x.call("@not_strictly_false", {x.call("!_", {x.accumulator()})});
    Expr* step = x.call("_||_", {x.accumulator(), test});
    return x.loop(range, vars.first, vars.second, kAccumulator, init, condition, step, x.accumulator());
  }
  Expr* init = x.literal(Value::of(int64_t{0}));
  Expr* condition = x.literal(Value::of(true));
  Expr* more = x.call("_+_", {x.accumulator(), x.literal(Value::of(int64_t{1}))});
  Expr* step = x.call("_?_:_", {test, more, x.accumulator()});
  Expr* result = x.call("_==_", {x.accumulator(), x.literal(Value::of(int64_t{1}))});
  return x.loop(range, vars.first, vars.second, kAccumulator, init, condition, step, result);
}

/// map, filter, transformList: a list of what `transform` makes of the items that pass `filter` (or all).
Expr* to_list(Expander& x, Expr* range, const Variables& vars, Expr* filter, Expr* transform) {
  Expr* init = x.list();
  Expr* condition = x.literal(Value::of(true));
  Expr* step = x.call("_+_", {x.accumulator(), x.list({transform})});
  if (filter != nullptr) step = x.call("_?_:_", {filter, step, x.accumulator()});
  return x.loop(range, vars.first, vars.second, kAccumulator, init, condition, step, x.accumulator());
}

Expr* map(Expander& x, Expr* range, const std::vector<Expr*>& args) {
  Variables vars;
  if (Expr* error = variables(x, args, false, "argument is not an identifier", vars)) return error;
  return to_list(x, range, vars, args.size() == 3 ? args[1] : nullptr, args.back());
}

Expr* filter(Expander& x, Expr* range, const std::vector<Expr*>& args) {
  Variables vars;
  if (Expr* error = variables(x, args, false, "argument is not an identifier", vars)) return error;
  return to_list(x, range, vars, args[1], args[0]);
}

Expr* transform(Expander& x, std::string_view kind, Expr* range, const std::vector<Expr*>& args) {
  Variables vars;
  if (Expr* error = variables(x, args, true, "argument must be a simple name", vars)) return error;
  Expr* condition = args.size() == 4 ? args[2] : nullptr;
  if (kind == "transformList") return to_list(x, range, vars, condition, args.back());
  std::vector<Expr*> insert = {x.accumulator()};
  if (kind == "transformMap") insert.push_back(x.ident(vars.first));
  insert.push_back(args.back());
  Expr* step = x.call("cel.@mapInsert", std::move(insert));
  if (condition != nullptr) step = x.call("_?_:_", {condition, step, x.accumulator()});
  Expr* init = x.make(ExprKind::kMap);
  Expr* always = x.literal(Value::of(true));
  return x.loop(range, vars.first, vars.second, kAccumulator, init, always, step, x.accumulator());
}

Expr* opt_map(Expander& x, const std::string& kind, Expr* target, const std::vector<Expr*>& args) {
  if (args[0]->kind != ExprKind::kIdent) {
    return x.error(args[0], kind + "() variable name must be a simple identifier");
  }
  Expr* has_value = x.member_call("hasValue", target);
  Expr* value = x.member_call("value", x.copy(target));
  Expr* result = x.bind(args[0]->name, value, args[1]);
  if (kind == "optMap") result = x.call("optional.of", {result});
  return x.call("_?_:_", {has_value, result, x.call("optional.none", {})});
}

Expr* sort_by(Expander& x, Expr* target, const std::vector<Expr*>& args) {
  constexpr const char* kInput = "@__sortBy_input__";
  switch (target->kind) {
    case ExprKind::kList:
    case ExprKind::kSelect:
    case ExprKind::kIdent:
    case ExprKind::kComprehension:
    case ExprKind::kCall:
      break;
    default:
      return x.error(target,
                     "sortBy can only be applied to a list, identifier, comprehension, call or select "
                     "expression");
  }
  Expr* keys = map(x, x.ident(kInput), args);
  if (keys->kind != ExprKind::kComprehension) return keys;
  Expr* sorted = x.member_call("@sortByAssociatedKeys", x.ident(kInput), {keys});
  return x.bind(kInput, target, sorted);
}

/// cel.bind(name, value, result)
Expr* bind_name(Expander& x, const std::vector<Expr*>& args) {
  if (args[0]->kind != ExprKind::kIdent)
    return x.error(args[0], "cel.bind() variable names must be simple identifiers");
  return x.bind(args[0]->name, args[1], args[2]);
}

Expr* has(Expander& x, const std::vector<Expr*>& args) {
  if (args[0]->kind != ExprKind::kSelect) return x.error(args[0], "invalid argument to has() macro");
  Expr* e = x.make(ExprKind::kSelect);
  e->target = args[0]->target;
  e->name = args[0]->name;
  e->test_only = true;
  e->depth = args[0]->depth;
  return e;
}

}  // namespace

Expr* expand_macro(Ast& ast, int64_t id, const std::string& function, Expr* target,
                   const std::vector<Expr*>& args) {
  Expander x(ast, id);
  const size_t n = args.size();
  if (target == nullptr) return function == "has" && n == 1 ? has(x, args) : nullptr;
  if (function == "all" || function == "exists" || function == "exists_one") {
    return n == 2 || n == 3 ? quantifier(x, function, target, args) : nullptr;
  }
  if (function == "existsOne") return n == 3 ? quantifier(x, function, target, args) : nullptr;
  if (function == "map") return n == 2 || n == 3 ? map(x, target, args) : nullptr;
  if (function == "filter") return n == 2 ? filter(x, target, args) : nullptr;
  if (function == "transformList" || function == "transformMap" || function == "transformMapEntry") {
    return n == 3 || n == 4 ? transform(x, function, target, args) : nullptr;
  }
  if (function == "optMap" || function == "optFlatMap") {
    return n == 2 ? opt_map(x, function, target, args) : nullptr;
  }
  if (function == "bind" && ast.bindings && n == 3 && target->kind == ExprKind::kIdent &&
      target->name == "cel")
    return bind_name(x, args);
  if (function == "sortBy") return n == 2 ? sort_by(x, target, args) : nullptr;
  return nullptr;
}

}  // namespace orch::api::cel
