// Types from structural OpenAPI schemas (common.SchemaDeclType) and from the built-in field table.
#include "api/cel/schema_view.h"
#include "api/cel/type.h"
#include "api/cel/value.h"
#include "base/json.h"

namespace orch::api::cel {

namespace {

constexpr int64_t kMaxText = kMaxRequestBytes - 2;

bool flag(const Json& schema, const char* name) {
  const auto found = schema.find(name);
  return found != schema.end() && found->is_boolean() && found->get<bool>();
}

std::string_view text(const Json& schema, const char* name) {
  const auto found = schema.find(name);
  return found == schema.end() || !found->is_string()
             ? std::string_view()
             : std::string_view(found->get_ref<const std::string&>());
}

std::optional<int64_t> limit(const Json& schema, const char* name) {
  const auto found = schema.find(name);
  if (found == schema.end() || !found->is_number()) return std::nullopt;
  return std::max<int64_t>(found->get<int64_t>(), 0);
}

std::shared_ptr<TypeNode> copy(const Type& type, int64_t max, int64_t min_size) {
  auto node = std::make_shared<TypeNode>(*type);
  node->max_elements = max;
  node->min_size = min_size;
  return node;
}

/// Makes the types of one schema document.
class Maker {
 public:
  explicit Maker(std::shared_ptr<const Json> root) : root_(std::move(root)) {}

  Type make(const Json& schema, bool resource_root) {
    std::shared_ptr<TypeNode> node = unattached(schema, resource_root);
    if (!node) return nullptr;
    node->root = root_;
    node->schema = &schema;
    return node;
  }

 private:
  std::shared_ptr<TypeNode> unattached(const Json& schema, bool resource_root) {
    if (flag(schema, "x-kubernetes-int-or-string")) {
      const auto max = limit(schema, "maxLength");
      return copy(dyn_type(), max ? *max * 4 : kMaxText, 1);
    }
    const std::string_view type = text(schema, "type");
    if (type == "object") return object(schema, resource_root);
    if (type == "array") return list(schema);
    if (type == "string") return string(schema);
    if (type == "boolean") return copy(bool_type(), 0, 4);
    if (type == "number") return copy(double_type(), 0, 1);
    if (type == "integer") return copy(int_type(), 0, 1);
    return nullptr;
  }

  Type child(const Json& schema) { return make(schema, flag(schema, "x-kubernetes-embedded-resource")); }

  std::shared_ptr<TypeNode> list(const Json& schema) {
    const Json* items = items_schema(schema);
    const Type item = items == nullptr ? nullptr : child(*items);
    if (!item) return nullptr;
    const auto max = limit(schema, "maxItems");
    return copy(list_type(item), max ? *max : kMaxText / (item->min_size + 1), 2);
  }

  std::shared_ptr<TypeNode> object(const Json& schema, bool resource_root) {
    const auto additional = schema.find("additionalProperties");
    if (additional != schema.end() && additional->is_object()) {
      const Type value = child(*additional);
      if (!value) return nullptr;
      const auto max = limit(schema, "maxProperties");
      return copy(map_type(string_type(), value), max ? *max : kMaxText / (value->min_size + 6), 2);
    }
    auto node = std::make_shared<TypeNode>();
    node->kind = TypeKind::kStruct;
    node->name = "object";
    node->min_size = 2;
    const auto properties = schema.find("properties");
    if (properties != schema.end() && properties->is_object()) {
      for (const auto& item : properties->items()) {
        if (resource_root && is_meta(item.key())) continue;
        property(*node, schema, item.key(), item.value());
      }
    }
    if (resource_root) {
      for (const char* name : {"apiVersion", "kind", "metadata"}) {
        const Json* shown =
            has_object_meta(schema) ? &schema.at("properties").at(name) : object_meta_schema(name);
        if (shown != nullptr) property(*node, schema, name, *shown);
      }
    }
    return node;
  }

