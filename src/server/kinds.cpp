#include "server/kinds.h"

namespace orch::server {

std::vector<client::ResourceRef> kinds_of(const api::ResourceTable& table,
                                          const std::function<bool(const api::Resource&)>& wanted) {
  std::vector<client::ResourceRef> found;
  const auto rows = table.all();  // a table that changes drops them
  for (const auto& r : *rows) {
    if (wanted(*r)) found.push_back({r->group, r->version, r->plural});
  }
  return found;
}

}  // namespace orch::server
