// Flags of Kubernetes' own components (--kube-controller-manager-arg=NAME=VALUE and the like), for those who
// know them: a table of the names Orch takes, and one parser for all components.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/status.h"

namespace orch::cli {

/// One flag: what its value becomes. `set` answers kBadRequest with what is wrong with the value ("is not a
/// duration"), to be put behind flag and value.
struct ComponentFlag {
  std::string name;
  std::function<base::Status(const std::string& value)> set;
};

// Ready-made flags. The target must outlive them.
ComponentFlag duration_flag(std::string name, base::Duration& target,
                            base::Duration least = base::Duration(0));
ComponentFlag integer_flag(std::string name, int64_t& target, int64_t least, int64_t most);
ComponentFlag number_flag(std::string name, double& target, double least);
ComponentFlag text_flag(std::string name, std::string& target);
ComponentFlag bool_flag(std::string name, bool& target);
/// Comma-separated; each occurrence adds, the first one replaces what was the default.
ComponentFlag list_flag(std::string name, std::vector<std::string>& target);

/// Applies arguments NAME=VALUE in their order; NAME may be written with leading dashes, and NAME alone is
/// NAME=true. kBadRequest with one line for a name that is not in `flags` and for a bad value; `option`
/// ("--kube-controller-manager-arg") begins it.
base::Status apply_component_args(std::string_view option, const std::vector<std::string>& args,
                                  const std::vector<ComponentFlag>& flags);

}  // namespace orch::cli
