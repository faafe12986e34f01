// Validation of pods and of everything that holds a pod template, with the messages and paths of
// k8s.io/kubernetes/pkg/apis/core/validation.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "api/field_error.h"
#include "base/json_fwd.h"

namespace orch::api {

/// What an update must go on allowing because the old object has it already (PodValidationOptions).
struct PodOptions {
  /// A pod, not a template.
  bool is_pod = false;
  bool allow_invalid_deletion_cost = false;
  bool allow_indivisible_hugepages = false;
  bool allow_invalid_affinity_values = false;
  bool allow_invalid_node_affinity_values = false;
  bool allow_invalid_spread_selector = false;
  bool allow_spread_key_clash = false;
  bool allow_any_token_path = false;
  bool allow_host_sysctls = false;
  bool allow_selinux_mount_option = false;
  bool allow_comparing_tolerations = false;
  bool allow_userns_devices = false;
  bool allow_userns_host_network = false;
};

/// `old_spec` and `old_annotations` may be null: a create.
PodOptions pod_options(const Json* old_spec, const Json* old_annotations);

// --- The strategy of pods ------------------------------------------------------------------------------

void validate_pod(const Json& pod, FieldErrors& errors);
void validate_pod_update(const Json& pod, const Json& old, FieldErrors& errors);
void validate_pod_status_update(const Json& pod, const Json& old, FieldErrors& errors);
void validate_ephemeral_containers_update(const Json& pod, const Json& old, FieldErrors& errors);
void validate_pod_resize(const Json& pod, const Json& old, FieldErrors& errors);

/// A PodTemplateSpec; `old` (may be null) is the template it replaces.
void validate_pod_template(const Json& pod_template, const Json* old, const FieldPath& path,
                           FieldErrors& errors);

// --- Parts ---------------------------------------------------------------------------------------------

/// `metadata` is the pod's, or null for a template.
void validate_pod_spec(const Json& spec, const Json* metadata, const FieldPath& path,
                       const PodOptions& options, FieldErrors& errors);
void validate_pod_annotations(const Json& annotations, const Json& spec, const FieldPath& path,
                              const PodOptions& options, FieldErrors& errors);
void validate_app_armor_profile(const Json& profile, const FieldPath& path, FieldErrors& errors);

}  // namespace orch::api
