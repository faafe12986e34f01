// Which addresses a Service is to have.
#pragma once

#include <string_view>

#include "api/field_error.h"
#include "base/json_fwd.h"

namespace orch::api {

/// Makes clusterIPs, ipFamilies and ipFamilyPolicy of a service agree with each other, with the service
/// before (null when it is created) and with a cluster that has addresses of one family ("IPv4" or "IPv6")
/// alone, and fills in what follows; clusterIP and clusterIPs are in step already. This comes before
/// addresses are given and before validation: who is wrong here hears of nothing else. Pure.
/// (initIPFamilyFields of kube-apiserver's pkg/registry/core/service.)
FieldErrors settle_ip_families(Json& service, const Json* old, std::string_view family);

}  // namespace orch::api
