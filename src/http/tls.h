// TLS contexts, and what a peer's certificate says.
#pragma once

#include <openssl/ssl.h>

#include <memory>
#include <string>

#include "base/clock.h"
#include "base/status.h"
#include "http/dial.h"
#include "http/message.h"
#include "http/record_layer.h"
#include "http/server.h"

namespace orch::http {

/// Shared by all connections made with it, which keep it alive.
using TlsContext = std::shared_ptr<SSL_CTX>;

/// TLS 1.2 and 1.3, no session cache, no tickets, no renegotiation. kBadRequest when certificate, key or CA
/// bundle cannot be used or do not belong together.
base::Result<TlsContext> make_server_context(const TlsConfig& config);

/// Of a connection made with a server context: has the secrets that a TLS 1.3 handshake agrees on (none for
/// 1.2) written to `out`, which is the caller's; null ends it.
void collect_secrets(SSL* ssl, RecordSecrets* out);

/// `server_name` is not the context's concern, see Transport::connect_tls.
base::Result<TlsContext> make_client_context(const ClientTls& config);

struct PeerCertificate {
  PeerIdentity identity;
  base::WallTime not_after;
};
/// Null when the peer showed no certificate.
std::shared_ptr<const PeerCertificate> peer_certificate(SSL* ssl);

/// `what` with OpenSSL's reason for the last failure on this thread.
base::Status tls_error(base::Code code, std::string_view what);

}  // namespace orch::http
