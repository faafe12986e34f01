#include "server/registry/object_versions.h"

#include "api/resources/custom_resource.h"
#include "api/schema/decode.h"
#include "base/json.h"
#include "server/registry/registry_internal.h"

namespace orch::server {

using base::Code;
using base::Result;
using base::Status;

Result<Json> RowVersions::show(const Json& object, const api::Resource& stored,
                               const api::Resource& as) const {
  Json out = object;
  if (as.custom) {
    ORCH_RETURN_IF_ERROR(api::to_version(as, out));
    return out;
  }
  if (!as.storage_version && as.conversion) as.conversion->from_storage(out);
  if (&as != &stored) {
    out["kind"] = as.kind;
    out["apiVersion"] = as.api_version();
  }
  return out;
}

Result<Json> RowVersions::read(Json tree, const api::Resource& as, const api::Resource& stored) const {
  if (!tree.is_object()) return Status(Code::kInternal, "the patched object is no JSON object");
  if (base::string_at(tree, {"kind"}) != as.kind ||
      base::string_at(tree, {"apiVersion"}) != as.api_version()) {
    return Status(Code::kInternal, base::cat("unable to decode ", base::string_at(tree, {"apiVersion"}),
                                             ", Kind=", base::string_at(tree, {"kind"}), " into ",
                                             as.api_version(), ", Kind=", as.kind));
  }
  if (as.custom) {
    if (auto decoded = api::decode_custom(as, tree); !decoded.ok()) return decoded.error();
    ORCH_RETURN_IF_ERROR(api::to_version(stored, tree));
    apply_defaults(schema_, stored, tree);
    return tree;
  }
  if (as.type != nullptr) {
    auto decoded = api::schema::decode(schema_, *as.type, tree);
    if (!decoded.ok()) return decoded.error();
  }
  if (!as.storage_version && as.conversion) as.conversion->to_storage(tree);
  if (&as != &stored) {
    tree["kind"] = stored.kind;
    tree["apiVersion"] = stored.api_version();
  }
  apply_defaults(schema_, stored, tree);
  return tree;
}

}  // namespace orch::server
