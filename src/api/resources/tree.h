// Reading and editing JSON trees of API objects the way a typed struct would be: a member that is absent,
// null or of another type reads as the zero value of what was asked for. Strategies are written in these.
#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <string>
#include <string_view>

#include "api/field_error.h"
#include "base/json_fwd.h"

namespace orch::api {

// --- Reading. References stay valid as long as the tree is unchanged. ---------------------------------

/// The member, or a shared null.
const Json& member_of(const Json& object, std::string_view key);
/// The member is there and not null: what a non-nil pointer is in Go.
bool has(const Json& object, std::string_view key);
/// The object, array or string member exists and is not empty.
bool has_items(const Json& object, std::string_view key);
std::string_view text_of(const Json& object, std::string_view key);
int64_t number_of(const Json& object, std::string_view key, int64_t fallback = 0);
bool flag_of(const Json& object, std::string_view key, bool fallback = false);
/// The array / object member, or a shared empty one: for loops without checks.
const Json& list_of(const Json& object, std::string_view key);
const Json& map_of(const Json& object, std::string_view key);
/// The value as a string, "" for anything else.
std::string_view text(const Json& value);
/// The value as an integer (Go's decoder accepts 1.0 for an int too), or the fallback.
int64_t number(const Json& value, int64_t fallback = 0);
/// True for null, "", {} and []: values that compare equal to an absent member (Semantic.DeepEqual).
bool is_empty(const Json& value);
/// Equal as Kubernetes' Semantic.DeepEqual sees it: empty and absent are the same, at every depth.
/// Quantities are in canonical form since decoding, so they compare as text.
bool same(const Json& a, const Json& b);
/// same() of one member of both.
bool same_member(const Json& a, const Json& b, std::string_view key);
/// A string in an array of strings.
bool contains(const Json& array, std::string_view value);
/// Labels of `object.metadata`.
const Json& labels_of(const Json& object);
const Json& annotations_of(const Json& object);
std::string_view name_of(const Json& object);

// --- Editing. The tree must be an object; members of a wrong type are replaced. ------------------------

/// The object member, created empty when absent or of another type.
Json& child(Json& object, std::string_view key);
/// The member to edit if it is an object, or null.
Json* object_in(Json& object, std::string_view key);
/// The member to edit if it is an array, or null.
Json* array_in(Json& object, std::string_view key);
/// Calls `edit` for every element that is an object of the array member.
void each(Json& object, std::string_view key, const std::function<void(Json& element)>& edit);
void put(Json& object, std::string_view key, Json value);
void drop(Json& object, std::string_view key);
/// Makes a member what it is in `from`; absent there, absent here.
void restore(Json& object, const Json& from, std::string_view key);

// Defaults: *_pointer fills an absent member only (a Go pointer, for which zero is a choice), the others
// treat the zero value as absent too.
void default_text(Json& object, std::string_view key, std::string_view value);
void default_number(Json& object, std::string_view key, int64_t value);
void default_pointer(Json& object, std::string_view key, Json value);

}  // namespace orch::api
