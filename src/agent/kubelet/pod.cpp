#include "agent/kubelet/pod.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>

#include "api/quantity.h"
#include "base/json.h"

namespace orch::agent {

using base::array_at;
using base::bool_at;
using base::find_path;
using base::int_at;
using base::object_at;
using base::string_at;

std::string_view ContainerRef::name() const { return string_at(*spec, {"name"}); }

bool ContainerRef::sidecar() const {
  return kind == ContainerKind::kInit && string_at(*spec, {"restartPolicy"}) == "Always";
}

std::string ContainerRef::field_path() const {
  const std::string_view list = kind == ContainerKind::kInit        ? "initContainers"
                                : kind == ContainerKind::kEphemeral ? "ephemeralContainers"
                                                                    : "containers";
  return base::cat("spec.", list, "{", name(), "}");
}

const Json& Pod::spec() const { return object_at(*tree_, {"spec"}); }
std::string_view Pod::name() const { return string_at(*tree_, {"metadata", "name"}); }
std::string_view Pod::ns() const { return string_at(*tree_, {"metadata", "namespace"}); }
std::string_view Pod::uid() const { return string_at(*tree_, {"metadata", "uid"}); }
std::string Pod::format() const { return base::cat(name(), "_", ns(), "(", uid(), ")"); }
int64_t Pod::generation() const { return int_at(*tree_, {"metadata", "generation"}); }
bool Pod::deleting() const { return find_path(*tree_, {"metadata", "deletionTimestamp"}) != nullptr; }

bool Pod::is_static() const {
  const auto source = string_at(*tree_, {"metadata", "annotations", "kubernetes.io/config.source"});
  return !source.empty() && source != "api";
}

RestartPolicy Pod::restart_policy() const {
  const auto text = string_at(*tree_, {"spec", "restartPolicy"});
  return text == "Never"       ? RestartPolicy::kNever
         : text == "OnFailure" ? RestartPolicy::kOnFailure
                               : RestartPolicy::kAlways;
}

bool Pod::host_network() const { return bool_at(*tree_, {"spec", "hostNetwork"}); }
bool Pod::host_pid() const { return bool_at(*tree_, {"spec", "hostPID"}); }
bool Pod::host_ipc() const { return bool_at(*tree_, {"spec", "hostIPC"}); }
bool Pod::share_process_namespace() const { return bool_at(*tree_, {"spec", "shareProcessNamespace"}); }

bool Pod::phase_is_terminal() const {
  const auto phase = string_at(*tree_, {"status", "phase"});
  return phase == "Succeeded" || phase == "Failed";
}

int64_t Pod::grace_seconds() const {
  const int64_t spec_grace = int_at(*tree_, {"spec", "terminationGracePeriodSeconds"}, 30);
  return std::max<int64_t>(int_at(*tree_, {"metadata", "deletionGracePeriodSeconds"}, spec_grace), 0);
}

bool Pod::privileged() const {
  const auto all = all_containers();
  return std::any_of(all.begin(), all.end(), [](const ContainerRef& c) {
    return bool_at(*c.spec, {"securityContext", "privileged"});
  });
}

std::vector<ContainerRef> Pod::list(const char* member, ContainerKind kind) const {
  std::vector<ContainerRef> out;
  for (const Json& c : array_at(*tree_, {"spec", member})) out.push_back({&c, kind, out.size()});
  return out;
}

std::vector<ContainerRef> Pod::init_containers() const {
  return list("initContainers", ContainerKind::kInit);
}
std::vector<ContainerRef> Pod::containers() const { return list("containers", ContainerKind::kRegular); }
std::vector<ContainerRef> Pod::ephemeral_containers() const {
  return list("ephemeralContainers", ContainerKind::kEphemeral);
}

std::vector<ContainerRef> Pod::all_containers() const {
  auto out = init_containers();
  for (const auto& c : containers()) out.push_back(c);
  for (const auto& c : ephemeral_containers()) out.push_back(c);
  return out;
}

ContainerRef Pod::find_container(std::string_view name) const {
  for (const ContainerRef& c : all_containers()) {
    if (c.name() == name) return c;
  }
  return {};
}

QosClass qos_class(const Pod& pod) {
  static constexpr std::array<std::string_view, 2> kNames{"cpu", "memory"};
  bool anything = false;
  bool guaranteed = true;
  std::array<api::Quantity, 2> requests, limits;
  const auto look = [&](const Json& resources, bool& all_limited) {
    for (size_t i = 0; i < kNames.size(); ++i) {
      const auto request = api::Quantity::of(find_path(resources, {"requests", kNames[i]}));
      const auto limit = api::Quantity::of(find_path(resources, {"limits", kNames[i]}));
      if (request.sign() > 0) anything = true, requests[i] += request;
      if (limit.sign() > 0) {
        anything = true, limits[i] += limit;
      } else {
        all_limited = false;
      }
    }
  };
  if (const Json* resources = find_path(pod.tree(), {"spec", "resources"});
      resources != nullptr && !resources->empty()) {
    look(*resources, guaranteed);  // pod-level resources alone decide
  } else {
    for (const ContainerRef& c : pod.all_containers()) {
      if (c.kind != ContainerKind::kEphemeral) look(object_at(*c.spec, {"resources"}), guaranteed);
    }
  }
  if (!anything) return QosClass::kBestEffort;
  if (guaranteed && requests == limits) return QosClass::kGuaranteed;
  return QosClass::kBurstable;
}

std::string_view qos_name(QosClass qos) {
  switch (qos) {
    case QosClass::kGuaranteed:
      return "Guaranteed";
    case QosClass::kBurstable:
      return "Burstable";
    default:
      return "BestEffort";
  }
}

std::string container_hash(const Json& container) {
  uint32_t hash = 2166136261U;
  const auto mix = [&hash](std::string_view text) {
    for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 16777619U;
    hash = (hash ^ 0xffU) * 16777619U;
  };
  mix(string_at(container, {"name"}));
  mix(string_at(container, {"image"}));
  std::array<char, 9> text{};
  std::snprintf(text.data(), text.size(), "%08x", hash);
  return text.data();
}

bool should_restart(const Pod& pod, const Json& container, int32_t exit_code) {
  const auto own = string_at(container, {"restartPolicy"});
  if (!own.empty()) {
    for (const Json& rule : array_at(container, {"restartPolicyRules"})) {
      const Json& values = array_at(rule, {"exitCodes", "values"});
      const bool listed = std::any_of(values.begin(), values.end(),
                                      [&](const Json& v) { return v.is_number_integer() && v == exit_code; });
      const auto op = string_at(rule, {"exitCodes", "operator"});
      const bool matches = op == "In" ? listed : op == "NotIn" && !listed;
      if (matches && string_at(rule, {"action"}) == "Restart") return true;
      if (matches) break;
    }
    if (own == "Always") return true;
    if (own == "Never") return false;
    if (own == "OnFailure") return exit_code != 0;
  }
  switch (pod.restart_policy()) {
    case RestartPolicy::kNever:
      return false;
    case RestartPolicy::kOnFailure:
      return exit_code != 0;
    default:
      return true;
  }
}

bool restarts_after_failure(const Pod& pod, const ContainerRef& container) {
  const auto own = string_at(*container.spec, {"restartPolicy"});
  if (!own.empty()) return own != "Never";
  return pod.restart_policy() != RestartPolicy::kNever;
}

void PodRuntime::sort() {
  std::stable_sort(sandboxes.begin(), sandboxes.end(),
                   [](const auto& a, const auto& b) { return a.created_at_ns > b.created_at_ns; });
  std::stable_sort(containers.begin(), containers.end(),
                   [](const auto& a, const auto& b) { return a.created_at_ns > b.created_at_ns; });
}

const ContainerStatus* PodRuntime::latest(std::string_view name) const {
  for (const ContainerStatus& c : containers) {
    if (c.name == name) return &c;
  }
  return nullptr;
}

bool PodRuntime::any_running() const {
  return std::any_of(containers.begin(), containers.end(),
                     [](const ContainerStatus& c) { return c.state == ContainerState::kRunning; });
}

std::string_view label_of(const StringMap& labels, const char* key) {
  const auto it = labels.find(key);
  return it == labels.end() ? std::string_view() : std::string_view(it->second);
}

int64_t restart_count(const ContainerStatus& status) {
  const auto text = label_of(status.annotations, label::kRestartCount);
  return text.empty() ? status.attempt : std::strtoll(std::string(text).c_str(), nullptr, 10);
}

}  // namespace orch::agent
