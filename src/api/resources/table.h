// Answers made of stored bytes: meta.k8s.io Tables (what kubectl get prints) and PartialObjectMetadata.
// All functions are pure and return JSON text.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "api/object.h"
#include "api/resources/resource.h"
#include "base/clock.h"

namespace orch::api {

/// What a Table's rows carry besides their cells.
enum class IncludeObject : uint8_t { kNone, kMetadata, kObject };
/// "", "None", "Metadata", "Object"; kBadRequest worded as kube-apiserver otherwise.
base::Result<IncludeObject> parse_include_object(std::string_view text);

struct TableOptions {
  IncludeObject include = IncludeObject::kMetadata;
  /// Of meta.k8s.io: "v1" or "v1beta1".
  std::string version = "v1";
  /// What ages are counted to.
  base::WallTime now;
  /// Column definitions are sent: by watches with the first event only.
  bool columns = true;
};

/// A Table of these objects, in their order (FlowSchemas by precedence, as kube-apiserver lists them). Cells
/// come from the row's strategy; a row without cell functions gets name and creation time. `list_meta` is the
/// JSON text of a metav1.ListMeta.
std::string table_json(const Resource& resource, const std::vector<ObjectPtr>& objects,
                       std::string_view list_meta, const TableOptions& options);

/// The metadata of one object as PartialObjectMetadata of meta.k8s.io/`version`.
std::string partial_metadata_json(const Object& object, std::string_view version = "v1");
std::string partial_metadata_list_json(const std::vector<ObjectPtr>& objects, std::string_view list_meta,
                                       std::string_view version = "v1");

}  // namespace orch::api
