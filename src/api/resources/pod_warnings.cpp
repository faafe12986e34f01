#include "api/resources/pod_warnings.h"

#include <map>
#include <set>

#include "api/go_text.h"
#include "api/names.h"
#include "api/quantity.h"
#include "api/resources/common_validation.h"
#include "api/resources/ip.h"
#include "api/resources/pod_parts.h"
#include "api/resources/tree.h"
#include "base/json.h"

namespace orch::api {
namespace {

constexpr const char* kRequired = "requiredDuringSchedulingIgnoredDuringExecution";
constexpr const char* kPreferred = "preferredDuringSchedulingIgnoredDuringExecution";
constexpr std::string_view kSeccompPod = "seccomp.security.alpha.kubernetes.io/pod";
constexpr std::string_view kSeccompContainer = "container.seccomp.security.alpha.kubernetes.io/";
constexpr std::string_view kAppArmor = "container.apparmor.security.beta.kubernetes.io/";

std::string bracketed(const Problems& problems) { return "[" + join(problems, " ") + "]"; }

// --- Placement -----------------------------------------------------------------------------------------

void warn_selectors(const Json& spec, const FieldPath& path, Warnings& warnings) {
  const Json& selector = map_of(spec, "nodeSelector");
  for (auto it = selector.begin(); it != selector.end(); ++it) {
    const std::string_view message = deprecated_node_label(it.key());
    if (!message.empty()) {
      warnings.push_back(path.child("nodeSelector").key(it.key()).text() + ": " + std::string(message));
    }
  }
  const Json& affinity = map_of(map_of(spec, "affinity"), "nodeAffinity");
  const FieldPath at = path.child("affinity").child("nodeAffinity");
  size_t i = 0;
  for (const Json& term : list_of(map_of(affinity, kRequired), "nodeSelectorTerms")) {
    warn_node_term(term, false, at.child(kRequired).child("nodeSelectorTerms").index(i++), warnings);
  }
  i = 0;
  for (const Json& term : list_of(affinity, kPreferred)) {
    warn_node_term(map_of(term, "preference"), true, at.child(kPreferred).index(i++).child("preference"),
                   warnings);
  }
  i = 0;
  for (const Json& constraint : list_of(spec, "topologySpreadConstraints")) {
    const FieldPath c = path.child("topologySpreadConstraints").index(i++);
    const std::string key(text_of(constraint, "topologyKey"));
    const std::string_view message = deprecated_node_label(key);
    if (!message.empty()) {
      warnings.push_back(c.child("topologyKey").text() + ": " + key + " is " + std::string(message));
    }
    if (!has(constraint, "labelSelector")) {
      warnings.push_back(c.child("labelSelector").text() +
                         ": a null labelSelector results in matching no pod");
    }
  }
}

void warn_pod_affinity(const Json& spec, const FieldPath& path, Warnings& warnings) {
  const auto warn = [&](const Json& term, const FieldPath& at) {
    if (has(term, "labelSelector")) return;
    warnings.push_back(at.child("labelSelector").text() +
                       ": a null labelSelector results in matching no pod");
  };
  for (const char* kind : {"podAffinity", "podAntiAffinity"}) {
    const Json& affinity = map_of(map_of(spec, "affinity"), kind);
    const FieldPath at = path.child("affinity").child(kind);
    size_t i = 0;
    for (const Json& term : list_of(affinity, kRequired)) warn(term, at.child(kRequired).index(i++));
    i = 0;
    for (const Json& weighted : list_of(affinity, kPreferred)) {
      warn(map_of(weighted, "podAffinityTerm"), at.child(kPreferred).index(i++).child("podAffinityTerm"));
    }
  }
}

// --- Annotations ---------------------------------------------------------------------------------------

void warn_annotations(const Json& annotations, const FieldPath& path, Warnings& warnings) {
  static const std::pair<const char*, const char*> deprecated[] = {
      {"scheduler.alpha.kubernetes.io/critical-pod",
       "non-functional in v1.16+; use the \"priorityClassName\" field instead"},
      {"security.alpha.kubernetes.io/sysctls", "non-functional in v1.11+; use the \"sysctls\" field instead"},
      {"security.alpha.kubernetes.io/unsafe-sysctls",
       "non-functional in v1.11+; use the \"sysctls\" field instead"},
  };
  for (const auto& [key, message] : deprecated) {
    if (has(annotations, key)) warnings.push_back(path.key(key).text() + ": " + message);
  }
}

void warn_profile_annotations(const Json& pod, bool is_template, const FieldPath& path, Warnings& warnings) {
  const Json& annotations = annotations_of(pod);
  if (annotations.empty()) return;
  const Json& spec = map_of(pod, "spec");
  const FieldPath at = path.child("metadata").child("annotations");
  const Json& pod_context = map_of(spec, "securityContext");
  constexpr const char* kSeccomp = ": non-functional in v1.27+; use the \"seccompProfile\" field instead";
  if (!has(pod_context, "seccompProfile") && has(annotations, kSeccompPod)) {
    warnings.push_back(at.key(kSeccompPod).text() + kSeccomp);
  }
  for_each_container(spec, FieldPath(), [&](const Json& container, const FieldPath&) {
    const Json& context = map_of(container, "securityContext");
    const std::string name(text_of(container, "name"));
    const std::string seccomp = std::string(kSeccompContainer) + name;
    if (!has(context, "seccompProfile") && has(annotations, seccomp)) {
      warnings.push_back(at.key(seccomp).text() + kSeccomp);
    }
    // Of pods the annotation has become the field by now.
    const std::string app_armor = std::string(kAppArmor) + name;
    if (is_template && !has(context, "appArmorProfile") && has(annotations, app_armor)) {
      warnings.push_back(at.key(app_armor).text() +
                         ": deprecated since v1.30; use the \"appArmorProfile\" field instead");
    }
  });
}

// --- Lists ---------------------------------------------------------------------------------------------

/// Entries of a list that repeat a member.
void warn_repeated(const Json& list, const char* key, const FieldPath& path, Warnings& warnings) {
  std::set<std::string_view> seen;
  for (size_t i = 0; i < list.size(); ++i) {
    const std::string_view value = text_of(list[i], key);
    if (!seen.insert(value).second) {
      warnings.push_back(path.index(i).child(key).text() + ": duplicate " + key + " " + go_quote(value));
    }
  }
}

void warn_hidden_env(const Json& container, const FieldPath& path, Warnings& warnings) {
  std::set<std::string_view> seen;
  size_t i = 0;
  for (const Json& env : list_of(container, "env")) {
    const FieldPath at = path.child("env").index(i++);
    const std::string name(text_of(env, "name"));
    if (seen.insert(text_of(env, "name")).second) continue;
    // PATH=$(PATH):/x builds on the earlier one; anything else hides it.
    const std::string ref = "$(" + name + ")";
    const std::string_view value = text_of(env, "value");
    const bool builds_on =
        !has(env, "valueFrom") && value != ref && value.find(ref) != std::string_view::npos;
    if (!builds_on) {
      warnings.push_back(at.text() + ": hides previous definition of " + go_quote(name) +
                         ", which may be dropped when using apply");
    }
  }
}

void warn_containers(const Json& spec, const FieldPath& path, Warnings& warnings) {
  for_each_container(spec, path, [&](const Json& container, const FieldPath& at) {
    const Json& resources = map_of(container, "resources");
    for (const char* name : {"memory", "ephemeral-storage"}) {
      for (const char* list : {"limits", "requests"}) {
        warn_fraction(map_of(resources, list), name, at.child("resources").child(list), warnings);
      }
    }
    warn_hidden_env(container, at, warnings);
  });
}

// --- Ports ---------------------------------------------------------------------------------------------

struct NamedPort {
  FieldPath path;
  const Json* port;
};

/// A port as Go prints the struct.
std::string port_text(const Json& port) {
  return "{Name:" + std::string(text_of(port, "name")) +
         " HostPort:" + std::to_string(number_of(port, "hostPort")) +
         " ContainerPort:" + std::to_string(number_of(port, "containerPort")) +
         " Protocol:" + std::string(text_of(port, "protocol")) +
         " HostIP:" + std::string(text_of(port, "hostIP")) + "}";
}

void warn_port_pair(const Json& port, const NamedPort& other, const FieldPath& path, Warnings& warnings) {
  const int64_t host = number_of(port, "hostPort");
  const int64_t other_host = number_of(*other.port, "hostPort");
  const std::string_view ip = text_of(port, "hostIP");
  const std::string_view other_ip = text_of(*other.port, "hostIP");
  const char* what = nullptr;
  if (ip == other_ip && host == other_host) {
    what = ": duplicate port definition with ";
  } else if (host == 0 || other_host == 0) {
    what = ": overlapping port definition with ";
  } else if (host == other_host && ip.empty() != other_ip.empty()) {
    what = ": dangerously ambiguous port definition with ";
  }
  if (what) warnings.push_back(path.text() + what + other.path.text());
}

void warn_ports(const Json& spec, const FieldPath& path, Warnings& warnings) {
  std::map<std::string, std::vector<NamedPort>> by_number;
  for_each_container(spec, path, [&](const Json& container, const FieldPath& at) {
    size_t i = 0;
    for (const Json& port : list_of(container, "ports")) {
      const FieldPath here = at.child("ports").index(i++);
      if (!text_of(port, "hostIP").empty() && number_of(port, "hostPort") == 0) {
        warnings.push_back(here.text() + ": hostIP set without hostPort: " + port_text(port));
      }
      auto& others = by_number[std::to_string(number_of(port, "containerPort")) + "/" +
                               std::string(text_of(port, "protocol"))];
      for (const NamedPort& other : others) warn_port_pair(port, other, here, warnings);
      others.push_back({here, &port});
    }
  });
  std::map<std::string_view, std::string> by_name;
  for_each_container(spec, path, [&](const Json& container, const FieldPath& at) {
    size_t i = 0;
    for (const Json& port : list_of(container, "ports")) {
      const std::string here = at.child("ports").index(i++).text();
      const std::string_view name = text_of(port, "name");
      if (name.empty()) continue;
      const auto [it, fresh] = by_name.emplace(name, here);
      if (fresh) continue;
      warnings.push_back(here + ": duplicate port name " + go_quote(name) + " with " + it->second +
                         ", services and probes that select ports by name will use " + it->second);
    }
  });
}

Warnings warnings_for(const Json& pod, bool is_template, const FieldPath& path) {
  Warnings warnings;
  const Json& spec = map_of(pod, "spec");
  const FieldPath at = path.child("spec");
  warn_selectors(spec, at, warnings);
  warn_annotations(annotations_of(pod), path.child("metadata").child("annotations"), warnings);
  warn_volumes(list_of(spec, "volumes"), at.child("volumes"), warnings);
  warn_repeated(list_of(spec, "hostAliases"), "ip", at.child("hostAliases"), warnings);
  const Json& secrets = list_of(spec, "imagePullSecrets");
  warn_repeated(secrets, "name", at.child("imagePullSecrets"), warnings);
  for (size_t i = 0; i < secrets.size(); ++i) {
    if (!text_of(secrets[i], "name").empty()) continue;
    warnings.push_back(at.child("imagePullSecrets").index(i).child("name").text() +
                       ": invalid empty name \"\"");
  }
  for (const char* name : {"memory", "ephemeral-storage"}) {
    warn_fraction(map_of(spec, "overhead"), name, at.child("overhead"), warnings);
  }
  warn_profile_annotations(pod, is_template, path, warnings);
  warn_containers(spec, at, warnings);
  warn_ports(spec, at, warnings);
  if (number_of(spec, "terminationGracePeriodSeconds") < 0) {
    warnings.push_back(at.child("terminationGracePeriodSeconds").text() +
                       ": must be >= 0; negative values are invalid and will be treated as 1");
  }
  warn_pod_affinity(spec, at, warnings);
  size_t i = 0;
  for (const Json& server : list_of(map_of(spec, "dnsConfig"), "nameservers")) {
    warn_ip(text(server), at.child("dnsConfig").child("nameservers").index(i++), warnings);
  }
  i = 0;
  for (const Json& alias : list_of(spec, "hostAliases")) {
    warn_ip(text_of(alias, "ip"), at.child("hostAliases").index(i++).child("ip"), warnings);
  }
  return warnings;
}

}  // namespace

std::string_view deprecated_node_label(std::string_view key) {
  static const std::map<std::string_view, std::string_view> labels = {
      {"beta.kubernetes.io/arch", "deprecated since v1.14; use \"kubernetes.io/arch\" instead"},
      {"beta.kubernetes.io/os", "deprecated since v1.14; use \"kubernetes.io/os\" instead"},
      {"failure-domain.beta.kubernetes.io/region",
       "deprecated since v1.17; use \"topology.kubernetes.io/region\" instead"},
      {"failure-domain.beta.kubernetes.io/zone",
       "deprecated since v1.17; use \"topology.kubernetes.io/zone\" instead"},
      {"beta.kubernetes.io/instance-type",
       "deprecated since v1.17; use \"node.kubernetes.io/instance-type\" instead"},
      {"app.kubernetes.io/created-by", "deprecated since v1.9"},
      {"scheduler.alpha.kubernetes.io/preferAvoidPods",
       "deprecated since v1.22; use Taints and Tolerations instead"},
      {"node-role.kubernetes.io/master", "use \"node-role.kubernetes.io/control-plane\" instead"},
  };
  const auto it = labels.find(key);
  return it == labels.end() ? std::string_view() : it->second;
}

void warn_node_term(const Json& term, bool check_values, const FieldPath& path, Warnings& warnings) {
  size_t i = 0;
  for (const Json& expression : list_of(term, "matchExpressions")) {
    const FieldPath at = path.child("matchExpressions").index(i++);
    const std::string key(text_of(expression, "key"));
    const std::string_view message = deprecated_node_label(key);
    if (!message.empty())
      warnings.push_back(at.child("key").text() + ": " + key + " is " + std::string(message));
    if (!check_values) continue;
    size_t v = 0;
    for (const Json& value : list_of(expression, "values")) {
      const FieldPath value_path = at.child("values").index(v++);
      for (const std::string& problem : check_label_value(text(value))) {
        warnings.push_back(value_path.text() + ": " + std::string(text(value)) + " is invalid, " + problem);
      }
    }
  }
}

void warn_fraction(const Json& list, std::string_view name, const FieldPath& path, Warnings& warnings) {
  if (!has(list, name)) return;
  const auto quantity = Quantity::from_json(member_of(list, name));
  if (!quantity.ok() || quantity->milli_value() % 1000 == 0) return;
  warnings.push_back(path.key(name).text() + ": fractional byte value " + go_quote(quantity->text()) +
                     " is invalid, must be an integer");
}

void warn_claim_spec(const Json& spec, const FieldPath& path, Warnings& warnings) {
  for (const char* list : {"requests", "limits"}) {
    warn_fraction(map_of(map_of(spec, "resources"), list), "storage", path.child("resources").child(list),
                  warnings);
  }
}

void warn_pod_name(std::string_view name, Warnings& warnings) {
  const Problems problems = check_dns1123_label(name);
  if (problems.empty()) return;
  warnings.push_back(
      "metadata.name: this is used in Pod names and hostnames, which can result in surprising behavior; a "
      "DNS label "
      "is recommended: " +
      bracketed(problems));
}

Warnings warnings_for_pod(const Json& pod) {
  Warnings warnings = warnings_for(pod, false, FieldPath());
  const Problems problems = check_dns1123_label(name_of(pod));
  if (!problems.empty()) {
    warnings.insert(
        warnings.begin(),
        "metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; a "
        "DNS label is recommended: " +
            bracketed(problems));
  }
  return warnings;
}

Warnings warnings_for_template(const Json& pod_template, const Json* old, const FieldPath& path) {
  if (old && same(pod_template, *old)) return {};
  return warnings_for(pod_template, true, path);
}

}  // namespace orch::api
