// Whether a schema is structural (k8s.io/apiextensions-apiserver pkg/apiserver/schema), worked out on the
// JSON of apiextensions.k8s.io/v1 JSONSchemaProps.
#pragma once

#include <functional>
#include <string>

#include "api/field_error.h"
#include "base/json_fwd.h"

namespace orch::api {

/// Why the schema cannot be taken for a structural one at all ("OpenAPIV3Schema '$ref' is not supported"); ""
/// if it can.
std::string not_structural(const Json& schema);

/// What keeps a schema from being structural, in the order of their texts.
void validate_structural(const Json& schema, const FieldPath& path, FieldErrors& errors);

/// Calls `visit` for the schema and every one in it, in no order that matters; true as soon as that says so.
using SchemaVisitor = std::function<bool(const Json& schema)>;
bool schema_has(const Json& schema, const SchemaVisitor& visit);
/// The same for those right below it.
bool each_schema_below(const Json& schema, const SchemaVisitor& visit);

}  // namespace orch::api
