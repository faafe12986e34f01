// Discovery and OpenAPI documents: derived from the rows, built on first use, rebuilt when rows change.
#pragma once

#include <map>
#include <mutex>
#include <string>
#include <string_view>

#include "api/resources/resource.h"
#include "server/apiserver/api_server.h"

namespace orch::server {

/// Thread-safe.
struct ApiServer::DocumentCache {
  DocumentCache(const api::Schema& schema, api::ResourceTable& table) : schema_(schema), table_(table) {}

  /// Legacy discovery: /api, /apis, /apis/G, /api/v1, /apis/G/V. Empty when there is no such document.
  std::string discovery(std::string_view path, const std::string& advertise_address);
  /// apidiscovery.k8s.io APIGroupDiscoveryList for "/api" or "/apis", in v2 or v2beta1.
  std::string aggregated(std::string_view path, std::string_view version);
  /// /openapi/v2, /openapi/v3, /openapi/v3/…; empty when there is none.
  std::shared_ptr<const std::string> openapi(std::string_view path);

 private:
  void refresh();  // under mutex_

  const api::Schema& schema_;
  api::ResourceTable& table_;
  std::mutex mutex_;
  uint64_t generation_ = ~uint64_t{0};                                            // under mutex_
  std::map<std::string, std::shared_ptr<const std::string>, std::less<>> built_;  // under mutex_
};

}  // namespace orch::server
