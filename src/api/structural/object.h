// Objects of a structural schema: what decoding makes of them (k8s.io/apiextensions-apiserver
// pkg/apiserver/schema: pruning, defaulting, objectmeta).
//
// Order of a decode: coerce_metadata, prune, drop_nulls, coerce_embedded; then apply_defaults.
#pragma once

#include <string>
#include <vector>

#include "api/field_error.h"
#include "api/schema/schema.h"
#include "api/structural/schema.h"
#include "base/json_fwd.h"
#include "base/status.h"

namespace orch::api::structural {

/// Makes the value of a member "metadata" what Go's ObjectMeta would be: pruned, types checked. Paths of what
/// is unknown are appended to `unknown` ("metadata.foo"). The error is the bare text of Go's decoder; with
/// `drop_malformed`, members of other types go instead, as they do when stored objects are read.
base::Status coerce_metadata(const Schema& builtin, Json& metadata, const FieldPath& parent,
                             bool drop_malformed, std::vector<std::string>* unknown);

/// Takes out what the schema (null: knows nothing) does not have. At the root, and in embedded resources,
/// kind, apiVersion and metadata stay. Paths are appended to `unknown`, in order, unless that is null.
void prune(const Node* schema, Json& object, bool resource_root, std::vector<std::string>* unknown);

/// Takes null out where it is not allowed and no default takes its place.
void drop_nulls(const Node* schema, Json& object);

/// Checks kind and apiVersion of embedded resources, and coerces their metadata. kBadRequest with the text
/// of a field error.
base::Status coerce_embedded(const Schema& builtin, const Node& schema, Json& object, bool drop_malformed,
                             std::vector<std::string>* unknown);

/// Sets what is absent, or null where that is not allowed, to its default.
void apply_defaults(const Node& schema, Json& object);

/// Kind, apiVersion and metadata of embedded resources. `resource_root`: of the object itself, too.
void validate_embedded(const Schema& builtin, const Node& schema, const Json& object, const FieldPath& path,
                       bool resource_root, FieldErrors& errors);

/// Numbers as Go's decoder has them: what is whole and fits is an integer.
void normalise_numbers(Json& value);

}  // namespace orch::api::structural
