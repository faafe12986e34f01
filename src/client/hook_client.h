// HookClient: what the API server asks of other servers: webhooks (admission, conversion) and aggregated API
// servers. Many requests at once run on the caller's thread; connections are kept and used again.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "base/json_fwd.h"
#include "base/status.h"

namespace orch::client {

struct HookCall {
  std::string url;  // "https://SVC.NS.svc:443/path?timeout=10s": also the name the certificate must have
  /// "10.42.0.7:8443": where that host and port are; empty: as its name says.
  std::string connect_to;
  std::string ca_pem;  // who may have signed its certificate; empty: the system's authorities
  std::string certificate_pem, key_pem;  // who asks; may be empty
  bool insecure = false;                 // any server certificate is taken
  std::string user_agent = "kube-apiserver-admission";
  std::string method = "POST";       // or GET
  std::vector<std::string> headers;  // "Name: value"
  std::string body;
  std::chrono::milliseconds timeout{10'000};
};

/// Any answer.
struct HookAnswer {
  int status = 0;
  std::string content_type, etag, body;
};

/// Thread-safe.
class HookClient {
 public:
  HookClient();
  ~HookClient();
  HookClient(const HookClient&) = delete;
  HookClient& operator=(const HookClient&) = delete;

  /// Makes all calls at the same time and gives the bodies of their 2xx answers, in order. What failed on the
  /// way is kUnknown in Go's words (`Post "https://…": context deadline exceeded`); any other answer is the
  /// Status that client-go makes of it.
  std::vector<base::Result<std::string>> call(const std::vector<HookCall>& calls);
  /// The same, where every answer is one.
  std::vector<base::Result<HookAnswer>> fetch(const std::vector<HookCall>& calls);

 private:
  struct Rep;
  std::unique_ptr<Rep> rep_;
};

}  // namespace orch::client
