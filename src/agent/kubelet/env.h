// A container's environment. Reads config maps and secrets through ObjectSource; else pure.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "agent/kubelet/downward.h"
#include "agent/kubelet/object_source.h"
#include "agent/kubelet/pod.h"

namespace orch::agent {

/// $(NAME) references replaced from `values`; $$ is one $; unknown references stay as they are.
std::string expand(std::string_view text, const std::map<std::string, std::string>& values);

/// NAME_SERVICE_HOST and so on of services in the pod's namespace (when `links`) and of default/kubernetes.
std::map<std::string, std::string> service_variables(const std::vector<api::ObjectPtr>& services,
                                                     std::string_view ns, bool links);

struct EnvInput {
  PodAddresses addresses;
  NodeResources node;
  std::map<std::string, std::string> services;
};

/// envFrom, then env, then the services' variables; sorted by name. Errors are worded as the kubelet does
/// (they show as CreateContainerConfigError).
base::Result<std::vector<std::pair<std::string, std::string>>> container_env(const Pod& pod,
                                                                             const ContainerRef& container,
                                                                             ObjectSource& source,
                                                                             const EnvInput& input);

}  // namespace orch::agent
