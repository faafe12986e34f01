// Pod Security Standards: the levels, their versions, and what they forbid of a pod.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "api/field_error.h"
#include "base/json_fwd.h"
#include "base/status.h"

namespace orch::server::pod_security {

enum class Level : uint8_t { kPrivileged, kBaseline, kRestricted };  // ever stricter

/// A level as it was in a minor version of Kubernetes.
struct LevelVersion {
  static constexpr int kLatest = -1;
  Level level = Level::kPrivileged;
  int minor = kLatest;
  /// "baseline:latest", "restricted:v1.24".
  std::string text() const;
  friend bool operator==(const LevelVersion&, const LevelVersion&) = default;
};

struct Policy {
  LevelVersion enforce, audit, warn;
  bool privileged() const {
    return enforce.level == Level::kPrivileged && audit.level == Level::kPrivileged &&
           warn.level == Level::kPrivileged;
  }
};

/// The policy that labels pod-security.kubernetes.io/* of a namespace ask for; `defaults` (privileged, unless
/// configured otherwise) where they are silent. A value that cannot be read is added to `errors`, and counts
/// as restricted for enforcing, as privileged for the others.
Policy policy_of(const Json& labels, const Policy& defaults, api::FieldErrors& errors);

/// "privileged", "baseline", "restricted"; "latest", "v1.24". False: neither.
bool parse_level(std::string_view text, Level& level);
bool parse_version(std::string_view text, int& minor);

/// PodSecurityConfiguration (pod-security.admission.config.k8s.io/v1).
struct Settings {
  Policy defaults;
  std::vector<std::string> exempt_users, exempt_namespaces, exempt_runtime_classes;
};
/// kBadRequest worded as Kubernetes for a level, version or exemption that cannot be.
base::Result<Settings> parse_settings(const Json& configuration);

/// What a check found.
struct Violation {
  std::string reason;  // "host namespaces"
  std::string detail;  // "hostNetwork=true", may be empty
};

/// In the order in which Kubernetes names them; empty when the pod is allowed. `annotations` and `spec` are
/// those of a pod or pod template.
std::vector<Violation> violations(const LevelVersion& level, const Json& annotations, const Json& spec);

/// "privileged (container "x" must …), hostPort".
std::string describe(const std::vector<Violation>& violations);
/// The reasons alone.
std::string reasons(const std::vector<Violation>& violations);

}  // namespace orch::server::pod_security
