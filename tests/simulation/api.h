// Api: the real registry, with defaults, validation, finalizers and graceful deletion, and the real bindings
// and evictions of the API server, over a store in memory. Everything happens on the caller's thread.
#pragma once

#include <memory>
#include <string>

#include "api/resources/resource.h"
#include "base/metrics.h"
#include "client/client.h"
#include "server/admission/admission.h"
#include "server/apiserver/api_server.h"
#include "server/lookup.h"
#include "server/registry/registry.h"
#include "tests/simulation/machine.h"
#include "tests/simulation/memory_store.h"
#include "tests/simulation/weather.h"

namespace orch::simulation {

class Api {
 public:
  /// Both must outlive it. `ids` gives uids and generated names.
  Api(const Clock& clock, Random& ids, Plant plant);
  ~Api();
  /// As somebody who may do everything.
  std::unique_ptr<client::Client> client(const std::string& name);
  MemoryStore& store() { return store_; }
  api::ResourceTable& table();
  base::Metrics& metrics() { return metrics_; }

 private:
  MemoryStore store_;
  base::Metrics metrics_;
  server::AdmissionChain admission_;
  std::unique_ptr<server::Registry> registry_;
  std::unique_ptr<server::CacheLookup> lookup_;
  std::unique_ptr<server::ApiServer> server_;
  std::unique_ptr<client::Client> quotas_;  // writes what admission charges
};

}  // namespace orch::simulation
