// Values of custom resources: a JSON tree read as its structural schema says (common.UnstructuredToVal of
// k8s.io/apiserver/pkg/cel).
#pragma once

#include <optional>
#include <string>

#include "api/cel/value.h"
#include "base/json_fwd.h"

namespace orch::api::cel {

/// The value of everything but lists and objects that are as their schema says: those stay views (nothing).
/// Errors where tree and schema do not fit.
std::optional<Value> schema_scalar(const Json& tree, const Json& schema);
/// Null if there is none.
const Json* items_schema(const Json& list_schema);
/// Of an object, by its real name; null if there is none.
const Json* member_schema(const Json& schema, const std::string& name);
/// What every resource has, of apiVersion, kind and metadata; null for other names.
const Json* object_meta_schema(const std::string& name);
bool has_properties(const Json& schema);
/// A member by the name it has in CEL.
std::optional<Value> schema_member(const Value& map, const Json& tree, const Json& schema,
                                   const std::string& key);
/// The name in CEL of a member; nothing if it has no schema.
std::optional<std::string> schema_key(const Json& schema, const std::string& name);

/// a == b where a has a schema.
Value schema_list_equal(const Value& a, const Value& b);
Value schema_map_equal(const Value& a, const Value& b);
/// a + b where a has a schema: sets and maps are merged.
Value schema_list_add(const Value& a, const Value& b);

}  // namespace orch::api::cel
