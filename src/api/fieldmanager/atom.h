// How values of a type are taken apart; shared by the walks of typed.h, not for other folders.
#pragma once

#include <string_view>
#include <vector>

#include "api/fieldmanager/typed.h"
#include "base/json.h"

namespace orch::api {

/// What a value may be; several at once where nothing is known of it.
struct Atom {
  enum class Scalar : uint8_t { kNone, kNumeric, kString, kBoolean, kUntyped };
  Scalar scalar = Scalar::kNone;

  bool list = false;
  bool list_atomic = true;
  /// Of a list that is a map; empty: a set.
  const std::vector<std::string_view>* keys = nullptr;
  TypeRef item;

  bool map = false;
  bool map_atomic = false;
  /// The members of a struct, or null.
  const Type* fields = nullptr;
  /// The same of a custom resource's.
  const structural::Node* node = nullptr;
  /// With node: the type of metadata in resources, and whether this is one.
  const Type* metadata = nullptr;
  bool resource = false;
  bool keep_unknown = false;
  /// Of what is no member; kNothing: nothing else is allowed.
  TypeRef other;

  bool same_kinds(const Atom& b) const { return scalar == b.scalar && list == b.list && map == b.map; }
};

Atom resolve(const TypeRef& type);
/// Only the kind that the value has, if it is one of those allowed.
Atom deduce(Atom atom, const Json* value);

/// The type of a member; `named` tells whether it is a struct's.
TypeRef member_type(const Atom& atom, std::string_view name, bool* named = nullptr);
std::string member_element(std::string_view name);
/// The element of a list's item; an error is its text alone.
base::Result<std::string> item_element(const Atom& atom, const Json& item);

inline bool is_map(const Json* value) { return value != nullptr && value->is_object(); }
inline bool is_list(const Json* value) { return value != nullptr && value->is_array(); }

/// The object's members, or none.
inline const Json* non_empty(const Json* value) {
  return value != nullptr && (value->is_object() || value->is_array()) && !value->empty() ? value : nullptr;
}

}  // namespace orch::api
