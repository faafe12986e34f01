// NodeServer: the node's HTTPS server (port 10250), which the API server uses for logs, exec, attach,
// port-forward and statistics.
//
// Callers show a client certificate of the cluster's client CA, and must be the API server's own identity or
// in group system:masters; /healthz alone is for everyone.
#pragma once

#include <atomic>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "agent/kubelet/kubelet.h"
#include "base/clock.h"
#include "base/metrics.h"
#include "base/status.h"
#include "http/server.h"

namespace orch::agent {

struct NodeServerOptions {
  http::ServerOptions http;
  /// Common names that may do everything besides members of system:masters.
  std::vector<std::string> allowed_users{"kube-apiserver-kubelet-client", "system:kube-apiserver"};
};

class NodeServer {
 public:
  /// All outlive the server.
  static base::Result<std::unique_ptr<NodeServer>> start(NodeServerOptions options, Kubelet& kubelet,
                                                         base::Metrics& metrics, const base::Clock& clock);
  ~NodeServer();
  uint16_t port() const;
  base::Status reload(const http::TlsConfig& config);
  void stop(std::chrono::milliseconds grace);

 private:
  struct Rep;
  explicit NodeServer(std::unique_ptr<Rep> rep);
  std::unique_ptr<Rep> rep_;
};

}  // namespace orch::agent
