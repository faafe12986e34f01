#include "api/cel/program.h"

namespace orch::api::cel {

using Kind = Value::Kind;
using A = ValueAccess;

namespace {

Value missing_key(const Value& key) { return Value::error("no such key: " + plain_text(key)); }

/// A step that must lead somewhere: the member or item; `present` false if there is none and `test` is set.
Value step_into(const Value& from, const Value& key, bool test, bool& present) {
  present = true;
  if (from.is_error()) return from;
  if (from.kind() == Kind::kMap) {
    std::optional<Value> found = map_find(from, key);
    if (found) return std::move(*found);
    present = false;
    return test ? Value() : missing_key(key);
  }
  if (from.kind() == Kind::kList) {
    std::string error;
    const std::optional<int64_t> i = list_index(key, error);
    if (!i) return Value::error(std::move(error));
    if (*i >= 0 && *i < *size_of(from)) return list_item(from, static_cast<size_t>(*i));
    present = false;
    return test ? Value() : Value::error("index out of bounds: " + plain_text(key));
  }
  if (const auto* object = dynamic_cast<const ObjectRep*>(A::opaque(from))) {
    if (key.kind() == Kind::kString) {
      const auto found = object->fields.find(text_of(key));
      if (found != object->fields.end()) return found->second;
    }
    present = false;
    return test ? Value() : missing_key(key);
  }
  present = false;
  return test ? Value() : missing_key(key);
}

/// What optional values give to the steps after them: without the schema it was read by.
Value bare(const Value& value) {
  const Json* tree = A::tree(value);
  return tree != nullptr && A::schema(value) != nullptr ? A::view(*tree, nullptr, A::keep(value)) : value;
}

Value apply(EvalContext& context, Value from, const std::vector<Qualifier>& steps) {
  bool is_optional = from.kind() == Kind::kOptional;
  if (is_optional) {
    const Value* held = A::optional(from);
    if (held == nullptr) return from;
    Value inner = bare(*held);
    from = std::move(inner);
  }
  for (const Qualifier& step : steps) {
    is_optional = is_optional || step.optional;
    const Value key = step.dynamic ? step.dynamic->resolve(context) : step.constant;
    bool present = true;
    Value next = key.is_error() ? key : step_into(from, key, is_optional || step.test_only, present);
    if (step.test_only) {
      if (next.is_error()) {
        context.charge(1);
        return next;
      }
      if (!is_optional || present) context.charge(1);
      if (is_optional && !present) return Value::optional_none();
      next = is_optional ? Value() : Value::of(present);
    } else {
      if (!is_optional || present) context.charge(1);
      if (next.is_error()) return next;
      if (is_optional && !present) return Value::optional_none();
    }
    if (context.cancelled) return Value();
    from = std::move(next);
  }
  return is_optional ? Value::optional_of(std::move(from)) : from;
}

bool is_list_or_map(const Value& v) { return v.kind() == Kind::kList || v.kind() == Kind::kMap; }

/// A variable of a comprehension; null if the name is none of theirs.
const Value* find_local(EvalContext& context, const std::string& name, Value& moved) {
  for (Frame* frame = context.frame; frame != nullptr; frame = frame->parent) {
    if (name == frame->fold->accumulator) {
      if (!frame->initialized) {
        frame->initialized = true;
        Frame* const current = context.frame;
        context.frame = frame->parent;
        frame->accumulator = frame->fold->init->eval(context);
        context.frame = current;
      }
      if (frame->in_result || !is_list_or_map(frame->accumulator)) return &frame->accumulator;
      // A step reads the collection once and gives it back: it can grow in place.
      moved = std::move(frame->accumulator);
      frame->accumulator = Value();
      return &moved;
    }
    if (frame->in_result) continue;
    if (name == frame->fold->variable) return &frame->first;
    if (!frame->fold->variable2.empty() && name == frame->fold->variable2) return &frame->second;
  }
  return nullptr;
}

}  // namespace

// --- Attributes -----------------------------------------------------------------------------------

void Attribute::add(const Qualifier& step) {
  if (kind == Kind::kConditional) {
    yes->add(step);
    no->add(step);
  } else {
    steps.push_back(step);
  }
}

Value Attribute::resolve(EvalContext& context) const {
  if (context.cancelled) return Value();
  switch (kind) {
    case Kind::kVariable: {
      Value moved;
      const Value* found = find_local(context, name, moved);
      if (found == &moved) return apply(context, std::move(moved), steps);
      if (found == nullptr) found = context.variables.find(name);
      if (found == nullptr) return Value::error("no such attribute(s): " + name);
      if (found->is_error()) return *found;
      return apply(context, *found, steps);
    }
    case Kind::kOperand: {
      Value value = operand->eval(context);
      if (value.is_error() || context.cancelled) return value;
      return apply(context, std::move(value), steps);
    }
    case Kind::kConditional: {
      const Value condition = operand->eval(context);
      if (context.cancelled) return Value();
      if (condition.kind() != Value::Kind::kBool) return maybe_no_such_overload(condition);
      return (condition.is_true() ? yes : no)->resolve(context);
    }
  }
  return Value();
}

Value AttributeNode::eval(EvalContext& context) const {
  Value value = attribute->resolve(context);
  if (context.cancelled) return Value();
  if (test_only) {
    if (value.kind() == Kind::kOptional) return Value::of(A::optional(value) != nullptr);
    return value;
  }
  if (attribute->kind != Attribute::Kind::kConditional) context.charge(1);
  return value;
}

// --- Calls ----------------------------------------------------------------------------------------

Value CallNode::call(const Value* values, size_t count) const {
  if (function->any != nullptr) {
    if (function->accepts == nullptr || function->accepts(values[0])) return function->any(values, count);
    const Kind kind = values[0].kind();
    if (kind == Kind::kString || kind == Kind::kTimestamp || kind == Kind::kDuration)
      return no_such_overload();
    return Value::error("no such overload: " + name);
  }
  auto matches = [&](const Overload& o) {
    if (o.code == nullptr || o.args.size() != count) return false;
    for (size_t i = 0; i < count; ++i) {
      if (!fits(*o.args[i], values[i])) return false;
    }
    return true;
  };
  if (overload != nullptr) {
    if (name == "flatten" || matches(*overload)) return overload->code(values, count);
  } else {
    for (const Overload& o : function->overloads) {
      if (matches(o)) return o.code(values, count);
    }
  }
  return no_overload_for(name, values, count);
}

Value CallNode::eval(EvalContext& context) const {
  constexpr size_t kMost = 4;
  Value values[kMost];
  const size_t count = args.size();
  const Value* error = nullptr;
  for (size_t i = 0; i < count; ++i) {
    values[i] = args[i]->eval(context);
    if (context.cancelled) return Value();
    if (!values[i].is_error()) continue;
    if (error == nullptr) error = &values[i];
    if (sequential && i + 1 < count) return *error;
  }
  const bool strict = name != "@not_strictly_false";
  if (error != nullptr && strict) {
    context.charge(call_cost(name, overload_id, values, count, *error));
    return *error;
  }
  // The first list or map may be one only this call has: then it grows in place.
  if (name == "_+_") {
    ListRep* mine = A::unshared_list(values[0]);
    if (mine != nullptr && mine->schema == nullptr && values[1].kind() == Kind::kList &&
        A::schema(values[1]) == nullptr) {
      context.charge(call_cost(name, overload_id, values, count, Value()));
      for (size_t i = 0; i < static_cast<size_t>(*size_of(values[1])); ++i) {
        mine->items.push_back(list_item(values[1], i));
      }
      return std::move(values[0]);
    }
  }
  if (count == 3 && name == "cel.@mapInsert") {
    if (MapRep* mine = A::unshared_map(values[0])) {
      context.charge(call_cost(name, overload_id, values, count, Value()));
      if (mine->index.contains(map_key(values[1]))) {
        return Value::error("insert failed: key " + plain_text(values[1]) + " already exists");
      }
      map_set(*mine, std::move(values[1]), std::move(values[2]));
      return std::move(values[0]);
    }
  }
  Value result = call(values, count);
  context.charge(call_cost(name, overload_id, values, count, result));
  return result;
}

Value RegexNode::call(const Value* values, size_t count) const {
  return regex_call(name, *pattern, values, count);
}

Value EqualNode::eval(EvalContext& context) const {
  const Value values[2] = {left->eval(context), right->eval(context)};
  if (context.cancelled) return Value();
  Value result;
  if (values[0].is_error()) {
    result = values[0];
  } else if (values[1].is_error()) {
    result = values[1];
  } else {
    result = equal(values[0], values[1]);
    if (negated) result = Value::of(!result.is_true());
  }
  context.charge(call_cost(negated ? "_!=_" : "_==_", negated ? "not_equals" : "equals", values, 2, result));
  return result;
}

Value LogicNode::eval(EvalContext& context) const {
  std::optional<Value> error;
  for (const NodePtr& term : {left, right}) {
    Value value = term->eval(context);
    if (context.cancelled) return Value();
    if (value.kind() == Kind::kBool) {
      if (value.is_true() == stop) return value;
    } else if (!error) {
      error = maybe_no_such_overload(value);
    }
  }
  return error ? std::move(*error) : Value::of(!stop);
}

Value OptionalOrNode::eval(EvalContext& context) const {
  Value value = left->eval(context);
  if (value.kind() != Kind::kOptional) return value;
  const Value* held = A::optional(value);
  if (held == nullptr) return right->eval(context);
  return unwrap ? *held : value;
}

// --- Aggregates -----------------------------------------------------------------------------------

Value ListNode::eval(EvalContext& context) const {
  std::vector<Value> values;
  values.reserve(items.size());
  for (size_t i = 0; i < items.size(); ++i) {
    Value value = items[i]->eval(context);
    if (value.is_error() || context.cancelled) {
      context.charge(10);
      return value;
    }
    if (optional[i]) {
      if (value.kind() != Kind::kOptional) {
        context.charge(10);
        return Value::error("cannot initialize optional list element from non-optional value " +
                            plain_text(value));
      }
      const Value* held = A::optional(value);
      if (held == nullptr) continue;
      value = Value(*held);
    }
    values.push_back(std::move(value));
  }
  context.charge(10);
  return Value::list(std::move(values));
}

Value MapNode::eval(EvalContext& context) const {
  auto rep = std::make_shared<MapRep>();
  std::optional<Value> error;
  for (size_t i = 0; i < items.size() && !error; ++i) {
    Value key = items[i].first->eval(context);
    if (key.is_error()) {
      error = std::move(key);
      break;
    }
    Value value = items[i].second->eval(context);
    if (value.is_error()) {
      error = std::move(value);
      break;
    }
    if (optional[i]) {
      if (value.kind() != Kind::kOptional) {
        error = Value::error("cannot initialize optional entry '" + plain_text(key) +
                             "' from non-optional value " + plain_text(value));
        break;
      }
      const Value* held = A::optional(value);
      if (held == nullptr) continue;
      value = Value(*held);
    }
    map_set(*rep, std::move(key), std::move(value));
  }
  context.charge(30);
  return error ? std::move(*error) : A::make(Kind::kMap, std::move(rep));
}

Value StructNode::eval(EvalContext& context) const {
  auto rep = std::make_shared<ObjectRep>();
  rep->name = name;
  std::optional<Value> error;
  for (size_t i = 0; i < fields.size() && !error; ++i) {
    Value value = fields[i].second->eval(context);
    if (value.is_error()) {
      error = std::move(value);
      break;
    }
    if (optional[i]) {
      if (value.kind() != Kind::kOptional) {
        error = Value::error("cannot initialize optional entry '" + fields[i].first +
                             "' from non-optional value " + plain_text(value));
        break;
      }
      const Value* held = A::optional(value);
      if (held == nullptr) continue;
      value = Value(*held);
    }
    rep->fields[fields[i].first] = std::move(value);
  }
  context.charge(40);
  if (error) return std::move(*error);
  if (name == "JSONPatch") {
    for (const char* field : {"op", "path", "from"}) {
      const auto found = rep->fields.find(field);
      if (found == rep->fields.end()) {
        rep->fields[field] = Value::of("");
      } else if (found->second.kind() != Kind::kString) {
        return Value::error("unexpected type for JSONPatchType '" + std::string(field) + "' field");
      }
    }
  }
  return A::opaque(std::move(rep));
}

Value MembershipNode::eval(EvalContext& context) const {
  Value value = element->eval(context);
  if (value.is_error() || context.cancelled) return value;
  const std::string key = map_key(value);
  return Value::of(!key.empty() && keys.contains(key));
}

// --- Comprehensions -------------------------------------------------------------------------------

namespace {

/// The name of the type cel-go has for a value.
std::string go_type(const Value& value) {
  switch (value.kind()) {
    case Kind::kNull:
      return "types.Null";
    case Kind::kBool:
      return "types.Bool";
    case Kind::kInt:
      return "types.Int";
    case Kind::kUint:
      return "types.Uint";
    case Kind::kDouble:
      return "types.Double";
    case Kind::kString:
      return "types.String";
    case Kind::kBytes:
      return "types.Bytes";
    case Kind::kTimestamp:
      return "types.Timestamp";
    case Kind::kDuration:
      return "types.Duration";
    case Kind::kType:
      return "*types.Type";
    case Kind::kOptional:
      return "*types.Optional";
    default:
      return value_type_name(value);
  }
}

/// Runs the loop's body once; false when it is over.
bool iterate(EvalContext& context, Frame& frame) {
  const Value condition = frame.fold->condition->eval(context);
  if (context.cancelled || (condition.kind() == Kind::kBool && !condition.is_true())) return false;
  Value next = frame.fold->step->eval(context);
  frame.accumulator = std::move(next);
  frame.initialized = true;
  return !context.cancelled;
}

}  // namespace

Value FoldNode::eval(EvalContext& context) const {
  Value over = range->eval(context);
  if (over.is_error() || context.cancelled) return over;
  const bool two = !variable2.empty();
  if (over.kind() != Kind::kList && over.kind() != Kind::kMap) {
    return Value::error(two ? "unsupported comprehension range type: " + go_type(over)
                            : "got '" + go_type(over) + "', expected iterable type");
  }
  Frame frame;
  frame.fold = this;
  frame.parent = context.frame;
  context.frame = &frame;
  if (over.kind() == Kind::kList) {
    const auto size = static_cast<size_t>(*size_of(over));
    for (size_t i = 0; i < size; ++i) {
      (two ? frame.second : frame.first) = list_item(over, i);
      if (two) frame.first = Value::of(static_cast<int64_t>(i));
      if (!iterate(context, frame)) break;
    }
  } else {
    for (Value& key : map_keys(over)) {
      if (two) frame.second = map_find(over, key).value_or(Value());
      frame.first = std::move(key);
      if (!iterate(context, frame)) break;
    }
  }
  frame.in_result = true;
  Value value = context.cancelled ? Value() : result->eval(context);
  context.frame = frame.parent;
  return value;
}

// --- Activation -----------------------------------------------------------------------------------

void Activation::set(std::string name, Value value) {
  for (auto& [known, old] : values_) {
    if (known != name) continue;
    old = std::move(value);
    return;
  }
  values_.emplace_back(std::move(name), std::move(value));
}

const Value* Activation::find(std::string_view name) const {
  for (const auto& [known, value] : values_) {
    if (known == name) return &value;
  }
  return nullptr;
}

}  // namespace orch::api::cel
