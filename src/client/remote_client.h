// RemoteClient: client::Client over HTTPS, for nodes and tools. Plain requests run on the caller's thread
// over pooled keep-alive connections; all watches share one thread.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "client/client.h"

namespace orch::client {

struct RemoteOptions {
  std::string server;           // "https://10.0.0.1:6443"
  std::string ca_pem;           // the only CA trusted
  std::string certificate_pem;  // client certificate, or
  std::string key_pem;
  std::string token;          // bearer token
  std::string authorization;  // or a whole Authorization header
  bool insecure = false;      // any server certificate is taken (to fetch the CA that is checked by its hash)
  std::string user_agent = "orch";
  std::chrono::seconds connect_timeout{10};
  std::chrono::seconds request_timeout{60};
};

/// Thread-safe. A server that cannot be reached is kServiceUnavailable; other errors are the server's Status.
class RemoteClient : public Client {
 public:
  /// Requests and watches from now on show this certificate, on connections of their own. Those under way go
  /// on.
  virtual void set_certificate(const std::string& certificate_pem, const std::string& key_pem) = 0;
};
std::unique_ptr<RemoteClient> make_remote_client(const RemoteOptions& options);

/// One request outside the resource model: method, path with query, body; the answer's body. The same errors.
struct RawAnswer {
  int status = 0;
  std::string content_type, body;
};
base::Result<RawAnswer> raw_request(const RemoteOptions& options, const std::string& method,
                                    const std::string& path, const std::string& content_type,
                                    const std::string& body);

}  // namespace orch::client
