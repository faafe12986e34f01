#pragma once
#include <string_view>

namespace orch::base {

// The version of this build, as `git describe --always --dirty --tags` says it, or "unknown" when it was
// built outside a git repository. Points to static memory; safe from any thread.
std::string_view version();

/// What it was built for, as Go's runtime names it.
constexpr std::string_view platform() {
#if defined(__aarch64__)
  return "linux/arm64";
#elif defined(__x86_64__)
  return "linux/amd64";
#else
  return "linux/unknown";
#endif
}

}  // namespace orch::base
