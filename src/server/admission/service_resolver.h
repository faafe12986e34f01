// Where a Service's endpoints are: how the server itself reaches webhooks and aggregated API servers, on
// machines where no service proxy runs (k8s.io/apiserver/pkg/util/proxy.ResolveEndpoint).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/status.h"
#include "server/auth/lookup.h"

namespace orch::server {

struct ServiceAddress {
  std::string host;
  uint16_t port = 0;
  /// "10.42.0.7:8443", "[fd00::7]:8443".
  std::string text() const;
};

/// A ready endpoint behind a port of a service, another each time. Errors are in Kubernetes' words:
/// kNotFound, kServiceUnavailable (no such port, no endpoint), kUnknown (ExternalName). Thread-safe.
base::Result<ServiceAddress> resolve_service(const Lookup& lookup, std::string_view ns, std::string_view name,
                                             int64_t port);

}  // namespace orch::server
