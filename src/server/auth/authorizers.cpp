#include "server/auth/authorizers.h"

#include <vector>

#include "base/status.h"

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
  std::vector<std::string> errors;
  for (Authorizer* authorizer : authorizers_) {
    Verdict verdict = authorizer->authorize(attributes);
    if (verdict.decision != Decision::kNoOpinion) return verdict;
    if (!verdict.error.empty()) errors.push_back(std::move(verdict.error));
    if (verdict.reason.empty()) continue;
    if (!none.reason.empty()) none.reason += '\n';
    none.reason += verdict.reason;
  }
  for (const std::string& error : errors) none.error += base::cat(none.error.empty() ? "" : ", ", error);
  if (errors.size() > 1) none.error = base::cat("[", none.error, "]");
  return none;
}

}  // namespace orch::server
