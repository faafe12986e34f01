#include "api/resources/object_meta.h"

#include <algorithm>
#include <set>

#include "api/go_text.h"
#include "api/names.h"
#include "api/resources/common_validation.h"
#include "api/resources/tree.h"
#include "base/json.h"

namespace orch::api {
namespace {

constexpr int kMaxManager = 128;
constexpr int kMaxSubresource = 256;

/// Built-in kinds know which finalizers without a domain there are; those of apiextensions.k8s.io and
/// apiregistration.k8s.io, and custom resources of any group, name theirs as they like.
bool checks_standard_finalizers(const Resource& resource) {
  for (const char* group : {"apiextensions.k8s.io", "apiregistration.k8s.io", "admissionregistration.k8s.io",
                            "coordination.k8s.io", "policy", "node.k8s.io"}) {
    if (resource.group == group) return false;
  }
  if (resource.custom || (resource.group.empty() && resource.kind == "Event")) return false;
  return resource.group.find('.') == std::string::npos || resource.group.ends_with(".k8s.io");
}

/// Owner references as JSON with members in the order of metav1.OwnerReference.
std::string owners_text(const Json& owners) {
  std::string out = "[";
  for (const Json& owner : owners) {
    if (out.size() > 1) out += ",";
    out += "{";
    for (const char* key : {"apiVersion", "kind", "name", "uid"}) {
      out += std::string(out.back() == '{' ? "" : ",") + "\"" + key +
             "\":" + go_json(std::string(text_of(owner, key)));
    }
    for (const char* key : {"controller", "blockOwnerDeletion"}) {
      if (has(owner, key)) out += std::string(",\"") + key + "\":" + go_json(member_of(owner, key));
    }
    out += "}";
  }
  return out + "]";
}

void validate_owner(const Json& owner, const FieldPath& path, FieldErrors& errors) {
  const std::string_view api_version = text_of(owner, "apiVersion");
  const std::string_view kind = text_of(owner, "kind");
  const auto [group, version] = split_api_version(api_version);
  if (version.empty())
    add_invalid(errors, path.child("apiVersion"), api_version, "version must not be empty");
  if (kind.empty()) add_invalid(errors, path.child("kind"), kind, "must not be empty");
  for (const char* key : {"name", "uid"}) {
    if (text_of(owner, key).empty()) add_invalid(errors, path.child(key), "", "must not be empty");
  }
  if (group.empty() && version == "v1" && kind == "Event") {
    const std::string text = owners_text(Json::array({owner}));
    add_cause(errors, "FieldValueInvalid", path,
              "Invalid value: " + text.substr(1, text.size() - 2) +
                  ": /v1, Kind=Event is disallowed from being an owner");
  }
}

void validate_owners(const Json& metadata, const FieldPath& path, FieldErrors& errors) {
  const Json& owners = list_of(metadata, "ownerReferences");
  std::string controller;
  for (const Json& owner : owners) {
    validate_owner(owner, path, errors);
    if (!flag_of(owner, "controller")) continue;
    const std::string name = std::string(text_of(owner, "kind")) + "/" + std::string(text_of(owner, "name"));
    if (controller.empty()) {
      controller = name;
    } else {
      add_cause(
          errors, "FieldValueInvalid", path,
          base::cat("Invalid value: ", owners_text(owners),
                    ": Only one reference can have Controller set to true. Found \"true\" in references for ",
                    controller, " and ", name));
    }
  }
}

void validate_managed_fields(const Json& metadata, const FieldPath& path, FieldErrors& errors) {
  size_t i = 0;
  for (const Json& entry : list_of(metadata, "managedFields")) {
    const FieldPath at = path.index(i++);
    const std::string_view operation = text_of(entry, "operation");
    if (operation != "Apply" && operation != "Update") {
      add_invalid(errors, at.child("operation"), operation, "must be `Apply` or `Update`");
    }
    const std::string_view type = text_of(entry, "fieldsType");
    if (!type.empty() && type != "FieldsV1") {
      add_invalid(errors, at.child("fieldsType"), type, "must be `FieldsV1`");
    }
    if (text_of(entry, "manager").size() > kMaxManager) errors.too_long(at.child("manager"), kMaxManager);
    if (text_of(entry, "subresource").size() > kMaxSubresource) {
      errors.too_long(at.child("subresource"), kMaxSubresource);
    }
  }
}

void validate_finalizer_list(const Json& metadata, const FieldPath& path, FieldErrors& errors) {
  const Json& finalizers = list_of(metadata, "finalizers");
  for (const Json& finalizer : finalizers) validate_qualified_name(text(finalizer), path, errors);
  if (contains(finalizers, "orphan") && contains(finalizers, "foregroundDeletion")) {
    errors.invalid(path, finalizers, "finalizer orphan and foregroundDeletion cannot be both set");
  }
}

void validate_standard_finalizers(const Json& metadata, const Resource& resource, FieldErrors& errors) {
  if (!checks_standard_finalizers(resource)) return;
  size_t i = 0;
  for (const Json& finalizer : list_of(metadata, "finalizers")) {
    validate_standard_finalizer(text(finalizer), FieldPath("metadata").child("finalizers").index(i++),
                                errors);
  }
}

void validate_namespace(const Json& metadata, const Resource& resource, FieldErrors& errors) {
  const FieldPath path = FieldPath("metadata").child("namespace");
  const std::string_view ns = text_of(metadata, "namespace");
  if (!resource.namespaced) {
    if (!ns.empty()) errors.forbidden(path, "not allowed on this type");
  } else if (ns.empty()) {
    errors.required(path);
  } else {
    validate_dns1123_label(ns, path, errors);
  }
}

/// As Go's %#v prints a []string.
std::string go_string_list(const std::set<std::string_view>& values) {
  std::string out = "[]string{";
  for (const std::string_view v : values) {
    if (out.back() != '{') out += ", ";
    out += go_quote(v);
  }
  return out + "}";
}

void validate_no_new_finalizers(const Json& metadata, const Json& old, FieldErrors& errors) {
  std::set<std::string_view> extra;
  for (const Json& finalizer : list_of(metadata, "finalizers")) {
    if (!contains(list_of(old, "finalizers"), text(finalizer))) extra.insert(text(finalizer));
  }
  if (extra.empty()) return;
  errors.forbidden(FieldPath("metadata").child("finalizers"),
                   "no new finalizers can be added if the object is being deleted, found new finalizers " +
                       go_string_list(extra));
}

}  // namespace

void validate_object_meta(const Json& object, const Resource& resource, FieldErrors& errors) {
  const Json& metadata = map_of(object, "metadata");
  const FieldPath path("metadata");
  const auto check_name = [&](std::string_view name, bool prefix) {
    const auto& rule = resource.strategy ? resource.strategy->validate_name : nullptr;
    return rule ? rule(name, prefix) : check_name_is_subdomain(name, prefix);
  };
  const std::string_view generate_name = text_of(metadata, "generateName");
  if (!generate_name.empty()) {
    add_problems(errors, path.child("generateName"), generate_name, check_name(generate_name, true));
  }
  const std::string_view name = text_of(metadata, "name");
  if (name.empty()) {
    errors.required(path.child("name"), "name or generateName is required");
  } else {
    add_problems(errors, path.child("name"), name, check_name(name, false));
  }
  validate_namespace(metadata, resource, errors);
  validate_nonnegative(number_of(metadata, "generation"), path.child("generation"), errors);
  validate_labels(map_of(metadata, "labels"), path.child("labels"), errors);
  validate_annotations(map_of(metadata, "annotations"), path.child("annotations"), errors);
  validate_owners(metadata, path.child("ownerReferences"), errors);
  validate_finalizer_list(metadata, path.child("finalizers"), errors);
  validate_managed_fields(metadata, path.child("managedFields"), errors);
  validate_standard_finalizers(metadata, resource, errors);
}

void validate_object_meta_update(const Json& object, const Json& old, const Resource& resource,
                                 FieldErrors& errors) {
  const Json& metadata = map_of(object, "metadata");
  const Json& old_metadata = map_of(old, "metadata");
  const FieldPath path("metadata");
  if (has(old_metadata, "deletionTimestamp")) validate_no_new_finalizers(metadata, old_metadata, errors);
  const int64_t generation = number_of(metadata, "generation");
  if (generation < number_of(old_metadata, "generation")) {
    errors.invalid(path.child("generation"), generation, "must not be decremented");
  }
  for (const char* key :
       {"name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"}) {
    validate_immutable_member(metadata, old_metadata, key, path, errors);
  }
  validate_labels(map_of(metadata, "labels"), path.child("labels"), errors);
  validate_annotations(map_of(metadata, "annotations"), path.child("annotations"), errors);
  validate_owners(metadata, path.child("ownerReferences"), errors);
  validate_managed_fields(metadata, path.child("managedFields"), errors);
  validate_standard_finalizers(metadata, resource, errors);
}

void keep_own_metadata(Json& object, const Json& old) {
  for (const char* key : {"labels", "annotations", "finalizers", "ownerReferences"})
    restore(child(object, "metadata"), map_of(old, "metadata"), key);
}

}  // namespace orch::api
