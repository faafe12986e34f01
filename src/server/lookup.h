// CacheLookup: server::Lookup over the registry's watch caches.
#pragma once

#include "server/auth/lookup.h"
#include "server/registry/registry.h"

namespace orch::server {

class CacheLookup final : public Lookup {
 public:
  /// `registry` must outlive this.
  explicit CacheLookup(const Registry& registry) : registry_(registry) {}
  api::ObjectPtr get(std::string_view resource, std::string_view ns, std::string_view name) const override;
  std::vector<api::ObjectPtr> list(std::string_view resource, std::string_view ns) const override;

 private:
  WatchCachePtr cache(std::string_view resource) const;
  const Registry& registry_;
};

}  // namespace orch::server
