// The HTTP side of SPDY upgrades: negotiation of the subprotocol, on both sides.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "http/dial.h"
#include "http/message.h"

namespace orch::http {

/// The header that names the subprotocols of SPDY connections.
constexpr std::string_view kProtocolVersionHeader = "X-Stream-Protocol-Version";

/// Answers a taken-over request with a plain-text error, and returns it as a Status.
base::Status refuse_upgrade(Stream& stream, int status, std::string_view text, Headers headers = {});

/// Answers a SPDY upgrade request with 101 and the first protocol of the client's that is supported. On
/// failure (no upgrade asked for: 400; no common protocol: 403 and the list) the client was answered.
base::Result<std::string> accept_spdy_upgrade(const Request& request, Stream& stream,
                                              const std::vector<std::string_view>& supported);

struct SpdyUpgrade {
  std::shared_ptr<Stream> stream;
  std::string protocol;  // chosen by the server
};
/// POSTs an upgrade request. An answer other than 101 becomes its Status.
base::Result<SpdyUpgrade> connect_spdy(const DialOptions& options, const std::string& target,
                                       const Headers& headers, const std::vector<std::string_view>& protocols,
                                       std::chrono::milliseconds timeout);

}  // namespace orch::http
