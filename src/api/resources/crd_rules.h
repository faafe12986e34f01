// x-kubernetes-validations: rules in CEL of the schemas of custom resources
// (k8s.io/apiextensions-apiserver pkg/apiserver/schema/cel).
#pragma once

#include <memory>

#include "api/field_error.h"
#include "api/structural/schema.h"
#include "base/json_fwd.h"

namespace orch::api {

/// What is wrong with the rules of one schema before they are compiled: absent texts, line breaks, reasons
/// and field paths that are none.
void validate_rule_texts(const Json& schema, const FieldPath& path, FieldErrors& errors);

/// Compiles every rule of a structural schema and estimates what it costs. `old`: the schema of this version
/// before, whose rules may stay as costly as they are; or null.
void validate_rules(const Json& schema, const Json* old, const FieldPath& path, FieldErrors& errors);

/// A default keeps to the rules of its own schema.
void validate_default_by_rules(const Json& schema, const Json& value, bool root, const FieldPath& path,
                               FieldErrors& errors);

/// A JSONPath of a rule's fieldPath or a selectable field leads to something the schema has. `brackets`:
/// ['name'] is allowed. Gives the schema there, and the path as field errors write it.
struct FieldOfSchema {
  const Json* schema = nullptr;  // null: `problem` says why
  std::string path, problem;
};
FieldOfSchema find_field(const Json& schema, std::string_view path, bool brackets);

/// The compiled rules of one version. Immutable.
class RuleSet {
 public:
  virtual ~RuleSet() = default;
  /// Null if the schema has no rules. `resource_root`: it is that of a whole object.
  static std::shared_ptr<const RuleSet> compile(std::shared_ptr<const Json> schema,
                                                bool resource_root = true);
  /// The rules an object breaks; `old` is the one before an update, or null. `path` is empty for a whole one.
  virtual void validate(const Json& object, const Json* old, const FieldPath& path,
                        FieldErrors& errors) const = 0;
};

}  // namespace orch::api
