// The checks of level restricted: pods hardened by today's practice.
#include <set>

#include "api/go_text.h"
#include "base/json.h"
#include "server/admission/pod_security_checks.h"

namespace orch::server::pod_security {
namespace {

using Strings = std::vector<std::string>;
using Set = std::set<std::string>;
using Found = std::optional<Violation>;

Strings sorted(const Set& set) { return {set.begin(), set.end()}; }

Found no_escalation(const PodView& pod) {
  Strings containers;
  for (const Json* c : pod.containers) {
    if (base::bool_at(*c, {"securityContext", "allowPrivilegeEscalation"}, true))
      containers.push_back(name_of(*c));
  }
  if (containers.empty()) return std::nullopt;
  return Violation{
      "allowPrivilegeEscalation != false",
      base::cat(name_containers(containers), " must set securityContext.allowPrivilegeEscalation=false")};
}

Found capabilities(const PodView& pod) {
  Strings keeping, adding;
  Set added;
  for (const Json* c : pod.containers) {
    const Json& own = base::object_at(*c, {"securityContext", "capabilities"});
    bool drops_all = false, adds = false;
    for (const Json& capability : base::array_at(own, {"drop"})) drops_all |= capability == "ALL";
    for (const Json& capability : base::array_at(own, {"add"})) {
      if (!capability.is_string() || capability == "NET_BIND_SERVICE") continue;
      added.insert(capability.get<std::string>());
      adds = true;
    }
    if (!drops_all) keeping.push_back(name_of(*c));
    if (adds) adding.push_back(name_of(*c));
  }
  Strings details;
  if (!keeping.empty()) {
    details.push_back(name_containers(keeping) + " must set securityContext.capabilities.drop=[\"ALL\"]");
  }
  if (!adding.empty()) {
    details.push_back(base::cat(name_containers(adding), " must not include ", join_quoted(sorted(added)),
                                " in securityContext.capabilities.add"));
  }
  if (details.empty()) return std::nullopt;
  return Violation{"unrestricted capabilities", api::join(details, "; ")};
}

Found volumes(const PodView& pod) {
  static constexpr const char* kAllowed[] = {"configMap", "csi",   "downwardAPI",           "emptyDir",
                                             "ephemeral", "image", "persistentVolumeClaim", "projected",
                                             "secret"};
  static constexpr const char* kOthers[] = {"hostPath",
                                            "gcePersistentDisk",
                                            "awsElasticBlockStore",
                                            "gitRepo",
                                            "nfs",
                                            "iscsi",
                                            "glusterfs",
                                            "rbd",
                                            "flexVolume",
                                            "cinder",
                                            "cephfs",
                                            "flocker",
                                            "fc",
                                            "azureFile",
                                            "vsphereVolume",
                                            "quobyte",
                                            "azureDisk",
                                            "photonPersistentDisk",
                                            "portworxVolume",
                                            "scaleIO",
                                            "storageos"};
  Strings names;
  Set types;
  for (const Json& volume : base::array_at(pod.spec, {"volumes"})) {
    bool allowed = false;
    for (const char* type : kAllowed) allowed |= volume.contains(type);
    if (allowed) continue;
    names.push_back(name_of(volume));
    const char* found = "unknown";
    for (const char* type : kOthers) {
      if (!volume.contains(type)) continue;
      found = type;
      break;
    }
    types.insert(found);
  }
  if (names.empty()) return std::nullopt;
  return Violation{"restricted volume types",
                   base::cat(plural("volume", "volumes", names.size()), " ", join_quoted(names), " ",
                             plural("uses", "use", names.size()), " ",
                             plural("restricted volume type", "restricted volume types", types.size()), " ",
                             join_quoted(sorted(types)))};
}

/// What pod and containers say of a setting that the pod may decide for all.
struct Setting {
  bool pod_bad = false;
  Strings bad, unset;  // containers that set it badly, and those for which nobody set it

