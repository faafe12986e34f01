// The objects every cluster has from its first start: namespaces, priority classes, the kubernetes service.
#pragma once

#include <cstdint>
#include <string>

#include "base/status.h"
#include "client/client.h"

namespace orch::server {

struct BootstrapOptions {
  std::string service_ip;         // of the service `kubernetes`
  std::string dns_ip;             // of kube-system/kube-dns
  std::string advertise_address;  // where clients in the cluster reach the API server
  uint16_t port = 6443;
  std::string client_ca_pem, request_header_ca_pem;
};

/// Creates what is missing and corrects what must follow the options (the endpoints of `kubernetes`, the CA
/// bundle config map). Safe to repeat; writes nothing when all is right.
base::Status ensure_bootstrap_objects(client::Client& client, const BootstrapOptions& options);

}  // namespace orch::server
