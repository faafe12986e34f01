#include <algorithm>

#include "api/schema/openapi_writer.h"

namespace orch::api::schema {
namespace {

constexpr std::string_view kMeta = "io.k8s.apimachinery.pkg.apis.meta.v1.";
constexpr std::string_view kCrd = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.";

/// The definition's name of a value that is not a message and not plain, "" if it is plain.
std::string special_name(const Value& value, const FieldNotes& notes) {
  switch (value.kind) {
    case ValueKind::kQuantity:
      return "io.k8s.apimachinery.pkg.api.resource.Quantity";
    case ValueKind::kTime:
      return base::cat(kMeta, "Time");
    case ValueKind::kMicroTime:
      return base::cat(kMeta, "MicroTime");
    case ValueKind::kDuration:
      return base::cat(kMeta, "Duration");
    case ValueKind::kIntOrString:
      return "io.k8s.apimachinery.pkg.util.intstr.IntOrString";
    case ValueKind::kSchemaOrBool:
      return base::cat(kCrd, "JSONSchemaPropsOrBool");
    case ValueKind::kSchemaOrArray:
      return base::cat(kCrd, "JSONSchemaPropsOrArray");
    case ValueKind::kSchemaOrStrings:
      return base::cat(kCrd, "JSONSchemaPropsOrStringArray");
    case ValueKind::kAny:
      break;
    default:
      return {};
  }
  std::string_view go = notes.go_type;
  if (go.ends_with("RawExtension")) return "io.k8s.apimachinery.pkg.runtime.RawExtension";
  if (go.ends_with("FieldsV1")) return base::cat(kMeta, "FieldsV1");
  return go.ends_with(".JSON") ? base::cat(kCrd, "JSON") : std::string();
}

/// Definitions that are not objects with members, as JSON.
std::string_view special_definition(std::string_view name, OpenApiVersion version) {
  bool v3 = version == OpenApiVersion::kV3;
  std::string_view last = name.substr(name.rfind('.') + 1);
  if (last == "Quantity")
    return v3 ? R"({"oneOf":[{"type":"string"},{"type":"number"}]})" : R"({"type":"string"})";
  if (last == "IntOrString") {
    return v3 ? R"({"format":"int-or-string","oneOf":[{"type":"integer"},{"type":"string"}]})"
              : R"({"type":"string","format":"int-or-string"})";
  }
  if (last == "Time" || last == "MicroTime") return R"({"type":"string","format":"date-time"})";
  if (last == "Duration") return R"({"type":"string"})";
  if (last == "RawExtension" || last == "FieldsV1" || last == "Patch") return R"({"type":"object"})";
  if (name == "io.k8s.apimachinery.pkg.version.Info") {
    return R"({"type":"object","required":["major","minor","gitVersion","gitCommit","gitTreeState","buildDate",)"
           R"("goVersion","compiler","platform"],"properties":{"major":{"type":"string"},"minor":{"type":"string"},)"
           R"("gitVersion":{"type":"string"},"gitCommit":{"type":"string"},"gitTreeState":{"type":"string"},)"
           R"("buildDate":{"type":"string"},"goVersion":{"type":"string"},"compiler":{"type":"string"},)"
           R"("platform":{"type":"string"},"emulationMajor":{"type":"string"},"emulationMinor":{"type":"string"},)"
           R"("minCompatibilityMajor":{"type":"string"},"minCompatibilityMinor":{"type":"string"}}})";
  }
  return "{}";  // JSON and the unions of JSON schemas may be anything
}

/// The zero value that OpenAPI calls a default, or "".
std::string_view zero_default(const Value& value) {
  switch (value.kind) {
    case ValueKind::kString:
      return "\"\"";
    case ValueKind::kBool:
      return "false";
    case ValueKind::kInt32:
    case ValueKind::kInt64:
      return "0";
    case ValueKind::kMessage:
      return "{}";
    default:
      return {};
  }
}

/// What `kubectl explain` says of the members that every object has.
std::string_view description_of(std::string_view type, std::string_view member) {
  struct Text {
    std::string_view member, text;
  };
  static constexpr Text kMetadata[] = {
      {"annotations", "Annotations are notes of tools and people: any text under names of their own."},
      {"creationTimestamp",
       "CreationTimestamp is a timestamp of the server's clock when the object was made."},
      {"deletionTimestamp", "DeletionTimestamp is when the object goes, or would but for its finalizers."},
      {"finalizers", "Finalizers name what has to be done before the object may go."},
      {"generateName", "GenerateName begins the name that the server makes when there is none."},
      {"generation", "Generation counts what was asked for: it grows with every change of the spec."},
      {"labels", "Labels are what selectors find the object by."},
      {"managedFields", "ManagedFields tell who wrote which of the object's fields."},
      {"name", "Name is the object's own among those of its kind in its namespace."},
      {"namespace", "Namespace is where the object is; objects of the cluster are in none."},
      {"ownerReferences", "OwnerReferences name the objects without which this one goes."},
      {"resourceVersion", "ResourceVersion changes with every write; its value says nothing else."},
      {"uid", "UID is the object's own for all time, whatever becomes of its name."},
  };
  if (type != "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta") return {};
  for (const Text& one : kMetadata) {
    if (one.member == member) return one.text;
  }
  return {};
}

std::string_view list_type_name(ListType type) {
  return type == ListType::kAtomic ? "atomic" : type == ListType::kSet ? "set" : "map";
}

std::string strategy_text(const FieldNotes& notes) {
  std::string out;
  for (auto [set, name] :
       {std::pair{notes.merge, "merge"}, {notes.replace, "replace"}, {notes.retain_keys, "retainKeys"}}) {
    if (set) out += (out.empty() ? "" : ",") + std::string(name);
  }
  return out;
}

}  // namespace

DefinitionWriter::DefinitionWriter(const Schema& schema, OpenApiVersion version,
                                   const std::vector<OpenApiResource>& resources)
    : schema_(schema), version_(version), resources_(resources) {
  for (const OpenApiResource& r : resources) {
    if (r.type != nullptr) continue;
    custom_.emplace(r.model, &r);
    custom_lists_.emplace(r.list_model, &r);
  }
}

std::string_view DefinitionWriter::prefix() const {
  return version_ == OpenApiVersion::kV3 ? "#/components/schemas/" : "#/definitions/";
}

void DefinitionWriter::need(std::string_view name) {
  if (known_.emplace(name, "").second) pending_.emplace_back(name);
}

void DefinitionWriter::reference(JsonText& out, std::string_view name) {
  need(name);
  out.open('{').member("$ref", base::cat(prefix(), name)).close('}');
}

void DefinitionWriter::reference(JsonText& out, const Type& type) { reference(out, type.name); }

void DefinitionWriter::object_reference(JsonText& out, const OpenApiResource& resource) {
  if (resource.type != nullptr) return reference(out, *resource.type);
  reference(out, resource.model);
}

void DefinitionWriter::list_reference(JsonText& out, const OpenApiResource& resource) {
  if (resource.list_type != nullptr) return reference(out, *resource.list_type);
  reference(out, resource.list_model);
}

void DefinitionWriter::definitions(JsonText& out) {
  while (!pending_.empty()) {
    std::string name = std::move(pending_.back());
    pending_.pop_back();
    std::string text = definition(name);
    known_[name] = std::move(text);
  }
  for (const auto& [name, text] : known_) out.raw_member(name, text);
}

std::string DefinitionWriter::definition(std::string_view name) {
  JsonText out;
  const Type* type = schema_.type(name);
  if (const auto custom = custom_.find(name); custom != custom_.end()) {
    need(base::cat(kMeta, "ObjectMeta"));
    return custom->second->schema(version_ == OpenApiVersion::kV2);
  }
  auto list = custom_lists_.find(name);
  if (type != nullptr) {
    type_definition(out, *type);
  } else if (list != custom_lists_.end()) {
    list_definition(out, *list->second);
  } else {
    out.raw(special_definition(name, version_));
  }
  return std::move(out.str());
}

void DefinitionWriter::type_definition(JsonText& out, const Type& type) {
  out.open('{').member("type", "object");
  std::vector<std::string_view> required;
  for (const Member& member : type.members) {
    if (member.field->required) required.push_back(member.field->name);
  }
  if (!required.empty()) {
    out.key("required").open('[');
    for (std::string_view name : required) out.text(name);
    out.close(']');
  }
  if (!type.members.empty()) properties(out, type);
  kinds_of(out, type);
  if (type.map_type == MapType::kAtomic) out.member("x-kubernetes-map-type", "atomic");
  if (type.preserve_unknown) out.raw_member("x-kubernetes-preserve-unknown-fields", "true");
  if (!type.unions.empty()) {
    out.key("x-kubernetes-unions").open('[');
    for (const Union& each : type.unions) {
      out.open('{');
      if (!each.discriminator.empty()) out.member("discriminator", each.discriminator);
      out.key("fields-to-discriminateBy").open('{');
      for (const auto& [field, value] : each.values) out.member(field, value);
      out.close('}').close('}');
    }
    out.close(']');
  }
  out.close('}');
}

void DefinitionWriter::list_definition(JsonText& out, const OpenApiResource& resource) {
  out.open('{').member("type", "object");
  out.member("description", base::cat(resource.list_kind, " is a list of ", resource.kind));
  out.raw_member("required", R"(["items"])");
  out.key("properties").open('{');
  for (std::string_view name : {"apiVersion", "kind"}) out.raw_member(name, R"({"type":"string"})");
  out.key("items").open('{').member("type", "array").key("items");
  object_reference(out, resource);
  out.close('}').key("metadata");
  reference(out, base::cat(kMeta, "ListMeta"));
  out.close('}');
  write_kinds(out, {{resource.group, resource.version, resource.list_kind}});
  out.close('}');
}

void DefinitionWriter::properties(JsonText& out, const Type& type) {
  out.key("properties").open('{');
  for (const Member& member : type.members) {
    out.key(member.field->name);
    property(out, *member.field, description_of(type.name, member.field->name));
  }
  out.close('}');
}

/// A reference that says more than where it points. Version 3 wants it wrapped then; version 2 has it bare.
void DefinitionWriter::reference_with_siblings(JsonText& out, std::string_view name,
                                               std::string_view default_json, bool alone) {
  need(name);
  std::string target = base::cat(prefix(), name);
  if (version_ == OpenApiVersion::kV2 || (alone && default_json.empty())) {
    out.member("$ref", target);
    return;
  }
  out.key("allOf").open('[').open('{').member("$ref", target).close('}').close(']');
  if (!default_json.empty()) out.raw_member("default", default_json);
}

void DefinitionWriter::property(JsonText& out, const Field& field, std::string_view description) {
  const Value& value = *field.value;
  const FieldNotes& notes = *field.notes;
  out.open('{');
  if (!description.empty()) out.member("description", description);
  std::string_view default_json = notes.default_json;
  bool zero = default_json.empty() && !field.pointer && (field.always || value.kind == ValueKind::kMessage);
  if (zero) default_json = zero_default(value);
  bool has_extensions = field.list_type != ListType::kUnset || field.map_type != MapType::kUnset ||
                        !notes.merge_key.empty() || notes.merge || notes.replace || notes.retain_keys;
  std::string special = value.kind == ValueKind::kMessage ? value.type->name : special_name(value, notes);
  if (!special.empty()) {
    reference_with_siblings(out, special, default_json, !has_extensions && description.empty());
  } else {
    value_type(out, value, notes);
    if (version_ == OpenApiVersion::kV3 && !default_json.empty()) out.raw_member("default", default_json);
  }
  extensions(out, field);
  out.close('}');
}

void DefinitionWriter::element(JsonText& out, const Value& value, const FieldNotes& notes) {
  out.open('{');
  std::string special = value.kind == ValueKind::kMessage ? value.type->name : special_name(value, notes);
  if (!special.empty()) {
    reference_with_siblings(out, special, zero_default(value), true);
  } else {
    value_type(out, value, notes);
    if (version_ == OpenApiVersion::kV3 && !zero_default(value).empty()) {
      out.raw_member("default", zero_default(value));
    }
  }
  out.close('}');
}

void DefinitionWriter::value_type(JsonText& out, const Value& value, const FieldNotes& notes) {
  auto plain = [&](std::string_view type, std::string_view format) {
    out.member("type", type);
    if (!notes.format.empty()) format = notes.format;
    if (!format.empty()) out.member("format", format);
    if (notes.enum_values.empty()) return;
    out.key("enum").open('[');
    for (std::string_view each : notes.enum_values) out.text(each);
    out.close(']');
  };
  switch (value.kind) {
    case ValueKind::kString:
      return plain("string", "");
    case ValueKind::kBytes:
      return plain("string", "byte");
    case ValueKind::kBool:
      return plain("boolean", "");
    case ValueKind::kInt32:
      return plain("integer", "int32");
    case ValueKind::kInt64:
      return plain("integer", "int64");
    case ValueKind::kDouble:
      return plain("number", "double");
    case ValueKind::kList:
      out.member("type", "array").key("items");
      return element(out, *value.element, notes);
    case ValueKind::kMap:
      out.member("type", "object").key("additionalProperties");
      return element(out, *value.element, notes);
    default:
      return;  // a custom resource's member of any type
  }
}

void DefinitionWriter::extensions(JsonText& out, const Field& field) {
  const FieldNotes& notes = *field.notes;
  if (!notes.map_keys.empty()) {
    out.key("x-kubernetes-list-map-keys").open('[');
    for (std::string_view key : notes.map_keys) out.text(key);
    out.close(']');
  }
  if (field.list_type != ListType::kUnset)
    out.member("x-kubernetes-list-type", list_type_name(field.list_type));
  if (field.map_type != MapType::kUnset) {
    out.member("x-kubernetes-map-type", field.map_type == MapType::kAtomic ? "atomic" : "granular");
  }
  if (!notes.merge_key.empty()) out.member("x-kubernetes-patch-merge-key", notes.merge_key);
  std::string strategy = strategy_text(notes);
  if (!strategy.empty()) out.member("x-kubernetes-patch-strategy", strategy);
}

void DefinitionWriter::kinds_of(JsonText& out, const Type& type) {
  std::vector<GroupVersionKind> kinds;
  for (const KindEntry& entry : schema_.kinds()) {
    if (entry.type != &type) continue;
    if (entry.group != "*") {
      kinds.push_back({entry.group, entry.version, entry.kind});
      continue;
    }
    if (entry.kind != "DeleteOptions" && entry.kind != "WatchEvent") continue;
    std::set<std::pair<std::string_view, std::string_view>> versions;
    for (const OpenApiResource& r : resources_) versions.emplace(r.group, r.version);
    for (const auto& [group, version] : versions) kinds.push_back({group, version, entry.kind});
  }
  for (const OpenApiResource& r : resources_) {
    if (r.type == &type && schema_.type(type.name) != &type) kinds.push_back({r.group, r.version, r.kind});
  }
  write_kinds(out, kinds);
}

void DefinitionWriter::write_kinds(JsonText& out, const std::vector<GroupVersionKind>& kinds) {
  if (kinds.empty()) return;
  out.key("x-kubernetes-group-version-kind").open('[');
  for (const GroupVersionKind& each : kinds) {
    out.open('{')
        .member("group", each.group)
        .member("kind", each.kind)
        .member("version", each.version)
        .close('}');
  }
  out.close(']');
}

}  // namespace orch::api::schema
