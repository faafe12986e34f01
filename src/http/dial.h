// A small blocking HTTP/1.1 client for what a library client cannot do: upgrades and endless bodies, over
// TCP, TLS or unix sockets. The API server reaches kubelets with it, the kubelet containerd's streaming
// server.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "base/status.h"
#include "http/head.h"
#include "http/message.h"

namespace orch::http {

/// PEM texts of the client's side; all may be empty.
struct ClientTls {
  std::string ca_pem;  // who may have signed the server's certificate; empty: the system's authorities
  std::string certificate_pem, key_pem;
  std::string server_name;  // what the certificate must be for; empty: the host dialled
  bool insecure = false;    // any server certificate is taken
};

struct DialOptions {
  std::string host;  // an IP address or "localhost"; names are the caller's to resolve
  uint16_t port = 0;
  std::string unix_path;  // instead of host and port
  bool tls = false;
  ClientTls tls_config;
  std::chrono::milliseconds connect_timeout{10'000};  // TCP and TLS together
};

/// Connects. kServiceUnavailable when nobody answers, kTimeout, kInternal when TLS fails; messages as Go's
/// ("dial tcp 10.0.0.1:10250: connect: connection refused").
base::Result<std::shared_ptr<Stream>> dial(const DialOptions& options);

struct ClientRequest {
  std::string method = "GET";
  std::string target = "/";
  Headers headers;  // Host and Content-Length are added
  std::string body;
};

/// One request on a connection of its own. One thread at a time but for close(), which any may call.
class ClientExchange {
 public:
  /// Dials, sends, and reads the response's head within `response_timeout`.
  static base::Result<std::unique_ptr<ClientExchange>> start(const DialOptions& options,
                                                             const ClientRequest& request,
                                                             std::chrono::milliseconds response_timeout);
  /// The same on a stream that is connected already.
  static base::Result<std::unique_ptr<ClientExchange>> start_on(std::shared_ptr<Stream> stream,
                                                                const std::string& host,
                                                                const ClientRequest& request,
                                                                std::chrono::milliseconds response_timeout);
  ~ClientExchange();

  int status() const { return head_.status; }
  std::string_view header(std::string_view name) const { return head_.header(name); }
  const Headers& headers() const { return head_.headers; }
  /// Content of the body as it comes, framing removed: > 0 bytes, 0 at its end, < 0 when it broke off.
  long read(char* buffer, size_t size);
  /// The rest of the body; kRequestEntityTooLarge beyond the limit.
  base::Result<std::string> read_all(size_t limit);
  /// After "101 Switching Protocols": the connection, with nothing of it lost. The exchange is over.
  std::shared_ptr<Stream> upgraded();
  /// Unblocks a read.
  void close();

 private:
  explicit ClientExchange(std::shared_ptr<Stream> stream) : stream_(std::move(stream)) {}
  base::Status run(const std::string& host, const ClientRequest& request);
  bool fill();

  std::shared_ptr<Stream> stream_;
  Head head_;
  std::unique_ptr<BodyDecoder> decoder_;
  bool until_close_ = false;  // neither length nor chunks: the body ends with the connection
  bool done_ = false;
  std::string raw_;      // received, not decoded
  std::string content_;  // decoded, not read
};

}  // namespace orch::http
