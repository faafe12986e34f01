#include "api/resources/expression_types.h"

#include "api/cel/type.h"
#include "api/resources/custom_openapi.h"
#include "api/resources/custom_resource.h"
#include "api/schema/schema.h"
#include "base/json.h"

namespace orch::api {

cel::Type expression_type(const Resource& row) {
  if (row.custom == nullptr) return row.type != nullptr ? cel::builtin_type(*row.type) : nullptr;
  auto parsed = base::parse_json(custom_definition(row, false));
  if (!parsed.ok()) return nullptr;
  cel::Type bare = cel::openapi_type(std::make_shared<const Json>(std::move(*parsed)), true);
  const Type* meta = row.custom->builtin->type("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta");
  if (bare == nullptr || bare->kind != cel::TypeKind::kStruct || meta == nullptr) return bare;
  // The definition only refers to it.
  auto whole = std::make_shared<cel::TypeNode>(*bare);
  whole->fields["metadata"] = cel::builtin_type(*meta);
  return whole;
}

}  // namespace orch::api
