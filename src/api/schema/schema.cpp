#include "api/schema/schema.h"

#include <algorithm>
#include <tuple>

namespace orch::api {
namespace {

/// Collects the JSON members of a type; `via` is the inline field of the outermost type, if inside one.
void collect_members(const Type& type, const Field* via, std::vector<Member>& out) {
  for (const Field& field : type.fields) {
    if (field.is_inline) {
      collect_members(*field.value->type, via != nullptr ? via : &field, out);
    } else {
      out.push_back({&field, via});
    }
  }
}

/// The type whose defaults a value may bring in, or null.
const Type* type_below(const Value* value) {
  while (value->element != nullptr) value = value->element;
  return value->type;
}

}  // namespace

std::string_view Field::effective_default() const {
  std::string_view json = notes->default_json;
  bool zero = json == "\"\"" || json == "0" || json == "false";
  return zero && !pointer ? std::string_view() : json;
}

std::string_view Type::short_name() const { return std::string_view(name).substr(name.rfind('.') + 1); }

std::string Type::go_name() const {
  size_t last = name.rfind('.');
  if (last == std::string::npos) return name;
  size_t package = name.rfind('.', last - 1);
  return package == std::string::npos ? name : name.substr(package + 1);
}

const Member* Type::member(std::string_view json_name) const {
  auto found = std::lower_bound(members.begin(), members.end(), json_name,
                                [](const Member& m, std::string_view n) { return m.field->name < n; });
  return found != members.end() && found->field->name == json_name ? &*found : nullptr;
}

const Field* Type::field(uint32_t number) const {
  auto found = std::lower_bound(fields.begin(), fields.end(), number,
                                [](const Field& f, uint32_t n) { return f.number < n; });
  return found != fields.end() && found->number == number && number != 0 ? &*found : nullptr;
}

std::string go_type_name(const Value& value) {
  switch (value.kind) {
    case ValueKind::kString:
      return "string";
    case ValueKind::kBool:
      return "bool";
    case ValueKind::kInt32:
      return "int32";
    case ValueKind::kInt64:
      return "int64";
    case ValueKind::kDouble:
      return "float64";
    case ValueKind::kBytes:
      return "[]uint8";
    case ValueKind::kQuantity:
      return "resource.Quantity";
    case ValueKind::kTime:
      return "v1.Time";
    case ValueKind::kMicroTime:
      return "v1.MicroTime";
    case ValueKind::kDuration:
      return "v1.Duration";
    case ValueKind::kIntOrString:
      return "intstr.IntOrString";
    case ValueKind::kAny:
      return "runtime.RawExtension";
    case ValueKind::kSchemaOrBool:
      return "v1.JSONSchemaPropsOrBool";
    case ValueKind::kSchemaOrArray:
      return "v1.JSONSchemaPropsOrArray";
    case ValueKind::kSchemaOrStrings:
      return "v1.JSONSchemaPropsOrStringArray";
    case ValueKind::kMessage:
      return value.type->go_name();
    case ValueKind::kList:
      return "[]" + go_type_name(*value.element);
    case ValueKind::kMap:
      return "map[string]" + go_type_name(*value.element);
  }
  return {};
}

std::string go_type_name(const Field& field) {
  return field.notes->go_type.empty() ? go_type_name(*field.value) : std::string(field.notes->go_type);
}

TypeSet::TypeSet() = default;
TypeSet::~TypeSet() = default;

Type& TypeSet::add_type(std::string name) {
  Type& type = types_.emplace_back();
  type.name = std::move(name);
  return type;
}

size_t TypeSet::ValueHash::operator()(const Value* value) const {
  size_t below = std::hash<const void*>()(value->element) * 31 + std::hash<const void*>()(value->type);
  return below * 64 + static_cast<size_t>(value->kind) * 2 + (value->wrapped ? 1 : 0);
}

bool TypeSet::ValueEqual::operator()(const Value* a, const Value* b) const {
  return a->kind == b->kind && a->wrapped == b->wrapped && a->element == b->element && a->type == b->type;
}

const Value* TypeSet::intern(const Value& value) {
  auto known = distinct_.find(&value);
  if (known != distinct_.end()) return *known;
  const Value* added = &values_.emplace_back(value);
  distinct_.insert(added);
  return added;
}

const Value* TypeSet::scalar(ValueKind kind) { return intern({.kind = kind}); }
const Value* TypeSet::message(const Type& type, ValueKind kind) {
  return intern({.kind = kind, .type = &type});
}
const Value* TypeSet::list(const Value* element, bool wrapped) {
  return intern({.kind = ValueKind::kList, .wrapped = wrapped, .element = element});
}
const Value* TypeSet::map(const Value* element) {
  return intern({.kind = ValueKind::kMap, .element = element});
}

const FieldNotes* TypeSet::notes(FieldNotes notes) { return &notes_.emplace_back(std::move(notes)); }

std::string_view TypeSet::keep(std::string_view text) { return texts_.emplace_back(text); }

void TypeSet::finish() {
  distinct_ = {};
  for (Type& type : types_) {
    for (Field& field : type.fields) {
      if (field.notes == nullptr) field.notes = &no_notes_;
      type.has_defaults = type.has_defaults || !field.effective_default().empty();
    }
    std::sort(type.fields.begin(), type.fields.end(), [](const Field& a, const Field& b) {
      return std::tie(a.number, a.name) < std::tie(b.number, b.name);
    });
    type.fields.shrink_to_fit();
  }
  for (Type& type : types_) {
    collect_members(type, nullptr, type.members);
    std::sort(type.members.begin(), type.members.end(),
              [](const Member& a, const Member& b) { return a.field->name < b.field->name; });
    type.members.shrink_to_fit();
  }
  // Types refer to each other in circles, so the flag is passed upwards until nothing changes.
  for (bool changed = true; changed;) {
    changed = false;
    for (Type& type : types_) {
      for (const Field& field : type.fields) {
        const Type* below = type_below(field.value);
        if (!type.has_defaults && below != nullptr && below->has_defaults) {
          type.has_defaults = changed = true;
        }
      }
    }
  }
}

void Schema::index() {
  for (const Type& type : set_.types()) types_.push_back(&type);
  std::sort(types_.begin(), types_.end(), [](const Type* a, const Type* b) { return a->name < b->name; });
  std::sort(kinds_.begin(), kinds_.end(), [](const KindEntry& a, const KindEntry& b) {
    return std::tie(a.group, a.version, a.kind) < std::tie(b.group, b.version, b.kind);
  });
  types_.shrink_to_fit();
  kinds_.shrink_to_fit();
}

const Type* Schema::type(std::string_view name) const {
  auto found = std::lower_bound(types_.begin(), types_.end(), name,
                                [](const Type* t, std::string_view n) { return t->name < n; });
  return found != types_.end() && (*found)->name == name ? *found : nullptr;
}

const KindEntry* Schema::kind_entry(std::string_view group, std::string_view version,
                                    std::string_view kind) const {
  auto wanted = std::tie(group, version, kind);
  auto found = std::lower_bound(kinds_.begin(), kinds_.end(), wanted, [](const KindEntry& e, const auto& w) {
    return std::tie(e.group, e.version, e.kind) < w;
  });
  if (found != kinds_.end() && std::tie(found->group, found->version, found->kind) == wanted) return &*found;
  return group == "*" ? nullptr : kind_entry("*", "*", kind);
}

const Type* Schema::kind(std::string_view group, std::string_view version, std::string_view kind) const {
  const KindEntry* entry = kind_entry(group, version, kind);
  return entry != nullptr ? entry->type : nullptr;
}

}  // namespace orch::api
