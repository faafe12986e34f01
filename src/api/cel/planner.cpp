// From the checked tree to a program's nodes, with cel-go's optimizations.
#include "api/cel/program.h"

namespace orch::api::cel {

namespace {

using Kind = Value::Kind;

bool is_conversion(std::string_view name) {
  for (std::string_view f :
       {"bool", "bytes", "double", "duration", "dyn", "int", "string", "timestamp", "type", "uint"}) {
    if (name == f) return true;
  }
  return false;
}

const Value* constant(const NodePtr& node) {
  const auto* c = dynamic_cast<const ConstNode*>(node.get());
  return c == nullptr ? nullptr : &c->value;
}

NodePtr make_const(Value value) { return std::make_shared<ConstNode>(std::move(value)); }

Value evaluate_alone(const Node& node) {
  const Activation nothing;
  EvalContext context{nothing, UINT64_MAX};
  return node.eval(context);
}

class Planner {
 public:
  Planner(const Checked& checked, const Environment::Rep& env) : checked_(checked), env_(env) {}

  NodePtr plan(const Expr& e) {
    switch (e.kind) {
      case ExprKind::kLiteral:
        return make_const(e.literal);
      case ExprKind::kIdent:
        return ident(e);
      case ExprKind::kSelect:
        return select(e);
      case ExprKind::kCall:
        return call(e);
      case ExprKind::kList:
        return list(e);
      case ExprKind::kMap:
        return map(e);
      case ExprKind::kStruct:
        return structure(e);
      case ExprKind::kComprehension:
        return fold(e);
      case ExprKind::kUnspecified:
        break;
    }
    return make_const(Value::error("unsupported expr"));
  }

  std::string error;

 private:
  NodePtr ident(const Expr& e) {
    const Type& type = checked_.type(e);
    if (type->kind == TypeKind::kType && !type->params.empty()) {
      auto bare = std::make_shared<TypeNode>(*type->params[0]);
      bare->params.clear();
      return make_const(ValueAccess::type(std::move(bare)));
    }
    auto node = std::make_shared<AttributeNode>();
    node->attribute = std::make_shared<Attribute>();
    node->attribute->name = e.name;
    return node;
  }

  /// The node as an attribute that steps can be added to.
  static std::shared_ptr<Attribute> attribute_of(const NodePtr& node) {
    if (const auto* attribute = dynamic_cast<const AttributeNode*>(node.get())) {
      if (!attribute->test_only) return attribute->attribute;
    }
    auto made = std::make_shared<Attribute>();
    made->kind = Attribute::Kind::kOperand;
    made->operand = node;
    return made;
  }

  static NodePtr attribute_node(std::shared_ptr<Attribute> attribute, bool test_only = false) {
    auto node = std::make_shared<AttributeNode>();
    node->attribute = std::move(attribute);
    node->test_only = test_only;
    return node;
  }

  NodePtr select(const Expr& e) {
    std::shared_ptr<Attribute> attribute = attribute_of(plan(*e.target));
    Qualifier step;
    step.constant = Value::of(e.name);
    step.test_only = e.test_only;
    attribute->add(step);
    return attribute_node(std::move(attribute), e.test_only);
  }

  NodePtr index(const NodePtr& operand, const NodePtr& at, bool optional) {
    std::shared_ptr<Attribute> attribute = attribute_of(operand);
    Qualifier step;
    step.optional = optional;
    if (const Value* value = constant(at)) {
      step.constant = *value;
    } else {
      step.dynamic = attribute_of(at);
    }
    attribute->add(step);
    return attribute_node(std::move(attribute));
  }

  NodePtr call(const Expr& e) {
    std::vector<NodePtr> args;
    if (e.member) args.push_back(plan(*e.target));
    for (const Expr* arg : e.args) args.push_back(plan(*arg));
    if (e.name == "_&&_" || e.name == "_||_") {
      auto node = std::make_shared<LogicNode>();
      node->left = args[0];
      node->right = args[1];
      node->stop = e.name == "_||_";
      return node;
    }
    if (e.name == "_?_:_") {
      auto attribute = std::make_shared<Attribute>();
      attribute->kind = Attribute::Kind::kConditional;
      attribute->operand = args[0];
      attribute->yes = attribute_of(args[1]);
      attribute->no = attribute_of(args[2]);
      return attribute_node(std::move(attribute));
    }
    if (e.name == "_==_" || e.name == "_!=_") {
      auto node = std::make_shared<EqualNode>();
      node->left = args[0];
      node->right = args[1];
      node->negated = e.name == "_!=_";
      return node;
    }
    if (e.name == "_[_]") return index(args[0], args[1], false);
    if (e.name == "_[?_]" || e.name == "_?._") return index(args[0], args[1], true);
    return function_call(e, std::move(args));
  }

  NodePtr function_call(const Expr& e, std::vector<NodePtr> args) {
    const Checked::Reference& ref = *checked_.reference(e);
    const Overload* only = ref.overloads.size() == 1 ? ref.overloads[0] : nullptr;
    if (args.size() == 2 && (e.name == "or" || e.name == "orValue")) {
      auto node = std::make_shared<OptionalOrNode>();
      node->left = args[0];
      node->right = args[1];
      node->unwrap = e.name == "orValue";
      return node;
    }
    if (only != nullptr && only->id == "in_list") {
      if (NodePtr node = membership(args)) return node;
    }
    if (e.name == "matches" || e.name == "find" || e.name == "findAll") {
      const Value* pattern = args.size() > 1 ? constant(args[1]) : nullptr;
      if (pattern != nullptr && pattern->kind() == Kind::kString) {
        auto node = std::make_shared<RegexNode>();
        node->pattern = compile_pattern(text_of(*pattern), error);
        fill(*node, e, ref, only, std::move(args));
        node->sequential = true;
        return node;
      }
    }
    auto node = std::make_shared<CallNode>();
    fill(*node, e, ref, only, std::move(args));
    if (is_conversion(e.name) && node->args.size() == 1 && constant(node->args[0]) != nullptr) {
      Value value = evaluate_alone(*node);
      if (value.is_error()) error = value.error_message();
      return make_const(std::move(value));
    }
    return node;
  }

