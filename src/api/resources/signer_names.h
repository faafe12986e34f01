// Names of certificate signers (certificates.k8s.io).
#pragma once

#include <string_view>

#include "api/field_error.h"

namespace orch::api {

/// "example.com/signer": a domain of at least two labels and a path of DNS subdomains, 571 characters at
/// most.
void validate_signer_name(std::string_view name, const FieldPath& path, FieldErrors& errors);

}  // namespace orch::api
