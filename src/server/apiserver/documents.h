// Discovery and OpenAPI documents: derived from the rows, built on first use, rebuilt when rows change.
#pragma once

#include <map>
#include <mutex>
#include <string>
#include <string_view>

#include "api/resources/resource.h"
#include "server/aggregator/aggregator.h"
#include "server/apiserver/api_server.h"

namespace orch::server {

struct Document {
  std::string bytes;
  std::string tag;  // HTTP's entity tag, quoted: clients keep these megabytes and ask whether they still hold
};
using DocumentPtr = std::shared_ptr<const Document>;

/// The document as an answer, or 304 when the client has it.
http::Response document_response(const http::Request& request, const DocumentPtr& document);

/// Whether anything is served in a group.
bool serves_group(const api::ResourceTable& table, std::string_view group);

/// Text of an OpenAPI document with what other servers say of their group versions.
std::string with_remote_openapi_v2(std::string document, const std::vector<RemoteVersion>& remotes);
std::string with_remote_openapi_v3(std::string index, const std::vector<RemoteVersion>& remotes);

/// Thread-safe.
struct ApiServer::DocumentCache {
  /// `aggregator` may be null.
  DocumentCache(const api::Schema& schema, api::ResourceTable& table, const Aggregator* aggregator)
      : schema_(schema), table_(table), aggregator_(aggregator) {}

  /// Legacy discovery: /api, /apis, /apis/G, /api/v1, /apis/G/V. Empty when there is no such document.
  std::string discovery(std::string_view path, const std::string& advertise_address);
  /// apidiscovery.k8s.io APIGroupDiscoveryList for "/api" or "/apis", in v2 or v2beta1.
  DocumentPtr aggregated(std::string_view path, std::string_view version);
  /// /openapi/v2, /openapi/v3, /openapi/v3/…; null when there is none. With `protobuf`: /openapi/v2 as
  /// com.github.proto-openapi.spec.v2.
  DocumentPtr openapi(std::string_view path, bool protobuf = false);

 private:
  void refresh();                                               // under mutex_
  DocumentPtr keep(const std::string& key, std::string bytes);  // under mutex_
  std::string build_openapi(std::string_view path);
  std::vector<RemoteVersion> remote_versions() const;
  uint64_t remote_generation() const;

  const api::Schema& schema_;
  api::ResourceTable& table_;
  const Aggregator* const aggregator_;
  std::mutex mutex_;
  uint64_t generation_ = ~uint64_t{0};                     // under mutex_
  uint64_t remote_generation_ = 0;                         // under mutex_
  std::map<std::string, DocumentPtr, std::less<>> built_;  // under mutex_
};

}  // namespace orch::server
