// Lookup: what authentication, authorization and admission read of the cluster.
#pragma once

#include <string_view>
#include <vector>

#include "api/object.h"

namespace orch::server {

/// Live objects, from the watch caches. `resource` is written as in RBAC messages: "pods",
/// "runtimeclasses.node.k8s.io"; `ns` is "" for cluster-scoped kinds, and in list() for all namespaces.
/// Thread-safe; no I/O that waits.
class Lookup {
 public:
  virtual ~Lookup() = default;
  /// Null when there is none.
  virtual api::ObjectPtr get(std::string_view resource, std::string_view ns, std::string_view name) const = 0;
  virtual std::vector<api::ObjectPtr> list(std::string_view resource, std::string_view ns) const = 0;
};

}  // namespace orch::server
