// The nodes a program is made of. Each evaluates to a value and adds what it cost, as cel-go's interpreter
// with its cost tracker does; what it optimizes away (constant lists, conversions of constants, membership in
// constant lists) costs nothing here either.
#pragma once

#include <memory>
#include <string>
#include <unordered_set>
#include <vector>

#include "api/cel/environment.h"

namespace re2 {
class RE2;
}

namespace orch::api::cel {

struct FoldNode;

/// Variables of a running comprehension, innermost first.
struct Frame {
  const FoldNode* fold = nullptr;
  Frame* parent = nullptr;
  Value accumulator, first, second;
  bool initialized = false, in_result = false;
};

struct EvalContext {
  const Activation& variables;
  uint64_t limit;
  uint64_t cost = 0;
  bool cancelled = false;
  Frame* frame = nullptr;

  void charge(uint64_t amount) {
    if (cancelled) return;
    cost += amount;
    cancelled = cost > limit;
  }
};

struct Node {
  virtual ~Node() = default;
  virtual Value eval(EvalContext& context) const = 0;
};
using NodePtr = std::shared_ptr<const Node>;

struct ConstNode final : Node {
  explicit ConstNode(Value v) : value(std::move(v)) {}
  Value eval(EvalContext&) const override { return value; }
  Value value;
};

struct Attribute;

/// One step into a value: a constant, or what an attribute resolves to.
struct Qualifier {
  Value constant;
  std::shared_ptr<const Attribute> dynamic;
  bool optional = false, test_only = false;
};

/// A variable, the value of an expression, or one of two attributes; and steps from there.
struct Attribute {
  enum class Kind : uint8_t { kVariable, kOperand, kConditional };
  Kind kind = Kind::kVariable;
  std::string name;
  NodePtr operand;  // kConditional: the condition
  std::shared_ptr<Attribute> yes, no;
  std::vector<Qualifier> steps;

  void add(const Qualifier& step);
  Value resolve(EvalContext& context) const;
};

struct AttributeNode final : Node {
  Value eval(EvalContext& context) const override;
  std::shared_ptr<Attribute> attribute;
  bool test_only = false;
};

struct CallNode : Node {
  Value eval(EvalContext& context) const override;
  virtual Value call(const Value* values, size_t count) const;
  std::string name;
  const Function* function = nullptr;
  /// The one that fits by type; null if several do.
  const Overload* overload = nullptr;
  std::string_view overload_id = {};
  std::vector<NodePtr> args;
  /// Arguments after an error are not evaluated, and then the call costs nothing.
  bool sequential = false;
};

/// matches, find, findAll with a constant pattern.
struct RegexNode final : CallNode {
  Value call(const Value* values, size_t count) const override;
  std::shared_ptr<const re2::RE2> pattern;
};

struct EqualNode final : Node {
  Value eval(EvalContext& context) const override;
  NodePtr left, right;
  bool negated = false;
};

/// && (stops at false) and || (stops at true).
struct LogicNode final : Node {
  Value eval(EvalContext& context) const override;
  NodePtr left, right;
  bool stop = false;
};

/// or(), orValue()
struct OptionalOrNode final : Node {
  Value eval(EvalContext& context) const override;
  NodePtr left, right;
  bool unwrap = false;
};

struct ListNode final : Node {
  Value eval(EvalContext& context) const override;
  std::vector<NodePtr> items;
  std::vector<bool> optional;
};

struct MapNode final : Node {
  Value eval(EvalContext& context) const override;
  std::vector<std::pair<NodePtr, NodePtr>> items;
  std::vector<bool> optional;
};

struct StructNode final : Node {
  Value eval(EvalContext& context) const override;
  std::string name;
  std::vector<std::pair<std::string, NodePtr>> fields;
  std::vector<bool> optional;
};

struct MembershipNode final : Node {
  Value eval(EvalContext& context) const override;
  NodePtr element;
  std::unordered_set<std::string> keys;
};

struct FoldNode final : Node {
  Value eval(EvalContext& context) const override;
  std::string variable, variable2, accumulator;
  NodePtr range, init, condition, step, result;
};

/// What a call costs at run time.
uint64_t call_cost(std::string_view function, std::string_view overload, const Value* args, size_t count,
                   const Value& result);

/// Compiles a pattern as Go would; null and Go's error if it is none.
std::shared_ptr<const re2::RE2> compile_pattern(const std::string& pattern, std::string& error);
/// matches, find, findAll of a compiled pattern.
Value regex_call(std::string_view function, const re2::RE2& pattern, const Value* values, size_t count);

}  // namespace orch::api::cel
