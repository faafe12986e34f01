// The type checker: unification of type parameters over the overloads of functions.
#include <unordered_map>

#include "api/cel/environment.h"

namespace orch::api::cel {

namespace {

/// What type parameters stand for. Only parameters are keys.
class Mapping {
 public:
  const Type* find(const TypeNode& param) const {
    if (param.kind != TypeKind::kTypeParam) return nullptr;
    const auto found = map_.find(param.name);
    return found == map_.end() ? nullptr : &found->second;
  }
  void add(const TypeNode& param, Type to) { map_[param.name] = std::move(to); }

 private:
  std::unordered_map<std::string, Type> map_;
};

bool is_error(const TypeNode& t) { return t.kind == TypeKind::kError; }
bool dyn_or_error(const TypeNode& t) { return is_error(t) || is_dyn_kind(t); }

/// May a null stand for it?
bool nullable(const TypeNode& t) {
  switch (t.kind) {
    case TypeKind::kOpaque:
    case TypeKind::kStruct:
    case TypeKind::kAny:
    case TypeKind::kDuration:
    case TypeKind::kTimestamp:
    case TypeKind::kNull:
    case TypeKind::kDyn:
      return true;
    default:
      return false;
  }
}

bool equal_or_less_specific(const TypeNode& a, const TypeNode& b) {
  if (is_dyn_kind(a) || a.kind == TypeKind::kTypeParam) return true;
  if (is_dyn_kind(b) || b.kind == TypeKind::kTypeParam || a.kind != b.kind) return false;
  if (a.kind == TypeKind::kType) return true;
  if (a.kind != TypeKind::kOpaque && a.kind != TypeKind::kList && a.kind != TypeKind::kMap)
    return exact(a, b);
  if (a.name != b.name || a.params.size() != b.params.size()) return false;
  for (size_t i = 0; i < a.params.size(); ++i) {
    if (!equal_or_less_specific(*a.params[i], *b.params[i])) return false;
  }
  return true;
}

Type most_general(const Type& a, const Type& b) { return equal_or_less_specific(*a, *b) ? a : b; }

bool not_referenced_in(const Mapping& m, const TypeNode& t, const TypeNode& within) {
  if (exact(t, within)) return false;
  if (within.kind == TypeKind::kTypeParam) {
    const Type* stands_for = m.find(within);
    return stands_for == nullptr || not_referenced_in(m, t, **stands_for);
  }
  for (const Type& param : within.params) {
    if (!not_referenced_in(m, t, *param)) return false;
  }
  return true;
}

bool assignable(Mapping& m, const Type& a, const Type& b);

/// May `param` stand for `type`? `known`: it already stands for something.
bool substitution(Mapping& m, const Type& type, const Type& param, bool& known) {
  known = true;
  if (exact(*type, *param)) return true;
  if (const Type* now = m.find(*param)) {
    const Type current = *now;
    if (exact(*type, *current)) return true;
    if (!assignable(m, type, current)) return false;
    Type general = most_general(type, current);
    if (not_referenced_in(m, *param, *general)) m.add(*param, std::move(general));
    return true;
  }
  known = false;
  if (!not_referenced_in(m, *param, *type)) return false;
  m.add(*param, type);
  return true;
}

bool assignable_lists(Mapping& m, const std::vector<Type>& a, const std::vector<Type>& b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (!assignable(m, a[i], b[i])) return false;
  }
  return true;
}

bool assignable(Mapping& m, const Type& a, const Type& b) {
  bool known = false;
  if (b->kind == TypeKind::kTypeParam) {
    if (substitution(m, a, b, known)) return true;
    if (known) return false;
  }
  if (a->kind == TypeKind::kTypeParam) return substitution(m, b, a, known);
  if (dyn_or_error(*a) || dyn_or_error(*b)) return true;
  if (a->kind == TypeKind::kNull) return nullable(*b);
  if (b->kind == TypeKind::kNull) return nullable(*a);
  switch (a->kind) {
    case TypeKind::kType:
      return b->kind == TypeKind::kType;
    case TypeKind::kOpaque:
    case TypeKind::kList:
    case TypeKind::kMap:
      return a->kind == b->kind && a->name == b->name && assignable_lists(m, a->params, b->params);
    default:
      return exact(*a, *b);
  }
}

Type substitute(const Mapping& m, const Type& t, bool params_to_dyn) {
  if (const Type* stands_for = m.find(*t)) return substitute(m, *stands_for, params_to_dyn);
  if (t->kind == TypeKind::kTypeParam) return params_to_dyn ? dyn_type() : t;
  if (t->params.empty()) return t;
  std::vector<Type> params;
  bool changed = false;
  for (const Type& param : t->params) {
    params.push_back(substitute(m, param, params_to_dyn));
    changed = changed || params.back() != param;
  }
  if (!changed) return t;
  auto node = std::make_shared<TypeNode>(*t);
  node->params = std::move(params);
  return node;
}

/// "a.b.c" of a chain of selections.
bool qualified_name(const Expr& e, std::string& out) {
  if (e.kind == ExprKind::kIdent) {
    out = e.name;
    return true;
  }
  if (e.kind != ExprKind::kSelect || e.test_only || !qualified_name(*e.target, out)) return false;
  out += "." + e.name;
  return true;
}

class Checker {
 public:
  Checker(Ast& ast, const Environment::Rep& env) : ast_(ast), env_(env) {
    checked_.types.resize(ast.id_count());
  }

