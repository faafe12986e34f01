#include "api/resources/tree.h"

#include "base/json.h"

namespace orch::api {
namespace {

const Json kNull;
const Json kEmptyList = Json::array();
const Json kEmptyMap = Json::object();

Json* find_in(Json& object, std::string_view key) {
  if (!object.is_object()) return nullptr;
  const auto it = object.find(key);
  return it == object.end() ? nullptr : &*it;
}

}  // namespace

const Json& member_of(const Json& object, std::string_view key) {
  if (!object.is_object()) return kNull;
  const auto it = object.find(key);
  return it == object.end() ? kNull : *it;
}

bool has(const Json& object, std::string_view key) { return !member_of(object, key).is_null(); }

bool has_items(const Json& object, std::string_view key) { return !is_empty(member_of(object, key)); }

std::string_view text(const Json& value) {
  const auto* s = value.get_ptr<const Json::string_t*>();
  return s ? std::string_view(*s) : std::string_view();
}

int64_t number(const Json& value, int64_t fallback) {
  if (value.is_number_integer()) return value.get<int64_t>();
  if (value.is_number_float()) return static_cast<int64_t>(value.get<double>());
  return fallback;
}

std::string_view text_of(const Json& object, std::string_view key) { return text(member_of(object, key)); }

int64_t number_of(const Json& object, std::string_view key, int64_t fallback) {
  return number(member_of(object, key), fallback);
}

bool flag_of(const Json& object, std::string_view key, bool fallback) {
  const Json& value = member_of(object, key);
  return value.is_boolean() ? value.get<bool>() : fallback;
}

const Json& list_of(const Json& object, std::string_view key) {
  const Json& value = member_of(object, key);
  return value.is_array() ? value : kEmptyList;
}

const Json& map_of(const Json& object, std::string_view key) {
  const Json& value = member_of(object, key);
  return value.is_object() ? value : kEmptyMap;
}

bool is_empty(const Json& value) {
  if (value.is_null()) return true;
  if (value.is_string()) return text(value).empty();
  return (value.is_array() || value.is_object()) && value.empty();
}

bool same(const Json& a, const Json& b) {
  if (a.is_object() && b.is_object()) {
    for (auto it = a.begin(); it != a.end(); ++it) {
      if (!same(*it, member_of(b, it.key()))) return false;
    }
    for (auto it = b.begin(); it != b.end(); ++it) {
      if (!a.contains(it.key()) && !is_empty(*it)) return false;
    }
    return true;
  }
  if (a.is_array() && b.is_array()) {
    if (a.size() != b.size()) return false;
    for (size_t i = 0; i < a.size(); ++i) {
      if (!same(a[i], b[i])) return false;
    }
    return true;
  }
  if (is_empty(a) && is_empty(b)) return true;
  return a == b;
}

bool same_member(const Json& a, const Json& b, std::string_view key) {
  return same(member_of(a, key), member_of(b, key));
}

bool contains(const Json& array, std::string_view value) {
  if (!array.is_array()) return false;
  for (const Json& item : array) {
    if (item.is_string() && text(item) == value) return true;
  }
  return false;
}

const Json& labels_of(const Json& object) { return map_of(member_of(object, "metadata"), "labels"); }

const Json& annotations_of(const Json& object) {
  return map_of(member_of(object, "metadata"), "annotations");
}

std::string_view name_of(const Json& object) { return text_of(member_of(object, "metadata"), "name"); }

Json& child(Json& object, std::string_view key) {
  if (!object.is_object()) object = Json::object();
  Json& value = object[std::string(key)];
  if (!value.is_object()) value = Json::object();
  return value;
}

Json* object_in(Json& object, std::string_view key) {
  Json* value = find_in(object, key);
  return value && value->is_object() ? value : nullptr;
}

Json* array_in(Json& object, std::string_view key) {
  Json* value = find_in(object, key);
  return value && value->is_array() ? value : nullptr;
}

void each(Json& object, std::string_view key, const std::function<void(Json&)>& edit) {
  Json* array = array_in(object, key);
  if (!array) return;
  for (Json& element : *array) {
    if (element.is_object()) edit(element);
  }
}

void put(Json& object, std::string_view key, Json value) {
  if (!object.is_object()) object = Json::object();
  object[std::string(key)] = std::move(value);
}

void drop(Json& object, std::string_view key) {
  if (!object.is_object()) return;
  const auto it = object.find(key);
  if (it != object.end()) object.erase(it);
}

void restore(Json& object, const Json& from, std::string_view key) {
  const Json& value = member_of(from, key);
  if (value.is_null()) {
    drop(object, key);
  } else {
    put(object, key, value);
  }
}

void default_text(Json& object, std::string_view key, std::string_view value) {
  if (text_of(object, key).empty()) put(object, key, std::string(value));
}

void default_number(Json& object, std::string_view key, int64_t value) {
  if (number_of(object, key) == 0) put(object, key, value);
}

void default_pointer(Json& object, std::string_view key, Json value) {
  if (!has(object, key)) put(object, key, std::move(value));
}

}  // namespace orch::api
