// Rules of a definition: whether they compile, and what they may cost at most.
#include "api/resources/crd_rules.h"

#include <algorithm>
#include <cstdio>
#include <limits>
#include <optional>

#include "api/go_text.h"
#include "api/resources/crd_rule_program.h"
#include "api/resources/crd_structural.h"
#include "base/json.h"

namespace orch::api {

namespace {

constexpr uint64_t kRuleLimit = 10'000'000;
constexpr uint64_t kSchemaLimit = 100'000'000;
constexpr uint64_t kLargest = std::numeric_limits<uint64_t>::max();

uint64_t product(uint64_t a, uint64_t b) {
  if (a == 0) return 0;
  return kLargest / a < b ? kLargest : a * b;
}

std::string over_budget(std::string_view what, uint64_t cost, uint64_t limit) {
  const double factor = static_cast<double>(cost) / static_cast<double>(limit);
  constexpr double kFar = 100, kNear = 1.5;
  char text[48] = "more than 100x";
  if (factor < kNear) {
    std::snprintf(text, sizeof text, "%fx", factor);
  } else if (factor <= kFar) {
    std::snprintf(text, sizeof text, "%.1fx", factor);
  }
  return base::cat(
      what, " exceeds budget by factor of ", text,
      " (try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, "
      "maps, and strings are declared)");
}

/// The rule as the internal type prints it.
std::string rule_text(const Json& rule) {
  const auto text = [&](const char* key) { return go_json(std::string(base::string_at(rule, {key}))); };
  const auto pointer = [&](const char* key) {
    const auto it = rule.find(key);
    return it == rule.end() ? std::string("null") : go_json(*it);
  };
  return base::cat("{\"Rule\":", text("rule"), ",\"Message\":", text("message"),
                   ",\"MessageExpression\":", text("messageExpression"), ",\"Reason\":", pointer("reason"),
                   ",\"FieldPath\":", text("fieldPath"), ",\"OptionalOldSelf\":", pointer("optionalOldSelf"),
                   "}");
}

struct Costly {
  FieldPath path;
  uint64_t cost;
};

/// Where in the schema, and how often it can be there.
struct Place {
  FieldPath path;
  std::optional<uint64_t> times = 1;
  /// The first part above whose items cannot be told to be the same after an update.
  std::optional<FieldPath> loose = {};
  bool root = false;
};

class Checker {
 public:
  Checker(std::shared_ptr<const Json> root, bool known, FieldErrors& errors)
      : root_(std::move(root)), known_(known), errors_(errors) {}

  void check(const Json& s, const Place& place) {
    const auto below = [&](const Json& schema, const FieldPath& path, bool loose) {
      Place inside{path, {}, place.loose, false};
      if (place.times && max_elements(s)) inside.times = product(*place.times, *max_elements(s));
      if (loose && !inside.loose) inside.loose = place.path;
      check(schema, inside);
    };
    if (const auto more = s.find("additionalProperties"); more != s.end() && more->is_object())
      below(*more, place.path.child("additionalProperties"), false);
    for (const auto& [name, schema] : base::object_at(s, {"properties"}).items())
      below(schema, place.path.child("properties").key(name), false);
    if (const auto items = s.find("items"); items != s.end() && items->is_object())
      below(*items, place.path.child("items"), base::string_at(s, {"x-kubernetes-list-type"}) != "map");
    if (!base::array_at(s, {"x-kubernetes-validations"}).empty()) own(s, place);
  }

  void finish(const FieldPath& path) {
    if (total_ <= kSchemaLimit) return;
    std::stable_sort(costly_.begin(), costly_.end(),
                     [](const Costly& a, const Costly& b) { return a.cost > b.cost; });
    constexpr size_t kShown = 4;
    for (size_t i = 0; i < costly_.size() && i < kShown; ++i) {
      errors_.forbidden(
          costly_[i].path,
          "contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema");
    }
    errors_.forbidden(path, over_budget("x-kubernetes-validations estimated rule cost total for entire "
                                        "OpenAPIv3 schema",
                                        total_, kSchemaLimit));
  }

