// The pods behind a service, as both endpoint controllers see them. Not for other folders.
#pragma once

#include <string>
#include <vector>

#include "base/json.h"
#include "server/controllers/controller.h"

namespace orch::server {

struct Backend {
  api::ObjectPtr pod;
  std::string ip, node, zone, hostname;
  bool ready = false, serving = false, terminating = false;
  Json ports;  // EndpointPort list with numbers, in the order of the service
};

/// Pods that match the service's selector and have an address of `family` ("IPv4" or "IPv6"), by name. Empty
/// for services without a selector.
std::vector<Backend> backends_of(const View& view, const Json& service, const std::string& ns,
                                 const std::string& family);

/// Keys for both controllers: the service itself, and services that select a changed pod.
std::vector<Source> backend_sources(const client::ResourceRef& owned, const char* service_label);

}  // namespace orch::server
