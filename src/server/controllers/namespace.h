// Namespace controller: empties namespaces under deletion, then lets them go. Service-account controller:
// every namespace has its `default` account and the cluster's CA.
#pragma once

#include "server/controllers/controller.h"

namespace orch::server {

/// `namespaced`: every kind to be emptied; pods go first.
Controller make_namespace_controller(KindList namespaced);
Controller make_service_account_controller();
/// Keeps config map kube-root-ca.crt in every namespace.
Controller make_root_ca_controller(std::string root_ca_pem);

}  // namespace orch::server