  Checked run() {
    check(*ast_.root);
    for (Type& type : checked_.types) {
      if (type) type = substitute(mapping_, type, true);
    }
    return std::move(checked_);
  }

 private:
  const Type& type(const Expr& e) const { return checked_.types[static_cast<size_t>(e.id)]; }
  void set_type(const Expr& e, Type t) { checked_.types[static_cast<size_t>(e.id)] = std::move(t); }

  bool is_assignable(const Type& a, const Type& b) {
    Mapping trial = mapping_;
    if (!cel::assignable(trial, a, b)) return false;
    mapping_ = std::move(trial);
    return true;
  }

  Type find_ident(std::string_view name) const {
    if (name.starts_with('.')) name.remove_prefix(1);
    // NOLINTNEXTLINE(modernize-loop-convert): clang 14 cannot read GCC's std::views::reverse.
    for (auto scope = scopes_.rbegin(); scope != scopes_.rend(); ++scope) {
      const auto found = scope->find(name);
      if (found != scope->end()) return found->second;
    }
    return env_.find_ident(name);
  }

  const Function* find_function(std::string_view name) const {
    if (name.starts_with('.')) name.remove_prefix(1);
    if (name == "jsonpatch.escapeKey" && !env_.mutation) return nullptr;
    return FunctionTable::builtin().find(name);
  }

  void undeclared(const Expr& e, const std::string& name) {
    set_type(e, error_type());
    ast_.report(e.id, "undeclared reference to '" + name + "' (in container '')");
  }

  void mismatch(const Expr& at, const Type& expected, const Type& actual) {
    ast_.report(at.id,
                "expected type '" + format_type(*expected) + "' but found '" + format_type(*actual) + "'");
  }

  void check(Expr& e) {
    switch (e.kind) {
      case ExprKind::kLiteral:
        set_type(e, value_type(e.literal));
        break;
      case ExprKind::kIdent:
        if (!resolve(e, e.name)) undeclared(e, e.name);
        break;
      case ExprKind::kSelect:
        check_select(e);
        break;
      case ExprKind::kCall:
        check_call(e);
        break;
      case ExprKind::kList:
        check_list(e);
        break;
      case ExprKind::kMap:
        check_map(e);
        break;
      case ExprKind::kStruct:
        check_struct(e);
        break;
      case ExprKind::kComprehension:
        check_loop(e);
        break;
      case ExprKind::kUnspecified:
        set_type(e, error_type());
        break;
    }
  }

  /// Makes the expression the identifier of that name, if there is one.
  bool resolve(Expr& e, std::string_view name) {
    Type found = find_ident(name);
    if (!found) return false;
    if (name.starts_with('.')) name.remove_prefix(1);
    std::string plain(name);
    set_type(e, std::move(found));
    checked_.references[e.id].name = plain;
    e.kind = ExprKind::kIdent;
    e.name = std::move(plain);
    return true;
  }

  void check_select(Expr& e) {
    std::string name;
    if (qualified_name(e, name) && resolve(e, name)) return;
    Type result = select_field(e, *e.target, e.name, false);
    if (e.test_only) result = bool_type();
    set_type(e, substitute(mapping_, result, false));
  }

  Type select_field(const Expr& e, Expr& operand, const std::string& field, bool optional) {
    check(operand);
    const Type operand_type = substitute(mapping_, type(operand), false);
    const bool from_optional = is_optional(*operand_type);
    const Type target = from_optional ? operand_type->params[0] : operand_type;
    Type result = error_type();
    switch (target->kind) {
      case TypeKind::kMap:
        result = target->params[1];
        break;
      case TypeKind::kStruct:
        if (Type found = field_of(e.id, target->name, field)) result = std::move(found);
        break;
      case TypeKind::kTypeParam:
        is_assignable(dyn_type(), target);
        result = dyn_type();
        break;
      default:
        if (!dyn_or_error(*target)) {
          ast_.report(e.id, "type '" + format_type(*target) + "' does not support field selection");
        }
        result = dyn_type();
        break;
    }
    return from_optional || optional ? optional_type(result) : result;
  }

