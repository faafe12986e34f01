// Versions of a CustomResourceDefinition as errors show them.
#pragma once

#include <string>

#include "base/json_fwd.h"

namespace orch::api {

/// spec.versions as kube-apiserver prints its internal CustomResourceDefinitionVersion, whose members have
/// Go's names; "null" for no list. What all versions have alike (schema, subresources,
/// additionalPrinterColumns, selectableFields) is null: it stands at the top of the internal type. A schema
/// that is not shared is shown as it was sent. Pure.
std::string go_versions(const Json& versions);

/// Whether all of these versions have `key` alike, absent, null and an empty list being the same.
bool shared_by_all(const Json& versions, const char* key);

}  // namespace orch::api
