// What a Value is made of, and the operations of CEL's standard library on values: size, equality, order,
// look up, iteration, conversion, text. Operations that fail return an error value with cel-go's message.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "api/cel/cel.h"
#include "api/cel/type.h"

namespace orch::api::cel {

/// What stands behind a value that is no scalar and no view.
struct Value::Rep {
  virtual ~Rep() = default;
};

struct StringRep final : Value::Rep {  // strings, bytes, messages of errors
  explicit StringRep(std::string t) : text(std::move(t)) {}
  std::string text;
};
struct ListRep final : Value::Rep {
  std::vector<Value> items;
  /// Of lists made from one with a schema: x-kubernetes-list-type and keys come from there.
  const Json* schema = nullptr;
};
struct MapRep final : Value::Rep {
  std::vector<std::pair<Value, Value>> items;
  std::unordered_map<std::string, size_t> index;  // by map_key()
  /// What every key leads to that is not there; for `in` and size() it is not there all the same.
  std::shared_ptr<const Value> otherwise;
};
struct TreeRep final : Value::Rep {  // keeps the tree a view looks at
  explicit TreeRep(Json t);
  ~TreeRep() override;
  std::unique_ptr<Json> tree;
};
struct LazyRep final : Value::Rep {
  explicit LazyRep(std::shared_ptr<const LazyMap> m) : map(std::move(m)) {}
  std::shared_ptr<const LazyMap> map;
};
struct TypeRep final : Value::Rep {
  explicit TypeRep(Type t) : type(std::move(t)) {}
  Type type;
};
struct OptionalRep final : Value::Rep {
  explicit OptionalRep(Value v) : value(std::move(v)) {}
  Value value;
};

/// Values of library types: what they are called and how they compare.
struct OpaqueRep : Value::Rep {
  virtual std::string_view type_name() const = 0;
  /// `other` has the same type_name().
  virtual bool equals(const OpaqueRep& other) const = 0;
  /// For the cost of calls; nothing if it has none.
  virtual std::optional<int64_t> size() const { return std::nullopt; }
  virtual std::optional<std::string> text() const { return std::nullopt; }
  /// What a named format counts for when it is applied.
  virtual int64_t weight() const { return 0; }
};

/// Object{…} and JSONPatch{…}.
struct ObjectRep final : OpaqueRep {
  std::string name;
  std::map<std::string, Value, std::less<>> fields;
  std::string_view type_name() const override { return name; }
  bool equals(const OpaqueRep& other) const override;
};

struct ValueAccess {
  static Value make(Value::Kind kind, std::shared_ptr<const Value::Rep> rep);
  static Value bytes(std::string text);
  static Value timestamp(int64_t seconds, int32_t nanos, int32_t offset = 0);
  static Value duration(int64_t nanos);
  static Value type(Type type);
  static Value opaque(std::shared_ptr<const OpaqueRep> rep) {
    return make(Value::Kind::kOpaque, std::move(rep));
  }
  static Value list(std::vector<Value> items, const Json* schema);
  /// A node of a tree, as its schema says; `keep` holds the tree, or is null.
  static Value view(const Json& tree, const Json* schema, const std::shared_ptr<const Value::Rep>& keep);

  static bool boolean(const Value& v) { return v.bool_; }
  static int64_t integer(const Value& v) { return v.int_; }
  static uint64_t unsigned_integer(const Value& v) { return v.uint_; }
  static double real(const Value& v) { return v.double_; }
  static int32_t nanos(const Value& v) { return v.fine_.nanos; }
  static int32_t offset(const Value& v) { return v.fine_.offset; }
  static const Type& type_of(const Value& v) { return static_cast<const TypeRep*>(v.rep_.get())->type; }
  /// Null unless it is a view of a list or map.
  static const Json* tree(const Value& v);
  static const Json* schema(const Value& v);
  static const std::shared_ptr<const Value::Rep>& keep(const Value& v) { return v.rep_; }
  static const ListRep* list(const Value& v);
  static ListRep* unshared_list(Value& v);
  static MapRep* unshared_map(Value& v);
  static const MapRep* map(const Value& v);
  static const LazyRep* lazy(const Value& v);
  /// Null if it has no value.
  static const Value* optional(const Value& v);
  static const OpaqueRep* opaque(const Value& v) {
    return v.kind_ == Value::Kind::kOpaque ? static_cast<const OpaqueRep*>(v.rep_.get()) : nullptr;
  }
};

/// Of strings and bytes.
const std::string& text_of(const Value& value);
/// The run-time type, as messages and guards call it: "string", "list", "net.IP", "optional_type".
std::string value_type_name(const Value& value);
Type value_type(const Value& value);

Value no_such_overload();
/// `value` if it is an error, "no such overload" otherwise.
Value maybe_no_such_overload(const Value& value);

/// Characters, bytes, items, members; nothing if it has no size.
std::optional<int64_t> size_of(const Value& value);
/// actualSize of the cost tracker.
uint64_t cost_size(const Value& value);

Value equal(const Value& a, const Value& b);
inline bool equal_true(const Value& a, const Value& b) { return equal(a, b).is_true(); }
/// -1, 0, 1 as an int, or an error.
Value compare(const Value& a, const Value& b);
bool is_comparable(const Value& v);

/// Item i of a list, 0 <= i < size.
Value list_item(const Value& list, size_t i);
/// The member of a map; nothing if there is none. An error value when the key cannot be one.
std::optional<Value> map_find(const Value& map, const Value& key);
/// The member, or the error "no such key: x".
Value map_get(const Value& map, const Value& key);
/// Keys in order: of trees alphabetical, else as they were put in.
std::vector<Value> map_keys(const Value& map);
/// Go's index of lists; nothing and `error` set when it is no number.
std::optional<int64_t> list_index(const Value& index, std::string& error);
Value contains(const Value& container, const Value& element);
/// The text by which a key is found in MapRep::index; "" if it cannot be a key.
std::string map_key(const Value& key);
/// Adds or replaces.
void map_set(MapRep& map, Value key, Value value);

Value add(const Value& a, const Value& b);
Value subtract(const Value& a, const Value& b);
Value multiply(const Value& a, const Value& b);
Value divide(const Value& a, const Value& b);
Value modulo(const Value& a, const Value& b);
Value negate(const Value& a);
/// int(x), string(x), timestamp(x) …
Value convert(const Value& value, const TypeNode& to);

/// How Go's %v prints a value in messages.
std::string plain_text(const Value& value);
/// Shortest text of a double that reads back the same, with an exponent below 10^-4 and from 10^6 on: Go's
/// %g.
std::string format_double_g(double value);
/// Without exponent.
std::string format_double_f(double value);
/// RFC 3339 with as many digits of fraction as it takes.
std::string format_timestamp(const Value& value);
/// "1.5s"
std::string format_seconds(int64_t nanos);
/// Runes of UTF-8; broken bytes become U+FFFD, as Go's conversion does.
std::u32string runes_of(std::string_view text);
std::string utf8_of(std::u32string_view runes);
int64_t rune_count(std::string_view text);

}  // namespace orch::api::cel
