// Rules at work: what of an object they find wrong.
#include <map>

#include "api/go_text.h"
#include "api/resources/common_validation.h"
#include "api/resources/crd_rule_program.h"
#include "api/resources/crd_rules.h"
#include "base/json.h"

namespace orch::api {

namespace {

constexpr std::string_view kNoBudget =
    "validation failed due to running out of cost budget, no further validation rules will be run";

/// A schema that has rules, or something below that has.
struct RuleNode {
  const Json* schema = nullptr;
  std::string type;
  cel::Type cel_type;
  std::vector<RuleProgram> rules;
  std::map<std::string, std::unique_ptr<RuleNode>, std::less<>> properties;
  std::unique_ptr<RuleNode> items, additional;
};

std::unique_ptr<RuleNode> compile_node(const std::shared_ptr<const Json>& root, const Json& schema,
                                       bool resource) {
  auto node = std::make_unique<RuleNode>();
  node->schema = &schema;
  node->type = base::string_at(schema, {"type"});
  const auto below = [&](const Json& s) {
    return compile_node(root, s, base::bool_at(s, {"x-kubernetes-embedded-resource"}));
  };
  for (const auto& [name, s] : base::object_at(schema, {"properties"}).items()) {
    if (auto member = below(s)) node->properties.emplace(name, std::move(member));
  }
  if (const auto it = schema.find("items"); it != schema.end() && it->is_object()) node->items = below(*it);
  if (const auto it = schema.find("additionalProperties"); it != schema.end() && it->is_object())
    node->additional = below(*it);
  if (!base::array_at(schema, {"x-kubernetes-validations"}).empty()) {
    node->cel_type = rule_type(root, schema, resource);
    if (node->cel_type != nullptr) node->rules = compile_rules(schema, node->cel_type);
  }
  const bool any = !node->rules.empty() || !node->properties.empty() || node->items || node->additional;
  return any ? std::move(node) : nullptr;
}

/// What is known of the object before the update: the same part, and whether the nearest one above that is
/// known did not change.
struct Before {
  const Json* same = nullptr;
  bool known = false;         // `same` is the same part
  bool parent_equal = false;  // of a part that is not known
};

class Run {
 public:
  explicit Run(FieldErrors& errors) : errors_(errors) {}

  /// `old`: what oldSelf is; `before`: for letting pass what did not change.
  void check(const RuleNode& node, const Json& value, const Json* old, const Before& before,
             const FieldPath& path) {
    if (value.is_null() || spent_) return;
    rules(node, value, old != nullptr && old->is_null() ? nullptr : old, before, path);
    if (value.is_array() && node.items != nullptr) array(node, value, old, before, path);
    if (value.is_object()) object(node, value, old, before, path);
  }

 private:
  static Before step(const Before& before, const Json& value, const Json* same) {
    if (!before.known) return before;
    Before out;
    out.same = same;
    out.known = same != nullptr;
    out.parent_equal = before.same != nullptr && *before.same == value;
    return out;
  }

  void object(const RuleNode& node, const Json& value, const Json* old, const Before& before,
              const FieldPath& path) {
    const auto member_of = [](const Json* from, const std::string& name) -> const Json* {
      if (from == nullptr || !from->is_object()) return nullptr;
      const auto it = from->find(name);
      return it == from->end() ? nullptr : &*it;
    };
    for (const auto& [name, member] : value.items()) {
      const auto own = node.properties.find(name);
      const bool named = base::object_at(*node.schema, {"properties"}).contains(name);
      const RuleNode* below = own != node.properties.end() ? own->second.get()
                              : named                      ? nullptr
                                                           : node.additional.get();
      if (below == nullptr) continue;
      check(*below, member, member_of(old, name), step(before, value, member_of(before.same, name)),
            named ? path.child(name) : path.key(name));
    }
  }

  static const Json* keyed(const Json& schema, const Json* list, const Json& item) {
    if (list == nullptr || !list->is_array() || base::string_at(schema, {"x-kubernetes-list-type"}) != "map")
      return nullptr;
    const Json& keys = base::array_at(schema, {"x-kubernetes-list-map-keys"});
    for (const Json& candidate : *list) {
      const bool same = std::all_of(keys.begin(), keys.end(), [&](const Json& key) {
        const auto& name = key.get_ref<const std::string&>();
        const auto a = item.is_object() ? item.find(name) : item.end();
        const auto b = candidate.is_object() ? candidate.find(name) : candidate.end();
        const bool has_a = item.is_object() && a != item.end(),
                   has_b = candidate.is_object() && b != candidate.end();
        return has_a == has_b && (!has_a || *a == *b);
      });
      if (same) return &candidate;
    }
    return nullptr;
  }

  void array(const RuleNode& node, const Json& value, const Json* old, const Before& before,
             const FieldPath& path) {
    for (size_t i = 0; i < value.size(); ++i) {
      check(*node.items, value[i], keyed(*node.schema, old, value[i]),
            step(before, value, keyed(*node.schema, before.same, value[i])), path.index(i));
    }
  }

  void rules(const RuleNode& node, const Json& value, const Json* old, const Before& before,
             const FieldPath& path) {
    if (node.rules.empty()) return;
    const FieldPath at = path.text().empty() ? FieldPath("<nil>") : path;
    cel::Activation plain, optional;
    const cel::Value self = cel::Value::view(value, node.cel_type);
    plain.set("self", self);
    optional.set("self", self);
    if (old != nullptr) {
      const cel::Value old_self = cel::Value::view(*old, node.cel_type);
      plain.set("oldSelf", old_self);
      optional.set("oldSelf", cel::Value::optional_of(old_self));
    } else {
      optional.set("oldSelf", cel::Value::optional_none());
    }
    for (const RuleProgram& rule : node.rules) {
      if (budget_ <= 0) return stop(at, node, kNoBudget);
      if (!rule.error.empty()) {
        errors_.invalid(at, node.type, "rule compile error: " + rule.error);
        continue;
      }
      if (rule.program == nullptr) continue;
      // Rules about changes need something to compare with.
      if (rule.uses_old && old == nullptr && !rule.optional_old) continue;
      one(node, rule, rule.optional_old ? optional : plain, plain, value, before, at);
      if (spent_) return;
    }
  }