  Type field_of(int64_t id, const std::string& type, const std::string& field) {
    if (!env_.find_struct(type)) {
      ast_.report(id, "unexpected failed resolution of '" + type + "'");
      return nullptr;
    }
    Type found = env_.find_field(type, field);
    if (!found) ast_.report(id, "undefined field '" + field + "'");
    return found;
  }

  void check_call(Expr& e) {
    if (e.name == "_?._" && !e.member) {
      const std::string& field = text_of(e.args[1]->literal);
      const Type result = select_field(e, *e.args[0], field, true);
      set_type(e, substitute(mapping_, result, false));
      set_type(*e.args[1], string_type());
      Checked::Reference& ref = checked_.references[e.id];
      ref.function = FunctionTable::builtin().find("_?._");
      ref.overloads = {&ref.function->overloads[0]};
      return;
    }
    for (Expr* arg : e.args) check(*arg);
    if (!e.member) {
      const Function* function = find_function(e.name);
      if (function == nullptr) return undeclared(e, e.name);
      if (e.name.starts_with('.')) e.name.erase(0, 1);
      return resolve_overload(e, *function);
    }
    std::string prefix;
    if (qualified_name(*e.target, prefix)) {
      if (const Function* function = find_function(prefix + "." + e.name)) {
        e.name = function->name;
        e.member = false;
        e.target = nullptr;
        return resolve_overload(e, *function);
      }
    }
    check(*e.target);
    const Function* function = find_function(e.name);
    if (function == nullptr) return undeclared(e, e.name);
    resolve_overload(e, *function);
  }

  void resolve_overload(Expr& e, const Function& function) {
    std::vector<Type> args;
    if (e.member) args.push_back(type(*e.target));
    for (const Expr* arg : e.args) args.push_back(type(*arg));
    Checked::Reference ref;
    ref.function = &function;
    if (function.name == "_&&_" || function.name == "_||_") {
      bool good = true;
      for (size_t i = 0; i < args.size(); ++i) {
        if (is_assignable(args[i], bool_type())) continue;
        mismatch(*e.args[i], bool_type(), args[i]);
        good = false;
      }
      set_type(e, good ? bool_type() : error_type());
      ref.overloads = {&function.overloads[0]};
      if (good) checked_.references[e.id] = std::move(ref);
      return;
    }
    Type result;
    for (const Overload& overload : function.overloads) {
      if (overload.member != e.member || overload.args.size() != args.size()) continue;
      Type declared_result = overload.result;
      std::vector<Type> declared = overload.args;
      if (overload.generic) instantiate(overload, declared, declared_result);
      Mapping trial = mapping_;
      if (!assignable_lists(trial, args, declared)) continue;
      mapping_ = std::move(trial);
      ref.overloads.push_back(&overload);
      Type found = substitute(mapping_, declared_result, false);
      if (!result) {
        result = std::move(found);
      } else if (!is_dyn_kind(*result) && !exact(*found, *result)) {
        result = dyn_type();
      }
    }
    if (!result) {
      no_overload(e, function.name, args);
      set_type(e, error_type());
      return;
    }
    set_type(e, std::move(result));
    checked_.references[e.id] = std::move(ref);
  }

  /// Gives an overload's type parameters names of their own.
  void instantiate(const Overload& overload, std::vector<Type>& args, Type& result) {
    Mapping fresh;
    for (const char* letter : {"A", "B", "K", "T", "V"}) {
      fresh.add(*type_param(letter), new_param());
    }
    for (Type& arg : args) arg = substitute(fresh, arg, false);
    result = substitute(fresh, overload.result, false);
  }

  Type new_param() { return type_param("_var" + std::to_string(params_++)); }

  void no_overload(const Expr& e, const std::string& name, std::vector<Type>& args) {
    std::string text;
    size_t i = 0;
    if (e.member) text += format_type(*substitute(mapping_, args[i++], true)) + ".";
    text += "(";
    for (size_t first = i; i < args.size(); ++i) {
      if (i > first) text += ", ";
      text += format_type(*substitute(mapping_, args[i], true));
    }
    ast_.report(e.id, "found no matching overload for '" + name + "' applied to '" + text + ")'");
  }

