// What the API server demands of a schema of a CustomResourceDefinition besides being structural
// (k8s.io/apiextensions-apiserver pkg/apis/apiextensions/validation).
#pragma once

#include "api/field_error.h"
#include "api/schema/schema.h"
#include "base/json_fwd.h"

namespace orch::api {

/// What is asked of a schema; an update does not tighten what the stored definition was let pass with.
struct CrdSchemaDemands {
  bool structural = true;
  bool valid_types = true;
  bool pruned_defaults = true;
  bool atomic_sets = true;
  bool list_keys = true;
  bool status_enabled = false;
};

/// `path` is that of the CustomResourceValidation: "spec.validation". `old` is the schema of the same version
/// before, or null.
void validate_crd_schema(const Schema& builtin, const Json& schema, const Json* old,
                         const CrdSchemaDemands& demands, const FieldPath& path, FieldErrors& errors);

/// What one schema breaks of the rules for keys of lists (demand list_keys); for both validation and the
/// question whether a stored definition already does.
void validate_list_keys(const Json& schema, const FieldPath& path, FieldErrors& errors);
bool has_non_atomic_set(const Json& schema);
bool has_unknown_type(const Json& schema);

}  // namespace orch::api