 private:
  static std::optional<uint64_t> max_elements(const Json& s) {
    const auto limit = [&](const char* key) -> std::optional<uint64_t> {
      if (!s.contains(key)) return std::nullopt;
      return static_cast<uint64_t>(std::max<int64_t>(0, base::int_at(s, {key})));
    };
    const std::string_view type = base::string_at(s, {"type"});
    if (type == "array") return limit("maxItems");
    if (type == "object" && s.contains("additionalProperties")) return limit("maxProperties");
    return 1;
  }

  void observe(const FieldPath& path, uint64_t cost) {
    total_ = kLargest - total_ < cost ? kLargest : total_ + cost;
    if (cost >= kSchemaLimit / 100) costly_.push_back({path, cost});
  }

  void own(const Json& s, const Place& place) {
    const FieldPath path = place.path.child("x-kubernetes-validations");
    const bool resource = place.root || base::bool_at(s, {"x-kubernetes-embedded-resource"});
    const cel::Type type = rule_type(root_, s, resource);
    if (type == nullptr) {
      return errors_.internal(path,
                              "internal error: failed to construct type information for "
                              "x-kubernetes-validations rules: unable to convert structural schema to CEL "
                              "declarations");
    }
    const uint64_t times = place.times ? *place.times : cel::max_cardinality(type);
    const std::vector<RuleProgram> programs = compile_rules(s, type);
    for (size_t i = 0; i < programs.size(); ++i)
      one(base::array_at(s, {"x-kubernetes-validations"})[i], programs[i], times, place, path.index(i));
  }

  void one(const Json& rule, const RuleProgram& program, uint64_t times, const Place& place,
           const FieldPath& path) {
    const uint64_t cost = product(program.cost, times);
    const FieldPath at = path.child("rule"), message = path.child("messageExpression");
    if (!known_ && cost > kRuleLimit)
      errors_.forbidden(at, over_budget("estimated rule cost", cost, kRuleLimit));
    observe(at, cost);
    const auto invalid = [&](const FieldPath& where, const std::string& why) {
      errors_.add(
          {"FieldValueInvalid", base::cat("Invalid value: ", rule_text(rule), ": ", why), where.text()});
    };
    if (!program.error.empty()) invalid(at, program.error);
    if (!program.message_error.empty()) {
      invalid(message, program.message_error);
    } else if (program.message != nullptr) {
      if (!known_ && program.message_cost > kRuleLimit) {
        errors_.forbidden(message,
                          over_budget("estimated messageExpression cost", program.message_cost, kRuleLimit));
      }
      observe(message, program.message_cost);
    }
    if (program.uses_old) {
      if (place.loose) {
        errors_.invalid(
            at, std::string(base::string_at(rule, {"rule"})),
            base::cat("oldSelf cannot be used on the uncorrelatable portion of the schema within ",
                      place.loose->text()));
      }
    } else if (rule.contains("optionalOldSelf")) {
      errors_.invalid(path.child("optionalOldSelf"), rule["optionalOldSelf"],
                      "may not be set if oldSelf is not used in rule");
    }
  }

  const std::shared_ptr<const Json> root_;
  const bool known_;  // unchanged: it may be as costly as it was
  FieldErrors& errors_;
  uint64_t total_ = 0;
  std::vector<Costly> costly_;
};

bool has_rules(const Json& schema) {
  return schema_has(schema,
                    [](const Json& s) { return !base::array_at(s, {"x-kubernetes-validations"}).empty(); });
}

}  // namespace

void validate_rules(const Json& schema, const Json* old, const FieldPath& path, FieldErrors& errors) {
  if (!has_rules(schema)) return;
  // Types refer to the schema, which outlives them here.
  const std::shared_ptr<const Json> root(std::shared_ptr<const Json>(), &schema);
  Checker checker(root, old != nullptr && *old == schema, errors);
  Place place{path};
  place.root = true;
  checker.check(schema, place);
  checker.finish(path);
}

void validate_default_by_rules(const Json& schema, const Json& value, bool root, const FieldPath& path,
                               FieldErrors& errors) {
  if (!has_rules(schema)) return;
  const auto rules = RuleSet::compile(std::make_shared<const Json>(schema), root);
  if (rules == nullptr) return;
  FieldErrors found;
  rules->validate(value, &value, path, found);
  // Rules that may do without an old object see none when a default comes in.
  if (found.empty()) rules->validate(value, nullptr, path, found);
  errors.append(std::move(found));
}

}  // namespace orch::api
