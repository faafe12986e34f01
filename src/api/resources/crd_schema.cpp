#include "api/resources/crd_schema.h"

#include <algorithm>
#include <set>

#include "api/go_text.h"
#include "api/resources/crd_rules.h"
#include "api/resources/crd_structural.h"
#include "api/structural/object.h"
#include "api/structural/schema.h"
#include "api/structural/value.h"
#include "base/json.h"

namespace orch::api {

namespace {

const std::vector<std::string> kTypes = {"array", "boolean", "integer", "number", "object", "string"};

const Json* present(const Json& schema, const char* key) {
  const auto it = schema.find(key);
  return it == schema.end() || it->is_null() ? nullptr : &*it;
}

const Json* schema_at(const Json& schema, const char* key) {
  const Json* value = present(schema, key);
  return value != nullptr && value->is_object() ? value : nullptr;
}

bool filled(const Json& schema, const char* key) {
  const Json* value = present(schema, key);
  return value != nullptr && !base::is_empty_text(*value) && !(value->is_structured() && value->empty());
}

std::string text_at(const Json& schema, const char* key) {
  return std::string(base::string_at(schema, {key}));
}
bool flag(const Json& schema, const char* key) { return base::bool_at(schema, {key}); }

/// How deep in metadata, and what defaults may not be set for.
struct Place {
  bool defaults = true;
  std::string why_not = {};
  bool in_metadata = false;

  Place without_defaults(std::string reason) const {
    Place out = *this;
    out.defaults = false;
    out.why_not = std::move(reason);
    return out;
  }
};

class Checker {
 public:
  Checker(const CrdSchemaDemands& demands, FieldErrors& errors) : demands_(demands), errors_(errors) {}

  void check(const Json& s, const Place& place, bool root, const FieldPath& path) {
    features(s, place, path);
    if (flag(s, "uniqueItems")) {
      errors_.forbidden(path.child("uniqueItems"),
                        "uniqueItems cannot be set to true since the runtime complexity becomes quadratic");
    }
    additional(s, place, path);
    members(s, place, root, path);
    if (const Json* negation = schema_at(s, "not")) check(*negation, place, false, path.child("not"));
    for (const char* key : {"allOf", "oneOf", "anyOf"}) {
      size_t i = 0;
      for (const Json& branch : base::array_at(s, {key}))
        check(branch, place, false, path.child(key).index(i++));
    }
    for (const auto& [name, below] : base::object_at(s, {"definitions"}).items())
      check(below, place, false, path.child("definitions").key(name));
    if (const Json* items = schema_at(s, "items")) check(*items, place, false, path.child("items"));
    size_t i = 0;
    for (const Json& item : base::array_at(s, {"items"}))
      check(item, place, false, path.child("items").index(i++));
    for (const auto& [name, below] : base::object_at(s, {"dependencies"}).items()) {
      if (below.is_object()) check(below, place, false, path.child("dependencies").key(name));
    }
    if (const Json* keep = present(s, "x-kubernetes-preserve-unknown-fields");
        keep != nullptr && *keep == false)
      errors_.invalid(path.child("x-kubernetes-preserve-unknown-fields"), false, "must be true or undefined");
    map_type(s, path);
    list_type(s, path);
    list_keys(s, path);
    if (demands_.list_keys) validate_list_keys(s, path, errors_);
    validate_rule_texts(s, path, errors_);
  }

 private:
  void features(const Json& s, const Place& place, const FieldPath& path) {
    const std::string type = text_at(s, "type");
    if (demands_.valid_types && !type.empty() &&
        std::find(kTypes.begin(), kTypes.end(), type) == kTypes.end())
      errors_.not_supported(path.child("type"), type, kTypes);
    if (present(s, "default") != nullptr && !place.defaults) {
      errors_.forbidden(path.child("default"),
                        base::cat("must not be set", place.why_not.empty() ? "" : " ", place.why_not));
    }
    if (filled(s, "id")) errors_.forbidden(path.child("id"), "id is not supported");
    for (const char* key : {"additionalItems", "patternProperties", "definitions"}) {
      const bool there =
          key == std::string_view("additionalItems") ? present(s, key) != nullptr : filled(s, key);
      if (there) errors_.forbidden(path.child(key), base::cat(key, " is not supported"));
    }
    for (const char* key : {"dependencies", "$ref"}) {
      if (present(s, key) != nullptr) errors_.forbidden(path.child(key), base::cat(key, " is not supported"));
    }
    if (type == "null") {
      errors_.forbidden(path.child("type"), "type cannot be set to null, use nullable as an alternative");
    }
    if (!base::array_at(s, {"items"}).empty())
      errors_.forbidden(path.child("items"), "items must be a schema object and not an array");
    if (place.in_metadata && flag(s, "x-kubernetes-embedded-resource")) {
      errors_.forbidden(path.child("x-kubernetes-embedded-resource"),
                        "must not be used inside of resource meta");
    }
  }

