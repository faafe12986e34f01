#include "api/resources/crd_structural.h"

#include <algorithm>

#include "api/resources/tree.h"
#include "api/structural/schema.h"
#include "base/json.h"

namespace orch::api {

namespace {

enum class Level : uint8_t { kRoot, kItem, kField };

bool filled(const Json& schema, const char* key) {
  const auto it = schema.find(key);
  return it != schema.end() && !it->is_null() && !(it->is_structured() && it->empty()) &&
         !base::is_empty_text(*it);
}

bool flag(const Json& schema, const char* key) { return base::bool_at(schema, {key}); }
std::string_view type_of(const Json& schema) { return base::string_at(schema, {"type"}); }

/// anyOf: integer, string.
bool is_int_or_string_choice(const Json& any_of) {
  return any_of.is_array() && any_of.size() == 2 && any_of[0] == Json{{"type", "integer"}} &&
         any_of[1] == Json{{"type", "string"}};
}

class Checker {
 public:
  explicit Checker(FieldErrors& errors) : errors_(errors) {}

  void structure(const Json& s, Level level, const FieldPath& path) {
    const auto items = s.find("items");
    const bool has_items = items != s.end() && items->is_object();
    if (type_of(s) == "array" && !has_items) errors_.required(path.child("items"), "must be specified");
    if (has_items) structure(*items, Level::kItem, path.child("items"));
    for (const auto& [name, below] : base::object_at(s, {"properties"}).items())
      structure(below, Level::kField, path.child("properties").key(name));
    if (has(s, "additionalProperties")) {
      const FieldPath at = path.child("additionalProperties");
      if (level == Level::kRoot) errors_.forbidden(at, "must not be used at the root");
      if (s["additionalProperties"].is_object()) structure(s["additionalProperties"], Level::kField, at);
    }
    extensions(s, path);
    const Json& all_of = base::array_at(s, {"allOf"});
    const bool skip_any = is_int_or_string_choice(base::array_at(s, {"anyOf"}));
    const bool skip_first = !all_of.empty() && is_int_or_string_choice(base::array_at(all_of[0], {"anyOf"}));
    validations(s, skip_any, skip_first, path);
    kind(s, level, path);
    metadata(s, level, path);
    if (flag(s, "x-kubernetes-embedded-resource") && !flag(s, "x-kubernetes-preserve-unknown-fields") &&
        !filled(s, "properties")) {
      errors_.required(path.child("properties"),
                       "must not be empty if x-kubernetes-embedded-resource is true without "
                       "x-kubernetes-preserve-unknown-fields");
    }
  }

  /// Every value validation is about something that is specified.
  void completeness(const Json& v, const Json* s, const FieldPath& s_path, const FieldPath& v_path) {
    if (s == nullptr) return errors_.required(s_path, base::cat("because it is defined in ", v_path.text()));
    if (has(v, "not")) nested(v["not"], s, s_path, v_path.child("not"));
    for (const char* key : {"allOf", "anyOf", "oneOf"}) {
      size_t i = 0;
      for (const Json& branch : base::array_at(v, {key}))
        nested(branch, s, s_path, v_path.child(key).index(i++));
    }
  }

 private:
  void nested(const Json& v, const Json* s, const FieldPath& s_path, const FieldPath& v_path) {
    if (s == nullptr) return errors_.required(s_path, base::cat("because it is defined in ", v_path.text()));
    completeness(v, s, s_path, v_path);
    if (const auto items = v.find("items"); items != v.end() && items->is_object()) {
      const auto own = s->find("items");
      nested(*items, own != s->end() && own->is_object() ? &*own : nullptr, s_path.child("items"),
             v_path.child("items"));
    }
    const Json& properties = base::object_at(*s, {"properties"});
    for (const auto& [name, below] : base::object_at(v, {"properties"}).items()) {
      const FieldPath own = s_path.child("properties").key(name), of_v = v_path.child("properties").key(name);
      const auto it = properties.find(name);
      if (it == properties.end()) {
        errors_.required(own, base::cat("because it is defined in ", of_v.text()));
      } else {
        nested(below, &*it, own, of_v);
      }
    }
  }

