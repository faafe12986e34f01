// Defaults and normal form of objects about to be stored, from the schema and the strategy.
#include "api/schema/defaults.h"
#include "base/json.h"
#include "server/registry/registry_internal.h"

namespace orch::server {

void apply_defaults(const api::Schema& schema, const api::Resource& r, Json& object) {
  if (r.type != nullptr) api::schema::apply_defaults(schema, *r.type, object);
  if (r.strategy->set_defaults) r.strategy->set_defaults(object);
}

void normalise(const api::Schema& schema, const api::Resource& r, Json& object) {
  if (r.type != nullptr) api::schema::normalise(schema, *r.type, object);
}

}  // namespace orch::server
