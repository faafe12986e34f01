#include "api/schema/defaults.h"

#include <algorithm>

#include "api/schema/zero.h"
#include "base/json.h"

namespace orch::api::schema {
namespace {

using Members = Json::object_t;

void default_message(Json& object, const Type& type);

/// Defaults inside a value that is there.
void default_value(Json& json, const Value& value) {
  switch (value.kind) {
    case ValueKind::kMessage:
      if (value.type->has_defaults && json.is_object()) default_message(json, *value.type);
      break;
    case ValueKind::kList:
      if (json.is_array()) {
        for (Json& item : json) default_value(item, *value.element);
      }
      break;
    case ValueKind::kMap:
      if (json.is_object()) {
        for (auto& [key, item] : json.get_ref<Members&>()) default_value(item, *value.element);
      }
      break;
    default:
      break;
  }
}

bool reaches_defaults(const Value& value) {
  const Value* below = &value;
  while (below->element != nullptr) below = below->element;
  return below->kind == ValueKind::kMessage && below->type->has_defaults;
}

void default_message(Json& object, const Type& type) {
  auto& members = object.get_ref<Members&>();
  for (const Member& member : type.members) {
    const Field& field = *member.field;
    const std::string_view default_json = field.effective_default();
    const bool has_default = !default_json.empty();
    if (!has_default && !reaches_defaults(*field.value)) continue;
    auto found = members.find(field.name);
    bool absent = found == members.end();
    if (!absent && !type.structural) {
      absent = found->second.is_null() || (!field.pointer && is_zero(found->second, *field.value));
    }
    if (absent && has_default) {
      Json value = Json::parse(default_json, nullptr, false);
      found = members.insert_or_assign(std::string(field.name), std::move(value)).first;
      absent = false;
    }
    if (!absent) {
      default_value(found->second, *field.value);
    } else if (!type.structural && !field.pointer && field.value->kind == ValueKind::kMessage) {
      // A struct that is part of its owner is there even if nobody wrote it.
      Json value = Json::object();
      default_message(value, *field.value->type);
      if (!value.empty()) members.insert_or_assign(std::string(field.name), std::move(value));
    }
  }
}

void normalise_message(Json& object, const Type& type, Empty empty);

void normalise_value(Json& json, const Value& value, Empty empty) {
  switch (value.kind) {
    case ValueKind::kMessage:
      if (json.is_object()) normalise_message(json, *value.type, empty);
      break;
    case ValueKind::kList:
      if (json.is_array()) {
        for (Json& item : json) normalise_value(item, *value.element, empty);
      }
      break;
    case ValueKind::kMap:
      if (json.is_object()) {
        for (auto& [key, item] : json.get_ref<Members&>()) normalise_value(item, *value.element, empty);
      }
      break;
    case ValueKind::kSchemaOrBool:
    case ValueKind::kSchemaOrArray:
    case ValueKind::kSchemaOrStrings:
      if (json.is_object()) normalise_message(json, *value.type, empty);
      if (json.is_array()) {
        for (Json& item : json) {
          if (item.is_object()) normalise_message(item, *value.type, empty);
        }
      }
      break;
    default:
      break;
  }
}

/// What Go writes for a field that nobody set, or drops.
void normalise_absent(Members& members, Members::iterator found, const Field& field) {
  if (!field.always) {
    if (found != members.end()) members.erase(found);
    return;
  }
  Json zero = field.pointer ? Json() : zero_value(*field.value);
  normalise_value(zero, *field.value, Empty::kNull);
  members.insert_or_assign(std::string(field.name), std::move(zero));
}

/// A message that omitzero leaves out when nothing in it is set.
bool is_empty_message(const Json& json, const Field& field) {
  if (field.always || field.pointer || field.value->kind != ValueKind::kMessage) return false;
  // What is always written is all that an empty one has.
  const auto& all = field.value->type->members;
  const auto most = std::count_if(all.begin(), all.end(), [](const Member& m) { return m.field->always; });
  if (json.size() > static_cast<size_t>(most)) return false;
  Json empty = Json::object();
  normalise_message(empty, *field.value->type, Empty::kNull);
  return json == empty;
}

bool is_empty_collection(const Json& json, const Value& value) {
  return (value.kind == ValueKind::kList || value.kind == ValueKind::kMap) && json.is_structured() &&
         json.empty();
}

void normalise_message(Json& object, const Type& type, Empty empty) {
  auto& members = object.get_ref<Members&>();
  auto next = members.begin();  // both are sorted by name
  for (const Member& member : type.members) {
    const Field& field = *member.field;
    int order = 1;
    while (next != members.end() && (order = next->first.compare(field.name)) < 0) ++next;
    const auto found = next != members.end() && order == 0 ? next++ : members.end();
    if (type.structural) {
      if (found != members.end()) normalise_value(found->second, *field.value, empty);
      continue;
    }
    const bool kept = empty == Empty::kSent || (empty == Empty::kKept && field.always);
    if (kept && found != members.end() && is_empty_collection(found->second, *field.value)) continue;
    bool absent = found == members.end() || found->second.is_null() ||
                  (!field.pointer && is_zero(found->second, *field.value));
    if (!absent) {
      normalise_value(found->second, *field.value, empty);
      absent = is_empty_message(found->second, field);
    }
    if (absent) normalise_absent(members, found, field);
  }
}

}  // namespace

void apply_defaults(const Schema& /*schema*/, const Type& type, Json& object) {
  if (type.has_defaults && object.is_object()) default_message(object, type);
}

void normalise(const Schema& /*schema*/, const Type& type, Json& object, Empty empty) {
  if (object.is_object()) normalise_message(object, type, empty);
}

}  // namespace orch::api::schema
