// Requests for group versions that other API servers serve (kube-aggregator's proxy handler).
#include "server/aggregator/aggregator.h"
#include "server/apiserver/call.h"
#include "server/apiserver/forward.h"

namespace orch::server {

namespace {

constexpr std::chrono::seconds kConnectTimeout{30};

}  // namespace

std::optional<http::Response> ApiServer::aggregated(const Call& call) {
  if (o_.aggregator == nullptr) return std::nullopt;
  const auto wanted = group_version_of(call.info.path);
  if (!wanted) return std::nullopt;
  const auto service = o_.aggregator->remote(wanted->first, wanted->second);
  if (!service) return std::nullopt;
  if (!service->available) return plain_error(503, "service unavailable");
  auto dial = o_.aggregator->dial_options(*service);
  if (!dial.ok()) return plain_error(503, "service unavailable");
  ForwardTarget target;
  target.dial = std::move(*dial);
  target.dial.connect_timeout = kConnectTimeout;
  target.path = call.request.target;
  target.identity = front_proxy_headers(call.user);
  return forward(call.request, std::move(target));
}

}  // namespace orch::server
