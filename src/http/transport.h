// A connected, non-blocking socket with or without TLS on it.
#pragma once

#include <openssl/ssl.h>

#include <memory>
#include <string>
#include <string_view>

#include "http/record_layer.h"
#include "http/tls.h"

namespace orch::http {

/// Owns socket and TLS state. Not thread-safe. Never raises SIGPIPE.
class Transport {
 public:
  Transport() = default;
  /// Plain. The socket is made non-blocking.
  explicit Transport(int fd);
  ~Transport() { close(); }
  Transport(Transport&& other) noexcept;
  Transport& operator=(Transport&& other) noexcept;

  /// Puts TLS onto the socket, for handshake() to begin. False when out of memory.
  bool accept_tls(const TlsContext& context);
  /// As a client; `server_name` (a DNS name or an address) is what the certificate must be for, unless empty.
  bool connect_tls(const TlsContext& context, const std::string& server_name);

  /// kOk when done.
  Io handshake();
  /// To be called once everything that ssl() knows about the peer was asked for: of an accepted connection
  /// that speaks TLS 1.3 only its keys are kept, ssl() is null. Any other goes on as it is, and so does one
  /// whose client wants smaller records than usual (RFC 6066, section 4).
  void release_handshake();
  /// kOk with at least one byte in `got`, kEnd when the peer said so or went away.
  Io read(char* buffer, size_t size, size_t& got);
  /// kOk with at least one byte `sent`. After kWantRead or kWantWrite the next call must begin with the same
  /// bytes.
  Io write(std::string_view bytes, size_t& sent);
  /// Bytes were received that read() would give without asking the socket.
  bool pending() const {
    return records_ ? records_->pending() : ssl_ != nullptr && SSL_has_pending(ssl_) == 1;
  }
  /// Tells the peer that no more comes; reading goes on.
  void end_writing();
  /// Says good-bye where TLS wants it, and closes.
  void close();
  int fd() const { return fd_; }
  SSL* ssl() const { return ssl_; }

 private:
  bool put_tls(const TlsContext& context);
  Io failed(int result);

  int fd_ = -1;
  SSL* ssl_ = nullptr;
  std::unique_ptr<RecordSecrets> secrets_;  // of an accepted connection during the handshake
  std::unique_ptr<RecordLayer> records_;    // in place of ssl_
  bool broken_ = false;                     // after a fatal error TLS must not be spoken any more
};

}  // namespace orch::http