  static bool is_meta(const std::string& name) {
    return name == "apiVersion" || name == "kind" || name == "metadata";
  }

  /// Does the schema say itself what a resource has?
  static bool has_object_meta(const Json& schema) {
    const Json* meta = member(schema, "metadata");
    for (const char* name : {"kind", "apiVersion"}) {
      const Json* p = member(schema, name);
      if (p == nullptr || text(*p, "type") != "string") return false;
    }
    if (meta == nullptr || text(*meta, "type") != "object") return false;
    for (const char* name : {"name", "generateName"}) {
      const Json* p = member(*meta, name);
      if (p == nullptr || text(*p, "type") != "string") return false;
    }
    return true;
  }

  static const Json* member(const Json& schema, const char* name) {
    const auto properties = schema.find("properties");
    if (properties == schema.end()) return nullptr;
    const auto found = properties->find(name);
    return found == properties->end() ? nullptr : &*found;
  }

  void property(TypeNode& node, const Json& schema, const std::string& name, const Json& property) {
    const Type type = child(property);
    if (!type) return;
    std::string escaped;
    if (escape_name(name, escaped)) node.fields[escaped] = type;
    const auto required = schema.find("required");
    const auto given = property.find("default");
    if (required == schema.end() || (given != property.end() && !given->is_null())) return;
    for (const Json& r : *required) {
      if (r == name) node.min_size += static_cast<int64_t>(name.size()) + type->min_size + 4;
    }
  }

  std::shared_ptr<TypeNode> string(const Json& schema) {
    const std::string_view format = text(schema, "format");
    const auto max = limit(schema, "maxLength");
    if (format == "byte") return copy(bytes_type(), max ? *max : kMaxText, 2);
    if (format == "duration") return copy(duration_type(), 32, 3);
    if (format == "date") return copy(timestamp_type(), 12, 12);
    if (format == "date-time") return copy(timestamp_type(), 32, 21);
    int64_t longest = kMaxText;
    const auto values = schema.find("enum");
    if (max) {
      longest = *max * 4;
    } else if (values != schema.end() && !values->empty()) {
      longest = 0;
      for (const Json& v : *values) {
        if (v.is_string()) {
          longest = std::max(longest, static_cast<int64_t>(v.get_ref<const std::string&>().size()));
        }
      }
    }
    return copy(string_type(), longest, 2);
  }

