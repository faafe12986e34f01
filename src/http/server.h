// The connection engine: TLS termination, keep-alive, limits, watches and upgrades without a thread each.
//
// One epoll thread holds idle connections; a ready request runs on a worker, which drives cpp-httplib's
// request parsing and formatting (httplib::Server::process_request on our own httplib::Stream). Responses
// with a StreamBody move to the pump (epoll too); a Takeover gets its own thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/metrics.h"
#include "base/status.h"
#include "http/message.h"

namespace orch::http {

/// PEM texts. Reloadable at run time.
struct TlsConfig {
  std::string certificate_pem;  // chain
  std::string key_pem;
  std::string client_ca_pem;    // bundle; empty: no client certificates asked for
};

struct ServerOptions {
  std::string bind_address = "0.0.0.0";  // or "::", or one address
  uint16_t port = 0;                     // 0: chosen by the system, see port()
  bool tls = true;
  TlsConfig tls_config;
  size_t max_workers = 64;
  size_t max_connections = 10000;
  size_t max_header_bytes = 64 << 10;
  size_t max_body_bytes = 3 << 20;
  std::chrono::seconds request_timeout{30};  // to send a whole request
  std::chrono::seconds idle_timeout{180};    // keep-alive
  base::Metrics* metrics = nullptr;
};

using Handler = std::function<Response(Request&)>;

class Server {
 public:
  /// Binds and listens. kConflict naming the process that holds the port when it is taken.
  static base::Result<std::unique_ptr<Server>> listen(ServerOptions options, Handler handler);
  virtual ~Server() = default;
  virtual uint16_t port() const = 0;
  /// New connections get these; established ones keep theirs.
  virtual base::Status reload(const TlsConfig& config) = 0;
  /// Stops accepting, finishes streams, waits for running requests up to `grace`, closes the rest.
  virtual void stop(std::chrono::milliseconds grace) = 0;
  virtual size_t connections() const = 0;
};

}  // namespace orch::http
