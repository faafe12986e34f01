#include "api/resources/claim_validation.h"

#include <algorithm>
#include <string_view>

#include "api/quantity.h"
#include "api/resources/common_validation.h"
#include "api/resources/resource_validation.h"
#include "api/resources/tree.h"
#include "base/json.h"

namespace orch::api {
namespace {

const std::vector<std::string> kModes = {"ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce",
                                         "ReadWriteOncePod"};

bool is_mode(std::string_view mode) { return std::find(kModes.begin(), kModes.end(), mode) != kModes.end(); }

void validate_storage_request(const Json& spec, const FieldPath& path, FieldErrors& errors) {
  const Json& requests = map_of(map_of(spec, "resources"), "requests");
  const FieldPath at = path.child("resources").key("storage");
  if (!has(requests, "storage")) return errors.required(at);
  const auto quantity = Quantity::from_json(member_of(requests, "storage"));
  if (quantity.ok() && quantity->sign() <= 0) {
    add_invalid(errors, at, quantity->text(), "must be greater than zero");
  } else {
    validate_resource_amount("storage", member_of(requests, "storage"), at, errors);
  }
}

void validate_data_source(const Json& source, bool with_namespace, ClaimOptions options,
                          const FieldPath& path, FieldErrors& errors) {
  for (const char* key : {"name", "kind"}) {
    if (text_of(source, key).empty()) errors.required(path.child(key));
  }
  const std::string_view group = text_of(source, "apiGroup");
  const std::string_view kind = text_of(source, "kind");
  if (group.empty() && kind != "PersistentVolumeClaim") {
    add_invalid(errors, path, kind, "must be 'PersistentVolumeClaim' when referencing the default apiGroup");
  }
  if (!group.empty() && !options.allow_invalid_api_group) {
    validate_dns1123_subdomain(group, path.child("apiGroup"), errors);
  }
  const std::string_view ns = text_of(source, "namespace");
  if (with_namespace && !ns.empty()) validate_dns1123_label(ns, path.child("namespace"), errors);
}

void validate_data_sources(const Json& spec, ClaimOptions options, const FieldPath& path,
                           FieldErrors& errors) {
  const Json& source = map_of(spec, "dataSource");
  const Json& ref = map_of(spec, "dataSourceRef");
  const bool has_source = has(spec, "dataSource");
  const bool has_ref = has(spec, "dataSourceRef");
  if (has_source) validate_data_source(source, false, options, path.child("dataSource"), errors);
  if (has_ref) validate_data_source(ref, true, options, path.child("dataSourceRef"), errors);
  if (!has_source || !has_ref) return;
  // Kubernetes shows the path where the value should be; an empty object is what it prints.
  if (!text_of(ref, "namespace").empty()) {
    errors.invalid(path, Json::object(), "may not be specified when dataSourceRef.namespace is specified");
    return;
  }
  for (const char* key : {"apiGroup", "kind", "name"}) {
    if (same_member(source, ref, key)) continue;
    return errors.invalid(path, Json::object(), "must match dataSourceRef");
  }
}

}  // namespace

void validate_access_modes(const Json& modes, const FieldPath& path, FieldErrors& errors) {
  bool once_pod = false;
  bool other = false;
  for (const Json& mode : modes) {
    if (!is_mode(text(mode))) errors.not_supported(path, text(mode), kModes);
    if (text(mode) == "ReadWriteOncePod") {
      once_pod = true;
    } else if (is_mode(text(mode))) {
      other = true;
    }
  }
  if (once_pod && other) errors.forbidden(path, "may not use ReadWriteOncePod with other access modes");
}

void validate_volume_mode(const Json& spec, const FieldPath& path, FieldErrors& errors) {
  if (!has(spec, "volumeMode")) return;
  const std::string_view mode = text_of(spec, "volumeMode");
  if (mode != "Block" && mode != "Filesystem") {
    errors.not_supported(path.child("volumeMode"), mode, {"Block", "Filesystem"});
  }
}

void validate_claim_spec(const Json& spec, const FieldPath& path, FieldErrors& errors, ClaimOptions options) {
  const Json& modes = list_of(spec, "accessModes");
  if (modes.empty()) errors.required(path.child("accessModes"), "at least 1 access mode is required");
  validate_label_selector(member_of(spec, "selector"), path.child("selector"), errors,
                          {options.allow_invalid_selector_values});
  validate_access_modes(modes, path.child("accessModes"), errors);
  validate_storage_request(spec, path, errors);
  const std::string_view storage_class = text_of(spec, "storageClassName");
  if (!storage_class.empty())
    validate_dns1123_subdomain(storage_class, path.child("storageClassName"), errors);
  validate_volume_mode(spec, path, errors);
  validate_data_sources(spec, options, path, errors);
  const std::string_view attributes = text_of(spec, "volumeAttributesClassName");
  if (!attributes.empty())
    validate_dns1123_subdomain(attributes, path.child("volumeAttributesClassName"), errors);
}

void validate_template_metadata(const Json& owner, const FieldPath& path, FieldErrors& errors) {
  const Json& metadata = map_of(owner, "metadata");
  const FieldPath at = path.child("metadata");
  validate_annotations(map_of(metadata, "annotations"), at.child("annotations"), errors);
  validate_labels(map_of(metadata, "labels"), at.child("labels"), errors);
  for (const char* key : {"name", "generateName", "namespace", "selfLink", "uid", "resourceVersion",
                          "generation", "creationTimestamp", "deletionTimestamp",
                          "deletionGracePeriodSeconds", "ownerReferences", "finalizers", "managedFields"}) {
    // A list that is empty is set, a number that is 0 only where none at all is something else.
    const Json& value = member_of(metadata, key);
    const bool counts = key == std::string_view("generation");
    const bool set = counts ? number(value) != 0 : value.is_structured() || !is_empty(value);
    // The path is Go's member name with its first letter in lower case.
    if (set) errors.forbidden(at.child(key == std::string_view("uid") ? "uID" : key), "cannot be set");
  }
}

void validate_claim_template(const Json& claim, const FieldPath& path, FieldErrors& errors) {
  validate_template_metadata(claim, path, errors);
  validate_claim_spec(map_of(claim, "spec"), path.child("spec"), errors);
}

}  // namespace orch::api
