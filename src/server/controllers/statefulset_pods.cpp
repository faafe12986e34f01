// Names, identities and volumes of a StatefulSet's pods.
#include <algorithm>
#include <charconv>

#include "api/meta.h"
#include "server/controllers/statefulset_state.h"

namespace orch::server {

namespace {

constexpr const char* kPodNameLabel = "statefulset.kubernetes.io/pod-name";
constexpr const char* kPodIndexLabel = "apps.kubernetes.io/pod-index";

std::string member_name(const Stateful& s, int64_t ordinal) {
  return base::cat(s.object->name(), "-", ordinal);
}

const Json& claim_templates(const Stateful& s) {
  return base::array_at(s.tree, {"spec", "volumeClaimTemplates"});
}

std::string claim_name(const Stateful& s, const Json& claim_template, int64_t ordinal) {
  return base::cat(base::string_at(claim_template, {"metadata", "name"}), "-", s.object->name(), "-",
                   ordinal);
}

}  // namespace

bool Member::created() const { return !phase().empty(); }

bool Member::terminating() const { return object != nullptr && object->deleting(); }

std::string_view Member::name() const { return base::string_at(tree, {"metadata", "name"}); }

std::string_view Member::phase() const { return base::string_at(tree, {"status", "phase"}); }

std::string_view Member::revision() const {
  return base::string_at(tree, {"metadata", "labels", kRevisionHashLabel});
}

bool Stateful::available(const Member& m) const { return pod_available(m.tree, min_ready, now); }

std::pair<std::string_view, int64_t> split_member_name(std::string_view pod) {
  const size_t dash = pod.rfind('-');
  if (dash == std::string_view::npos) return {{}, -1};
  const std::string_view digits = pod.substr(dash + 1);
  int32_t ordinal = -1;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), ordinal);
  const bool number = !digits.empty() && digits[0] != '-' && end == digits.data() + digits.size();
  if (!number) return {{}, -1};
  return {pod.substr(0, dash), error == std::errc() ? ordinal : -1};
}

Json new_member(const Stateful& s, int64_t ordinal) {
  const Json& strategy = base::object_at(s.tree, {"spec", "updateStrategy"});
  const Json* rolling = base::find_path(strategy, {"rollingUpdate"});
  const bool has_rolling = rolling != nullptr && rolling->is_object();
  // Before the first ordinal the update may touch; without a partition, before those it has replaced.
  const int64_t kept = has_rolling ? base::int_at(*rolling, {"partition"})
                       : base::string_at(strategy, {"type"}) == "RollingUpdate"
                           ? base::int_at(s.tree, {"status", "currentReplicas"})
                           : 0;
  const Revision& revision = ordinal < s.start + kept ? s.current : s.update;
  Json pod = pod_from_template(*s.object, template_of(revision.tree), member_name(s, ordinal));
  fix_identity(s, pod, ordinal);
  pod["spec"]["hostname"] = member_name(s, ordinal);
  const std::string_view service = base::string_at(s.tree, {"spec", "serviceName"});
  if (service.empty()) {
    pod["spec"].erase("subdomain");
  } else {
    pod["spec"]["subdomain"] = std::string(service);
  }
  fix_storage(s, pod, ordinal);
  pod["metadata"]["labels"][kRevisionHashLabel] = revision.name();
  return pod;
}

bool identity_matches(const Stateful& s, const Member& m) {
  return m.ordinal >= 0 && m.name() == member_name(s, m.ordinal) &&
         base::string_at(m.tree, {"metadata", "labels", kPodNameLabel}) == m.name();
}

bool storage_matches(const Stateful& s, const Member& m) {
  if (m.ordinal < 0) return false;
  const Json& templates = claim_templates(s);
  return std::all_of(templates.begin(), templates.end(), [&](const Json& claim) {
    const Json& volumes = base::array_at(m.tree, {"spec", "volumes"});
    // Of volumes with the same name the last one counts.
    const auto found = std::find_if(volumes.rbegin(), volumes.rend(), [&](const Json& v) {
      return base::string_at(v, {"name"}) == base::string_at(claim, {"metadata", "name"});
    });
    return found != volumes.rend() &&
           base::string_at(*found, {"persistentVolumeClaim", "claimName"}) == claim_name(s, claim, m.ordinal);
  });
}

void fix_identity(const Stateful& s, Json& pod, int64_t ordinal) {
  pod["metadata"]["name"] = member_name(s, ordinal);
  pod["metadata"]["namespace"] = std::string(s.object->ns());
  pod["metadata"]["labels"][kPodNameLabel] = member_name(s, ordinal);
  pod["metadata"]["labels"][kPodIndexLabel] = std::to_string(ordinal);
}

