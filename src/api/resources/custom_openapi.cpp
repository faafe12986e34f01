#include "api/resources/custom_openapi.h"

#include <algorithm>

#include "api/resources/crd_schema.h"
#include "api/resources/crd_structural.h"
#include "api/resources/custom_resource.h"
#include "base/json.h"

namespace orch::api {

namespace {

constexpr std::string_view kObjectMeta = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

bool flag(const Json& schema, const char* key) { return base::bool_at(schema, {key}); }

Json int_or_string() { return Json::array({{{"type", "integer"}}, {{"type", "string"}}}); }

/// The choice that int-or-string means, unless the schema says so itself.
void unfold(Json& schema) {
  if (!flag(schema, "x-kubernetes-int-or-string")) return;
  const Json& all = base::array_at(schema, {"allOf"});
  if (base::array_at(schema, {"anyOf"}) == int_or_string()) return;
  if (!all.empty() && base::array_at(all[0], {"anyOf"}) == int_or_string()) return;
  if (base::array_at(schema, {"anyOf"}).empty()) {
    schema["anyOf"] = int_or_string();
  } else {
    Json first = Json::array({{{"anyOf", int_or_string()}}});
    first.insert(first.end(), all.begin(), all.end());
    schema["allOf"] = std::move(first);
  }
}

/// What version 2 of OpenAPI does not have, and what clients of it stumble over.
void reduce(Json& schema) {
  for (const char* key : {"allOf", "anyOf", "oneOf", "not"}) schema.erase(key);
  if (flag(schema, "nullable")) {
    for (const char* key : {"type", "nullable", "items", "properties"}) schema.erase(key);
  }
  const bool keeps = flag(schema, "x-kubernetes-preserve-unknown-fields");
  if (keeps) {
    schema.erase("items");
    schema.erase("properties");
  }
  const std::string type(base::string_at(schema, {"type"}));
  if ((type == "array" && !schema.contains("items")) || (type == "object" && keeps)) schema.erase("type");
  Json& required = schema["required"];
  for (const auto& [name, below] : base::object_at(schema, {"properties"}).items()) {
    if (flag(below, "nullable") && required.is_array())
      required.erase(std::remove(required.begin(), required.end(), Json(name)), required.end());
  }
  const auto more = schema.find("additionalProperties");
  if (!required.is_array() || required.empty() ||
      (more != schema.end() && more->is_object() && flag(*more, "nullable"))) {
    schema.erase("required");
  }
}

Json metadata_reference(bool v2) {
  constexpr const char* kText =
      "Standard object's metadata: its name, where it is, and what is attached to it.";
  const std::string target = base::cat(v2 ? "#/definitions/" : "#/components/schemas/", kObjectMeta);
  if (v2) return {{"$ref", target}, {"description", kText}};
  return {{"allOf", Json::array({{{"$ref", target}}})}, {"description", kText}};
}

void add_type_meta(Json& schema) {
  schema["properties"]["apiVersion"] = {
      {"type", "string"},
      {"description", "APIVersion defines which version of the schema this object is written in."}};
  schema["properties"]["kind"] = {{"type", "string"},
                                  {"description", "Kind says which kind of object this is, in CamelCase."}};
}

/// Members of embedded resources that nobody has to specify.
void add_embedded(Json& schema, bool v2) {
  if (!flag(schema, "x-kubernetes-embedded-resource")) return;
  if (v2 && flag(schema, "x-kubernetes-preserve-unknown-fields")) return;
  add_type_meta(schema);
  schema["properties"]["metadata"] = metadata_reference(v2);
  Json& required = schema["required"];
  if (!required.is_array()) required = Json::array();
  for (const char* name : {"kind", "apiVersion"}) {
    if (std::find(required.begin(), required.end(), name) == required.end()) required.push_back(name);
  }
}

void convert(Json& schema, bool v2) {
  for (const char* key : {"externalDocs", "example", "$schema", "id"}) schema.erase(key);
  unfold(schema);
  if (v2) reduce(schema);
  for (const char* key : {"properties"}) {
    if (const auto it = schema.find(key); it != schema.end() && it->is_object()) {
      for (Json& below : *it) convert(below, v2);
    }
  }
  for (const char* key : {"items", "additionalProperties"}) {
    if (const auto it = schema.find(key); it != schema.end() && it->is_object()) convert(*it, v2);
  }
  add_embedded(schema, v2);
}

/// Null if there is none that can be published.
Json publishable(const Resource& row) {
  const std::string_view text = row.custom->schemas->text(row.custom->version);
  if (text.empty()) return nullptr;
  auto schema = base::parse_json(text);
  if (!schema.ok() || !schema->is_object()) return nullptr;
  if (has_unknown_type(*schema) || !not_structural(*schema).empty()) return nullptr;
  FieldErrors errors;
  validate_structural(*schema, {}, errors);
  return errors.empty() ? std::move(*schema) : Json();
}

}  // namespace

std::string custom_model(std::string_view group, std::string_view version, std::string_view kind) {
  std::string out;
  while (!group.empty()) {
    const size_t dot = group.rfind('.');
    out += base::cat(group.substr(dot == std::string_view::npos ? 0 : dot + 1), ".");
    group = dot == std::string_view::npos ? std::string_view() : group.substr(0, dot);
  }
  return base::cat(out, version, ".", kind);
}

std::string custom_definition(const Resource& row, bool v2) {
  Json schema = publishable(row);
  const bool open = v2 && (row.custom->keep_unknown || flag(schema, "x-kubernetes-preserve-unknown-fields"));
  if (!schema.is_object() || open) {
    // Members would make clients refuse all others.
    schema = {{"type", "object"}};
  } else {
    convert(schema, v2);
    schema["properties"]["metadata"] = metadata_reference(v2);
    add_type_meta(schema);
  }
  schema["x-kubernetes-group-version-kind"] =
      Json::array({{{"group", row.group}, {"version", row.version}, {"kind", row.kind}}});
  Json selectable = Json::array();
  for (const IndexedField& field : row.selectable_fields) {
    if (!field.name.empty()) selectable.push_back({{"fieldPath", field.name}});
  }
  if (!selectable.empty()) schema["x-kubernetes-selectable-fields"] = std::move(selectable);
  return base::dump_json(schema);
}

}  // namespace orch::api
