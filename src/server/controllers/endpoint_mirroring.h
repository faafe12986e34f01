// EndpointSlice mirroring: Endpoints that people keep by hand, behind a Service without a selector, as
// EndpointSlices, which is what proxies read.
#pragma once

#include "server/controllers/controller.h"

namespace orch::server {

Controller make_endpointslice_mirroring_controller();
/// The pure part, for tests.
Plan plan_endpoint_mirroring(const View& view, const Key& key, base::WallTime now);

}  // namespace orch::server
