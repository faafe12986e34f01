// Requests passed on to a kubelet, a pod or a service: plain ones, streams without an end, and upgrades. What
// kube-apiserver's upgrade-aware proxy and its stream translators do.
//
// Each takes the client's connection over and closes it at its end. Neither side's bytes reach the other as
// they are, but for what follows an upgrade: a second request hidden behind the first would otherwise be the
// backend's to answer, with the API server's credentials.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "http/dial.h"
#include "http/message.h"
#include "http/remote_command.h"

namespace orch::server {

struct ForwardTarget {
  http::DialOptions dial;
  std::string path;  // raw path and query there
  /// exec and attach: a WebSocket client of v5.channel.k8s.io is translated to SPDY (KEP-4006).
  std::optional<http::CommandStreams> streams;
  /// port-forward: a WebSocket client may tunnel SPDY (KEP-4006).
  bool port_forward = false;
  /// The path of the proxy subresource as the client knows it ("/api/v1/namespaces/a/pods/b/proxy"): set, the
  /// backend is told of it (X-Forwarded-Uri), and its redirects lead back through it.
  std::string prefix;
  /// An aggregated API server: it is told who asks by these headers, and errors are plain text.
  http::Headers identity;
  /// Logs: an error the backend answers in plain text becomes a metav1.Status about this pod, and a WebSocket
  /// client gets them as messages.
  std::optional<std::string> pod;
};

/// The answer takes the connection over; dialling and copying happen on the takeover's own thread, so a
/// backend that is away or slow holds no worker. Copies of the request are made.
http::Response forward(const http::Request& request, ForwardTarget target);

/// `location` of a redirect as the client of a proxy must ask for it: an absolute path gets `prefix`, with
/// the backend's or the client's own host before it or without; another host's and a relative one stay. Pure.
std::string proxied_location(std::string_view location, std::string_view backend_host,
                             std::string_view client_host, std::string_view prefix);

}  // namespace orch::server
