// Objects as trees of fields with types: which fields a tree has, how two trees differ, what a partial tree
// makes of a whole one. What sigs.k8s.io/structured-merge-diff does over the schema that kube-apiserver makes
// of its OpenAPI document, here over the field table.
//
// Trees are as Go's encoder writes them (schema::normalise), or what a client applied. Lists are atomic,
// sets, or maps by keys; maps and structs atomic or granular; where nothing is known of a value (a custom
// resource without schema, RawExtension), its own form decides. All functions are pure. Recursion is as deep
// as the tree, which base::parse_json bounds.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "api/fieldmanager/field_set.h"
#include "base/json_fwd.h"
#include "base/status.h"

namespace orch::api {

struct Field;
struct Type;
struct Value;
namespace structural {
struct Node;
}

/// What is known of the type of a value.
struct TypeRef {
  enum class Known : uint8_t { kNothing, kType, kValue, kNode, kString, kDeduced, kUntyped };
  /// The type of a whole object; null: custom resources without a schema, whose lists are atomic.
  static TypeRef of(const Type* type);
  /// The type of a custom resource; `metadata` is that of its metadata. `keep_unknown`: members that the
  /// schema does not have are known by their own form.
  static TypeRef of(const structural::Node* root, const Type& metadata, bool keep_unknown);

  Known known = Known::kNothing;
  const Type* type = nullptr;              // kType; kNode: of metadata in resources
  const Value* value = nullptr;            // kValue
  const Field* field = nullptr;            // kValue: that has the value, or null for an item
  const structural::Node* node = nullptr;  // kNode
  bool keep_unknown = false;               // kNode
  bool root = false;                       // kNode: of a whole object
};

/// What is wrong with a tree, each with its path: `.spec.ports: duplicate entries for key [port=80]`.
std::vector<std::string> check_type(const TypeRef& type, const Json& tree, bool allow_duplicates);
/// Several as one text.
std::string join_type_errors(const std::vector<std::string>& errors);

/// All leaves and items of a tree.
FieldSet field_set_of(const TypeRef& type, const Json& tree);

struct FieldChanges {
  FieldSet added, modified, removed;
  bool none() const { return added.empty() && modified.empty() && removed.empty(); }
};
/// How `after` differs from `before`. kUnknown if an item of a list has no key.
base::Result<FieldChanges> compare_fields(const TypeRef& type, const Json& before, const Json& after);

/// `whole` with what `part` says. kUnknown: a list of `part` has a key twice or an item without.
base::Result<Json> merge_fields(const TypeRef& type, const Json& whole, const Json& part);

/// The tree without the items and members in the set.
Json remove_fields(const TypeRef& type, const Json& tree, const FieldSet& set);

/// The set with the members of structs on the way to what is in it: `a.b.c` owns `a` and `a.b` then too,
/// unless `a` is a map with any keys.
FieldSet with_named_fields(const TypeRef& type, const FieldSet& set);

}  // namespace orch::api
