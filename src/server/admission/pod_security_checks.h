// The single checks of the Pod Security Standards; see pod_security_policy.h.
#pragma once

#include <optional>
#include <vector>

#include "base/json_fwd.h"
#include "server/admission/pod_security_policy.h"

namespace orch::server::pod_security {

/// What checks look at.
struct PodView {
  const Json& annotations;
  const Json& spec;
  std::vector<const Json*> containers;  // init, normal, ephemeral
};

using CheckFunction = std::optional<Violation> (*)(const PodView&);

/// A check in the form it has from one minor version on, until the next one of the same id.
struct Check {
  std::string_view id;
  Level level;
  int since;
  CheckFunction function;
  std::string_view overrides;  // id of a baseline check that this one makes superfluous
};

/// Sorted by id within each level, versions rising.
const std::vector<Check>& baseline_checks();
const std::vector<Check>& restricted_checks();

// Shared by both levels.
std::optional<Violation> check_proc_mount(const PodView& pod);

// --- Wording ----------------------------------------------------------------------------------------
/// `container "a"` or `containers "a", "b"`.
std::string name_containers(const std::vector<std::string>& names);
std::string join_quoted(const std::vector<std::string>& values);
std::string_view plural(std::string_view one, std::string_view many, size_t count);
std::string name_of(const Json& container);
/// A pod of its own user namespace.
bool has_user_namespace(const PodView& pod);
bool is_windows(const PodView& pod);

}  // namespace orch::server::pod_security
