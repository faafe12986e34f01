// What a Type is made of. Types are immutable and compared by structure; the parts that come from a schema
// (fields, limits) do not count in comparisons, as in Kubernetes, where they are looked up by the type's
// name.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "api/cel/cel.h"

namespace orch::api::cel {

enum class TypeKind : uint8_t {
  kUnspecified,
  kError,
  kDyn,
  kAny,
  kNull,
  kBool,
  kInt,
  kUint,
  kDouble,
  kString,
  kBytes,
  kDuration,
  kTimestamp,
  kList,
  kMap,
  kStruct,
  kOpaque,
  kType,
  kTypeParam,
};

struct TypeNode {
  TypeKind kind = TypeKind::kDyn;
  /// "int", "list", "google.protobuf.Timestamp", "net.IP", of a type parameter its letter.
  std::string name = {};
  std::vector<Type> params = {};
  /// Of an object, by escaped name.
  std::map<std::string, Type, std::less<>> fields = {};
  /// What the cost estimate assumes at most: items, properties, characters.
  int64_t max_elements = 0;
  int64_t min_size = 1;
  /// Where it came from, for views of values.
  std::shared_ptr<const Json> root = {};
  const Json* schema = nullptr;
};

Type error_type();
/// Fits nothing; printed as "".
Type unspecified_type();
Type null_type();
Type uint_type();
Type double_type();
Type bytes_type();
Type duration_type();
Type timestamp_type();
/// The type of types; of what, or of anything when null.
Type type_type(const Type& of);
Type type_param(std::string name);
Type struct_type(std::string name);
Type opaque_type(std::string name, std::vector<Type> params = {});

bool exact(const TypeNode& a, const TypeNode& b);
inline bool is_dyn_kind(const TypeNode& t) { return t.kind == TypeKind::kDyn || t.kind == TypeKind::kAny; }
bool is_optional(const TypeNode& t);
/// checker.FormatCELType.
std::string format_type(const TypeNode& type);
/// Reads what format_type() writes, for the function table; single capital letters are parameters.
Type parse_type(std::string_view text);

}  // namespace orch::api::cel
