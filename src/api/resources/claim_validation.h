// Validation of claims for persistent volumes, in a PersistentVolumeClaim or in a template of one.
#pragma once

#include <string>
#include <vector>

#include "api/field_error.h"
#include "base/json_fwd.h"

namespace orch::api {

/// ReadWriteOnce, ReadOnlyMany, … ; ReadWriteOncePod only alone.
void validate_access_modes(const Json& modes, const FieldPath& path, FieldErrors& errors);
void validate_volume_mode(const Json& spec, const FieldPath& path, FieldErrors& errors);

struct ClaimOptions {
  bool allow_invalid_selector_values = false;
  bool allow_invalid_api_group = false;
};
void validate_claim_spec(const Json& spec, const FieldPath& path, FieldErrors& errors,
                         ClaimOptions options = {});
/// metadata of something that objects are made from: labels and annotations, nothing else.
void validate_template_metadata(const Json& owner, const FieldPath& path, FieldErrors& errors);
/// PersistentVolumeClaimTemplate of an ephemeral volume: labels, annotations and a spec, nothing else.
void validate_claim_template(const Json& claim, const FieldPath& path, FieldErrors& errors);

}  // namespace orch::api
