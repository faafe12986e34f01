#include "api/cel/functions.h"

#include "embed/cel_functions.h"

namespace orch::api::cel {

namespace {

using Kind = Value::Kind;

Value by_order(const Value* args, bool less, bool same, bool greater) {
  Value order = compare(args[0], args[1]);
  if (order.is_error()) return order;
  const int64_t n = *order.as_int();
  return Value::of(n < 0 ? less : n > 0 ? greater : same);
}

Value not_operator(const Value* args, size_t) {
  if (const auto b = args[0].as_bool()) return Value::of(!*b);
  return maybe_no_such_overload(args[0]);
}
Value not_strictly_false(const Value* args, size_t) {
  return args[0].kind() == Kind::kBool ? args[0] : Value::of(true);
}
Value in(const Value* args, size_t) {
  if (args[1].kind() != Kind::kList && args[1].kind() != Kind::kMap) return maybe_no_such_overload(args[1]);
  return contains(args[1], args[0]);
}
Value size(const Value* args, size_t) { return Value::of(*size_of(args[0])); }
Value negate_operator(const Value* args, size_t) { return negate(args[0]); }
Value type_of(const Value* args, size_t) {
  if (dynamic_cast<const ObjectRep*>(ValueAccess::opaque(args[0])) != nullptr) {
    return ValueAccess::type(type_type(nullptr));
  }
  Type type = value_type(args[0]);
  if (!type->params.empty()) {
    auto bare = std::make_shared<TypeNode>(*type);
    bare->params.clear();
    type = std::move(bare);
  }
  return ValueAccess::type(std::move(type));
}

bool adds(const Value& v) { return (is_comparable(v) && v.kind() != Kind::kBool) || v.kind() == Kind::kList; }
bool calculates(const Value& v) {
  return v.kind() == Kind::kInt || v.kind() == Kind::kUint || v.kind() == Kind::kDouble;
}
bool is_whole(const Value& v) { return v.kind() == Kind::kInt || v.kind() == Kind::kUint; }
bool subtracts(const Value& v) {
  return calculates(v) || v.kind() == Kind::kDuration || v.kind() == Kind::kTimestamp;
}
bool negates(const Value& v) {
  return v.kind() == Kind::kInt || v.kind() == Kind::kDouble || v.kind() == Kind::kDuration ||
         v.kind() == Kind::kBool;
}
bool has_size(const Value& v) { return size_of(v).has_value(); }
bool is_list(const Value& v) { return v.kind() == Kind::kList; }

struct Universal {
  std::string_view name;
  Native code;
  bool (*accepts)(const Value&);
};

constexpr Universal kUniversal[] = {
    {"!_", not_operator, nullptr},
    {"-_", negate_operator, negates},
    {"@not_strictly_false", not_strictly_false, nullptr},
    {"@in", in, nullptr},
    {"_+_", [](const Value* a, size_t) { return add(a[0], a[1]); }, adds},
    {"_-_", [](const Value* a, size_t) { return subtract(a[0], a[1]); }, subtracts},
    {"_*_", [](const Value* a, size_t) { return multiply(a[0], a[1]); }, calculates},
    {"_/_", [](const Value* a, size_t) { return divide(a[0], a[1]); }, calculates},
    {"_%_", [](const Value* a, size_t) { return modulo(a[0], a[1]); }, is_whole},
    {"_<_", [](const Value* a, size_t) { return by_order(a, true, false, false); }, is_comparable},
    {"_<=_", [](const Value* a, size_t) { return by_order(a, true, true, false); }, is_comparable},
    {"_>_", [](const Value* a, size_t) { return by_order(a, false, false, true); }, is_comparable},
    {"_>=_", [](const Value* a, size_t) { return by_order(a, false, true, true); }, is_comparable},
    {"size", size, has_size},
    {"type", type_of, nullptr},
    {"dyn", [](const Value* a, size_t) { return a[0]; }, nullptr},
};

bool generic(const TypeNode& type) {
  if (type.kind == TypeKind::kTypeParam) return true;
  for (const Type& param : type.params) {
    if (generic(*param)) return true;
  }
  return false;
}

/// The text up to the next separator, which is taken off with it.
std::string_view cut(std::string_view& text, std::string_view separator) {
  const size_t at = text.find(separator);
  const std::string_view head = text.substr(0, at);
  text.remove_prefix(at == std::string_view::npos ? text.size() : at + separator.size());
  return head;
}

/// "id member (types) type"
Overload read_overload(std::string_view line) {
  Overload o;
  o.id = cut(line, " ");
  o.member = cut(line, " ") == "member";
  int depth = 0;
  size_t start = 1;
  size_t i = 0;
  for (; i < line.size(); ++i) {
    if (line[i] == '(') ++depth;
    if ((line[i] == ',' && depth == 1) || (line[i] == ')' && depth == 1)) {
      if (i > start) o.args.push_back(parse_type(line.substr(start, i - start)));
      start = i + 2;
    }
    if (line[i] == ')' && --depth == 0) break;
  }
  o.result = parse_type(line.substr(i + 2));
  o.generic = generic(*o.result);
  for (const Type& arg : o.args) o.generic = o.generic || generic(*arg);
  return o;
}

}  // namespace

FunctionTable::FunctionTable() {
  std::map<std::string_view, Native> code;
  for (const auto& library :
       {string_bindings(), list_bindings(), conversion_bindings(), time_bindings(), optional_bindings(),
        net_bindings(), url_bindings(), quantity_bindings(), semver_bindings(), format_bindings(),
        authorizer_bindings(), regex_bindings()}) {
    for (const Binding& b : library) code.emplace(b.overload, b.code);
  }
  std::string_view text = embedded::cel_functions();
  while (!text.empty()) {
    std::string_view line = cut(text, "\n");
    if (line.empty()) continue;
    const std::string_view name = cut(line, " ");
    Function& function = functions_[std::string(name)];
    function.name = name;
    Overload overload = read_overload(line);
    const auto found = code.find(overload.id);
    if (found != code.end()) overload.code = found->second;
    function.overloads.push_back(std::move(overload));
  }
  for (const Universal& u : kUniversal) {
    Function& function = functions_[std::string(u.name)];
    function.any = u.code;
    function.accepts = u.accepts;
  }
  for (const char* sorting : {"sort", "@sortByAssociatedKeys"}) {
    Function& function = functions_[sorting];
    function.any = code.at(sorting);
    function.accepts = is_list;
  }
  for (const auto& [name, overload] :
       {std::pair("contains", "contains_string"), std::pair("startsWith", "starts_with_string"),
        std::pair("endsWith", "ends_with_string")}) {
    functions_[name].any = code.at(overload);
  }
  Function& matches = functions_["matches"];
  matches.any = code.at("matches");
  matches.accepts = [](const Value& v) { return v.kind() == Kind::kString; };
}

const FunctionTable& FunctionTable::builtin() {
  static const FunctionTable table;
  return table;
}

const Function* FunctionTable::find(std::string_view name) const {
  const auto found = functions_.find(name);
  return found == functions_.end() ? nullptr : &found->second;
}

bool fits(const TypeNode& type, const Value& value) {
  if (value.is_error()) return false;
  if (type.kind == TypeKind::kTypeParam || is_dyn_kind(type)) return true;
  if (type.name != value_type_name(value)) return false;
  if (type.kind == TypeKind::kList && *size_of(value) > 0) return fits(*type.params[0], list_item(value, 0));
  auto takes_any = [](const Type& t) { return t->kind == TypeKind::kTypeParam || is_dyn_kind(*t); };
  if (type.kind == TypeKind::kMap && !(takes_any(type.params[0]) && takes_any(type.params[1]))) {
    const std::vector<Value> keys = map_keys(value);
    if (keys.empty()) return true;
    const std::optional<Value> first = map_find(value, keys[0]);
    return fits(*type.params[0], keys[0]) && first && fits(*type.params[1], *first);
  }
  return true;
}

Value no_overload_for(std::string_view function, const Value* args, size_t count) {
  std::string text = "no such overload: " + std::string(function) + "(";
  for (size_t i = 0; i < count; ++i) {
    if (args[i].is_error()) return args[i];
    if (i > 0) text += ", ";
    text += value_type_name(args[i]);
  }
  return Value::error(text + ")");
}

}  // namespace orch::api::cel
