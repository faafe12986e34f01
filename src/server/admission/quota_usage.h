// What an object counts for in ResourceQuotas: pure, for the admission plugin and for whoever recounts.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/json_fwd.h"
#include "server/admission/pod_resources.h"
#include "server/auth/lookup.h"

namespace orch::server::quota {

/// A kind, as group and plural.
struct Kind {
  std::string_view group, plural;
  bool is(std::string_view name) const { return group.empty() && plural == name; }
};

/// Pods: count/pods always; pods, cpu, memory, storage and extended resources until they end, with overhead.
/// Services: by type, node ports. Claims: storage, also by storage class. Everything else is counted.
ResourceList usage(const Kind& kind, const Json& object, base::WallTime now);

/// Those of a quota's resource names that this kind can use up.
std::vector<std::string> matching(const Kind& kind, const ResourceList& hard);

/// The object is in all scopes of the quota (spec.scopes, spec.scopeSelector).
bool in_scopes(const Kind& kind, const Json& quota, const Json& object);

/// "must specify limits.cpu for: a,b" when a quota of cpu or memory demands what containers leave out.
std::string missing_requirements(const Kind& kind, const std::vector<std::string>& names, const Json& object);

/// A create or update of this kind can change what is used. `old` is null for creates.
bool may_change_usage(const Kind& kind, std::string_view subresource, const Json& object, const Json* old);

/// status {hard, used} of a quota, counted from what there is: for the controller that gives quota back when
/// objects go or end.
Json recount(const Json& quota, const Lookup& lookup, base::WallTime now);

/// "a=1,b=2"
std::string text(const ResourceList& list);

}  // namespace orch::server::quota
