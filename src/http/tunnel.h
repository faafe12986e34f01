// Joining connections: raw copying, and the proxying of upgrades that API server and node do for exec,
// attach, port-forward and pods' or services' own upgrades.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "http/dial.h"
#include "http/message.h"
#include "http/remote_command.h"

namespace orch::http {

/// Copies both ways until either side ends, then closes both. Takes the calling thread and one more.
void tunnel(Stream& a, Stream& b);

/// Any upgrade is asked for: "Connection: Upgrade".
bool is_upgrade_request(const Request& request);

struct UpgradeBackend {
  DialOptions dial;
  std::string method = "POST";  // raw upgrades of clients that say GET (WebSocket) keep theirs
  std::string target;           // path and query there
  /// Set in addition to, or instead of, those of the client's request.
  Headers headers;
  /// Headers of the client's that are not passed on, besides those of the hop: its credentials.
  std::vector<std::string> drop_headers = {"Authorization"};
  std::chrono::milliseconds response_timeout{60'000};
};

/// Asks the backend for the same upgrade and joins the connections. An answer other than 101 is passed on to
/// the client; a backend that does not answer becomes 500 with a metav1.Status. Runs until the end of the
/// connection: for a Takeover. What kube-apiserver's upgrade-aware proxy does.
void proxy_upgrade(const Request& request, const std::shared_ptr<Stream>& client,
                   const UpgradeBackend& backend);

/// The client asks for a WebSocket with a tunnelling subprotocol ("SPDY/3.1+portforward.k8s.io").
bool wants_spdy_tunnel(const Request& request);
/// For such a client: asks the backend for SPDY and carries its bytes in the messages of the WebSocket
/// (KEP-4006).
void proxy_spdy_tunnel(const Request& request, const std::shared_ptr<Stream>& client,
                       const UpgradeBackend& backend);

/// The client asks for the WebSocket protocol v5.channel.k8s.io, which backends need not speak.
bool wants_command_translation(const Request& request);
/// For such a client: speaks SPDY v4.channel.k8s.io with the backend (KEP-4006, kube-apiserver's stream
/// translator).
void proxy_command(const Request& request, const std::shared_ptr<Stream>& client,
                   const UpgradeBackend& backend, const CommandStreams& streams);

}  // namespace orch::http
