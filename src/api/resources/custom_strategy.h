// What the API server does with objects of one version of a CustomResourceDefinition
// (k8s.io/apiextensions-apiserver pkg/registry/customresource).
#pragma once

#include <memory>

#include "api/resources/custom_resource.h"
#include "api/resources/resource.h"
#include "base/json_fwd.h"

namespace orch::api {

/// `version` is the row's part of spec.versions.
std::shared_ptr<const Strategy> custom_strategy(const Resource& row,
                                                const std::shared_ptr<const CustomKind>& kind,
                                                const Json& version);

/// The whole number at a path: nothing if there is none. kInternal in the words of Go's unstructured helpers
/// if it is something else.
base::Result<std::optional<int64_t>> nested_int(const Json& object, const std::vector<std::string>& path);
base::Result<std::optional<std::string>> nested_text(const Json& object,
                                                     const std::vector<std::string>& path);

/// Sets the value at a path, making the objects on the way.
void set_nested(Json& object, const std::vector<std::string>& path, Json value);

}  // namespace orch::api
