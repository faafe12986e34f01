// CustomResourceDefinitions: what the API server does with their objects (k8s.io/apiextensions-apiserver
// pkg/registry/customresourcedefinition).
#include <algorithm>

#include "api/go_text.h"
#include "api/meta.h"
#include "api/resources/crd_validation.h"
#include "api/resources/kinds.h"
#include "api/resources/traits.h"
#include "api/resources/tree.h"
#include "api/schema/schema.h"
#include "base/json.h"

namespace orch::api {

namespace {

void set_defaults(Json& crd) {
  Json& spec = crd["spec"];
  if (!spec.is_object()) spec = Json::object();
  Json& names = spec["names"];
  if (!names.is_object()) names = Json::object();
  const std::string kind(text_of(names, "kind"));
  if (text_of(names, "singular").empty()) {
    std::string singular = kind;
    std::transform(singular.begin(), singular.end(), singular.begin(),
                   [](unsigned char c) { return std::tolower(c); });
    names["singular"] = std::move(singular);
  }
  if (text_of(names, "listKind").empty() && !kind.empty()) names["listKind"] = kind + "List";
  if (!has(spec, "conversion") || spec["conversion"].is_null()) spec["conversion"] = {{"strategy", "None"}};
  Json& service_owner = spec["conversion"];
  if (const Json* service = base::find_path(service_owner, {"webhook", "clientConfig", "service"});
      service != nullptr && service->is_object() && !service->contains("port")) {
    service_owner["webhook"]["clientConfig"]["service"]["port"] = 443;
  }
  // A status that names no stored version names the storage version.
  if (has_items(map_of(crd, "status"), "storedVersions")) return;
  for (const Json& version : list_of(crd["spec"], "versions")) {
    if (!flag_of(version, "storage")) continue;
    child(crd, "status")["storedVersions"] = Json::array({std::string(text_of(version, "name"))});
    return;
  }
}

/// The storage version is one that objects are stored in from now on.
void note_stored(Json& crd) {
  for (const Json& version : base::array_at(crd, {"spec", "versions"})) {
    if (!flag_of(version, "storage")) continue;
    Json& stored = crd["status"]["storedVersions"];
    if (!stored.is_array()) stored = Json::array();
    if (std::find(stored.begin(), stored.end(), version.value("name", Json(""))) == stored.end())
      stored.push_back(version.value("name", Json("")));
    return;
  }
}

std::vector<std::string> format_warnings(const Json& crd, const Json* old) {
  std::vector<std::string> known = old != nullptr ? unknown_formats(*old) : std::vector<std::string>();
  std::vector<std::string> out;
  for (const std::string& format : unknown_formats(crd)) {
    if (std::find(known.begin(), known.end(), format) == known.end())
      out.push_back(base::cat("unrecognized format ", go_quote(format)));
  }
  return out;
}

/// Instances go before their definition does.
void prepare_delete(Json& crd, const StrategyContext& context) {
  add_finalizer(crd, "customresourcecleanup.apiextensions.k8s.io");
  set_condition(crd,
                {"Terminating", "True", "InstanceDeletionPending",
                 "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon"},
                context.now);
}

}  // namespace

Strategy custom_resource_definition_strategy(const Schema& schema) {
  Strategy s = traits_of("apiextensions.k8s.io", "CustomResourceDefinition");
  s.has_generation = true;
  s.allow_unconditional_update = false;
  s.set_defaults = set_defaults;
  s.prepare_create = [](Json& crd, const StrategyContext&) { note_stored(crd); };
  s.prepare_update = [](Json& crd, const Json&, const StrategyContext&) { note_stored(crd); };
  s.validate = [&schema](const Json& crd, FieldErrors& errors) {
    validate_crd(schema, crd, nullptr, errors);
  };
  s.validate_update = [&schema](const Json& crd, const Json& old, FieldErrors& errors) {
    validate_crd(schema, crd, &old, errors);
  };
  s.validate_status_update = [](const Json& crd, const Json&, FieldErrors& errors) {
    validate_crd_status(crd, errors);
  };
  s.warnings = format_warnings;
  s.prepare_delete = prepare_delete;
  return s;
}

}  // namespace orch::api