void fix_storage(const Stateful& s, Json& pod, int64_t ordinal) {
  const Json& templates = claim_templates(s);
  if (templates.empty()) return;
  Json volumes = Json::array();
  auto has = [&volumes](std::string_view name) {
    return std::any_of(volumes.begin(), volumes.end(),
                       [&](const Json& v) { return base::string_at(v, {"name"}) == name; });
  };
  for (const Json& claim : templates) {
    const std::string_view name = base::string_at(claim, {"metadata", "name"});
    if (has(name)) continue;
    volumes.push_back({{"name", std::string(name)},
                       {"persistentVolumeClaim", {{"claimName", claim_name(s, claim, ordinal)}}}});
  }
  const size_t claims = volumes.size();
  for (const Json& volume : base::array_at(pod, {"spec", "volumes"})) {
    const std::string_view name = base::string_at(volume, {"name"});
    const auto taken = volumes.begin() + static_cast<std::ptrdiff_t>(claims);
    if (std::none_of(volumes.begin(), taken,
                     [&](const Json& v) { return base::string_at(v, {"name"}) == name; }))
      volumes.push_back(volume);
  }
  pod["spec"]["volumes"] = std::move(volumes);
}

void note_done(Stateful& s, const char* verb, std::string_view pod) {
  s.plan.note(s.object, "Normal", base::cat("Successful", verb),
              base::cat(verb, " Pod ", pod, " in StatefulSet ", s.object->name(), " successful"));
}

void note_failed(Plan& plan, const api::ObjectPtr& set, std::string_view verb, std::string_view pod,
                 std::string_view why) {
  plan.note(set, "Warning", base::cat("Failed", verb),
            base::cat(verb, " Pod ", pod, " in StatefulSet ", set->name(), " failed error: ", why));
}

// --- Claims ---------------------------------------------------------------------------------------------

namespace {

/// The claim of a template for the pod of this ordinal.
Json claim_of(const Stateful& s, const Json& claim_template, int64_t ordinal) {
  Json claim = claim_template;
  claim["apiVersion"] = "v1";
  claim["kind"] = "PersistentVolumeClaim";
  claim["metadata"]["name"] = claim_name(s, claim_template, ordinal);
  claim["metadata"]["namespace"] = std::string(s.object->ns());
  for (const auto& [key, value] : base::object_at(s.tree, {"spec", "selector", "matchLabels"}).items())
    claim["metadata"]["labels"][key] = value;
  return claim;
}

struct Retention {
  bool delete_with_set = false, delete_when_scaled = false;
};

Retention retention_of(const Stateful& s) {
  const Json& policy = base::object_at(s.tree, {"spec", "persistentVolumeClaimRetentionPolicy"});
  return {base::string_at(policy, {"whenDeleted"}) == "Delete",
          base::string_at(policy, {"whenScaled"}) == "Delete"};
}

/// The owners of a claim, seen from the set and one of its pods.
struct Owners {
  const Stateful& s;
  const Member& m;
  std::vector<api::OwnerReference> refs;

  bool is_set(const api::OwnerReference& r) const {
    return r.api_version == "apps/v1" && r.kind == "StatefulSet" && r.name == s.object->name();
  }
  bool is_pod(const api::OwnerReference& r) const {
    return r.api_version == "v1" && r.kind == "Pod" && r.name == m.name();
  }
  std::string_view pod_uid() const { return m.object ? m.object->uid() : std::string_view(); }

