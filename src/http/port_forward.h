// Port forwarding over SPDY (portforward.k8s.io): for each connection a pair of streams, data and error, that
// name port and request in their headers. WebSocket clients come through proxy_spdy_tunnel (tunnel.h).
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/status.h"
#include "http/message.h"
#include "http/spdy.h"

namespace orch::http {

constexpr std::string_view kPortForwardProtocol = "portforward.k8s.io";

/// Connects to a port of the pod; on a thread of its own.
using PortConnector = std::function<base::Result<std::shared_ptr<Stream>>(uint16_t port)>;

/// Answers a port-forward request on the taken-over connection and serves it to its end. What `connect` fails
/// with goes to the pair's error stream, as "error forwarding port 80 to pod NAME, uid UID: ..." of `pod`.
void serve_port_forward(const Request& request, const std::shared_ptr<Stream>& client, const std::string& pod,
                        const PortConnector& connect);

/// The client's side of one forwarded connection. What comes on `error` before its end is why it failed.
struct ForwardedPort {
  std::shared_ptr<SpdyStream> data, error;
};
/// `request_id` tells the pairs of a session apart.
base::Result<ForwardedPort> open_forwarded_port(SpdySession& session, uint16_t port, int request_id,
                                                std::chrono::milliseconds timeout);

}  // namespace orch::http
