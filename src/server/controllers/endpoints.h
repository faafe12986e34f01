// Endpoint controllers: which pods stand behind each Service, as EndpointSlices (discovery.k8s.io/v1) and as
// Endpoints (core/v1).
#pragma once

#include "server/controllers/controller.h"

namespace orch::server {

Controller make_endpointslice_controller();
Controller make_endpoints_controller();
/// The pure parts, for tests.
Plan plan_endpointslices(const View& view, const Key& key, base::WallTime now);
Plan plan_endpoints(const View& view, const Key& key, base::WallTime now);

}  // namespace orch::server
