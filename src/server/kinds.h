// Which kinds the server serves, for those who walk over all of them.
#pragma once

#include <functional>
#include <vector>

#include "api/resources/resource.h"
#include "client/client.h"

namespace orch::server {

/// The kinds of `table` for which `wanted` holds, as they are served now.
std::vector<client::ResourceRef> kinds_of(const api::ResourceTable& table,
                                          const std::function<bool(const api::Resource&)>& wanted);

}  // namespace orch::server
