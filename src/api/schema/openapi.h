// OpenAPI documents: /openapi/v2 (Swagger 2.0) and /openapi/v3 (an index, and a document for each group
// version), made from the resources that are served and their types. There are no descriptions: the field
// table has none.
//
// The documents are what kubectl's explain, its checks for dryRun and fieldValidation, and server-side tools
// read: definitions with x-kubernetes-group-version-kind, list types, map keys, patch strategies, enums,
// required members, formats and defaults; paths with x-kubernetes-action and group-version-kind.
//
// Pure functions; each takes some milliseconds and writes up to two megabytes, so keep what they return.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "api/schema/schema.h"
#include "base/status.h"

namespace orch::api::schema {

struct OpenApiSubresource {
  std::string name;
  /// Of what is sent and answered: autoscaling/v1 Scale, v1 PodExecOptions.
  std::string group, version, kind;
  /// May be null: then the document says no more than that it is an object.
  const Type* type = nullptr;
  std::vector<std::string> verbs;
};

struct OpenApiResource {
  std::string group, version, kind, list_kind, plural;
  bool namespaced = true;
  /// A delete answers with the object instead of a Status.
  bool returns_deleted = false;
  /// get, list, watch, create, update, patch, delete, deletecollection.
  std::vector<std::string> verbs;
  /// Null for a custom resource: then `model` and `schema` describe it.
  const Type* type = nullptr;
  /// Null for a custom resource: its list is derived.
  const Type* list_type = nullptr;
  /// The definition's name, "com.example.stable.v1.CronTab", and that of its list.
  std::string model = {}, list_model = {};
  /// The definition as JSON, in the form of one version of OpenAPI.
  std::function<std::string(bool v2)> schema = {};
  std::vector<OpenApiSubresource> subresources = {};
};

/// `version` is what the document says of itself in info.version.
std::string openapi_v2(const Schema& schema, const std::vector<OpenApiResource>& resources,
                       std::string_view version);

/// The same document as openapi_v2() wrote, as application/com.github.proto-openapi.spec.v2@v1.0+protobuf.
/// kBadRequest if the text is not JSON.
base::Result<std::string> openapi_v2_protobuf(std::string_view document);

/// The document of a group version ("" is the core group); empty if nothing is served there.
std::string openapi_v3(const Schema& schema, const std::vector<OpenApiResource>& resources,
                       std::string_view group, std::string_view group_version, std::string_view version);

/// /openapi/v3: the paths of the group versions with the hash of each document, so that clients can keep what
/// they have. Makes every document once.
std::string openapi_v3_index(const Schema& schema, const std::vector<OpenApiResource>& resources,
                             std::string_view version);

}  // namespace orch::api::schema