  void extensions(const Json& s, const FieldPath& path) {
    if (!flag(s, "x-kubernetes-int-or-string")) return;
    for (const char* key : {"x-kubernetes-preserve-unknown-fields", "x-kubernetes-embedded-resource"}) {
      if (flag(s, key))
        errors_.invalid(path.child(key), true, "must be false if x-kubernetes-int-or-string is true");
    }
  }

  void kind(const Json& s, Level level, const FieldPath& path) {
    const std::string type(type_of(s));
    const bool embedded = flag(s, "x-kubernetes-embedded-resource");
    const FieldPath at = path.child("type");
    if (embedded && type != "object") {
      constexpr std::string_view kWhy = "must be object if x-kubernetes-embedded-resource is true";
      if (type.empty()) {
        errors_.required(at, kWhy);
      } else {
        errors_.invalid(at, type, kWhy);
      }
    } else if (type.empty() && !flag(s, "x-kubernetes-int-or-string") &&
               !flag(s, "x-kubernetes-preserve-unknown-fields")) {
      errors_.required(at, level == Level::kRoot   ? "must not be empty at the root"
                           : level == Level::kItem ? "must not be empty for specified array items"
                                                   : "must not be empty for specified object fields");
    }
    if (embedded && has(s, "additionalProperties")) {
      errors_.forbidden(path.child("additionalProperties"),
                        "must not be used if x-kubernetes-embedded-resource is set");
    }
    if (level == Level::kRoot && !type.empty() && type != "object")
      errors_.invalid(at, type, "must be object at the root");
  }

  void metadata(const Json& s, Level level, const FieldPath& path) {
    const bool checked = level == Level::kRoot || flag(s, "x-kubernetes-embedded-resource");
    const Json& properties = base::object_at(s, {"properties"});
    for (const char* key : {"kind", "apiVersion"}) {
      const auto it = properties.find(key);
      if (!checked || it == properties.end() || type_of(*it) == "string") continue;
      errors_.invalid(path.child("properties").key(key).child("type"), std::string(type_of(*it)),
                      "must be string");
    }
    const auto meta = properties.find("metadata");
    if (meta == properties.end()) return;
    const FieldPath at = path.child("properties").key("metadata");
    if (checked && type_of(*meta) != "object")
      errors_.invalid(at.child("type"), std::string(type_of(*meta)), "must be object");
    if (level == Level::kRoot && !only_names(*meta)) {
      errors_.forbidden(
          at,
          "must not specify anything other than name and generateName, but metadata is implicitly "
          "specified");
    }
  }

  static bool only_names(const Json& metadata) {
    for (const auto& [key, value] : metadata.items()) {
      if (key == "type" || key == "default" || value.is_null() || value == false ||
          base::is_empty_text(value))
        continue;
      if (key == "externalDocs" || key == "example") continue;
      if (key != "properties") return false;
      for (const auto& [name, below] : value.items()) {
        if (name != "name" && name != "generateName") return false;
      }
    }
    return true;
  }

  void validations(const Json& v, bool skip_any, bool skip_first, const FieldPath& path) {
    size_t i = 0;
    if (!skip_any) {
      for (const Json& branch : base::array_at(v, {"anyOf"}))
        forbidden(branch, false, path.child("anyOf").index(i++));
    }
    i = 0;
    for (const Json& branch : base::array_at(v, {"allOf"})) {
      forbidden(branch, skip_first && i == 0, path.child("allOf").index(i));
      ++i;
    }
    i = 0;
    for (const Json& branch : base::array_at(v, {"oneOf"}))
      forbidden(branch, false, path.child("oneOf").index(i++));
    if (has(v, "not")) forbidden(v["not"], false, path.child("not"));
    const std::string_view pattern = base::string_at(v, {"pattern"});
    if (pattern.empty()) return;
    if (const std::string why = structural::Pattern::problem(pattern); !why.empty()) {
      errors_.invalid(path.child("pattern"), std::string(pattern),
                      base::cat("must be a valid regular expression, but isn't: ", why));
    }
  }