  template <typename Test>
  bool any(const Test& test) const {
    return std::any_of(refs.begin(), refs.end(), test);
  }
  bool by_set() const {
    return any([&](const auto& r) { return r.uid == s.object->uid(); });
  }
  bool by_pod() const {
    return any([&](const auto& r) { return r.uid == pod_uid(); });
  }
  /// Owned by an earlier object of the same name. The first such reference decides, as in Kubernetes.
  bool stale_set() const {
    const auto r = std::find_if(refs.begin(), refs.end(), [&](const auto& ref) { return is_set(ref); });
    return r != refs.end() && r->uid != s.object->uid();
  }
  bool stale_pod() const {
    const auto r = std::find_if(refs.begin(), refs.end(), [&](const auto& ref) { return is_pod(ref); });
    return r != refs.end() && r->uid != pod_uid();
  }
  /// Somebody else manages the claim, so the retention policy has no say.
  bool foreign_controller() const {
    const Retention policy = retention_of(s);
    if (!policy.delete_with_set && !policy.delete_when_scaled) return false;
    return any([&](const auto& r) {
      if (is_set(r)) return r.uid != s.object->uid();
      if (is_pod(r)) return r.uid != pod_uid();
      return r.controller;
    });
  }
  bool by_us_uncontrolled() const {
    return any(
        [&](const auto& r) { return (r.uid == s.object->uid() || r.uid == pod_uid()) && !r.controller; });
  }
  /// Who should own it: the set, the pod, or neither.
  bool want_set() const {
    const Retention policy = retention_of(s);
    return policy.delete_with_set && !(policy.delete_when_scaled && !s.in_range(m.ordinal));
  }
  bool want_pod() const { return retention_of(s).delete_when_scaled && !s.in_range(m.ordinal); }
};

bool owners_right(const Owners& o) {
  if (o.stale_set() || o.stale_pod()) return true;  // of an earlier set: not to be touched
  if (o.foreign_controller()) return !o.by_set() && !o.by_pod();
  if (o.by_us_uncontrolled()) return false;
  return o.by_set() == o.want_set() && o.by_pod() == o.want_pod();
}

/// References that are not ours stay as they are.
Json right_references(const Owners& o, const Json& claim) {
  Json out = Json::array();
  const Json& had = base::array_at(claim, {"metadata", "ownerReferences"});
  for (size_t i = 0; i < had.size(); ++i) {
    if (!o.is_set(o.refs[i]) && !o.is_pod(o.refs[i])) out.push_back(had[i]);
  }
  if (o.foreign_controller()) return out;
  if (o.want_pod())
    out.push_back(api::controller_reference("v1", "Pod", std::string(o.m.name()), std::string(o.pod_uid())));
  if (o.want_set()) out.push_back(api::controller_reference(*o.s.object));
  return out;
}

}  // namespace

bool make_claims(Stateful& s, const Member& m, const char* verb) {
  const std::string pod(m.name());
  std::string problems;
  for (const Json& claim_template : claim_templates(s)) {
    const std::string name = claim_name(s, claim_template, m.ordinal);
    const api::ObjectPtr there = s.view.get(kClaims, s.object->ns(), name);
    if (there == nullptr) {
      s.plan.create(kClaims, s.object->ns(), claim_of(s, claim_template, m.ordinal));
      s.plan.note(
          s.object, "Normal", "SuccessfulCreate",
          base::cat("Create Claim ", name, " Pod ", pod, " in StatefulSet ", s.object->name(), " success"));
    } else if (there->deleting()) {
      problems += base::cat(problems.empty() ? "" : ", ", "pvc ", name, " is being deleted");
    }
  }
  if (problems.empty()) return true;
  if (problems.find(", ") != std::string::npos) problems = base::cat("[", problems, "]");
  if (verb != nullptr) note_failed(s.plan, s.object, verb, pod, problems);
  return false;
}

bool claims_match_retention(const Stateful& s, const Member& m) {
  const Json& templates = claim_templates(s);
  return std::all_of(templates.begin(), templates.end(), [&](const Json& t) {
    const api::ObjectPtr claim = s.view.get(kClaims, s.object->ns(), claim_name(s, t, m.ordinal));
    return claim == nullptr || owners_right({s, m, api::owner_references(*claim)});
  });
}

void fix_claim_owners(Stateful& s, const Member& m) {
  for (const Json& t : claim_templates(s)) {
    const std::string name = claim_name(s, t, m.ordinal);
    const api::ObjectPtr claim = s.view.get(kClaims, s.object->ns(), name);
    if (claim == nullptr) continue;
    const Owners owners{s, m, api::owner_references(*claim)};
    if (owners.foreign_controller()) {
      s.plan.note(s.object, "Warning", "ConflictingController",
                  base::cat("PersistentVolumeClaim ", name,
                            " has a conflicting OwnerReference that acts as a manging controller, the "
                            "retention policy is ignored for this claim"));
    }
    if (owners_right(owners)) continue;
    Json next = claim->tree();
    next["metadata"]["ownerReferences"] = right_references(owners, next);
    s.plan.update(kClaims, std::move(next));
  }
}

bool claim_is_stale(const Stateful& s, const Member& m) {
  if (!retention_of(s).delete_when_scaled) return false;
  const Json& templates = claim_templates(s);
  return std::any_of(templates.begin(), templates.end(), [&](const Json& t) {
    const api::ObjectPtr claim = s.view.get(kClaims, s.object->ns(), claim_name(s, t, m.ordinal));
    return claim != nullptr && Owners{s, m, api::owner_references(*claim)}.stale_pod();
  });
}

}  // namespace orch::server
