// HTTP requests and TCP connections to pods, for probes and lifecycle hooks. Blocking, with a timeout.
#pragma once

#include <chrono>
#include <string>

#include "agent/kubelet/probe.h"
#include "base/status.h"

namespace orch::agent {

struct HttpReply {
  int status = 0;
  std::string body;  // at most 10 KiB
};
/// GET without proxies; certificates are not checked; redirects are followed only on the same host. The
/// error's message is worded as Go's client does ("Get \"http://…\": dial tcp …: connect: connection
/// refused").
base::Result<HttpReply> http_get(const HttpAction& action, std::chrono::seconds timeout);

/// OK when the port takes a connection.
base::Status tcp_connect(const std::string& host, int port, std::chrono::seconds timeout);

}  // namespace orch::agent
