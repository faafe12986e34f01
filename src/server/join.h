// How a machine becomes a node: it shows a join token and two certificate requests, and gets certificates.
//
// POST /v1-orch/node with {"name", "addresses", "clientRequest", "servingRequest"} (PEM requests), HTTP Basic
// with the join token. Answer: {"clientCertificate", "servingCertificate", "clientCA", "serverCA"}.
#pragma once

#include "base/clock.h"
#include "http/message.h"
#include "server/auth/auth.h"
#include "server/auth/pki_setup.h"

namespace orch::server {

http::Response handle_join(const http::Request& request, const UserInfo& user, const ClusterPki& pki,
                           base::WallTime now);

}  // namespace orch::server
