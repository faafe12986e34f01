// What an aggregated API server says of itself, taken apart for this server's own documents. Pure.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "base/json_fwd.h"
#include "base/status.h"

namespace orch::server {

/// The APIVersionDiscovery of a group version in an APIGroupDiscoveryList; null when it has none.
Json find_discovery(const Json& list, std::string_view group, std::string_view version);
/// The same from an APIResourceList, as kube-aggregator converts it.
Json discovery_of_resources(const Json& resource_list, std::string_view version);

/// What of an OpenAPI v2 document is about paths below `prefix`: the paths, and the definitions they need.
Json openapi_v2_part(const Json& document, std::string_view prefix);
/// Adds such a part to a document. Definitions of the same name and another content are renamed.
void merge_openapi_v2(Json& document, const Json& part);

}  // namespace orch::server