  std::shared_ptr<const Json> root_;
};

bool reserved(std::string_view name) {
  for (std::string_view word : {"true",     "false",   "null",      "in",       "as",  "break",  "const",
                                "continue", "else",    "for",       "function", "if",  "import", "let",
                                "loop",     "package", "namespace", "return",   "var", "void",   "while"}) {
    if (name == word) return true;
  }
  return false;
}

/// Types of the field table; a type within itself is dyn.
Type table_value(const api::Value& value, std::vector<const api::Type*>& open);

Type table_type(const api::Type& type, std::vector<const api::Type*>& open) {
  for (const api::Type* t : open) {
    if (t == &type) return dyn_type();
  }
  open.push_back(&type);
  auto node = std::make_shared<TypeNode>();
  node->kind = TypeKind::kStruct;
  node->name = "object";
  node->min_size = 2;
  for (const api::Member& member : type.members) {
    if (member.field->value == nullptr) continue;
    std::string escaped;
    if (!escape_name(member.field->name, escaped)) continue;
    if (Type field = table_value(*member.field->value, open)) node->fields[escaped] = std::move(field);
  }
  open.pop_back();
  return node;
}

Type table_value(const api::Value& value, std::vector<const api::Type*>& open) {
  switch (value.kind) {
    case ValueKind::kString:
    case ValueKind::kDuration:
    case ValueKind::kQuantity:
      return value.kind == ValueKind::kQuantity ? dyn_type() : string_type();
    case ValueKind::kBool:
      return bool_type();
    case ValueKind::kInt32:
    case ValueKind::kInt64:
      return int_type();
    case ValueKind::kDouble:
      return double_type();
    case ValueKind::kBytes:
      return bytes_type();
    case ValueKind::kTime:
    case ValueKind::kMicroTime:
      return timestamp_type();
    case ValueKind::kIntOrString:
      return dyn_type();
    case ValueKind::kMessage:
      if (value.type->members.empty()) return nullptr;
      return table_type(*value.type, open);
    case ValueKind::kList: {
      Type item = table_value(*value.element, open);
      return item ? list_type(std::move(item)) : nullptr;
    }
    case ValueKind::kMap: {
      Type item = table_value(*value.element, open);
      return item ? map_type(string_type(), std::move(item)) : nullptr;
    }
    default:
      return nullptr;
  }
}

}  // namespace

const Json* object_meta_schema(const std::string& name) {
  static const Json text_schema = {{"type", "string"}};
  static const Json meta_schema = {{"type", "object"},
                                   {"properties", {{"name", text_schema}, {"generateName", text_schema}}}};
  if (name == "metadata") return &meta_schema;
  return name == "apiVersion" || name == "kind" ? &text_schema : nullptr;
}

Type openapi_type(std::shared_ptr<const Json> root, const Json& schema, bool resource_root) {
  return Maker(std::move(root)).make(schema, resource_root);
}

Type openapi_type(std::shared_ptr<const Json> schema, bool resource_root) {
  const Json& top = *schema;
  return openapi_type(std::move(schema), top, resource_root);
}

Type builtin_type(const api::Type& type) {
  std::vector<const api::Type*> open;
  return table_type(type, open);
}

Type named(const Type& type, std::string name) {
  auto node = std::make_shared<TypeNode>(*type);
  if (type->kind == TypeKind::kStruct) {
    if (type->fields.empty() && type->name != "object") return type;
    if (type->name == "object") {
      node->name = name;
    } else {
      name = type->name;
    }
    name += '.';
    for (auto& [field, field_type] : node->fields) field_type = named(field_type, base::cat(name, field));
    return node;
  }
  if (type->kind == TypeKind::kMap) {
    node->params[1] = named(type->params[1], name + ".@elem");
    return node;
  }
  if (type->kind == TypeKind::kList) {
    node->params[0] = named(type->params[0], name + ".@idx");
    return node;
  }
  return type;
}

bool escape_name(std::string_view name, std::string& out) {
  out.clear();
  if (name.empty() || (name[0] >= '0' && name[0] <= '9')) return false;
  if (reserved(name)) {
    out = "__" + std::string(name) + "__";
    return true;
  }
  for (size_t i = 0; i < name.size(); ++i) {
    const char c = name[i];
    if (c == '_' && i + 1 < name.size() && name[i + 1] == '_') {
      out += "__underscores__";
      ++i;
    } else if (c == '.') {
      out += "__dot__";
    } else if (c == '-') {
      out += "__dash__";
    } else if (c == '/') {
      out += "__slash__";
    } else if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_') {
      out += c;
    } else {
      return false;
    }
  }
  return true;
}

bool unescape_name(std::string_view escaped, std::string& out) {
  out.clear();
  for (size_t i = 0; i < escaped.size();) {
    if (escaped.substr(i, 2) != "__") {
      out += escaped[i++];
      continue;
    }
    const size_t word_end = escaped.find('_', i + 2);
    if (word_end == std::string_view::npos || word_end == i + 2 || escaped.substr(word_end, 2) != "__") {
      out += escaped[i++];
      continue;
    }
    const std::string_view word = escaped.substr(i + 2, word_end - i - 2);
    if (word == "underscores") {
      out += "__";
    } else if (word == "dot") {
      out += '.';
    } else if (word == "dash") {
      out += '-';
    } else if (word == "slash") {
      out += '/';
    } else if (reserved(word) && word.size() + 4 == escaped.size()) {
      out += word;
    } else {
      return false;
    }
    i = word_end + 2;
  }
  return true;
}

}  // namespace orch::api::cel
