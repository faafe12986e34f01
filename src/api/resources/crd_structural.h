// Whether a schema is structural (k8s.io/apiextensions-apiserver pkg/apiserver/schema), worked out on the
// JSON of apiextensions.k8s.io/v1 JSONSchemaProps.
#pragma once

#include <string>

#include "api/field_error.h"
#include "base/json_fwd.h"

namespace orch::api {

/// Why the schema cannot be taken for a structural one at all ("OpenAPIV3Schema '$ref' is not supported"); ""
/// if it can.
std::string not_structural(const Json& schema);

/// What keeps a schema from being structural, in the order of their texts.
void validate_structural(const Json& schema, const FieldPath& path, FieldErrors& errors);

/// Calls `visit` for the schema and every one in it; true as soon as that says so.
template <typename Visit>
bool schema_has(const Json& schema, const Visit& visit);

// --- Implementation ---------------------------------------------------------------------------------

/// The schemas right below one, as `visit(schema)`; true as soon as that says so.
template <typename Visit>
bool each_schema_below(const Json& schema, const Visit& visit) {
  const auto one = [&](const char* key) {
    const auto it = schema.find(key);
    return it != schema.end() && it->is_object() && visit(*it);
  };
  const auto list = [&](const char* key) {
    const auto it = schema.find(key);
    if (it == schema.end() || !it->is_array()) return false;
    for (const auto& below : *it) {
      if (below.is_object() && visit(below)) return true;
    }
    return false;
  };
  const auto map = [&](const char* key) {
    const auto it = schema.find(key);
    if (it == schema.end() || !it->is_object()) return false;
    for (const auto& below : *it) {
      if (below.is_object() && visit(below)) return true;
    }
    return false;
  };
  return one("items") || list("items") || list("allOf") || list("anyOf") || list("oneOf") || one("not") ||
         map("properties") || one("additionalProperties") || map("patternProperties") || one("additionalItems") ||
         map("definitions") || map("dependencies");
}

template <typename Visit>
bool schema_has(const Json& schema, const Visit& visit) {
  return visit(schema) || each_schema_below(schema, [&](const Json& below) { return schema_has(below, visit); });
}

}  // namespace orch::api
