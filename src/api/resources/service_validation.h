// Validation and warnings of core/v1 Service.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "api/field_error.h"
#include "base/json_fwd.h"

namespace orch::api {

/// Reached from outside the cluster: a load balancer, a node port, or external IPs.
bool externally_accessible(const Json& spec);

/// clusterIP, clusterIPs, ipFamilies and ipFamilyPolicy of a spec fit each other. Addresses of the `old` spec
/// (null when there is none) may stay as they are written.
void validate_service_addresses(const Json& spec, const Json* old, FieldErrors& errors);
void validate_service_create(const Json& service, FieldErrors& errors);
void validate_service_update(const Json& service, const Json& old, FieldErrors& errors);
void validate_service_status_update(const Json& service, const Json& old, FieldErrors& errors);
std::vector<std::string> warnings_for_service(const Json& service, const Json* old);

}  // namespace orch::api
