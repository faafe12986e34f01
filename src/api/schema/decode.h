// Decoding: makes a parsed JSON tree an object of a Type, as Go's decoder makes it a struct.
//
// Unknown members are pruned and reported; a value of another type than declared is an error; scalars get
// their canonical form (quantities, times, base64); null counts as absent. Objects of a structural Type
// (custom resources) are only pruned.
#pragma once

#include <string>
#include <vector>

#include "api/schema/schema.h"
#include "base/json_fwd.h"
#include "base/status.h"

namespace orch::api::schema {

/// Decodes `tree` in place. Returns what strict decoding finds wrong, `unknown field "spec.foo"` each, at
/// most 100. An error is kBadRequest with the text of Go's decoder alone, "json: cannot unmarshal string
/// into Go struct field DeploymentSpec.spec.replicas of type int32": the caller adds which object it was.
/// After an error the tree is of no use.
base::Result<std::vector<std::string>> decode(const Schema& schema, const Type& type, Json& tree);

}  // namespace orch::api::schema
