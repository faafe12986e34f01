// WindowsSecurityContextOptions of pods and containers.
#pragma once

#include "api/field_error.h"
#include "base/json_fwd.h"

namespace orch::api {

void validate_windows_options(const Json& options, const FieldPath& path, FieldErrors& errors);

}  // namespace orch::api
