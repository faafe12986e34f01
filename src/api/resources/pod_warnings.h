// Warnings about pods and pod templates: deprecated or suspicious members, as kube-apiserver sends them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "api/field_error.h"
#include "base/json_fwd.h"

namespace orch::api {

using Warnings = std::vector<std::string>;

/// Of a pod being created, its name included.
Warnings warnings_for_pod(const Json& pod);
/// Of a template at `path`; `old` (may be null) is what it replaces.
Warnings warnings_for_template(const Json& pod_template, const Json* old, const FieldPath& path);
/// The name of a workload or pod becomes a hostname, so a DNS label is better. "Pod names and hostnames" of
/// what makes pods, "the Pod's hostname" of a pod.
void warn_pod_name(std::string_view name, Warnings& warnings);

/// Node labels that have newer names; "" if this one has not.
std::string_view deprecated_node_label(std::string_view key);
/// Requirements of a node selector term on such labels; `check_values`: and on values that are no label
/// values.
void warn_node_term(const Json& term, bool check_values, const FieldPath& path, Warnings& warnings);
/// Fractions of a byte in requests or limits of storage.
void warn_claim_spec(const Json& spec, const FieldPath& path, Warnings& warnings);
/// The amount of `name` is not a whole number of bytes.
void warn_fraction(const Json& list, std::string_view name, const FieldPath& path, Warnings& warnings);

// volume_warnings.cpp
void warn_volumes(const Json& volumes, const FieldPath& path, Warnings& warnings);

}  // namespace orch::api
