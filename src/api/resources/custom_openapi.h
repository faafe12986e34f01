// Custom resources in OpenAPI documents (k8s.io/apiextensions-apiserver pkg/controller/openapi/builder).
#pragma once

#include <string>
#include <string_view>

#include "api/resources/resource.h"

namespace orch::api {

/// The name of a definition: "com.example.stable.v1.CronTab".
std::string custom_model(std::string_view group, std::string_view version, std::string_view kind);

/// The definition of a custom resource's objects as JSON, made of its schema: with kind, apiVersion and
/// metadata, and for version 2 without what that (or kubectl with it) does not know. A schema that is not
/// structural is no more than an object.
std::string custom_definition(const Resource& row, bool v2);

}  // namespace orch::api
