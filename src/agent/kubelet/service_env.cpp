#include "agent/kubelet/service_env.h"

#include "agent/kubelet/env.h"
#include "base/file.h"
#include "base/json.h"

namespace orch::agent {

using base::Code;
using base::Result;
using base::Status;

Result<std::map<std::string, std::string>> ServiceEnv::variables(const Pod& pod) {
  const std::string uid(pod.uid());
  if (!services_.synced()) {
    const auto text = base::read_file(file_of(uid));
    const auto tree = text.ok() ? base::parse_json(*text) : Result<Json>(text.error());
    if (!tree.ok() || !tree->is_object()) {
      return Status(Code::kServiceUnavailable,
                    "services have not yet been read at least once, cannot construct envvars");
    }
    std::map<std::string, std::string> out;
    for (const auto& [name, value] : tree->items()) {
      if (value.is_string()) out[name] = value.get<std::string>();
    }
    return out;
  }
  const bool links = base::bool_at(pod.tree(), {"spec", "enableServiceLinks"}, true);
  auto out = service_variables(services_.list_namespace(pod.ns()), pod.ns(), links);
  if (pod.ns() != "default") {
    for (auto& [name, value] : service_variables(services_.list_namespace("default"), pod.ns(), false)) {
      out.emplace(name, value);
    }
  }
  std::lock_guard lock(mutex_);
  auto& kept = kept_[uid];
  if (kept != out) {
    kept = out;
    files_.write(file_of(uid), base::dump_json(Json(out)));
  }
  return out;
}

void ServiceEnv::forget(const std::string& uid) {
  std::lock_guard lock(mutex_);
  kept_.erase(uid);
  files_.remove(file_of(uid));
}

}  // namespace orch::agent
