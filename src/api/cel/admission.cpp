#include "api/cel/admission.h"

#include "api/cel/type.h"
#include "base/json.h"

namespace orch::api::cel {

namespace {

Type texts(const char* name, std::initializer_list<const char*> fields) {
  std::vector<std::pair<std::string, Type>> out;
  for (const char* field : fields) out.emplace_back(field, string_type());
  return object_type(name, std::move(out));
}

Type make_request_type() {
  const Type text = string_type();
  const Type kind = texts("kubernetes.GroupVersionKind", {"group", "version", "kind"});
  const Type resource = texts("kubernetes.GroupVersionResource", {"group", "version", "resource"});
  const Type list = list_type(text);
  const Type user =
      object_type("kubernetes.UserInfo",
                  {{"username", text}, {"uid", text}, {"groups", list}, {"extra", map_type(text, list)}});
  return object_type("kubernetes.AdmissionRequest", {{"kind", kind},
                                                     {"resource", resource},
                                                     {"subResource", text},
                                                     {"requestKind", kind},
                                                     {"requestResource", resource},
                                                     {"requestSubResource", text},
                                                     {"name", text},
                                                     {"namespace", text},
                                                     {"operation", text},
                                                     {"userInfo", user},
                                                     {"dryRun", bool_type()},
                                                     {"options", dyn_type()}});
}

Type make_namespace_type() {
  const Type text = string_type();
  const Type list = list_type(text);
  const Type map = map_type(text, text);
  const Type time = timestamp_type();
  const Type condition = object_type(
      "kubernetes.NamespaceCondition",
      {{"status", text}, {"type", text}, {"lastTransitionTime", time}, {"message", text}, {"reason", text}});
  const Type metadata =
      object_type("kubernetes.NamespaceMetadata", {{"name", text},
                                                   {"generateName", text},
                                                   {"namespace", text},
                                                   {"labels", map},
                                                   {"annotations", map},
                                                   {"UID", text},
                                                   {"creationTimestamp", time},
                                                   {"deletionGracePeriodSeconds", int_type()},
                                                   {"deletionTimestamp", time},
                                                   {"generation", int_type()},
                                                   {"resourceVersion", text},
                                                   {"finalizers", list}});
  return object_type("kubernetes.Namespace",
                     {{"metadata", metadata},
                      {"spec", object_type("kubernetes.NamespaceSpec", {{"finalizers", list}})},
                      {"status", object_type("kubernetes.NamespaceStatus",
                                             {{"conditions", list_type(condition)}, {"phase", text}})}});
}

/// The name of a type as the messages about results have it.
std::string result_name(const Type& type) {
  std::string name = type_name(type);
  if (name == "timestamp") return "google.protobuf.Timestamp";
  if (name == "duration") return "google.protobuf.Duration";
  return name == "null" ? "null_type" : name;
}

}  // namespace

const Type& admission_request_type() {
  static const Type type = make_request_type();
  return type;
}

const Type& namespace_object_type() {
  static const Type type = make_namespace_type();
  return type;
}

void CheckedProgram::report(const FieldPath& path, std::string_view text, FieldErrors& errors) const {
  if (error.empty()) return;
  if (internal_error) {
    errors.internal(path, error);
  } else {
    errors.invalid(path, Json(text), error);
  }
}

CheckedProgram compile_checked(const Environment& environment, std::string_view text, Wanted wanted) {
  CheckedProgram out;
  Compilation compiled = environment.compile(text);
  if (!compiled.error.empty()) {
    out.error = "compilation failed: " + compiled.error;
    return out;
  }
  if (!compiled.program) {
    out.error = "program instantiation failed: " + compiled.instantiation_error;
    out.internal_error = true;
    return out;
  }
  const Type& type = compiled.program->output_type();
  const std::string got = result_name(type);
  if (wanted == Wanted::kBool && !is_bool(type)) {
    out.error = "must evaluate to bool but got " + got;
  } else if (wanted == Wanted::kString && !is_string(type)) {
    out.error = "must evaluate to string but got " + got;
  } else if (wanted == Wanted::kStringOrNull && !is_string(type) && got != "null_type") {
    out.error = "must evaluate to one of [string null_type] but got " + got;
  } else {
    out.program = std::move(compiled.program);
  }
  return out;
}

}  // namespace orch::api::cel
