// The JSON tree (nlohmann::json, keys sorted) and the one parser every byte from outside goes through.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/json_fwd.h"
#include "base/status.h"

extern template class nlohmann::basic_json<>;

namespace orch::base {

struct JsonParseOptions {
  /// Deeper nesting is refused ("exceeded max depth"), as Go's decoder does at 10,000. Everything that
  /// walks trees recursively relies on this bound, so it is far lower than Go's stack would need.
  int max_depth = 1000;
  /// When set, the dotted paths of repeated object keys are appended (first wins is never used: the last
  /// value is kept, as in Go).
  std::vector<std::string>* duplicates = nullptr;
};

/// Parses one JSON document; trailing non-space bytes are an error. Errors are kBadRequest with a message
/// that names the offset. Never throws.
Result<Json> parse_json(std::string_view text, const JsonParseOptions& options = {});

/// Serializes without spaces; invalid UTF-8 is replaced, never thrown on.
std::string dump_json(const Json& tree);

/// The value is the string "".
bool is_empty_text(const Json& value);
/// The member at a path of object keys, or null if any step is missing or not an object. The pointer lives
/// as long as `tree` is unchanged.
const Json* find_path(const Json& tree, std::initializer_list<std::string_view> path);
/// String / integer / bool at a path, or the fallback when absent or of another type.
std::string_view string_at(const Json& tree, std::initializer_list<std::string_view> path,
                           std::string_view fallback = {});
int64_t int_at(const Json& tree, std::initializer_list<std::string_view> path, int64_t fallback = 0);
bool bool_at(const Json& tree, std::initializer_list<std::string_view> path, bool fallback = false);
/// The array / object at a path, or a shared empty one: for range-for without checks.
const Json& array_at(const Json& tree, std::initializer_list<std::string_view> path);
const Json& object_at(const Json& tree, std::initializer_list<std::string_view> path);

}  // namespace orch::base
