#include "api/cel/schema_view.h"

#include "api/cel/time_text.h"
#include "api/schema/scalars.h"
#include "base/json.h"

namespace orch::api::cel {

namespace {

bool flag(const Json& schema, const char* name) {
  const auto found = schema.find(name);
  return found != schema.end() && found->is_boolean() && found->get<bool>();
}

std::string_view text(const Json& schema, const char* name) {
  const auto found = schema.find(name);
  if (found == schema.end() || !found->is_string()) return {};
  return found->get_ref<const std::string&>();
}

/// The name of the type Go's decoder gives the value, as %T prints it.
std::string_view go_type(const Json& tree) {
  switch (tree.type()) {
    case Json::value_t::string:
      return "string";
    case Json::value_t::boolean:
      return "bool";
    case Json::value_t::number_integer:
    case Json::value_t::number_unsigned:
      return "int64";
    case Json::value_t::number_float:
      return "float64";
    case Json::value_t::array:
      return "[]interface {}";
    case Json::value_t::object:
      return "map[string]interface {}";
    default:
      return "<nil>";
  }
}

Value string_value(const std::string& value, std::string_view format) {
  if (format == "duration") {
    std::string error;
    if (const auto nanos = parse_strfmt_duration(value, error)) return ValueAccess::duration(*nanos);
    return Value::error("Invalid duration " + value + ": " + error);
  }
  if (format == "date") {
    if (const auto seconds = parse_date(value)) return ValueAccess::timestamp(*seconds, 0);
    return Value::error("Invalid date formatted string " + value + ": parsing time \"" + value +
                        "\" as \"2006-01-02\": cannot parse \"" + value + "\" as \"2006\"");
  }
  if (format == "date-time") {
    if (const auto time = parse_date_time(value)) {
      return ValueAccess::timestamp(time->seconds, time->nanos, time->offset);
    }
    return Value::error("Invalid date-time formatted string " + value + ": parsing time \"" + value +
                        "\" as \"2006-01-02T15:04:05\": cannot parse \"" + value + "\" as \"2006\"");
  }
  if (format == "byte") {
    const base::Result<std::string> bytes = schema::decode_base64(value);
    if (bytes.ok()) return ValueAccess::bytes(*bytes);
    return Value::error("Invalid byte formatted string " + value + ": " + bytes.error().message());
  }
  return Value::of(value);
}

Value number_value(const Json& tree, bool integer) {
  if (integer) {
    if (tree.is_number_integer()) return Value::of(tree.get<int64_t>());
    return Value::error("invalid data, expected int, got " + std::string(go_type(tree)));
  }
  if (tree.is_number()) return Value::of(tree.get<double>());
  return Value::error("invalid data, expected float, got " + std::string(go_type(tree)));
}

/// A value whose schema says no more than that it is kept.
struct PreservedRep final : OpaqueRep {
  explicit PreservedRep(const Json& t) : tree(&t) {}
  const Json* tree;
  std::string_view type_name() const override { return "unknown"; }
  bool equals(const OpaqueRep& other) const override {
    return *tree == *static_cast<const PreservedRep&>(other).tree;
  }
};

/// The keys by which items of a list of type map are told apart, as one text.
std::string item_key(const Value& item, const Json& schema) {
  std::string key;
  const auto keys = schema.find("x-kubernetes-list-map-keys");
  if (keys == schema.end() || item.kind() != Value::Kind::kMap) return key;
  for (const Json& name : *keys) {
    const std::optional<Value> part = map_find(item, Value::of(name.get<std::string>()));
    key += part ? map_key(*part) : "-";
    key += '\0';
  }
  return key;
}

size_t count(const Value& list) { return static_cast<size_t>(*size_of(list)); }

}  // namespace

std::optional<Value> schema_scalar(const Json& tree, const Json& schema) {
  if (tree.is_null()) {
    if (flag(schema, "nullable")) return Value();
    return Value::error("invalid data, got null for schema with nullable=false");
  }
  if (flag(schema, "x-kubernetes-int-or-string")) {
    if (tree.is_string()) return Value::of(tree.get_ref<const std::string&>());
    if (tree.is_number_integer()) return Value::of(tree.get<int64_t>());
    return Value::error("invalid data, expected XIntOrString value to be either a string or integer");
  }
  const std::string_view type = text(schema, "type");
  if (type == "object") {
    if (tree.is_object()) return std::nullopt;
    return Value::error("invalid data, expected a map for the provided schema with type=object");
  }
  if (type == "array") {
    if (!tree.is_array()) {
      return Value::error("invalid data, expected an array for the provided schema with type=array");
    }
    if (items_schema(schema) == nullptr) {
      return Value::error("invalid array type, expected Items with a non-empty Schema");
    }
    return std::nullopt;
  }
  if (type == "string") {
    if (tree.is_string()) return string_value(tree.get_ref<const std::string&>(), text(schema, "format"));
    return Value::error("invalid data, expected string, got " + std::string(go_type(tree)));
  }
  if (type == "number" || type == "integer") return number_value(tree, type == "integer");
  if (type == "boolean") {
    if (tree.is_boolean()) return Value::of(tree.get<bool>());
    return Value::error("invalid data, expected bool, got " + std::string(go_type(tree)));
  }
  if (flag(schema, "x-kubernetes-preserve-unknown-fields")) {
    return ValueAccess::opaque(std::make_shared<PreservedRep>(tree));
  }
  return Value::error(
      "invalid type, expected object, array, number, integer, boolean or string, or no type with "
      "x-kubernetes-int-or-string or x-kubernetes-preserve-unknown-fields is true, got " +
      std::string(type));
}

const Json* items_schema(const Json& list_schema) {
  const auto found = list_schema.find("items");
  return found == list_schema.end() || !found->is_object() ? nullptr : &*found;
}

bool has_properties(const Json& schema) {
  return schema.contains("properties") || flag(schema, "x-kubernetes-embedded-resource");
}

const Json* member_schema(const Json& schema, const std::string& name) {
  if (has_properties(schema)) {
    const auto properties = schema.find("properties");
    if (properties != schema.end()) {
      const auto found = properties->find(name);
      if (found != properties->end()) return &*found;
    }
    if (flag(schema, "x-kubernetes-embedded-resource")) return object_meta_schema(name);
    return nullptr;
  }
  const auto additional = schema.find("additionalProperties");
  return additional == schema.end() || !additional->is_object() ? nullptr : &*additional;
}

std::optional<Value> schema_member(const Value& map, const Json& tree, const Json& schema,
                                   const std::string& key) {
  std::string name = key;
  const bool is_object = has_properties(schema);
  if (is_object && !unescape_name(key, name)) return std::nullopt;
  const auto found = tree.find(name);
  if (found == tree.end() || (is_object && found->is_null())) return std::nullopt;
  const Json* member = member_schema(schema, name);
  if (member == nullptr) return std::nullopt;
  return ValueAccess::view(*found, member, ValueAccess::keep(map));
}

std::optional<std::string> schema_key(const Json& schema, const std::string& name) {
  if (member_schema(schema, name) == nullptr) return std::nullopt;
  std::string escaped;
  if (has_properties(schema) && escape_name(name, escaped)) return escaped;
  return name;
}

Value schema_list_equal(const Value& a, const Value& b) {
  if (b.kind() != Value::Kind::kList) return maybe_no_such_overload(b);
  const size_t size = count(a);
  if (size != count(b)) return Value::of(false);
  const Json& schema = *ValueAccess::schema(a);
  const std::string_view kind = text(schema, "x-kubernetes-list-type");
  if (kind == "set") {
    for (size_t i = 0; i < size; ++i) {
      const Value item = list_item(b, i);
      bool found = false;
      for (size_t j = 0; j < size && !found; ++j) found = equal_true(list_item(a, j), item);
      if (!found) return Value::of(false);
    }
    return Value::of(true);
  }
  if (kind == "map") {
    std::unordered_map<std::string, size_t> keys;
    for (size_t i = 0; i < size; ++i) keys[item_key(list_item(a, i), schema)] = i;
    for (size_t i = 0; i < size; ++i) {
      const Value item = list_item(b, i);
      const auto found = keys.find(item_key(item, schema));
      if (found == keys.end()) return Value::of(false);
      Value same = equal(list_item(a, found->second), item);
      if (!same.is_true()) return same;
    }
    return Value::of(true);
  }
  for (size_t i = 0; i < size; ++i) {
    Value same = equal(list_item(a, i), list_item(b, i));
    if (!same.is_true()) return same;
  }
  return Value::of(true);
}

Value schema_map_equal(const Value& a, const Value& b) {
  if (b.kind() != Value::Kind::kMap) return maybe_no_such_overload(b);
  if (size_of(a) != size_of(b)) return Value::of(false);
  const Json& schema = *ValueAccess::schema(a);
  const Json& tree = *ValueAccess::tree(a);
  for (const auto& item : tree.items()) {
    if (member_schema(schema, item.key()) != nullptr) {
      const Value key = Value::of(item.key());
      const std::optional<Value> mine = map_find(a, key);
      const std::optional<Value> other = map_find(b, key);
      if (mine.has_value() != other.has_value()) return Value::of(false);
      if (!mine) continue;
      Value same = equal(*mine, *other);
      if (!same.is_true()) return same;
      continue;
    }
    const Json* other_tree = ValueAccess::tree(b);
    if (other_tree == nullptr || ValueAccess::schema(b) == nullptr) return maybe_no_such_overload(b);
    const auto found = other_tree->find(item.key());
    if (found != other_tree->end() && *found != item.value()) return Value::of(false);
  }
  return Value::of(true);
}

Value schema_list_add(const Value& a, const Value& b) {
  if (b.kind() != Value::Kind::kList) return maybe_no_such_overload(b);
  const Json& schema = *ValueAccess::schema(a);
  const std::string_view kind = text(schema, "x-kubernetes-list-type");
  std::vector<Value> items;
  std::unordered_map<std::string, size_t> keys;
  for (size_t i = 0; i < count(a); ++i) {
    items.push_back(list_item(a, i));
    if (kind == "map") keys[item_key(items.back(), schema)] = i;
  }
  for (size_t i = 0; i < count(b); ++i) {
    Value item = list_item(b, i);
    if (kind == "map") {
      const auto [at, added] = keys.emplace(item_key(item, schema), items.size());
      if (!added) {
        items[at->second] = std::move(item);
        continue;
      }
    } else if (kind == "set") {
      bool known = false;
      for (size_t j = 0; j < items.size() && !known; ++j) known = equal_true(items[j], item);
      if (known) continue;
    }
    items.push_back(std::move(item));
  }
  return ValueAccess::list(std::move(items), &schema);
}

}  // namespace orch::api::cel
