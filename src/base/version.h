#pragma once
#include <string_view>

namespace orch::base {

// The version of this build, as `git describe --always --dirty --tags` says it, or "unknown" when it was
// built outside a git repository. Points to static memory; safe from any thread.
std::string_view version();

}  // namespace orch::base
