#include "server/runtime_config.h"

namespace orch::server {

using base::Code;
using base::Status;

namespace {

Status bad(std::string_view key, std::string_view why) {
  return {Code::kBadRequest, base::cat("--kube-apiserver-arg runtime-config ", key, ": ", why)};
}

bool is_version_class(std::string_view version, std::string_view wanted) {
  if (wanted == "api/alpha") return version.find("alpha") != std::string_view::npos;
  if (wanted == "api/beta") return version.find("beta") != std::string_view::npos;
  return wanted == "api/all" || version.find_first_of("ab") == std::string_view::npos;
}

/// "v1", "v1/pods", "apps/v1", "apps/v1/deployments".
bool names_row(const api::Resource& r, std::string_view key) {
  const std::string group_version = r.api_version();
  return key == group_version || key == base::cat(group_version, "/", r.plural);
}

}  // namespace

Status apply_runtime_config(const std::map<std::string, bool>& config, api::ResourceTable& table) {
  for (const auto& [key, on] : config) {
    const bool whole = key == "api/all" || key == "api/ga" || key == "api/beta" || key == "api/alpha";
    if (on && whole && key != "api/ga") return bad(key, "orch serves what is on by default, and no more");
    std::vector<api::ResourcePtr> named;
    const auto rows = table.all();
    for (const api::ResourcePtr& r : *rows) {
      if (whole ? is_version_class(r->version, key) : names_row(*r, key)) named.push_back(r);
    }
    if (named.empty() && !whole) return bad(key, "orch does not serve it");
    if (on) continue;
    for (const api::ResourcePtr& r : named) {
      if (r->stored && r->storage_version)
        return bad(key, base::cat("it cannot be switched off: orch keeps ", r->plural, " in it"));
    }
    for (const api::ResourcePtr& r : named) table.remove(r->group, r->version, r->plural);
  }
  return {};
}

}  // namespace orch::server
