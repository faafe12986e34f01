// ServiceCIDR and IPAddress objects (KEP-1880): the ranges of service addresses and who has which address.
#pragma once

#include <string>

#include "server/controllers/controller.h"

namespace orch::server {

/// Keeps the ServiceCIDR `kubernetes` of the server's own range, makes ranges ready, and lets one go only
/// when no address would be left without a range. As servicecidrs-controller of kube-controller-manager and
/// the default ServiceCIDR controller of kube-apiserver.
Controller make_service_cidr_controller(std::string default_cidr);

/// An IPAddress for every address of a Service, as kube-apiserver's allocator leaves them; those that no
/// service has any more go.
Controller make_ip_address_controller();

/// Name of the range that the server is started with.
inline constexpr const char* kDefaultServiceCidr = "kubernetes";

}  // namespace orch::server