  void additional(const Json& s, const Place& place, const FieldPath& path) {
    const Json* more = present(s, "additionalProperties");
    if (more == nullptr) return;
    const FieldPath at = path.child("additionalProperties");
    if (filled(s, "properties") && *more != true)
      errors_.forbidden(at, "additionalProperties and properties are mutual exclusive");
    if (!more->is_object()) return;
    check(*more,
          place.in_metadata
              ? place.without_defaults("inside additionalProperties applying to object metadata")
              : place,
          false, at);
  }

  void members(const Json& s, const Place& place, bool root, const FieldPath& path) {
    for (const auto& [name, below] : base::object_at(s, {"properties"}).items()) {
      Place inside = place;
      const bool meta = name == "metadata" || name == "kind" || name == "apiVersion";
      if (meta && (root || flag(s, "x-kubernetes-embedded-resource"))) {
        inside.in_metadata = true;
        if (root) inside = inside.without_defaults(base::cat("in top-level ", name));
      }
      check(below, inside, false, path.child("properties").key(name));
    }
  }

  void wrong_type(const Json& s, const char* wanted, const char* key, const FieldPath& path) {
    const std::string why = base::cat("must be ", wanted, " if ", key, " is specified");
    if (const std::string type = text_at(s, "type"); type.empty()) {
      errors_.required(path.child("type"), why);
    } else {
      errors_.invalid(path.child("type"), type, why);
    }
  }

  void map_type(const Json& s, const FieldPath& path) {
    constexpr const char* kKey = "x-kubernetes-map-type";
    if (present(s, kKey) == nullptr) return;
    if (text_at(s, "type") != "object") wrong_type(s, "object", kKey, path);
    const std::string value = text_at(s, kKey);
    if (value != "atomic" && value != "granular")
      errors_.not_supported(path.child(kKey), value, {"atomic", "granular"});
  }

  void list_type(const Json& s, const FieldPath& path) {
    constexpr const char* kKey = "x-kubernetes-list-type";
    if (present(s, kKey) == nullptr) return;
    const std::string value = text_at(s, kKey);
    if (text_at(s, "type") != "array") {
      wrong_type(s, "array", kKey, path);
    } else if (demands_.atomic_sets && value == "set") {
      set_items(s, path.child("items"));
    }
    if (value != "atomic" && value != "set" && value != "map")
      errors_.not_supported(path.child(kKey), value, {"atomic", "set", "map"});
  }

  void set_items(const Json& s, const FieldPath& path) {
    const Json* items = schema_at(s, "items");
    if (items == nullptr) return;
    constexpr std::string_view kWhy = "must be atomic as item of a list with x-kubernetes-list-type=set";
    const Json* list = present(*items, "x-kubernetes-list-type");
    const Json shown = list != nullptr ? *list : Json(nullptr);
    if (text_at(*items, "type") == "array" && list != nullptr && *list != "atomic")
      errors_.invalid(path.child("x-kubernetes-list-type"), shown, kWhy);
    if (text_at(*items, "type") == "object" && text_at(*items, "x-kubernetes-map-type") != "atomic")
      errors_.invalid(path.child("x-kubernetes-map-type"), shown, kWhy);
  }