  /// Of the elements of a literal. That all must have one type is for validate() to say.
  Type join(const Type& previous, const Type& current) {
    if (!previous) return current;
    return is_assignable(previous, current) ? most_general(previous, current) : dyn_type();
  }

  /// The type within an optional, for elements with a question mark.
  Type unwrapped(const Expr& e) {
    const Type& t = type(e);
    if (is_optional(*t)) return t->params[0];
    if (!is_dyn_kind(*t)) mismatch(e, optional_type(t), t);
    return t;
  }

  void check_list(Expr& e) {
    Type element;
    for (size_t i = 0; i < e.args.size(); ++i) {
      check(*e.args[i]);
      element = join(element, e.optional_args[i] ? unwrapped(*e.args[i]) : type(*e.args[i]));
    }
    set_type(e, list_type(element ? element : new_param()));
  }

  void check_map(Expr& e) {
    Type key;
    Type value;
    for (const Expr::Entry& entry : e.entries) {
      check(*entry.key);
      key = join(key, type(*entry.key));
      check(*entry.value);
      value = join(value, entry.optional ? unwrapped(*entry.value) : type(*entry.value));
    }
    if (!key) {
      key = new_param();
      value = new_param();
    }
    set_type(e, map_type(key, value));
  }

  void check_struct(Expr& e) {
    const Type ident = find_ident(e.name);
    if (!ident) return undeclared(e, e.name);
    if (e.name.starts_with('.')) e.name.erase(0, 1);
    checked_.references[e.id].name = e.name;
    Type result = error_type();
    if (ident->kind != TypeKind::kError) {
      if (ident->kind != TypeKind::kType || ident->params.empty()) {
        ast_.report(e.id, "'" + ident->name + "' is not a type");
      } else if (ident->params[0]->kind == TypeKind::kStruct) {
        result = ident->params[0];
      } else {
        ast_.report(e.id, "'" + ident->params[0]->name + "' is not a message type");
      }
    }
    const std::string name = result->kind == TypeKind::kStruct ? result->name : e.name;
    set_type(e, result);
    for (const Expr::Entry& entry : e.entries) {
      check(*entry.value);
      Type field = field_of(entry.id, name, entry.field);
      if (!field) field = error_type();
      const Type value = entry.optional ? unwrapped(*entry.value) : type(*entry.value);
      if (is_assignable(field, value)) continue;
      ast_.report(entry.id, "expected type of field '" + entry.field + "' is '" + format_type(*field) +
                                "' but provided type is '" + format_type(*value) + "'");
    }
  }

  void check_loop(Expr& e) {
    const Expr::Loop& loop = e.loop;
    check(*loop.range);
    check(*loop.init);
    const Type range = substitute(mapping_, type(*loop.range), false);
    const Type accumulator = type(*loop.init);
    const bool two = !loop.variable2.empty();
    scopes_.push_back({{loop.accumulator, accumulator}});
    Type first = dyn_type();
    Type second = dyn_type();
    switch (range->kind) {
      case TypeKind::kList:
        first = two ? int_type() : range->params[0];
        second = range->params[0];
        break;
      case TypeKind::kMap:
        first = range->params[0];
        second = range->params[1];
        break;
      case TypeKind::kDyn:
      case TypeKind::kError:
      case TypeKind::kTypeParam:
        is_assignable(dyn_type(), range);
        break;
      default:
        ast_.report(loop.range->id,
                    "expression of type '" + format_type(*range) +
                        "' cannot be range of a comprehension (must be list, map, or dynamic)");
        first = error_type();
        second = error_type();
        break;
    }
    scopes_.push_back({{loop.variable, first}});
    if (two) scopes_.back()[loop.variable2] = second;
    check(*loop.condition);
    assert_type(*loop.condition, bool_type());
    check(*loop.step);
    assert_type(*loop.step, accumulator);
    scopes_.pop_back();
    check(*loop.result);
    scopes_.pop_back();
    set_type(e, substitute(mapping_, type(*loop.result), false));
  }

  void assert_type(const Expr& e, const Type& wanted) {
    if (!is_assignable(wanted, type(e))) mismatch(e, wanted, type(e));
  }

  Ast& ast_;
  const Environment::Rep& env_;
  Checked checked_;
  Mapping mapping_;
  std::vector<std::map<std::string, Type, std::less<>>> scopes_;
  int params_ = 0;
};

}  // namespace

Checked check(Ast& ast, const Environment::Rep& env) { return Checker(ast, env).run(); }

}  // namespace orch::api::cel
