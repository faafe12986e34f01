// Between the files that validate pod specs: each part is one function, in the file its comment names.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>
#include <string_view>

#include "api/field_error.h"
#include "api/resources/pod_validation.h"
#include "base/json_fwd.h"

namespace orch::api {

/// Valid volumes of a pod by name: what mounts may refer to.
using VolumeMap = std::map<std::string_view, const Json*>;

/// What the validation of one container looks at besides the container.
struct ContainerScope {
  const Json& spec;  // PodSpec
  const VolumeMap& volumes;
  const std::set<std::string>& claims;
  const PodOptions& options;
};

/// Init containers, containers, ephemeral containers, each with its path below `path`.
void for_each_container(const Json& spec, const FieldPath& path,
                        const std::function<void(const Json& container, const FieldPath& path)>& visit);
/// hostUsers is not false.
bool uses_host_users(const Json& spec);

// pod_options.cpp
constexpr const char* kDeletionCost = "controller.kubernetes.io/pod-deletion-cost";
/// The cost of deleting the pod, an annotation, is absent or a 32-bit integer.
bool valid_deletion_cost(const Json& annotations);

// volume_validation.cpp
VolumeMap validate_volumes(const Json& volumes, const Json* metadata, const FieldPath& path,
                           const PodOptions& options, FieldErrors& errors);
/// No ".." step.
void validate_no_backsteps(std::string_view value, const FieldPath& path, FieldErrors& errors);
/// Relative and without "..".
void validate_descending_path(std::string_view value, const FieldPath& path, FieldErrors& errors);
/// The same, and not starting with "..".
void validate_local_path(std::string_view value, const FieldPath& path, FieldErrors& errors);

// env_validation.cpp
void validate_env(const Json& container, const FieldPath& path, FieldErrors& errors);
void validate_field_selector(const Json& ref, const std::set<std::string_view>& allowed,
                             const FieldPath& path, FieldErrors& errors);
void validate_resource_field_selector(const Json& ref, bool in_volume, const FieldPath& path,
                                      FieldErrors& errors);

// probe_validation.cpp
void validate_probes(const Json& container, const Json& spec, const FieldPath& path, FieldErrors& errors);
void validate_lifecycle(const Json& container, const Json& spec, const FieldPath& path, FieldErrors& errors);

// container_validation.cpp
void validate_containers(const ContainerScope& scope, const FieldPath& path, FieldErrors& errors);
void validate_init_containers(const ContainerScope& scope, const FieldPath& path, FieldErrors& errors);
void validate_ephemeral_containers(const ContainerScope& scope, const FieldPath& path, FieldErrors& errors);
void validate_pull_policy(std::string_view policy, const FieldPath& path, FieldErrors& errors);
/// Of pods only: no space around the image's name.
void validate_image_spaces(const Json& container, const FieldPath& path, FieldErrors& errors);

// security_validation.cpp
void validate_pod_security(const Json& spec, const FieldPath& path, const PodOptions& options,
                           FieldErrors& errors);
void validate_container_security(const Json& context, bool host_users, const FieldPath& path,
                                 FieldErrors& errors);
void validate_windows_host_process(const Json& spec, const FieldPath& path, FieldErrors& errors);
void validate_os(const Json& spec, const FieldPath& path, FieldErrors& errors);
void validate_seccomp_annotations(const Json& annotations, const FieldPath& path, FieldErrors& errors);
void validate_app_armor_annotations(const Json& annotations, const Json& spec, const FieldPath& path,
                                    FieldErrors& errors);
/// Annotations of old agree with the fields that took their place.
void validate_security_annotations_match(const Json& annotations, const Json& spec, const FieldPath& path,
                                         FieldErrors& errors);
/// The sysctl belongs to a namespace the pod shares with the host: the reason, or "".
std::string_view host_sysctl_problem(std::string_view name, const Json& spec);

// scheduling_validation.cpp
void validate_affinity(const Json& affinity, const PodOptions& options, const FieldPath& path,
                       FieldErrors& errors);
void validate_tolerations(const Json& tolerations, const PodOptions& options, const FieldPath& path,
                          FieldErrors& errors);
void validate_topology_spread(const Json& constraints, const PodOptions& options, const FieldPath& path,
                              FieldErrors& errors);

}  // namespace orch::api
