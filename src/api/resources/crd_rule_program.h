// One rule of x-kubernetes-validations, compiled; shared by the validation of definitions and that of
// objects.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "api/cel/cel.h"
#include "base/json_fwd.h"

namespace orch::api {

struct RuleProgram {
  /// Null where `error` says why, and for a rule without text.
  std::shared_ptr<const cel::Program> program, message;
  std::string error, message_error;
  uint64_t cost = 0, message_cost = 0;
  bool uses_old = false, optional_old = false;
  std::string text, message_text, reason, field_path;
  /// What messages call the rule.
  const std::string& name() const { return message_text.empty() ? text : message_text; }
};

/// The type of `self` for the rules of a schema; null if CEL has none.
cel::Type rule_type(const std::shared_ptr<const Json>& root, const Json& schema, bool resource_root);
/// The rules of one schema, not of those in it. `type` is rule_type()'s.
std::vector<RuleProgram> compile_rules(const Json& schema, const cel::Type& type);

}  // namespace orch::api
