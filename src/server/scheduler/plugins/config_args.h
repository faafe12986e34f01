// Reading of plugin arguments: strict, and with Kubernetes' defaults and checks.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "api/field_error.h"
#include "base/json_fwd.h"
#include "server/scheduler/plugins/all.h"

namespace orch::server::scheduler {

/// Collects the members that nobody knows: `unknown field "profiles[0].x"`.
class StrictReader {
 public:
  /// Objects only; anything else passes.
  void check(const Json& tree, const api::FieldPath& path, std::initializer_list<std::string_view> known);
  const std::vector<std::string>& problems() const { return problems_; }

 private:
  std::vector<std::string> problems_;
};

/// What the arguments of plugins say besides to the plugins themselves.
struct ProfileArgs {
  PluginArgs plugins;
  int64_t candidates_percent = 10, candidates_at_least = 100;  // DefaultPreemptionArgs
  int64_t bind_timeout_seconds = 600;                          // VolumeBindingArgs
};

/// Reads `args` of the plugin `name` into `out`; plugins without arguments ignore theirs.
void read_plugin_args(std::string_view name, const Json& args, const api::FieldPath& path, ProfileArgs& out,
                      StrictReader& strict, api::FieldErrors& errors);

}  // namespace orch::server::scheduler
