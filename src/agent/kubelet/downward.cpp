#include "agent/kubelet/downward.h"

#include "api/go_text.h"
#include "api/quantity.h"
#include "base/json.h"

namespace orch::agent {
namespace {

using base::Code;
using base::find_path;
using base::object_at;
using base::Result;
using base::Status;
using base::string_at;

std::string format_map(const Json& map) {
  std::string out;
  for (const auto& [key, value] : map.items()) {
    if (!out.empty()) out += '\n';
    out += base::cat(key, "=",
                     api::go_quote(value.is_string() ? value.get_ref<const std::string&>() : std::string()));
  }
  return out;
}

/// "metadata.labels['x']" -> x, if `path` starts with `prefix`.
bool subscript(std::string_view path, std::string_view prefix, std::string& key) {
  if (path.substr(0, prefix.size()) != prefix) return false;
  path.remove_prefix(prefix.size());
  if (path.size() < 4 || path.substr(0, 2) != "['" || path.substr(path.size() - 2) != "']") return false;
  key = path.substr(2, path.size() - 4);
  return true;
}

}  // namespace

Result<std::string> field_value(const Pod& pod, std::string_view path, const PodAddresses& addresses) {
  const Json& tree = pod.tree();
  std::string key;
  if (subscript(path, "metadata.labels", key)) {
    return std::string(string_at(tree, {"metadata", "labels", key}));
  }
  if (subscript(path, "metadata.annotations", key)) {
    return std::string(string_at(tree, {"metadata", "annotations", key}));
  }
  if (path == "metadata.labels") return format_map(object_at(tree, {"metadata", "labels"}));
  if (path == "metadata.annotations") return format_map(object_at(tree, {"metadata", "annotations"}));
  if (path == "metadata.name") return std::string(pod.name());
  if (path == "metadata.namespace") return std::string(pod.ns());
  if (path == "metadata.uid") return std::string(pod.uid());
  if (path == "spec.nodeName") return std::string(string_at(tree, {"spec", "nodeName"}));
  if (path == "spec.serviceAccountName") return std::string(string_at(tree, {"spec", "serviceAccountName"}));
  if (path == "status.hostIP") return addresses.host_ips.empty() ? std::string() : addresses.host_ips.front();
  if (path == "status.hostIPs") return api::join(addresses.host_ips, ",");
  if (path == "status.podIP") return addresses.pod_ips.empty() ? std::string() : addresses.pod_ips.front();
  if (path == "status.podIPs") return api::join(addresses.pod_ips, ",");
  return Status(Code::kBadRequest, base::cat("unsupported fieldPath: ", path));
}

Result<std::string> resource_value(const Pod& pod, const Json& reference, std::string_view own_container,
                                   const NodeResources& node) {
  const auto named = string_at(reference, {"containerName"});
  const ContainerRef container = pod.find_container(named.empty() ? own_container : named);
  if (container.spec == nullptr) {
    return Status(Code::kNotFound, base::cat("container ", named, " not found"));
  }
  const auto resource = string_at(reference, {"resource"});
  const size_t dot = resource.find('.');
  const auto list = resource.substr(0, dot);
  const auto name = dot == std::string_view::npos ? std::string_view() : resource.substr(dot + 1);
  const bool known =
      name == "cpu" || name == "memory" || name == "ephemeral-storage" || name.substr(0, 10) == "hugepages-";
  if ((list != "limits" && list != "requests") || !known) {
    return Status(Code::kBadRequest, base::cat("unsupported container resource : ", resource));
  }
  api::Quantity value = api::Quantity::of(find_path(*container.spec, {"resources", list, name}));
  if (value.is_zero() && list == "limits") {
    const std::string& fallback = name == "cpu"      ? node.cpu
                                  : name == "memory" ? node.memory
                                                     : node.ephemeral_storage;
    if (name.substr(0, 10) != "hugepages-") {
      if (auto parsed = api::Quantity::parse(fallback); parsed.ok()) value = *parsed;
    }
  }
  api::Quantity divisor = api::Quantity::of(find_path(reference, {"divisor"}));
  if (divisor.is_zero()) divisor = api::Quantity::of(int64_t{1});
  const bool milli = name == "cpu";
  const int64_t amount = milli ? value.milli_value() : value.value();
  const int64_t unit = std::max<int64_t>(milli ? divisor.milli_value() : divisor.value(), 1);
  return std::to_string(amount / unit + (amount % unit != 0 ? 1 : 0));
}

}  // namespace orch::agent
