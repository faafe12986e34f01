// Validation of CustomResourceDefinitions (k8s.io/apiextensions-apiserver
// pkg/apis/apiextensions/validation). Paths are those of the internal type, which has what all versions share
// at the top: spec.validation, spec.subresources, spec.additionalPrinterColumns, spec.selectableFields.
#pragma once

#include "api/field_error.h"
#include "api/schema/schema.h"
#include "base/json_fwd.h"

namespace orch::api {

/// A definition about to be created (`old` null) or updated; its metadata is the caller's business, but for
/// its name.
void validate_crd(const Schema& builtin, const Json& crd, const Json* old, FieldErrors& errors);
/// status.acceptedNames.
void validate_crd_status(const Json& crd, FieldErrors& errors);

/// Of a group of Kubernetes' own, which asks for approval.
bool is_protected_group(std::string_view group);
enum class CrdApproval : uint8_t { kInvalid, kApproved, kBypassed, kMissing };
/// The annotation api-approved.kubernetes.io, and what is said of it.
std::pair<CrdApproval, std::string> crd_approval(const Json& crd);
/// Names of formats in the schemas that nobody checks, in order.
std::vector<std::string> unknown_formats(const Json& crd);

}  // namespace orch::api
