#include "server/admission/match_conditions.h"

#include "base/json.h"

namespace orch::server {

std::shared_ptr<const MatchConditions> make_match_conditions(const Json& conditions) {
  (void)conditions;
  return nullptr;
}

}  // namespace orch::server
