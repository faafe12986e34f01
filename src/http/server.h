// The connection engine: TLS termination, keep-alive, limits, watches and upgrades without a thread each.
//
// One epoll thread ("http-loop") accepts, shakes hands and receives: it holds every connection that is not
// being answered, reads until a request is whole, and enforces limits and time-outs, so that neither an idle
// nor a slow client holds a thread. A whole request runs on a worker, which has cpp-httplib parse the head
// and format the response's (httplib::Server::process_request on memory), and sends the answer without
// waiting. What the socket does not take at once, and every StreamBody, is sent by a second epoll thread
// ("http-pump"). A Takeover gets its own thread.
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

/// PEM texts. Reloadable at run time. Client certificates are asked for, never demanded: one that does not
/// verify shows as PeerIdentity::error.
struct TlsConfig {
  std::string certificate_pem;  // chain
  std::string key_pem;
  std::string client_ca_pem;            // bundle; empty: no client certificates asked for
  std::string front_proxy_ca_pem = {};  // bundle; see PeerIdentity::front_proxy
};

struct ServerOptions {
  std::string bind_address = "0.0.0.0";  // or "::", or one address
  uint16_t port = 0;                     // 0: chosen by the system, see port()
  bool tls = true;
  TlsConfig tls_config;
  size_t max_workers = 64;
  /// Patient answers (Deferred::patient) are made in the order they became ready, so many at once as this
  /// says, by threads that get a processor only when no other thread wants it; one fewer while there are
  /// other requests, so that these find a processor that is free. A request counts for so long after it came.
  size_t patient_workers = 2;
  std::chrono::milliseconds others_stay{100};
  size_t max_connections = 10000;
  size_t max_header_bytes = 64 << 10;
  size_t max_body_bytes = 3 << 20;
  std::chrono::milliseconds request_timeout{
      30'000};                                      // for the client to shake hands and send a whole request
  std::chrono::milliseconds idle_timeout{180'000};  // keep-alive
  /// For the client to take any more of a response (not of a stream, which has its own limit).
  std::chrono::milliseconds write_timeout{60'000};
  /// Memory for requests that are being received, all connections together; beyond it a sender is answered
  /// 429.
  size_t max_buffered_bytes = 64 << 20;
  base::Metrics* metrics = nullptr;  // not owned; outlives the server
};

/// Runs on worker threads, many at once. May block. Exceptions become 500.
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
