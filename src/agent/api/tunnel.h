// Tunnel: hands a client's upgrade request on to the runtime's own streaming server, bytes unchanged.
//
// exec, attach and port-forward upgrade to SPDY or WebSocket, and runtimes speak both on the URLs that CRI
// gives; so the node need not understand either.
#pragma once

#include <memory>
#include <string>

#include "base/status.h"
#include "http/message.h"

namespace orch::agent {

/// Sends `request`'s headers to `url` ("http://127.0.0.1:port/exec/token"), then moves bytes both ways until
/// one side ends. Blocking. When the URL cannot be reached, answers 502 on the stream.
void tunnel(const http::Request& request, const std::string& url, std::shared_ptr<http::Stream> client);

/// Host, port and target of such a URL.
struct StreamUrl {
  std::string host, target;
  uint16_t port = 0;
  bool tls = false;
};
base::Result<StreamUrl> parse_stream_url(std::string_view url);

}  // namespace orch::agent
