#include "api/cel/type.h"

namespace orch::api::cel {

namespace {

Type make(TypeKind kind, std::string name, std::vector<Type> params = {}, int64_t min_size = 1) {
  auto node = std::make_shared<TypeNode>();
  node->kind = kind;
  node->name = std::move(name);
  node->params = std::move(params);
  node->min_size = min_size;
  return node;
}

}  // namespace

Type error_type() {
  static const Type type = make(TypeKind::kError, "!error!");
  return type;
}
Type unspecified_type() {
  static const Type type = make(TypeKind::kUnspecified, "");
  return type;
}
Type dyn_type() {
  static const Type type = make(TypeKind::kDyn, "dyn");
  return type;
}
Type null_type() {
  static const Type type = make(TypeKind::kNull, "null_type", {}, 4);
  return type;
}
Type bool_type() {
  static const Type type = make(TypeKind::kBool, "bool", {}, 4);
  return type;
}
Type int_type() {
  static const Type type = make(TypeKind::kInt, "int");
  return type;
}
Type uint_type() {
  static const Type type = make(TypeKind::kUint, "uint");
  return type;
}
Type double_type() {
  static const Type type = make(TypeKind::kDouble, "double");
  return type;
}
Type string_type() {
  static const Type type = make(TypeKind::kString, "string", {}, 2);
  return type;
}
Type bytes_type() {
  static const Type type = make(TypeKind::kBytes, "bytes", {}, 2);
  return type;
}
Type duration_type() {
  static const Type type = make(TypeKind::kDuration, "google.protobuf.Duration", {}, 3);
  return type;
}
Type timestamp_type() {
  static const Type type = make(TypeKind::kTimestamp, "google.protobuf.Timestamp", {}, 12);
  return type;
}
Type list_type(Type element) { return make(TypeKind::kList, "list", {std::move(element)}, 2); }
Type map_type(Type key, Type value) {
  return make(TypeKind::kMap, "map", {std::move(key), std::move(value)}, 2);
}
Type optional_type(Type value) { return opaque_type("optional_type", {std::move(value)}); }
Type authorizer_type() { return struct_type("kubernetes.authorization.Authorizer"); }
Type resource_check_type() { return struct_type("kubernetes.authorization.ResourceCheck"); }
Type type_type(const Type& of) {
  return make(TypeKind::kType, "type", of ? std::vector<Type>{of} : std::vector<Type>{});
}
Type type_param(std::string name) { return make(TypeKind::kTypeParam, std::move(name)); }
Type struct_type(std::string name) { return make(TypeKind::kStruct, std::move(name)); }
Type opaque_type(std::string name, std::vector<Type> params) {
  return make(TypeKind::kOpaque, std::move(name), std::move(params));
}

Type object_type(std::string name, std::vector<std::pair<std::string, Type>> fields) {
  auto node = std::make_shared<TypeNode>();
  node->kind = TypeKind::kStruct;
  node->name = std::move(name);
  node->min_size = 2;
  for (auto& field : fields) node->fields.emplace(std::move(field.first), std::move(field.second));
  return node;
}

bool exact(const TypeNode& a, const TypeNode& b) {
  if (&a == &b) return true;
  if (a.kind != b.kind || a.name != b.name || a.params.size() != b.params.size()) return false;
  for (size_t i = 0; i < a.params.size(); ++i) {
    if (!exact(*a.params[i], *b.params[i])) return false;
  }
  return true;
}

bool is_optional(const TypeNode& t) { return t.kind == TypeKind::kOpaque && t.name == "optional_type"; }
bool is_bool(const Type& type) { return type->kind == TypeKind::kBool; }
bool is_string(const Type& type) { return type->kind == TypeKind::kString; }
bool is_dyn(const Type& type) { return type->kind == TypeKind::kDyn; }
bool same_type(const Type& a, const Type& b) { return exact(*a, *b); }
std::string type_name(const Type& type) { return format_type(*type); }
int64_t min_serialized_size(const Type& type) { return type->min_size; }
uint64_t max_cardinality(const Type& type) {
  return static_cast<uint64_t>(kMaxRequestBytes / (type->min_size + 1));
}
int64_t max_elements(const Type& type) { return type->max_elements; }

Type element_type(const Type& type) {
  if (type->kind == TypeKind::kList) return type->params[0];
  if (type->kind == TypeKind::kMap) return type->params[1];
  return nullptr;
}

Type field_type(const Type& type, std::string_view field) {
  const auto found = type->fields.find(field);
  return found == type->fields.end() ? nullptr : found->second;
}

std::string format_type(const TypeNode& type) {
  switch (type.kind) {
    case TypeKind::kAny:
      return "any";
    case TypeKind::kDuration:
      return "duration";
    case TypeKind::kTimestamp:
      return "timestamp";
    case TypeKind::kNull:
      return "null";
    default:
      break;
  }
  std::string out = type.name;
  if (type.params.empty()) return out;
  out += '(';
  for (size_t i = 0; i < type.params.size(); ++i) {
    if (i > 0) out += ", ";
    out += format_type(*type.params[i]);
  }
  return out + ")";
}

Type parse_type(std::string_view text) {
  const size_t open = text.find('(');
  const std::string_view name = text.substr(0, open);
  std::vector<Type> params;
  if (open != std::string_view::npos) {
    size_t start = open + 1;
    int depth = 0;
    for (size_t i = start; i < text.size(); ++i) {
      if (text[i] == '(') ++depth;
      const bool last = i + 1 == text.size();
      if ((text[i] == ',' && depth == 0) || last) {
        params.push_back(parse_type(text.substr(start, i - start)));
        start = i + 2;
      }
      if (text[i] == ')') --depth;
    }
  }
  if (name == "dyn") return dyn_type();
  if (name == "null") return null_type();
  if (name == "bool") return bool_type();
  if (name == "int") return int_type();
  if (name == "uint") return uint_type();
  if (name == "double") return double_type();
  if (name == "string") return string_type();
  if (name == "bytes") return bytes_type();
  if (name == "duration") return duration_type();
  if (name == "timestamp") return timestamp_type();
  if (name == "list") return list_type(params.at(0));
  if (name == "map") return map_type(params.at(0), params.at(1));
  if (name == "type") return type_type(params.empty() ? nullptr : params[0]);
  if (name.size() == 1) return type_param(std::string(name));
  if (name.starts_with("kubernetes.")) return struct_type(std::string(name));
  return opaque_type(std::string(name), std::move(params));
}

}  // namespace orch::api::cel
