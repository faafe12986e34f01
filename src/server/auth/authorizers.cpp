#include "server/auth/authorizers.h"

namespace orch::server {

Verdict MastersAuthorizer::authorize(const Attributes& a) {
  if (a.user != nullptr && a.user->in_group(kGroupMasters)) return {Decision::kAllow, {}};
  return {};
}

Verdict HealthAuthorizer::authorize(const Attributes& a) {
  if (a.resource_request || a.verb != "get") return {};
  std::string_view path = a.path;
  if (path.size() > 1 && path.ends_with('/')) path.remove_suffix(1);
  if (path == "/healthz" || path == "/livez" || path == "/readyz" || path == "/version") {
    return {Decision::kAllow, {}};
  }
  return {};
}

Verdict ConstantAuthorizer::authorize(const Attributes& /*attributes*/) {
  if (allow_) return {Decision::kAllow, {}};
  return {Decision::kNoOpinion, "Everything is forbidden."};
}

Verdict UnionAuthorizer::authorize(const Attributes& attributes) {
  Verdict none;
  for (Authorizer* authorizer : authorizers_) {
    Verdict verdict = authorizer->authorize(attributes);
    if (verdict.decision != Decision::kNoOpinion) return verdict;
    if (verdict.reason.empty()) continue;
    if (!none.reason.empty()) none.reason += '\n';
    none.reason += verdict.reason;
  }
  return none;
}

}  // namespace orch::server
