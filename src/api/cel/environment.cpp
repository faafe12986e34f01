#include "api/cel/environment.h"

namespace orch::api::cel {

namespace {

/// Made with fields, be it none, and not just a name: the least such an object takes is "{}".
bool has_fields(const TypeNode& type) {
  return type.kind == TypeKind::kStruct && (!type.fields.empty() || type.min_size >= 2);
}

/// Object types within a type, by name.
void collect(const Type& type, std::map<std::string, Type, std::less<>>& out) {
  if (has_fields(*type)) {
    if (!out.emplace(type->name, type).second) return;
    for (const auto& [name, field] : type->fields) collect(field, out);
  }
  for (const Type& param : type->params) collect(param, out);
}

bool is_patch_object(std::string_view name) { return name == "Object" || name.starts_with("Object."); }

}  // namespace

Type Environment::Rep::find_ident(std::string_view name) const {
  const auto found = idents.find(name);
  if (found != idents.end()) return found->second;
  if (Type type = find_struct(name)) return type_type(type);
  return nullptr;
}

Type Environment::Rep::find_struct(std::string_view name) const {
  if (mutation && (name == "JSONPatch" || is_patch_object(name))) return struct_type(std::string(name));
  const auto found = objects.find(name);
  return found == objects.end() ? nullptr : found->second;
}

Type Environment::Rep::find_field(std::string_view type, std::string_view field) const {
  if (mutation && is_patch_object(type)) return dyn_type();
  if (mutation && type == "JSONPatch") {
    if (field == "op" || field == "path" || field == "from") return string_type();
    return field == "value" ? dyn_type() : unspecified_type();
  }
  const auto found = objects.find(type);
  if (found == objects.end()) return nullptr;
  if (Type known = field_type(found->second, field)) return known;
  // The names that CEL reserves are escaped in the type, but may be selected as they are.
  std::string escaped;
  return escape_name(field, escaped) && escaped != field ? field_type(found->second, escaped) : nullptr;
}

Environment::Environment(Options options) {
  auto rep = std::make_shared<Rep>();
  rep->mutation = options.mutation;
  rep->bindings = options.bindings;
  const Type param_a = type_param("A");
  for (const Type& type :
       {bool_type(), bytes_type(), double_type(), duration_type(), int_type(), list_type(dyn_type()),
        map_type(dyn_type(), dyn_type()), null_type(), string_type(), timestamp_type(), type_type(nullptr),
        uint_type(), opaque_type("net.IP"), opaque_type("net.CIDR"), opaque_type("optional_type")}) {
    rep->idents[type->name] = type_type(type);
  }
  for (const Type& type : options.types) collect(type, rep->objects);
  for (Variable& variable : options.variables) {
    collect(variable.type, rep->objects);
    rep->idents[std::move(variable.name)] = std::move(variable.type);
  }
  rep_ = std::move(rep);
}

Environment::~Environment() = default;

Compilation Environment::compile(std::string_view expression) const {
  Compilation out;
  auto ast = std::make_shared<Ast>(expression);
  ast->bindings = rep_->bindings;
  parse(*ast);
  Checked checked;
  if (ast->issues.empty()) checked = check(*ast, *rep_);
  if (ast->issues.empty()) validate(*ast, checked);
  if (!ast->issues.empty()) {
    out.error = ast->source.describe(std::move(ast->issues));
    return out;
  }
  out.program = make_program(std::move(ast), std::move(checked), rep_, out.instantiation_error);
  return out;
}

}  // namespace orch::api::cel
