// core/v1 Namespace.
#include "api/names.h"
#include "api/resources/common_validation.h"
#include "api/resources/kinds.h"
#include "api/resources/printers.h"
#include "api/resources/tree.h"
#include "base/json.h"

namespace orch::api {
namespace {

constexpr const char* kFinalizer = "kubernetes";
constexpr const char* kNameLabel = "kubernetes.io/metadata.name";

/// Every namespace carries its name as a label, so that selectors can name it. With generateName it is set
/// once the name is known.
void label_with_name(Json& object) {
  const std::string name(name_of(object));
  if (!name.empty()) put(child(child(object, "metadata"), "labels"), kNameLabel, name);
}

void default_namespace(Json& object) {
  label_with_name(object);
  default_text(child(object, "status"), "phase", "Active");
}

void prepare_namespace_create(Json& object, const StrategyContext&) {
  label_with_name(object);
  put(object, "status", {{"phase", "Active"}});
  Json& finalizers = child(object, "spec")["finalizers"];
  if (!finalizers.is_array()) finalizers = Json::array();
  if (!contains(finalizers, kFinalizer)) finalizers.push_back(kFinalizer);
}

/// Standard finalizers are "kubernetes" or qualified names.
void validate_finalizers(const Json& object, FieldErrors& errors) {
  const FieldPath path = FieldPath("spec").child("finalizers");
  for (const Json& finalizer : list_of(map_of(object, "spec"), "finalizers")) {
    validate_finalizer_name(text(finalizer), path, errors);
  }
}

void validate_namespace_status_update(const Json& object, const Json&, FieldErrors& errors) {
  const std::string phase(text_of(map_of(object, "status"), "phase"));
  const FieldPath path = FieldPath("status").child("Phase");
  if (!has(map_of(object, "metadata"), "deletionTimestamp")) {
    if (phase != "Active") {
      errors.invalid(path, phase, "may only be 'Active' if `deletionTimestamp` is empty");
    }
  } else if (phase != "Terminating") {
    errors.invalid(path, phase, "may only be 'Terminating' if `deletionTimestamp` is not empty");
  }
}

void validate_namespace_finalize(const Json& object, const Json&, FieldErrors& errors) {
  const FieldPath path = FieldPath("spec").child("finalizers");
  size_t i = 0;
  for (const Json& finalizer : list_of(map_of(object, "spec"), "finalizers")) {
    validate_finalizer_name(text(finalizer), path.index(i++), errors);
  }
}

}  // namespace

Strategy namespace_strategy() {
  Strategy s;
  s.returns_deleted = true;
  s.set_defaults = default_namespace;
  s.prepare_delete = [](Json& object, const StrategyContext&) {
    put(child(object, "status"), "phase", "Terminating");
  };
  s.held = [](const Json& object) { return has_items(map_of(object, "spec"), "finalizers"); };
  s.prepare_create = prepare_namespace_create;
  s.prepare_update = [](Json& object, const Json& old, const StrategyContext&) {
    restore(object, old, "spec");
    restore(object, old, "status");
  };
  s.prepare_status_update = [](Json& object, const Json& old, const StrategyContext&) {
    restore(object, old, "spec");
  };
  s.subresource_updates["finalize"] = {
      [](Json& object, const Json& old, const StrategyContext&) { restore(object, old, "status"); },
      validate_namespace_finalize};
  s.validate = validate_finalizers;
  s.validate_update = [](const Json& object, const Json&, FieldErrors& errors) {
    validate_finalizers(object, errors);
  };
  s.validate_status_update = validate_namespace_status_update;
  s.validate_name = check_name_is_label;
  s.cells = namespace_cells;
  return s;
}

}  // namespace orch::api