  std::string who() const {
    Strings out;
    if (pod_bad) out.emplace_back("pod");
    if (!bad.empty()) out.push_back(name_containers(bad));
    return api::join(out, " and ");
  }
};

enum class State : uint8_t { kUnset, kGood, kBad };

template <typename Judge>
Setting judge_setting(const PodView& pod, const Judge& judge) {
  Setting s;
  const State own = judge(pod.spec);
  s.pod_bad = own == State::kBad;
  for (const Json* c : pod.containers) {
    const State state = judge(*c);
    if (state == State::kBad) s.bad.push_back(name_of(*c));
    if (state == State::kUnset && own != State::kGood) s.unset.push_back(name_of(*c));
  }
  return s;
}

Found non_root(const PodView& pod) {
  const Setting s = judge_setting(pod, [](const Json& owner) {
    const Json* value = base::find_path(owner, {"securityContext", "runAsNonRoot"});
    if (value == nullptr || !value->is_boolean()) return State::kUnset;
    return value->get<bool>() ? State::kGood : State::kBad;
  });
  const std::string reason = "runAsNonRoot != true";
  if (s.pod_bad || !s.bad.empty()) {
    return Violation{reason, s.who() + " must not set securityContext.runAsNonRoot=false"};
  }
  if (s.unset.empty()) return std::nullopt;
  return Violation{
      reason, base::cat("pod or ", name_containers(s.unset), " must set securityContext.runAsNonRoot=true")};
}

Found not_user_zero(const PodView& pod) {
  const Setting s = judge_setting(pod, [](const Json& owner) {
    return base::int_at(owner, {"securityContext", "runAsUser"}, -1) == 0 ? State::kBad : State::kGood;
  });
  if (!s.pod_bad && s.bad.empty()) return std::nullopt;
  return Violation{"runAsUser=0", s.who() + " must not set runAsUser=0"};
}

Found seccomp(const PodView& pod) {
  Set values;
  const Setting s = judge_setting(pod, [&](const Json& owner) {
    const Json* profile = base::find_path(owner, {"securityContext", "seccompProfile"});
    if (profile == nullptr || !profile->is_object()) return State::kUnset;
    const std::string_view type = base::string_at(*profile, {"type"});
    if (type == "RuntimeDefault" || type == "Localhost") return State::kGood;
    values.emplace(type);
    return State::kBad;
  });
  if (s.pod_bad || !s.bad.empty()) {
    return Violation{"seccompProfile",
                     base::cat(s.who(), " must not set securityContext.seccompProfile.type to ",
                               join_quoted(sorted(values)))};
  }
  if (s.unset.empty()) return std::nullopt;
  return Violation{
      "seccompProfile",
      base::cat("pod or ", name_containers(s.unset),
                " must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\"")};
}

template <CheckFunction kCheck>
Found unless_windows(const PodView& pod) {
  return is_windows(pod) ? std::nullopt : kCheck(pod);
}
template <CheckFunction kCheck>
Found unless_user_namespace(const PodView& pod) {
  return has_user_namespace(pod) ? std::nullopt : kCheck(pod);
}

}  // namespace

const std::vector<Check>& restricted_checks() {
  constexpr Level kLevel = Level::kRestricted;
  static const std::vector<Check> checks = {
      {"allowPrivilegeEscalation", kLevel, 8, no_escalation, {}},
      {"allowPrivilegeEscalation", kLevel, 25, unless_windows<no_escalation>, {}},
      {"capabilities_restricted", kLevel, 22, capabilities, "capabilities_baseline"},
      {"capabilities_restricted", kLevel, 25, unless_windows<capabilities>, "capabilities_baseline"},
      {"procMount_restricted", kLevel, 35, check_proc_mount, "procMount"},
      {"restrictedVolumes", kLevel, 0, volumes, "hostPathVolumes"},
      {"runAsNonRoot", kLevel, 0, non_root, {}},
      {"runAsNonRoot", kLevel, 35, unless_user_namespace<non_root>, {}},
      {"runAsUser", kLevel, 23, not_user_zero, {}},
      {"runAsUser", kLevel, 35, unless_user_namespace<not_user_zero>, {}},
      {"seccompProfile_restricted", kLevel, 19, seccomp, "seccompProfile_baseline"},
      {"seccompProfile_restricted", kLevel, 25, unless_windows<seccomp>, "seccompProfile_baseline"},
  };
  return checks;
}

}  // namespace orch::server::pod_security
