#include "agent/kubelet/node_status.h"

#include <algorithm>

#include "api/quantity.h"
#include "base/json.h"

namespace orch::agent {
namespace {

using base::array_at;
using base::find_path;
using base::object_at;
using base::string_at;

constexpr size_t kMaxImages = 50;
constexpr int64_t kMemoryThreshold = 100 << 20;  // evictionHard memory.available<100Mi
constexpr const char* kApiVersion = "v1.35.4";

Json condition(const char* type, bool value, const char* reason, std::string message, const Json& previous,
               base::WallTime now) {
  const std::string text = base::format_time(now);
  Json out{{"type", type},
           {"status", value ? "True" : "False"},
           {"lastHeartbeatTime", text},
           {"lastTransitionTime", text},
           {"reason", reason},
           {"message", std::move(message)}};
  for (const Json& old : array_at(previous, {"conditions"})) {
    if (string_at(old, {"type"}) == type && string_at(old, {"status"}) == string_at(out, {"status"}) &&
        old.contains("lastTransitionTime")) {
      out["lastTransitionTime"] = old["lastTransitionTime"];
    }
  }
  return out;
}

Json ready_condition(const Json& previous, const NodeStatusInput& input) {
  std::string why;
  if (!input.runtime_error.empty()) {
    why = "container runtime is down: " + input.runtime_error;
  } else if (!input.runtime.runtime_ready) {
    why = "container runtime not ready: RuntimeReady=false message:" + input.runtime.message;
  } else if (!input.runtime.network_ready) {
    why = "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady message:" +
          input.runtime.message;
  }
  if (why.empty()) {
    return condition("Ready", true, "KubeletReady", "kubelet is posting ready status", previous, input.now);
  }
  return condition("Ready", false, "KubeletNotReady", std::move(why), previous, input.now);
}

void add_pressure(Json& conditions, const Json& previous, const NodeStatusInput& input) {
  const Pressure& p = input.pressure;
  const MachineInfo& m = input.machine;
  const bool memory = p.memory_available < kMemoryThreshold;
  const bool disk =
      p.disk_available * 100 < m.disk_bytes * 10 || p.inodes_available * 100 < m.disk_inodes * 5;
  const bool pids = m.max_pids > 0 && p.pids * 100 > m.max_pids * 95;
  conditions.push_back(memory ? condition("MemoryPressure", true, "KubeletHasInsufficientMemory",
                                          "kubelet has insufficient memory available", previous, input.now)
                              : condition("MemoryPressure", false, "KubeletHasSufficientMemory",
                                          "kubelet has sufficient memory available", previous, input.now));
  conditions.push_back(disk ? condition("DiskPressure", true, "KubeletHasDiskPressure",
                                        "kubelet has disk pressure", previous, input.now)
                            : condition("DiskPressure", false, "KubeletHasNoDiskPressure",
                                        "kubelet has no disk pressure", previous, input.now));
  conditions.push_back(pids ? condition("PIDPressure", true, "KubeletHasInsufficientPID",
                                        "kubelet has insufficient PID available", previous, input.now)
                            : condition("PIDPressure", false, "KubeletHasSufficientPID",
                                        "kubelet has sufficient PID available", previous, input.now));
}

/// Pods that are there go on, but no new ones come. A node whose services always worked does not mention it.
void add_network(Json& conditions, const Json& previous, const NodeStatusInput& input) {
  const auto before = array_at(previous, {"conditions"});
  const bool mentioned = std::any_of(before.begin(), before.end(), [](const Json& c) {
    return string_at(c, {"type"}) == "NetworkUnavailable";
  });
  if (!input.services_error.empty()) {
    conditions.push_back(condition("NetworkUnavailable", true, "ServiceRulesNotWritten", input.services_error,
                                   previous, input.now));
  } else if (mentioned) {
    conditions.push_back(condition("NetworkUnavailable", false, "ServiceRulesWritten",
                                   "the rules of all services are in place", previous, input.now));
  }
}

bool is_own_condition(std::string_view type) {
  return type == "Ready" || type == "NetworkUnavailable" || type == "MemoryPressure" ||
         type == "DiskPressure" || type == "PIDPressure";
}

Json image_list(std::vector<ImageInfo> images) {
  std::sort(images.begin(), images.end(),
            [](const ImageInfo& a, const ImageInfo& b) { return a.size > b.size; });
  if (images.size() > kMaxImages) images.resize(kMaxImages);
  Json out = Json::array();
  for (const ImageInfo& image : images) {
    Json names = Json::array();
    for (const std::string& n : image.repo_digests) names.push_back(n);
    for (const std::string& n : image.repo_tags) names.push_back(n);
    if (names.empty()) continue;
    out.push_back(Json{{"names", std::move(names)}, {"sizeBytes", image.size}});
  }
  return out;
}

Json without_heartbeats(const Json& status) {
  Json out = status;
  if (out.is_object() && out.contains("conditions")) {
    for (Json& c : out["conditions"]) c.erase("lastHeartbeatTime");
  }
  return out;
}

}  // namespace

std::string kubelet_version(std::string_view orch_version) {
  std::string out = base::cat(kApiVersion, "+orch");
  if (orch_version.empty() || orch_version == "unknown") return out;
  out += '.';
  for (const char c : orch_version) {
    const bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '.';
    out += plain ? c : '-';
  }
  return out;
}

Json capacity_of(const MachineInfo& machine, int64_t max_pods) {
  // In the form the API stores: what differs only in form would be reported as changed, again and again.
  const auto kibibytes = [](int64_t bytes) {
    const auto amount = api::Quantity::parse(base::cat(bytes / 1024, "Ki"));
    return amount.ok() ? amount->text() : std::string("0");
  };
  Json out{{"cpu", std::to_string(machine.cpus)},
           {"memory", kibibytes(machine.memory_bytes)},
           {"ephemeral-storage", kibibytes(machine.disk_bytes)},
           {"pods", std::to_string(max_pods)}};
  for (const std::string& size : machine.hugepage_sizes) out["hugepages-" + size] = "0";
  return out;
}

Json allocatable_of(const Json& capacity, const KubeletConfig& config) {
  Json out = capacity;
  for (const auto& [name, text] : config.reserved) {
    const Json* have = find_path(capacity, {name});
    const auto reserved = api::Quantity::parse(text);
    if (have == nullptr || !reserved.ok()) continue;
    api::Quantity left = api::Quantity::of(have) - *reserved;
    if (left.sign() < 0) left = api::Quantity();
    out[name] = left.text();
  }
  return out;
}

std::map<std::string, std::string> default_labels(const KubeletConfig& config, const MachineInfo& machine) {
  std::map<std::string, std::string> out{{"kubernetes.io/hostname", config.node_name},
                                         {"kubernetes.io/os", "linux"},
                                         {"kubernetes.io/arch", machine.architecture},
                                         {"beta.kubernetes.io/os", "linux"},
                                         {"beta.kubernetes.io/arch", machine.architecture}};
  for (const auto& [key, value] : config.node_labels) out[key] = value;
  return out;
}

Json node_status(const Json& previous, const KubeletConfig& config, const NodeStatusInput& input) {
  Json out = previous.is_object() ? previous : Json::object();
  const Json capacity = capacity_of(input.machine, config.max_pods);
  // Extended resources of device plugins and operators stay.
  Json merged = object_at(previous, {"capacity"});
  merged.update(capacity);
  Json allocatable = object_at(previous, {"allocatable"});
  allocatable.update(allocatable_of(capacity, config));
  out["capacity"] = std::move(merged);
  out["allocatable"] = std::move(allocatable);

  Json conditions = Json::array();
  add_network(conditions, previous, input);
  add_pressure(conditions, previous, input);
  conditions.push_back(ready_condition(previous, input));
  Json kept = Json::array();
  for (const Json& c : array_at(previous, {"conditions"})) {
    if (!is_own_condition(string_at(c, {"type"}))) kept.push_back(c);
  }
  for (Json& c : conditions) kept.push_back(std::move(c));
  out["conditions"] = std::move(kept);

  Json addresses = Json::array();
  for (const std::string& ip : input.addresses)
    addresses.push_back({{"type", "InternalIP"}, {"address", ip}});
  addresses.push_back({{"type", "Hostname"}, {"address", config.node_name}});
  out["addresses"] = std::move(addresses);
  out["daemonEndpoints"] = {{"kubeletEndpoint", {{"Port", config.port}}}};
  const MachineInfo& m = input.machine;
  std::string runtime_version = "containerd://Unknown";
  if (!input.runtime.name.empty()) {
    runtime_version = base::cat(input.runtime.name, "://", input.runtime.version);
  } else if (const auto before = string_at(previous, {"nodeInfo", "containerRuntimeVersion"});
             !before.empty()) {
    runtime_version = before;
  }
  out["nodeInfo"] = {{"machineID", m.machine_id},
                     {"systemUUID", m.system_uuid},
                     {"bootID", m.boot_id},
                     {"kernelVersion", m.kernel},
                     {"osImage", m.os_image},
                     {"containerRuntimeVersion", runtime_version},
                     {"kubeletVersion", kubelet_version(input.orch_version)},
                     {"kubeProxyVersion", ""},
                     {"operatingSystem", "linux"},
                     {"architecture", m.architecture}};
  if (!input.images.empty()) out["images"] = image_list(input.images);
  return out;
}

Json new_node(const KubeletConfig& config, const MachineInfo& machine, const Json& status) {
  Json labels = Json::object();
  for (const auto& [key, value] : default_labels(config, machine)) labels[key] = value;
  Json node{{"kind", "Node"},
            {"apiVersion", "v1"},
            {"metadata", {{"name", config.node_name}, {"labels", std::move(labels)}}},
            {"spec", Json::object()},
            {"status", status}};
  if (!config.provider_id.empty()) node["spec"]["providerID"] = config.provider_id;
  Json taints = Json::array();
  for (const std::string& text : config.node_taints) {
    const size_t colon = text.rfind(':');
    if (colon == std::string::npos) continue;
    const std::string head = text.substr(0, colon);
    const size_t equals = head.find('=');
    Json taint{{"key", head.substr(0, equals)}, {"effect", text.substr(colon + 1)}};
    if (equals != std::string::npos && equals + 1 < head.size()) taint["value"] = head.substr(equals + 1);
    taints.push_back(std::move(taint));
  }
  if (!taints.empty()) node["spec"]["taints"] = std::move(taints);
  return node;
}

bool node_status_changed(const Json& before, const Json& after) {
  return without_heartbeats(before) != without_heartbeats(after);
}

}  // namespace orch::agent