  void list_keys(const Json& s, const FieldPath& path) {
    const FieldPath type_path = path.child("x-kubernetes-list-type");
    const FieldPath keys_path = path.child("x-kubernetes-list-map-keys");
    const Json* type = present(s, "x-kubernetes-list-type");
    const Json& keys = base::array_at(s, {"x-kubernetes-list-map-keys"});
    if (!keys.empty()) {
      constexpr std::string_view kWhy = "must be map if x-kubernetes-list-map-keys is non-empty";
      if (type == nullptr) {
        errors_.required(type_path, kWhy);
      } else if (*type != "map") {
        errors_.invalid(type_path, *type, kWhy);
      }
    }
    if (type == nullptr || *type != "map") return;
    if (keys.empty()) errors_.required(keys_path, "must not be empty if x-kubernetes-list-type is map");
    const Json* items = present(s, "items");
    if (items == nullptr)
      return errors_.required(path.child("items"), "must have a schema if x-kubernetes-list-type is map");
    if (!items->is_object()) {
      return errors_.invalid(path.child("items"), *items,
                             "must only have a single schema if x-kubernetes-list-type is map");
    }
    const std::string item_type = text_at(*items, "type");
    if (item_type != "object") {
      return errors_.invalid(path.child("items").child("type"), item_type,
                             "must be object if parent array's x-kubernetes-list-type is map");
    }
    std::set<std::string> seen;
    for (const Json& key : keys) {
      const auto name = key.get<std::string>();
      const Json& properties = base::object_at(*items, {"properties"});
      const auto property = properties.find(name);
      if (property == properties.end()) {
        errors_.invalid(keys_path, keys, "entries must all be names of item properties");
      } else if (const std::string t = text_at(*property, "type"); t == "array" || t == "object") {
        errors_.invalid(path.child("items").child("properties").key(name).child("type"), item_type,
                        "must be a scalar type if parent array's x-kubernetes-list-type is map");
      }
      if (!seen.insert(name).second) errors_.invalid(keys_path, keys, "must not contain duplicate entries");
    }
  }

  const CrdSchemaDemands& demands_;
  FieldErrors& errors_;
};

/// With a status subresource the root says nothing that would be lost on a status alone.
void validate_root(const Json& schema, const FieldPath& path, FieldErrors& errors) {
  // In the order of Go's members: the first that is set is named. Bare texts and flags are unset when empty,
  // anything else is set as soon as it is there.
  constexpr const char* kNotAllowed[] = {"id",
                                         "$schema",
                                         "$ref",
                                         "type",
                                         "nullable",
                                         "default",
                                         "enum",
                                         "maxProperties",
                                         "minProperties",
                                         "allOf",
                                         "oneOf",
                                         "anyOf",
                                         "not",
                                         "additionalProperties",
                                         "patternProperties",
                                         "dependencies",
                                         "additionalItems",
                                         "definitions",
                                         "x-kubernetes-embedded-resource",
                                         "x-kubernetes-int-or-string",
                                         "x-kubernetes-list-map-keys",
                                         "x-kubernetes-list-type",
                                         "x-kubernetes-map-type"};
  static const std::set<std::string_view> bare = {
      "id", "$schema", "nullable", "x-kubernetes-embedded-resource", "x-kubernetes-int-or-string"};
  for (const char* name : kNotAllowed) {
    const std::string_view key(name);
    const Json* value = present(schema, name);
    if (key == "type") {
      const std::string type = text_at(schema, "type");
      if (type.empty() || type == "object") continue;
      return errors.invalid(FieldPath(path.text() + ".openAPIV3Schema.type"), type,
                            "only \"object\" is allowed as the type at the root of the schema if the status "
                            "subresource is enabled");
    }
    if (value == nullptr || (bare.contains(key) && (*value == false || base::is_empty_text(*value))))
      continue;
    return errors.invalid(
        path.child("openAPIV3Schema"), schema,
        "only [Description Type Format Title Maximum ExclusiveMaximum Minimum ExclusiveMinimum MaxLength "
        "MinLength Pattern MaxItems MinItems UniqueItems MultipleOf Required Items Properties ExternalDocs "
        "Example XPreserveUnknownFields XValidations] fields are allowed at the root of the schema if the "
        "status subresource is enabled");
  }
}

/// Defaults keep to their own schemas.
class DefaultChecker {
 public:
  DefaultChecker(const Schema& builtin, bool pruned, FieldErrors& errors)
      : builtin_(builtin), pruned_(pruned), errors_(errors) {}

  void check(const Json& s, const FieldPath& path, bool root, bool in_metadata) {
    const bool embedded = root || flag(s, "x-kubernetes-embedded-resource");
    if (embedded) in_metadata = false;
    if (const Json* value = present(s, "default")) one(s, *value, path.child("default"), root, in_metadata);
    if (const Json* items = schema_at(s, "items")) check(*items, path.child("items"), false, in_metadata);
    for (const auto& [name, below] : base::object_at(s, {"properties"}).items()) {
      const bool meta = name == "metadata" || name == "kind" || name == "apiVersion";
      check(below, path.child("properties").key(name), false, in_metadata || (embedded && meta));
    }
  }

