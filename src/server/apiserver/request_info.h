// RequestInfo: what a request is about, from its method and path alone (k8s.io/apiserver RequestInfo).
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"
#include "http/message.h"
#include "server/auth/auth.h"

namespace orch::server {

struct RequestInfo {
  bool resource_request = false;
  std::string
      verb;  // get, list, watch, create, update, patch, delete, deletecollection; else lower-case method
  std::string path;  // decoded
  std::string group, version, ns, resource, subresource, name;
  /// Path behind the subresource: what proxies forward. Raw (still percent-encoded), with leading '/'.
  std::string rest;
  http::Query query;

  /// Watches, logs, tunnels, proxied requests: they last as long as the client likes.
  bool long_running() const;
  /// For the authorizers. `user` must outlive the result.
  Attributes attributes(const UserInfo& user) const;
};

/// kBadRequest for malformed escapes.
base::Result<RequestInfo> parse_request(const http::Request& request);

}  // namespace orch::server
