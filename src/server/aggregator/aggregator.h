// Aggregator: API servers behind this one. Knows which group versions they serve, watches whether they can be
// reached, keeps what they say of themselves for discovery and OpenAPI, and keeps the APIService objects of
// what this server serves itself (k8s.io/kube-aggregator). Proxying is the API server's.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/resources/resource.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/timer.h"
#include "client/client.h"
#include "client/informer.h"
#include "http/dial.h"
#include "pki/pki.h"
#include "server/aggregator/api_service.h"
#include "server/auth/lookup.h"

namespace orch::server {

/// A group version as another server describes it.
struct RemoteVersion {
  ApiService service;
  /// apidiscovery.k8s.io APIVersionDiscovery, with its freshness.
  std::shared_ptr<const Json> discovery;
  /// Its line of /openapi/v3, or null: {"serverRelativeURL": …}.
  std::shared_ptr<const Json> openapi_v3;
  /// Its part of /openapi/v2 (paths, definitions), or null.
  std::shared_ptr<const Json> openapi_v2;
};

struct AggregatorParts {
  client::Client& client;
  client::InformerFactory& informers;
  base::Timers& timers;
  const base::Clock& clock;
  const Lookup& lookup;
  const api::ResourceTable& table;
  /// This server's identity towards them.
  std::function<pki::KeyPair()> proxy_client;
};

/// Thread-safe. All parts must outlive this, but for the informers' events, which may still come while it
/// ends.
class Aggregator {
 public:
  /// Registers with the informers: make it before those start.
  explicit Aggregator(AggregatorParts parts);
  ~Aggregator();
  Aggregator(const Aggregator&) = delete;
  Aggregator& operator=(const Aggregator&) = delete;
  /// Once the informers are filled: registers what is served here, and follows.
  void start();

  /// The remote APIService of a group version, nothing when this server serves it.
  std::optional<ApiService> remote(std::string_view group, std::string_view version) const;
  /// Where one of its servers is and how to talk to it: kServiceUnavailable when there is none.
  base::Result<http::DialOptions> dial_options(const ApiService& service) const;
  /// All remote group versions, in the order of discovery.
  std::vector<RemoteVersion> remote_versions() const;
  /// Grows whenever remote_versions() changes.
  uint64_t generation() const;

 private:
  struct Rep;
  std::shared_ptr<Rep> rep_;  // held weakly by timers and informers
};

}  // namespace orch::server
