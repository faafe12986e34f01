// Validation of resource names, amounts and requirements (core/v1 ResourceList, ResourceRequirements).
#pragma once

#include <set>
#include <string>
#include <string_view>

#include "api/field_error.h"
#include "base/json_fwd.h"

namespace orch::api {

bool is_hugepage_resource(std::string_view name);
/// A resource of Kubernetes itself: no domain, or kubernetes.io/.
bool is_native_resource(std::string_view name);
/// A resource of a device plugin: example.com/gpu.
bool is_extended_resource(std::string_view name);
/// May be requested below its limit.
bool is_overcommit_allowed(std::string_view name);
bool is_standard_quota_resource(std::string_view name);

/// A qualified name; without a domain, one that Kubernetes knows.
void validate_resource_name(std::string_view name, const FieldPath& path, FieldErrors& errors);
void validate_container_resource_name(std::string_view name, const FieldPath& path, FieldErrors& errors);
void validate_quota_resource_name(std::string_view name, const FieldPath& path, FieldErrors& errors);
/// Not negative, and whole where only whole numbers make sense. What is not a quantity is reported as such.
void validate_resource_amount(std::string_view name, const Json& value, const FieldPath& path,
                              FieldErrors& errors);

struct RequirementsOptions {
  bool pod_level = false;
  bool allow_indivisible_hugepages = false;
};
/// requests, limits and claims; `claims` are the names in spec.resourceClaims of the pod.
void validate_requirements(const Json& requirements, const std::set<std::string>& claims,
                           const FieldPath& path, FieldErrors& errors, RequirementsOptions options = {});

}  // namespace orch::api
