// Defaults and normal form of objects about to be stored, from the schema and the strategy, and what else of
// the store their validation needs.
#include "api/resources/device_validation.h"
#include "api/resources/tree.h"
#include "api/schema/defaults.h"
#include "base/json.h"
#include "server/registry/registry_internal.h"

namespace orch::server {

void apply_defaults(const api::Schema& schema, const api::Resource& r, Json& object) {
  if (r.type != nullptr) api::schema::apply_defaults(schema, *r.type, object);
  if (r.strategy->set_defaults) r.strategy->set_defaults(object);
}

void normalise(const api::Schema& schema, const api::Resource& r, Json& object, api::schema::Empty empty) {
  if (r.type != nullptr) api::schema::normalise(schema, *r.type, object, empty);
}

void validate_namespace_grants(const Registry& registry, const api::Resource& r, const Json& object,
                               const Json* old, std::string_view subresource, api::FieldErrors& errors) {
  if (r.group != "resource.k8s.io") return;
  Json labels;
  const auto find_labels = [&]() -> const Json* {
    const WatchCachePtr namespaces = registry.cache("", "namespaces");
    const std::string_view name = base::string_at(object, {"metadata", "namespace"});
    const api::ObjectPtr found = namespaces != nullptr ? namespaces->get("", name) : nullptr;
    if (found == nullptr) return nullptr;
    labels = api::labels_of(found->tree());
    return &labels;
  };
  api::validate_device_admin_access(object, old, subresource, find_labels, errors);
}

}  // namespace orch::server