 private:
  void one(const Json& s, const Json& value, const FieldPath& path, bool root, bool in_metadata) {
    const structural::Node& node = *schemas_.add(s);
    const bool embedded = root || node.embedded;
    if (!in_metadata) {
      if (pruned_) {
        Json copy = value;
        structural::prune(&node, copy, embedded, nullptr);
        if (copy != value) errors_.invalid(path, value, "must not have unknown fields");
      }
      Json copy = value;
      if (const base::Status s2 = structural::coerce_embedded(builtin_, node, copy, false, nullptr); !s2.ok())
        return errors_.invalid(path, value, s2.message());
      FieldErrors found;
      structural::validate_embedded(builtin_, node, value, path, embedded && value.is_object(), found);
      if (!found.empty()) return errors_.append(std::move(found));
    }
    FieldErrors found;
    structural::validate_value(node, value, nullptr, path.text(), found);
    if (!found.empty()) return errors_.append(std::move(found));
    validate_default_by_rules(s, value, root, path, errors_);
  }

  const Schema& builtin_;
  const bool pruned_;
  FieldErrors& errors_;
  structural::Schemas schemas_;
};

}  // namespace

void validate_list_keys(const Json& schema, const FieldPath& path, FieldErrors& errors) {
  const Json* items = schema_at(schema, "items");
  const std::string type = text_at(schema, "x-kubernetes-list-type");
  if (items == nullptr || (type != "set" && type != "map")) return;
  const FieldPath at = path.child("items");
  if (flag(*items, "nullable"))
    errors.forbidden(at.child("nullable"), "cannot be nullable when x-kubernetes-list-type is " + type);
  if (type != "map") return;
  const Json& required = base::array_at(*items, {"required"});
  const Json& properties = base::object_at(*items, {"properties"});
  for (const Json& key : base::array_at(schema, {"x-kubernetes-list-map-keys"})) {
    const auto name = key.get<std::string>();
    const auto property = properties.find(name);
    if (property == properties.end()) continue;
    const FieldPath own = at.child("properties").key(name);
    const bool needed = std::find(required.begin(), required.end(), key) != required.end();
    if (!needed && present(*property, "default") == nullptr) {
      errors.required(own.child("default"),
                      "this property is in x-kubernetes-list-map-keys, so it must have a default or be a "
                      "required property");
    }
    if (flag(*property, "nullable")) {
      errors.forbidden(own.child("nullable"),
                       "this property is in x-kubernetes-list-map-keys, so it cannot be nullable");
    }
  }
}

bool has_non_atomic_set(const Json& schema) {
  return schema_has(schema, [](const Json& s) {
    const Json* items = schema_at(s, "items");
    if (text_at(s, "x-kubernetes-list-type") != "set" || items == nullptr) return false;
    const std::string type = text_at(*items, "type");
    const std::string list = text_at(*items, "x-kubernetes-list-type");
    return (type == "array" && !list.empty() && list != "atomic") ||
           (type == "object" && text_at(*items, "x-kubernetes-map-type") != "atomic");
  });
}

bool has_unknown_type(const Json& schema) {
  return schema_has(schema, [](const Json& s) {
    const std::string type = text_at(s, "type");
    return !type.empty() && std::find(kTypes.begin(), kTypes.end(), type) == kTypes.end();
  });
}

void validate_crd_schema(const Schema& builtin, const Json& schema, const Json* old,
                         const CrdSchemaDemands& demands, const FieldPath& path, FieldErrors& errors) {
  FieldErrors found;
  if (demands.status_enabled) validate_root(schema, path, found);
  if (flag(schema, "nullable"))
    found.forbidden(FieldPath(path.text() + ".openAPIV3Schema.nullable"),
                    "nullable cannot be true at the root");
  const FieldPath at = path.child("openAPIV3Schema");
  std::string not_even;
  bool sound = false;  // so far that rules can be looked at
  if (demands.structural) {
    not_even = not_structural(schema);
    if (not_even.empty()) {
      const size_t before = found.causes().size();
      validate_structural(schema, at, found);
      if (found.causes().size() == before)
        DefaultChecker(builtin, demands.pruned_defaults, found).check(schema, at, true, false);
      sound = found.causes().size() == before;
    }
  }
  const size_t before = found.causes().size();
  Checker(demands, found).check(schema, Place(), true, at);
  if (sound && found.causes().size() == before) validate_rules(schema, old, at, found);
  if (found.empty() && !not_even.empty()) found.invalid(at, "", not_even);
  errors.append(std::move(found));
}

}  // namespace orch::api
