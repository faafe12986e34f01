// WebSocket (RFC 6455) over a Stream, both roles.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "http/dial.h"
#include "http/message.h"

namespace orch::http {

/// The request asks for an upgrade to WebSocket.
bool is_websocket_request(const Request& request);
/// Subprotocols the client offers, in its order of preference.
std::vector<std::string> websocket_protocols(const Request& request);
/// The head of the 101 response, with the chosen subprotocol ("": none). kBadRequest when the handshake's
/// headers are not in order (version 13, a key of 16 bytes).
base::Result<std::string> websocket_accept(const Request& request, std::string_view protocol);

/// One thread reads, any may write.
class WebSocket {
 public:
  enum class Role { kServer, kClient };
  struct Message {
    bool binary = false;
    std::string data;
  };

  /// The handshake is done; `max_message` bounds what one message may bring (32 MiB, as Go's server).
  WebSocket(std::shared_ptr<Stream> stream, Role role, size_t max_message = 32U << 20);

  /// The next whole message; pings are answered and fragments put together on the way. None at the end:
  /// closed by either side, lost, or broken (then a close with the fitting code was sent).
  std::optional<Message> read();
  /// Sends one message. False when the connection is gone.
  bool write(std::string_view data, bool binary = true);
  bool ping(std::string_view data);
  /// Says good-bye (once) and closes the connection: a blocked read ends.
  void close(uint16_t code = 1000, std::string_view reason = {});

 private:
  enum Opcode : uint8_t { kContinuation = 0, kText = 1, kBinary = 2, kClose = 8, kPing = 9, kPong = 10 };
  struct Frame {
    bool final = false;
    uint8_t opcode = 0;
    std::string payload;
  };

  bool fill(size_t size);
  /// Reads one frame; a protocol error closes with its code.
  bool read_frame(Frame& frame, size_t room);
  bool handle_control(const Frame& frame);
  std::string encode(uint8_t opcode, std::string_view payload) const;
  bool send(uint8_t opcode, std::string_view payload);
  bool fail(uint16_t code, std::string_view reason);

  const std::shared_ptr<Stream> stream_;
  const Role role_;
  const size_t max_message_;
  std::string in_;    // the reader's
  std::mutex mutex_;  // one frame at a time
  std::atomic<bool> closing_{false};
};

/// The bytes of binary messages as a Stream: SPDY tunnelled through WebSocket.
class WebSocketStream final : public Stream {
 public:
  explicit WebSocketStream(std::shared_ptr<WebSocket> socket) : socket_(std::move(socket)) {}
  long read(char* buffer, size_t size) override;
  bool write(std::string_view bytes) override { return socket_->write(bytes); }
  void close() override { socket_->close(); }

 private:
  const std::shared_ptr<WebSocket> socket_;
  std::string rest_;
};

struct WebSocketConnection {
  std::unique_ptr<WebSocket> socket;
  std::string protocol;  // chosen by the server, "" when none
};
/// Dials and shakes hands. A response other than 101 becomes its Status (a metav1.Status body is read).
base::Result<WebSocketConnection> websocket_connect(const DialOptions& options, const std::string& target,
                                                    const std::vector<std::string>& protocols,
                                                    const Headers& headers,
                                                    std::chrono::milliseconds timeout);

}  // namespace orch::http
