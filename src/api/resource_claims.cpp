#include "api/resource_claims.h"

#include <algorithm>

#include "api/meta.h"
#include "api/scan.h"
#include "base/json.h"

namespace orch::api {

using base::string_at;

bool uses_claims(const Object& pod) { return mentions(pod.bytes(), "\"resourceClaims\":["); }

std::vector<PodClaim> pod_claims(const Json& pod) {
  std::vector<PodClaim> out;
  for (const Json& entry : base::array_at(pod, {"spec", "resourceClaims"})) {
    PodClaim c;
    c.name = string_at(entry, {"name"});
    c.from_template = string_at(entry, {"resourceClaimTemplateName"});
    if (c.from_template.empty()) {
      c.claim = string_at(entry, {"resourceClaimName"});
      out.push_back(std::move(c));
      continue;
    }
    const Json& made = base::array_at(pod, {"status", "resourceClaimStatuses"});
    const auto found = std::find_if(
        made.begin(), made.end(), [&](const Json& status) { return string_at(status, {"name"}) == c.name; });
    c.waits = found == made.end();
    if (!c.waits) {
      const Json* name = base::find_path(*found, {"resourceClaimName"});
      if (name != nullptr && name->is_string()) c.claim = name->get<std::string>();
    }
    out.push_back(std::move(c));
  }
  return out;
}

namespace {

std::string place(const Json& object) {
  return object_key(string_at(object, {"metadata", "namespace"}), string_at(object, {"metadata", "name"}));
}

}  // namespace

std::string claim_missing_problem(const Json& pod) {
  return base::cat("pod \"", place(pod), "\": ResourceClaim not created yet");
}

std::string claim_owner_problem(const Json& pod, const Json& claim) {
  const std::string_view uid = string_at(pod, {"metadata", "uid"});
  if (!uid.empty() && controller_of(claim).uid == uid) return {};
  return base::cat("ResourceClaim ", place(claim), " was not created for pod ", place(pod),
                   " (pod is not owner)");
}

bool claim_reserved_for(const Json& claim, std::string_view pod_uid) {
  const Json& users = base::array_at(claim, {"status", "reservedFor"});
  return std::any_of(users.begin(), users.end(),
                     [&](const Json& user) { return string_at(user, {"uid"}) == pod_uid; });
}

bool claim_allocated(const Json& claim) {
  const Json* allocation = base::find_path(claim, {"status", "allocation"});
  return allocation != nullptr && !allocation->is_null();
}

void reserve_claim(Json& claim, std::string_view pod_name, std::string_view pod_uid) {
  claim["status"]["reservedFor"].push_back(
      {{"resource", "pods"}, {"name", std::string(pod_name)}, {"uid", std::string(pod_uid)}});
}

bool pod_done(const Json& pod) {
  const std::string_view phase = string_at(pod, {"status", "phase"});
  return phase == "Succeeded" || phase == "Failed" ||
         (!string_at(pod, {"metadata", "deletionTimestamp"}).empty() &&
          string_at(pod, {"spec", "nodeName"}).empty());
}

}  // namespace orch::api
