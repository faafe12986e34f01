#include "api/fieldmanager/atom.h"

#include <algorithm>

#include "api/schema/schema.h"
#include "api/schema/zero.h"
#include "api/structural/schema.h"

namespace orch::api {

using base::Code;
using base::Result;
using base::Status;
using Known = TypeRef::Known;

namespace {

const std::vector<std::string_view> kNoKeys;

TypeRef special(Known known) {
  TypeRef out;
  out.known = known;
  return out;
}

Atom scalar(Atom::Scalar kind) {
  Atom out;
  out.scalar = kind;
  return out;
}

/// Anything; `deep`: maps are taken apart.
Atom anything(bool deep) {
  Atom out;
  out.scalar = Atom::Scalar::kUntyped;
  out.list = out.map = true;
  out.map_atomic = !deep;
  out.item = special(Known::kUntyped);
  out.other = special(deep ? Known::kDeduced : Known::kUntyped);
  return out;
}

Atom message(const Type& type, const Field* field) {
  Atom out;
  out.map = true;
  const bool overridden = field != nullptr && field->map_type != MapType::kUnset;
  out.map_atomic = (overridden ? field->map_type : type.map_type) == MapType::kAtomic;
  out.fields = &type;
  if (type.preserve_unknown || type.members.empty()) out.other = special(Known::kDeduced);
  return out;
}

Atom list(const Value& value, const Field* field) {
  Atom out;
  out.list = true;
  out.item.known = Known::kValue;
  out.item.value = value.element;
  const ListType type = field == nullptr ? ListType::kUnset : field->list_type;
  out.list_atomic = type != ListType::kSet && type != ListType::kMap;
  out.keys = type == ListType::kMap ? &field->notes->map_keys : &kNoKeys;
  return out;
}

Atom map(const Value& value, const Field* field) {
  Atom out;
  out.map = true;
  out.map_atomic = field != nullptr && field->map_type == MapType::kAtomic;
  out.other.known = Known::kValue;
  out.other.value = value.element;
  return out;
}

Atom of_value(const Value& value, const Field* field) {
  switch (value.kind) {
    case ValueKind::kString:
      return scalar(field != nullptr && !field->notes->format.empty() ? Atom::Scalar::kUntyped
                                                                      : Atom::Scalar::kString);
    case ValueKind::kBytes:
    case ValueKind::kDuration:
      return scalar(Atom::Scalar::kString);
    case ValueKind::kBool:
      return scalar(Atom::Scalar::kBoolean);
    case ValueKind::kInt32:
    case ValueKind::kInt64:
    case ValueKind::kDouble:
      return scalar(Atom::Scalar::kNumeric);
    case ValueKind::kQuantity:
    case ValueKind::kTime:
    case ValueKind::kMicroTime:
    case ValueKind::kIntOrString:
      return scalar(Atom::Scalar::kUntyped);
    case ValueKind::kAny:
      // apiextensions JSON is taken apart, RawExtension is one value.
      return anything(field != nullptr && field->notes->go_type == "v1.JSON");
    case ValueKind::kSchemaOrBool:
    case ValueKind::kSchemaOrArray:
    case ValueKind::kSchemaOrStrings:
      return anything(true);
    case ValueKind::kMessage:
      return message(*value.type, field);
    case ValueKind::kList:
      return list(value, field);
    case ValueKind::kMap:
      return map(value, field);
  }
  return {};
}

TypeRef node_ref(const structural::Node* node, const Type* metadata, bool keep_unknown) {
  TypeRef out;
  out.known = Known::kNode;
  out.node = node;
  out.type = metadata;
  out.keep_unknown = keep_unknown;
  return out;
}

/// A schema of a custom resource (k8s.io/kube-openapi/pkg/schemaconv): what preserves unknown members does so
/// for all that is below.
Atom of_node(const structural::Node& node, const Type* metadata, bool keep_unknown, bool root) {
  using structural::JsonType;
  const bool keep = keep_unknown || node.preserve_unknown;
  const JsonType type = node.int_or_string ? JsonType::kAny : node.type;
  switch (type) {
    case JsonType::kInteger:
    case JsonType::kNumber:
      return scalar(Atom::Scalar::kNumeric);
    case JsonType::kBoolean:
      return scalar(Atom::Scalar::kBoolean);
    case JsonType::kString: {
      const bool plain =
          !node.has_format || (node.details != nullptr && node.details->format == structural::Format::kByte);
      return scalar(plain ? Atom::Scalar::kString : Atom::Scalar::kUntyped);
    }
    default:
      break;
  }
  Atom out;
  if (type == JsonType::kAny) out.scalar = Atom::Scalar::kUntyped;
  if (type != JsonType::kArray) {
    out.map = true;
    out.map_atomic = node.map_type == MapType::kAtomic;
    out.node = &node;
    out.metadata = metadata;
    out.resource = root || node.embedded;
    out.keep_unknown = keep;
    if (node.additional != nullptr) {
      out.other = node_ref(node.additional, metadata, keep);
    } else if (node.has_additional ? node.additional_allowed : keep || node.property_count == 0) {
      out.other = special(Known::kDeduced);
    }
  }
  if (type != JsonType::kObject) {
    out.list = true;
    out.list_atomic = node.list_type != ListType::kSet && node.list_type != ListType::kMap;
    out.keys =
        node.list_type == ListType::kMap && node.details != nullptr ? &node.details->map_keys : &kNoKeys;
    out.item = node.items != nullptr ? node_ref(node.items, metadata, keep) : special(Known::kUntyped);
  }
  return out;
}

/// The default of a key that an item leaves out, as OpenAPI has it, for which zero is one where Go always
/// writes the field; null when there is none.
Json key_default(const Atom& atom, std::string_view key) {
  const Atom item = resolve(atom.item);
  if (item.node != nullptr) {
    const structural::Node* property = item.node->property(key);
    const Json* value = property != nullptr ? property->default_value() : nullptr;
    return value != nullptr ? *value : Json();
  }
  const Member* member = item.fields == nullptr ? nullptr : item.fields->member(key);
  if (member == nullptr) return {};
  const Field& field = *member->field;
  if (!field.notes->default_json.empty()) {
    auto value = base::parse_json(field.notes->default_json);
    return value.ok() ? std::move(*value) : Json();
  }
  return field.always && !field.pointer ? schema::zero_value(*field.value) : Json();
}

Result<std::string> keyed_element(const Atom& atom, const Json& item) {
  if (item.is_null()) return Status(Code::kUnknown, "associative list with keys may not have a null element");
  if (!item.is_object())
    return Status(Code::kUnknown, "associative list with keys may not have non-map elements");
  std::vector<Json> defaults;
  defaults.reserve(atom.keys->size());
  std::vector<std::pair<std::string_view, const Json*>> keys;
  for (std::string_view key : *atom.keys) {
    if (const auto found = item.find(key); found != item.end()) {
      keys.emplace_back(key, &*found);
    } else if (Json value = key_default(atom, key); !value.is_null()) {
      defaults.push_back(std::move(value));
      keys.emplace_back(key, &defaults.back());
    }
  }
  if (keys.empty()) {
    std::string names;
    for (std::string_view key : *atom.keys) names += base::cat(names.empty() ? "" : " ", "\"", key, "\"");
    return Status(Code::kUnknown,
                  base::cat("associative list with keys has an element that omits all key fields [", names,
                            "] (and doesn't have default values for any key fields)"));
  }
  std::sort(keys.begin(), keys.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  return key_element(keys);
}

Result<std::string> set_element(const Json& item) {
  if (item.is_object())
    return Status(Code::kUnknown, "associative list without keys has an element that's a map type");
  if (item.is_array())
    return Status(Code::kUnknown, "not supported: associative list with lists as elements");
  if (item.is_null())
    return Status(Code::kUnknown, "associative list without keys has an element that's an explicit null");
  return value_element(item);
}

}  // namespace

TypeRef TypeRef::of(const Type* type) {
  TypeRef out;
  out.known = type == nullptr ? Known::kDeduced : Known::kType;
  out.type = type;
  return out;
}

TypeRef TypeRef::of(const structural::Node* root, const Type& metadata, bool keep_unknown) {
  if (root == nullptr) return of(nullptr);
  TypeRef out = node_ref(root, &metadata, keep_unknown);
  out.root = true;
  return out;
}

Atom resolve(const TypeRef& type) {
  switch (type.known) {
    case Known::kNothing:
      return {};
    case Known::kType:
      return message(*type.type, nullptr);
    case Known::kValue:
      return of_value(*type.value, type.field);
    case Known::kNode:
      return of_node(*type.node, type.type, type.keep_unknown, type.root);
    case Known::kString:
      return scalar(Atom::Scalar::kString);
    case Known::kDeduced:
      return anything(true);
    case Known::kUntyped:
      return anything(false);
  }
  return {};
}

Atom deduce(Atom atom, const Json* value) {
  if (value == nullptr) return atom;
  if (value->is_array() && atom.list) {
    atom.scalar = Atom::Scalar::kNone;
    atom.map = false;
  } else if (value->is_object() && atom.map) {
    atom.scalar = Atom::Scalar::kNone;
    atom.list = false;
  } else if (value->is_primitive() && !value->is_null() && atom.scalar != Atom::Scalar::kNone) {
    atom.list = atom.map = false;
  }
  return atom;
}

TypeRef member_type(const Atom& atom, std::string_view name, bool* named) {
  if (atom.node != nullptr) {
    const structural::Node* member = atom.node->property(name);
    const bool meta = atom.resource && (name == "metadata" || name == "kind" || name == "apiVersion");
    if (named != nullptr) *named = meta || member != nullptr;
    if (meta && name == "metadata") return TypeRef::of(atom.metadata);
    if (meta) return special(Known::kString);
    return member != nullptr ? node_ref(member, atom.metadata, atom.keep_unknown) : atom.other;
  }
  const Member* member = atom.fields == nullptr ? nullptr : atom.fields->member(name);
  if (named != nullptr) *named = member != nullptr;
  if (member == nullptr) return atom.other;
  TypeRef out;
  out.known = Known::kValue;
  out.value = member->field->value;
  out.field = member->field;
  return out;
}

std::string member_element(std::string_view name) {
  std::string out;
  out.reserve(name.size() + 2);
  out += "f:";
  out += name;
  return out;
}

Result<std::string> item_element(const Atom& atom, const Json& item) {
  if (atom.list_atomic) return Status(Code::kUnknown, "invalid indexing of non-associative list");
  return atom.keys->empty() ? set_element(item) : keyed_element(atom, item);
}

}  // namespace orch::api
