#include "api/cel/value.h"

#include "api/cel/schema_view.h"
#include "base/json.h"

namespace orch::api::cel {

using Kind = Value::Kind;

TreeRep::TreeRep(Json t) : tree(std::make_unique<Json>(std::move(t))) {}
TreeRep::~TreeRep() = default;

bool ObjectRep::equals(const OpaqueRep& other) const {
  const auto& o = static_cast<const ObjectRep&>(other);
  if (fields.size() != o.fields.size()) return false;
  for (const auto& [name, value] : fields) {
    const auto found = o.fields.find(name);
    if (found == o.fields.end() || !equal_true(value, found->second)) return false;
  }
  return true;
}

// --- Making values --------------------------------------------------------------------------------

Value::Value() : int_(0) {}

Value ValueAccess::make(Kind kind, std::shared_ptr<const Value::Rep> rep) {
  Value v;
  v.kind_ = kind;
  v.rep_ = std::move(rep);
  return v;
}

Value Value::of(bool value) {
  Value v;
  v.kind_ = Kind::kBool;
  v.bool_ = value;
  return v;
}
Value Value::of(int64_t value) {
  Value v;
  v.kind_ = Kind::kInt;
  v.int_ = value;
  return v;
}
Value Value::of(uint64_t value) {
  Value v;
  v.kind_ = Kind::kUint;
  v.uint_ = value;
  return v;
}
Value Value::of(double value) {
  Value v;
  v.kind_ = Kind::kDouble;
  v.double_ = value;
  return v;
}
Value Value::of(std::string value) {
  return ValueAccess::make(Kind::kString, std::make_shared<StringRep>(std::move(value)));
}
Value Value::error(std::string message) {
  return ValueAccess::make(Kind::kError, std::make_shared<StringRep>(std::move(message)));
}
Value Value::optional_none() { return ValueAccess::make(Kind::kOptional, nullptr); }
Value Value::optional_of(Value value) {
  return ValueAccess::make(Kind::kOptional, std::make_shared<OptionalRep>(std::move(value)));
}
Value Value::view(const Json& tree) { return ValueAccess::view(tree, nullptr, nullptr); }
Value Value::view(const Json& tree, const Type& type) {
  return ValueAccess::view(tree, type ? type->schema : nullptr, nullptr);
}
Value Value::own(Json tree) {
  auto rep = std::make_shared<TreeRep>(std::move(tree));
  const Json& kept = *rep->tree;
  return ValueAccess::view(kept, nullptr, std::move(rep));
}
Value Value::lazy(std::shared_ptr<const LazyMap> map) {
  return ValueAccess::make(Kind::kMap, std::make_shared<LazyRep>(std::move(map)));
}
Value Value::list(std::vector<Value> elements) { return ValueAccess::list(std::move(elements), nullptr); }
Value Value::map(std::vector<std::pair<std::string, Value>> members) {
  auto rep = std::make_shared<MapRep>();
  for (auto& member : members) map_set(*rep, of(std::move(member.first)), std::move(member.second));
  return ValueAccess::make(Kind::kMap, std::move(rep));
}

Value ValueAccess::bytes(std::string text) {
  return make(Kind::kBytes, std::make_shared<StringRep>(std::move(text)));
}
Value ValueAccess::timestamp(int64_t seconds, int32_t nanos, int32_t offset) {
  Value v;
  v.kind_ = Kind::kTimestamp;
  v.int_ = seconds;
  v.fine_ = {nanos, offset};
  return v;
}
Value ValueAccess::duration(int64_t nanos) {
  Value v;
  v.kind_ = Kind::kDuration;
  v.int_ = nanos;
  return v;
}
Value ValueAccess::type(Type type) { return make(Kind::kType, std::make_shared<TypeRep>(std::move(type))); }
Value ValueAccess::list(std::vector<Value> items, const Json* schema) {
  auto rep = std::make_shared<ListRep>();
  rep->items = std::move(items);
  rep->schema = schema;
  return make(Kind::kList, std::move(rep));
}

Value ValueAccess::view(const Json& tree, const Json* schema, const std::shared_ptr<const Value::Rep>& keep) {
  if (schema != nullptr) {
    std::optional<Value> scalar = schema_scalar(tree, *schema);
    if (scalar) return std::move(*scalar);
  }
  Value v;
  switch (tree.type()) {
    case Json::value_t::boolean:
      return Value::of(tree.get<bool>());
    case Json::value_t::number_integer:
      return Value::of(tree.get<int64_t>());
    case Json::value_t::number_unsigned: {
      const auto n = tree.get<uint64_t>();
      if (n > INT64_MAX) return Value::of(static_cast<double>(n));
      return Value::of(static_cast<int64_t>(n));
    }
    case Json::value_t::number_float:
      return Value::of(tree.get<double>());
    case Json::value_t::string:
      v.kind_ = Kind::kString;
      break;
    case Json::value_t::array:
      v.kind_ = Kind::kList;
      break;
    case Json::value_t::object:
      v.kind_ = Kind::kMap;
      break;
    default:
      return v;
  }
  v.view_ = true;
  v.tree_ = &tree;
  v.schema_ = schema;
  v.rep_ = keep;
  return v;
}

// --- Looking at values ----------------------------------------------------------------------------

const Json* ValueAccess::tree(const Value& v) {
  return v.view_ && v.kind_ != Kind::kString ? v.tree_ : nullptr;
}
const Json* ValueAccess::schema(const Value& v) {
  if (v.view_) return v.schema_;
  const ListRep* rep = list(v);
  return rep == nullptr ? nullptr : rep->schema;
}
const ListRep* ValueAccess::list(const Value& v) {
  return v.kind_ == Kind::kList && !v.view_ ? static_cast<const ListRep*>(v.rep_.get()) : nullptr;
}
ListRep* ValueAccess::unshared_list(Value& v) {
  if (v.kind_ != Kind::kList || v.view_ || v.rep_.use_count() != 1) return nullptr;
  return const_cast<ListRep*>(static_cast<const ListRep*>(v.rep_.get()));  // nobody else sees it
}
MapRep* ValueAccess::unshared_map(Value& v) {
  if (map(v) == nullptr || v.rep_.use_count() != 1) return nullptr;
  return const_cast<MapRep*>(map(v));  // nobody else sees it
}
const MapRep* ValueAccess::map(const Value& v) {
  return v.kind_ == Kind::kMap && !v.view_ ? dynamic_cast<const MapRep*>(v.rep_.get()) : nullptr;
}
const LazyRep* ValueAccess::lazy(const Value& v) {
  return v.kind_ == Kind::kMap && !v.view_ ? dynamic_cast<const LazyRep*>(v.rep_.get()) : nullptr;
}
const Value* ValueAccess::optional(const Value& v) {
  return v.rep_ ? &static_cast<const OptionalRep*>(v.rep_.get())->value : nullptr;
}

bool Value::is_true() const { return kind_ == Kind::kBool && bool_; }
std::optional<bool> Value::as_bool() const {
  return kind_ == Kind::kBool ? std::optional<bool>(bool_) : std::nullopt;
}
std::optional<int64_t> Value::as_int() const {
  return kind_ == Kind::kInt ? std::optional<int64_t>(int_) : std::nullopt;
}
const std::string* Value::as_string() const {
  if (kind_ != Kind::kString) return nullptr;
  if (view_) return tree_->get_ptr<const std::string*>();
  return &static_cast<const StringRep*>(rep_.get())->text;
}
std::string_view Value::error_message() const {
  return kind_ == Kind::kError ? std::string_view(static_cast<const StringRep*>(rep_.get())->text)
                               : std::string_view();
}

const std::string& text_of(const Value& value) {
  if (const std::string* text = value.as_string()) return *text;
  return static_cast<const StringRep*>(value.rep())->text;
}

Type value_type(const Value& value) {
  switch (value.kind()) {
    case Kind::kNull:
      return null_type();
    case Kind::kBool:
      return bool_type();
    case Kind::kInt:
      return int_type();
    case Kind::kUint:
      return uint_type();
    case Kind::kDouble:
      return double_type();
    case Kind::kString:
      return string_type();
    case Kind::kBytes:
      return bytes_type();
    case Kind::kList:
      return list_type(dyn_type());
    case Kind::kMap:
      return map_type(dyn_type(), dyn_type());
    case Kind::kTimestamp:
      return timestamp_type();
    case Kind::kDuration:
      return duration_type();
    case Kind::kType:
      return type_type(nullptr);
    case Kind::kOptional:
      return opaque_type("optional_type");
    case Kind::kOpaque:
      return parse_type(ValueAccess::opaque(value)->type_name());
    case Kind::kError:
      break;
  }
  return opaque_type("error");
}

std::string value_type_name(const Value& value) {
  switch (value.kind()) {
    case Kind::kNull:
      return "null_type";
    case Kind::kBool:
      return "bool";
    case Kind::kInt:
      return "int";
    case Kind::kUint:
      return "uint";
    case Kind::kDouble:
      return "double";
    case Kind::kString:
      return "string";
    case Kind::kBytes:
      return "bytes";
    case Kind::kList:
      return "list";
    case Kind::kMap:
      return "map";
    case Kind::kOpaque:
      return std::string(ValueAccess::opaque(value)->type_name());
    default:
      return value_type(value)->name;
  }
}

std::optional<int64_t> size_of(const Value& value) {
  switch (value.kind()) {
    case Kind::kString:
      return rune_count(text_of(value));
    case Kind::kBytes:
      return static_cast<int64_t>(text_of(value).size());
    case Kind::kList:
    case Kind::kMap:
      if (const Json* tree = ValueAccess::tree(value)) return static_cast<int64_t>(tree->size());
      if (const ListRep* list = ValueAccess::list(value)) return static_cast<int64_t>(list->items.size());
      if (const MapRep* map = ValueAccess::map(value)) return static_cast<int64_t>(map->items.size());
      return 0;
    case Kind::kOpaque:
      return ValueAccess::opaque(value)->size();
    default:
      return std::nullopt;
  }
}

uint64_t cost_size(const Value& value) {
  if (value.kind() == Kind::kOptional) {
    const Value* held = ValueAccess::optional(value);
    return held == nullptr ? 1 : cost_size(*held);
  }
  const std::optional<int64_t> size = size_of(value);
  return size ? static_cast<uint64_t>(*size) : 1;
}

// --- Lists and maps -------------------------------------------------------------------------------

Value list_item(const Value& list, size_t i) {
  if (const Json* tree = ValueAccess::tree(list)) {
    const Json* schema = ValueAccess::schema(list);
    return ValueAccess::view((*tree)[i], schema == nullptr ? nullptr : items_schema(*schema),
                             ValueAccess::keep(list));
  }
  return ValueAccess::list(list)->items[i];
}

std::string map_key(const Value& key) {
  switch (key.kind()) {
    case Kind::kString:
      return "s" + text_of(key);
    case Kind::kInt:
      return "i" + std::to_string(ValueAccess::integer(key));
    case Kind::kUint: {
      const uint64_t n = ValueAccess::unsigned_integer(key);
      return (n > INT64_MAX ? "u" : "i") + std::to_string(n);
    }
    case Kind::kDouble: {
      // Whole numbers find the integers they equal; nothing else is a key.
      const double d = ValueAccess::real(key);
      if (d > -9223372036854775808.0 && d < 9223372036854775808.0 &&
          static_cast<double>(static_cast<int64_t>(d)) == d) {
        return "i" + std::to_string(static_cast<int64_t>(d));
      }
      return "d" + format_double_g(d);
    }
    case Kind::kBool:
      return key.is_true() ? "b1" : "b0";
    default:
      return {};
  }
}

void map_set(MapRep& map, Value key, Value value) {
  std::string text = map_key(key);
  const auto [at, added] = map.index.emplace(std::move(text), map.items.size());
  if (added) {
    map.items.emplace_back(std::move(key), std::move(value));
  } else {
    map.items[at->second].second = std::move(value);
  }
}

std::optional<Value> map_find(const Value& map, const Value& key) {
  if (const Json* tree = ValueAccess::tree(map)) {
    const Json* schema = ValueAccess::schema(map);
    if (key.kind() != Kind::kString) {
      if (schema != nullptr) return maybe_no_such_overload(key);
      return std::nullopt;
    }
    if (schema != nullptr) return schema_member(map, *tree, *schema, text_of(key));
    const auto found = tree->find(text_of(key));
    if (found == tree->end()) return std::nullopt;
    return ValueAccess::view(*found, nullptr, ValueAccess::keep(map));
  }
  if (const LazyRep* lazy = ValueAccess::lazy(map)) {
    if (key.kind() != Kind::kString) return std::nullopt;
    return lazy->map->find(text_of(key));
  }
  const MapRep* rep = ValueAccess::map(map);
  const auto found = rep->index.find(map_key(key));
  if (found == rep->index.end() || key.kind() == Kind::kNull)
    return rep->otherwise ? std::optional<Value>(*rep->otherwise) : std::nullopt;
  return rep->items[found->second].second;
}

Value map_get(const Value& map, const Value& key) {
  std::optional<Value> found = map_find(map, key);
  return found ? std::move(*found) : Value::error("no such key: " + plain_text(key));
}

std::vector<Value> map_keys(const Value& map) {
  std::vector<Value> keys;
  if (const Json* tree = ValueAccess::tree(map)) {
    const Json* schema = ValueAccess::schema(map);
    keys.reserve(tree->size());
    for (const auto& item : tree->items()) {
      if (schema == nullptr) {
        keys.push_back(Value::of(item.key()));
      } else if (std::optional<std::string> key = schema_key(*schema, item.key())) {
        keys.push_back(Value::of(std::move(*key)));
      }
    }
  } else if (const MapRep* rep = ValueAccess::map(map)) {
    keys.reserve(rep->items.size());
    for (const auto& item : rep->items) keys.push_back(item.first);
  }
  return keys;
}

std::optional<int64_t> list_index(const Value& index, std::string& error) {
  switch (index.kind()) {
    case Kind::kInt:
      return ValueAccess::integer(index);
    case Kind::kUint: {
      const uint64_t n = ValueAccess::unsigned_integer(index);
      if (n <= INT64_MAX) return static_cast<int64_t>(n);
      error = "unsupported index value " + plain_text(index) + " in list";
      return std::nullopt;
    }
    case Kind::kDouble: {
      const double d = ValueAccess::real(index);
      if (d > -9223372036854775808.0 && d < 9223372036854775808.0 &&
          static_cast<double>(static_cast<int64_t>(d)) == d) {
        return static_cast<int64_t>(d);
      }
      error = "unsupported index value " + plain_text(index) + " in list";
      return std::nullopt;
    }
    default:
      error = "unsupported index type '" + value_type_name(index) + "' in list";
      return std::nullopt;
  }
}

Value contains(const Value& container, const Value& element) {
  if (container.kind() == Kind::kMap) {
    if (const MapRep* rep = ValueAccess::map(container); rep != nullptr && rep->otherwise)
      return Value::of(rep->index.contains(map_key(element)));
    std::optional<Value> found = map_find(container, element);
    if (found && found->is_error() && ValueAccess::schema(container) != nullptr) return std::move(*found);
    return Value::of(found.has_value());
  }
  const auto size = static_cast<size_t>(*size_of(container));
  const bool typed = ValueAccess::schema(container) != nullptr;
  std::optional<Value> error;
  for (size_t i = 0; i < size; ++i) {
    const Value item = list_item(container, i);
    Value same = typed ? equal(item, element) : element.is_error() ? element : equal(element, item);
    if (same.is_true()) return same;
    if (typed && same.is_error() && !error) error = std::move(same);
  }
  return error ? std::move(*error) : Value::of(false);
}

Value no_such_overload() { return Value::error("no such overload"); }
Value maybe_no_such_overload(const Value& value) { return value.is_error() ? value : no_such_overload(); }

}  // namespace orch::api::cel
