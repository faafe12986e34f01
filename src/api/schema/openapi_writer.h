// What the parts of openapi.h share: definitions (openapi_definitions.cpp) and paths (openapi_paths.cpp).
#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "api/schema/json_text.h"
#include "api/schema/openapi.h"

namespace orch::api::schema {

enum class OpenApiVersion : uint8_t { kV2, kV3 };

/// Names of the types that are no messages of the table.
inline constexpr std::string_view kStatusName = "io.k8s.apimachinery.pkg.apis.meta.v1.Status";
inline constexpr std::string_view kPatchName = "io.k8s.apimachinery.pkg.apis.meta.v1.Patch";
inline constexpr std::string_view kDeleteOptionsName = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions";

/// Writes schemas and remembers which definitions they refer to.
class DefinitionWriter {
 public:
  DefinitionWriter(const Schema& schema, OpenApiVersion version,
                   const std::vector<OpenApiResource>& resources);

  /// {"$ref": …} to a type, a type by name, or the list of a custom resource.
  void reference(JsonText& out, const Type& type);
  void reference(JsonText& out, std::string_view name);
  void object_reference(JsonText& out, const OpenApiResource& resource);
  void list_reference(JsonText& out, const OpenApiResource& resource);

  /// The members name: definition of all that was referred to, and what those refer to, by name.
  void definitions(JsonText& out);

 private:
  struct GroupVersionKind {
    std::string_view group, version, kind;
  };

  std::string_view prefix() const;
  std::string definition(std::string_view name);
  void type_definition(JsonText& out, const Type& type);
  void list_definition(JsonText& out, const OpenApiResource& resource);
  void properties(JsonText& out, const Type& type);
  void property(JsonText& out, const Field& field, std::string_view description);
  void element(JsonText& out, const Value& value, const FieldNotes& notes);
  void value_type(JsonText& out, const Value& value, const FieldNotes& notes);
  void extensions(JsonText& out, const Field& field);
  void kinds_of(JsonText& out, const Type& type);
  void write_kinds(JsonText& out, const std::vector<GroupVersionKind>& kinds);
  void reference_with_siblings(JsonText& out, std::string_view name, std::string_view default_json,
                               bool alone);
  void need(std::string_view name);

  const Schema& schema_;
  const OpenApiVersion version_;
  const std::vector<OpenApiResource>& resources_;
  /// Definitions referred to so far; an empty text is yet to be written.
  std::map<std::string, std::string, std::less<>> known_;
  std::vector<std::string> pending_;
  /// Custom resources by the names of their definitions and of those of their lists.
  std::map<std::string, const OpenApiResource*, std::less<>> custom_, custom_lists_;
};

/// Writes the members path: operations of resources.
class PathWriter {
 public:
  PathWriter(OpenApiVersion version, DefinitionWriter& definitions)
      : version_(version), definitions_(definitions) {}

  void resource(JsonText& out, const OpenApiResource& resource);
  /// A path that only answers with discovery.
  void discovery(JsonText& out, std::string_view path, std::string_view operation_id, std::string_view tag,
                 std::string_view type_name);

 private:
  struct Operation {
    std::string_view method, action, verb;  // "post", "post", "create"
    std::string id;
    std::string_view group, version, kind;
    std::vector<std::string_view> parameters;
    /// Body and answer; null where there is none.
    enum class Shape : uint8_t { kNone, kObject, kList, kPatch, kDeleteOptions, kStatus, kText };
    Shape body = Shape::kNone, answer = Shape::kObject;
    const Type* type = nullptr;
    const OpenApiResource* resource = nullptr;
    std::vector<std::string_view> codes;
    std::string tag;
  };

  void collection(JsonText& out, const OpenApiResource& r, const std::string& path, bool all_namespaces);
  void item(JsonText& out, const OpenApiResource& r, const std::string& path);
  void subresource(JsonText& out, const OpenApiResource& r, const OpenApiSubresource& sub,
                   const std::string& path);
  void connect(JsonText& out, const OpenApiResource& r, const OpenApiSubresource& sub,
               const std::string& path);
  Operation make(const OpenApiResource& r, std::string_view verb, std::string_view scope,
                 std::string_view suffix);
  void operation(JsonText& out, const Operation& op);
  void request_v3(JsonText& out, const Operation& op);
  void responses(JsonText& out, const Operation& op);
  void shape(JsonText& out, const Operation& op, Operation::Shape shape);
  static std::vector<std::string> request_types(const Operation& op);
  static std::vector<std::string> answer_types(const Operation& op);
  void parameter(JsonText& out, std::string_view name, std::string_view type, std::string_view place);
  void query_parameters(JsonText& out, const std::vector<std::string_view>& names);
  void path_parameters(JsonText& out, std::string_view path, const Type* options, bool pretty);

  const OpenApiVersion version_;
  DefinitionWriter& definitions_;
};

/// "AppsV1" of apps/v1, "RbacAuthorizationV1" of rbac.authorization.k8s.io/v1: parts operation ids are made
/// of.
std::string operation_group(std::string_view group, std::string_view version);
/// "apps_v1", "rbacAuthorization_v1": what operations are grouped by.
std::string operation_tag(std::string_view group, std::string_view version);

}  // namespace orch::api::schema
