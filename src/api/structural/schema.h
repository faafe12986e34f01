// Structural schemas: what a CustomResourceDefinition says of its objects (apiextensions.k8s.io/v1
// JSONSchemaProps), compiled once into nodes that every request reads.
//
// Equal parts of one definition's schemas are one node, however many versions and members have them;
// descriptions are left out, because nobody but OpenAPI reads them, from the stored definition. Everything is
// immutable once made and may be read by any thread; nodes live as long as their Schemas.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/schema/schema.h"
#include "api/structural/format.h"
#include "base/json_fwd.h"
#include "base/status.h"

namespace re2 {
class RE2;
}

namespace orch::api::structural {

enum class JsonType : uint8_t { kAny, kObject, kArray, kString, kInteger, kNumber, kBoolean };
/// "object", …; "" for kAny.
std::string_view type_name(JsonType type);

/// A regular expression, compiled when it is first asked: most never are.
class Pattern {
 public:
  explicit Pattern(std::string text);
  ~Pattern();
  Pattern(const Pattern&) = delete;
  Pattern& operator=(const Pattern&) = delete;
  const std::string& text() const { return text_; }
  /// Whether some part of `value` matches. A pattern that does not compile matches nothing.
  bool matches(std::string_view value) const;
  /// Why the text is no regular expression, in the words of Go's regexp; "" if it is one.
  static std::string problem(std::string_view text);

 private:
  const std::string text_;
  mutable std::once_flag once_;
  mutable std::unique_ptr<re2::RE2> compiled_;
};

struct Node;

struct Property {
  std::string_view name;
  const Node* node;
};

/// What few nodes have.
struct Details {
  std::optional<double> maximum = {}, minimum = {}, multiple_of = {};
  std::optional<int64_t> max_length = {}, min_length = {}, max_items = {}, min_items = {},
                         max_properties = {}, min_properties = {};
  bool exclusive_maximum = false, exclusive_minimum = false, unique_items = false;
  Format format = Format::kNone;
  const Pattern* pattern = nullptr;
  std::vector<std::string_view> required = {};
  std::vector<const Node*> all_of = {}, any_of = {}, one_of = {};
  const Node* negation = nullptr;
  std::vector<std::string_view> map_keys = {};
  /// JSON texts: of an array, and of any value; "" when there is none.
  std::string_view enum_json = {}, default_json = {};
  /// The same, parsed.
  const Json* enum_values = nullptr;
  const Json* default_value = nullptr;
  /// x-kubernetes-validations, an array; null when there are none.
  const Json* rules = nullptr;
};

struct Node {
  JsonType type = JsonType::kAny;
  bool nullable : 1 = false;
  bool preserve_unknown : 1 = false;
  bool embedded : 1 = false;
  bool int_or_string : 1 = false;
  /// additionalProperties is there; `additional` is null when it is a boolean, which is `additional_allowed`.
  bool has_additional : 1 = false;
  bool additional_allowed : 1 = false;
  bool has_format : 1 = false;  // of any name, for server-side apply
  /// Here or below, following members and items alone.
  bool has_defaults : 1 = false;
  bool has_rules : 1 = false;
  bool has_embedded : 1 = false;
  bool has_keyed_lists : 1 = false;
  ListType list_type = ListType::kUnset;
  MapType map_type = MapType::kUnset;
  uint32_t property_count = 0;
  const Property* properties = nullptr;  // by name
  const Node* items = nullptr;
  const Node* additional = nullptr;
  const Details* details = nullptr;  // null when there are none

  /// Null if there is none of this name.
  const Node* property(std::string_view name) const;
  const Property* begin() const { return properties; }
  const Property* end() const { return properties + property_count; }
  /// The schema of a member: its own, or that of additionalProperties; null if there is neither.
  const Node* member(std::string_view name) const;
  const Json* default_value() const { return details != nullptr ? details->default_value : nullptr; }
};

/// The nodes of one definition. add() is for one thread; share it as const after.
class Schemas {
 public:
  Schemas();
  ~Schemas();
  Schemas(const Schemas&) = delete;
  Schemas& operator=(const Schemas&) = delete;

  /// Compiles an openAPIV3Schema, which need not be structural: what structural schemas cannot have is left
  /// out. Defaults are as written.
  const Node* add(const Json& schema);
  /// Forgets what finds equal nodes; call after the last add().
  void finish();
  /// Bytes of memory, roughly.
  size_t memory() const;

 private:
  friend class Compiler;
  struct Rep;
  std::unique_ptr<Rep> rep_;
};

}  // namespace orch::api::structural