  void stop(const FieldPath& path, const RuleNode& node, std::string_view why) {
    errors_.invalid(path, node.type, why);
    spent_ = true;
  }

  /// False when the budget does not suffice.
  bool pay(uint64_t cost) {
    if (cost > static_cast<uint64_t>(budget_)) return false;
    budget_ -= static_cast<int64_t>(cost);
    return true;
  }

  void one(const RuleNode& node, const RuleProgram& rule, const cel::Activation& variables,
           const cel::Activation& plain, const Json& value, const Before& before, const FieldPath& path) {
    const cel::Evaluation result = rule.program->evaluate(variables);
    if (!pay(result.cost)) return stop(path, node, kNoBudget);
    if (!result.ok()) {
      if (result.error.rfind("no such overload", 0) == 0) {
        errors_.invalid(path, node.type,
                        base::cat("'", result.error,
                                  "': call arguments did not match a supported operator, function "
                                  "or macro signature for rule: ",
                                  rule.name()));
      } else if (result.out_of_budget) {
        stop(path, node,
             base::cat("'", result.error,
                       "': no further validation rules will be run due to call cost exceeds limit for rule: ",
                       rule.name()));
      } else {
        errors_.invalid(path, node.type, base::cat(result.error, " evaluating rule: ", rule.name()));
      }
      return;
    }
    if (result.value.is_true()) return;
    const bool unchanged =
        before.known ? before.same != nullptr && *before.same == value : before.parent_equal;
    const bool let_pass = !rule.uses_old && unchanged;
    std::string detail = rule.message_text.empty() ? "failed rule: " + rule.text : rule.message_text;
    const FieldPath at = rule.field_path.empty()  ? path
                         : path.text() == "<nil>" ? FieldPath(rule.field_path)
                                                  : path.child(rule.field_path);
    if (rule.message != nullptr && !message(node, rule, plain, at, let_pass, detail)) return;
    if (!let_pass) report(node, rule, value, at, detail);
  }

  /// Replaces `detail` by what the expression says, if that is a message. False ends it all.
  bool message(const RuleNode& node, const RuleProgram& rule, const cel::Activation& variables,
               const FieldPath& at, bool let_pass, std::string& detail) {
    const cel::Evaluation result = rule.message->evaluate(variables);
    if (!pay(result.cost) || result.out_of_budget) {
      if (!let_pass) {
        errors_.invalid(
            at, node.type,
            result.out_of_budget
                ? base::cat("no further validation rules will be run due to call cost exceeds limit for "
                            "messageExpression: ",
                            go_quote(rule.text))
                : std::string("messageExpression evaluation failed due to running out of cost budget, no "
                              "further validation rules will be run"));
      }
      spent_ = true;
      return false;
    }
    const std::string* text = result.ok() ? result.value.as_string() : nullptr;
    if (text == nullptr) return true;
    constexpr std::string_view kSpace = " \t\r\n\v\f";
    const size_t begin = text->find_first_not_of(kSpace);
    if (begin == std::string::npos) return true;
    std::string trimmed = text->substr(begin, text->find_last_not_of(kSpace) - begin + 1);
    if (trimmed.size() > cel::kMaxMessageBytes || trimmed.find('\n') != std::string::npos) return true;
    detail = std::move(trimmed);
    return true;
  }

  void report(const RuleNode& node, const RuleProgram& rule, const Json& value, const FieldPath& at,
              const std::string& detail) {
    const bool omitted = node.type == "object" || node.type == "array";
    if (rule.reason == "FieldValueForbidden") return errors_.forbidden(at, detail);
    if (rule.reason == "FieldValueRequired") return errors_.required(at, detail);
    if (rule.reason == "FieldValueDuplicate") {
      if (omitted) return errors_.add({"FieldValueDuplicate", "Duplicate value", at.text()});
      return errors_.duplicate(at, value);
    }
    if (omitted) return add_invalid_without_value(errors_, at, detail);
    errors_.invalid(at, value, detail);
  }

  FieldErrors& errors_;
  int64_t budget_ = static_cast<int64_t>(cel::kRuntimeBudget);
  bool spent_ = false;
};

class CompiledRules final : public RuleSet {
 public:
  CompiledRules(std::shared_ptr<const Json> schema, std::unique_ptr<RuleNode> root)
      : schema_(std::move(schema)), root_(std::move(root)) {}

  void validate(const Json& object, const Json* old, const FieldPath& path,
                FieldErrors& errors) const override {
    Before before;
    before.same = old;
    before.known = old != nullptr;
    Run(errors).check(*root_, object, old, before, path);
  }

 private:
  const std::shared_ptr<const Json> schema_;  // types and nodes refer to it
  const std::unique_ptr<RuleNode> root_;
};

}  // namespace

std::shared_ptr<const RuleSet> RuleSet::compile(std::shared_ptr<const Json> schema, bool resource_root) {
  auto root = compile_node(schema, *schema, resource_root);
  if (root == nullptr) return nullptr;
  return std::make_shared<const CompiledRules>(std::move(schema), std::move(root));
}

}  // namespace orch::api