  static void fill(CallNode& node, const Expr& e, const Checked::Reference& ref, const Overload* only,
                   std::vector<NodePtr> args) {
    node.name = e.name;
    node.function = ref.function;
    node.overload = only;
    node.overload_id = only == nullptr ? std::string_view() : std::string_view(only->id);
    const bool dispatched =
        only == nullptr && ref.function->any == nullptr && ref.function->overloads.size() > 1;
    node.sequential = args.size() > 2 || dispatched || node.overload_id == "string_format";
    node.args = std::move(args);
  }

  /// x in [constants]; null if it cannot be one.
  static NodePtr membership(const std::vector<NodePtr>& args) {
    const Value* list = constant(args[1]);
    if (list == nullptr || list->kind() != Kind::kList) return nullptr;
    const auto size = static_cast<size_t>(*size_of(*list));
    if (size == 0) return make_const(Value::of(false));
    auto node = std::make_shared<MembershipNode>();
    node->element = args[0];
    for (size_t i = 0; i < size; ++i) {
      std::string key = map_key(list_item(*list, i));
      if (key.empty()) return nullptr;
      node->keys.insert(std::move(key));
    }
    return node;
  }

  NodePtr list(const Expr& e) {
    auto node = std::make_shared<ListNode>();
    bool constants = true;
    for (const Expr* arg : e.args) {
      node->items.push_back(plan(*arg));
      constants = constants && constant(node->items.back()) != nullptr;
    }
    node->optional = e.optional_args;
    if (constants) return make_const(evaluate_alone(*node));
    return node;
  }

  NodePtr map(const Expr& e) {
    auto node = std::make_shared<MapNode>();
    bool constants = true;
    for (const Expr::Entry& entry : e.entries) {
      NodePtr key = plan(*entry.key);
      NodePtr value = plan(*entry.value);
      constants = constants && constant(key) != nullptr && constant(value) != nullptr;
      node->items.emplace_back(std::move(key), std::move(value));
      node->optional.push_back(entry.optional);
    }
    if (constants) return make_const(evaluate_alone(*node));
    return node;
  }

  NodePtr structure(const Expr& e) {
    auto node = std::make_shared<StructNode>();
    node->name = checked_.type(e)->name;
    if (!env_.find_struct(node->name)) error = "unknown type: " + e.name;
    for (const Expr::Entry& entry : e.entries) {
      node->fields.emplace_back(entry.field, plan(*entry.value));
      node->optional.push_back(entry.optional);
    }
    return node;
  }

  NodePtr fold(const Expr& e) {
    auto node = std::make_shared<FoldNode>();
    node->accumulator = e.loop.accumulator;
    node->variable = e.loop.variable;
    node->variable2 = e.loop.variable2;
    node->init = plan(*e.loop.init);
    node->range = plan(*e.loop.range);
    node->condition = plan(*e.loop.condition);
    node->step = plan(*e.loop.step);
    node->result = plan(*e.loop.result);
    return node;
  }

  const Checked& checked_;
  const Environment::Rep& env_;
};

class ProgramImpl final : public Program {
 public:
  ProgramImpl(std::shared_ptr<const Ast> ast, Checked checked, std::shared_ptr<const Environment::Rep> env,
              NodePtr root)
      : ast_(std::move(ast)), checked_(std::move(checked)), env_(std::move(env)), root_(std::move(root)) {}

  Evaluation evaluate(const Activation& variables, const EvaluationOptions& options) const override {
    EvalContext context{variables, options.cost_limit};
    Evaluation out;
    out.value = root_->eval(context);
    out.cost = context.cost;
    if (context.cancelled) {
      out.value = Value();
      out.out_of_budget = true;
      out.error = "operation cancelled: actual cost limit exceeded";
    } else if (out.value.is_error()) {
      out.error = out.value.error_message();
    }
    return out;
  }

  const Type& output_type() const override { return checked_.type(*ast_->root); }

  bool uses(std::string_view variable) const override {
    for (const auto& [id, reference] : checked_.references) {
      if (reference.name == variable) return true;
    }
    return false;
  }

  CostEstimate estimate_cost(const Type& root) const override { return estimate(*ast_, checked_, root); }

 private:
  std::shared_ptr<const Ast> ast_;
  Checked checked_;
  std::shared_ptr<const Environment::Rep> env_;
  NodePtr root_;
};

}  // namespace

std::shared_ptr<const Program> make_program(std::shared_ptr<const Ast> ast, Checked checked,
                                            std::shared_ptr<const Environment::Rep> env, std::string& error) {
  Planner planner(checked, *env);
  NodePtr root = planner.plan(*ast->root);
  if (!planner.error.empty()) {
    error = std::move(planner.error);
    return nullptr;
  }
  return std::make_shared<ProgramImpl>(std::move(ast), std::move(checked), std::move(env), std::move(root));
}

}  // namespace orch::api::cel