  /// What a schema below a junctor must not have.
  void forbidden(const Json& v, bool skip_any, const FieldPath& path) {
    validations(v, skip_any, false, path);
    if (const auto items = v.find("items"); items != v.end() && items->is_object())
      forbidden(*items, false, path.child("items"));
    for (const auto& [name, below] : base::object_at(v, {"properties"}).items())
      forbidden(below, false, path.child("properties").key(name));
    struct Rule {
      const char* key;
      std::string_view why;
    };
    constexpr Rule kRules[] = {{"type", "must be empty to be structural"},
                               {"additionalProperties", "must be undefined to be structural"},
                               {"default", "must be undefined to be structural"},
                               {"title", "must be empty to be structural"},
                               {"description", "must be empty to be structural"},
                               {"nullable", "must be false to be structural"},
                               {"x-kubernetes-preserve-unknown-fields", "must be false to be structural"},
                               {"x-kubernetes-embedded-resource", "must be false to be structural"},
                               {"x-kubernetes-int-or-string", "must be false to be structural"},
                               {"x-kubernetes-list-map-keys", "must be empty to be structural"},
                               {"x-kubernetes-list-type", "must be undefined to be structural"},
                               {"x-kubernetes-map-type", "must be undefined to be structural"},
                               {"x-kubernetes-validations", "must be empty to be structural"}};
    for (const Rule& rule : kRules) {
      const auto it = v.find(rule.key);
      if (it == v.end() || it->is_null() || *it == false || base::is_empty_text(*it) ||
          (it->is_array() && it->empty()))
        continue;
      errors_.forbidden(path.child(rule.key), rule.why);
    }
    if (base::object_at(v, {"properties"}).contains("metadata")) {
      errors_.forbidden(path.child("properties").key("metadata"),
                        "must not be specified in a nested context");
    }
  }

  FieldErrors& errors_;
};

std::string unsupported(const Json& s) {
  struct Name {
    const char *key, *shown;
  };
  for (const Name& name :
       {Name{"id", "id"}, Name{"$schema", "schema"}, Name{"$ref", "$ref"},
        Name{"patternProperties", "patternProperties"}, Name{"dependencies", "dependencies"}}) {
    if (filled(s, name.key)) return base::cat("OpenAPIV3Schema '", name.shown, "' is not supported");
  }
  if (has(s, "additionalItems")) return "OpenAPIV3Schema 'additionalItems' is not supported";
  if (filled(s, "definitions")) return "OpenAPIV3Schema 'definitions' is not supported";
  const auto keep = s.find("x-kubernetes-preserve-unknown-fields");
  if (keep != s.end() && *keep == false)
    return "internal error: 'x-kubernetes-preserve-unknown-fields' must be true or undefined";
  if (!base::array_at(s, {"items"}).empty())
    return "OpenAPIV3Schema 'items' must be a schema, but is an array";
  return {};
}

}  // namespace

bool each_schema_below(const Json& schema, const SchemaVisitor& visit) {
  const auto each = [&](const Json& some) {
    return std::any_of(some.begin(), some.end(),
                       [&](const Json& below) { return below.is_object() && visit(below); });
  };
  for (const char* key : {"items", "not", "additionalProperties", "additionalItems"}) {
    if (const auto it = schema.find(key); it != schema.end() && it->is_object() && visit(*it)) return true;
  }
  for (const char* key : {"items", "allOf", "anyOf", "oneOf"}) {
    if (const auto it = schema.find(key); it != schema.end() && it->is_array() && each(*it)) return true;
  }
  for (const char* key : {"properties", "patternProperties", "definitions", "dependencies"}) {
    if (const auto it = schema.find(key); it != schema.end() && it->is_object() && each(*it)) return true;
  }
  return false;
}

bool schema_has(const Json& schema, const SchemaVisitor& visit) {
  return visit(schema) ||
         each_schema_below(schema, [&](const Json& below) { return schema_has(below, visit); });
}

std::string not_structural(const Json& schema) {
  std::string why = unsupported(schema);
  if (why.empty()) {
    each_schema_below(schema, [&](const Json& below) {
      why = not_structural(below);
      return !why.empty();
    });
  }
  return why;
}

void validate_structural(const Json& schema, const FieldPath& path, FieldErrors& errors) {
  FieldErrors found;
  Checker checker(found);
  checker.structure(schema, Level::kRoot, path);
  checker.completeness(schema, &schema, path, path);
  std::vector<base::Cause> causes = found.causes();
  std::stable_sort(causes.begin(), causes.end(), [](const base::Cause& a, const base::Cause& b) {
    return base::cat(a.field, ": ", a.message) < base::cat(b.field, ": ", b.message);
  });
  for (base::Cause& cause : causes) errors.add(std::move(cause));
}

}  // namespace orch::api
