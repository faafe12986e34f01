// Names inside a pod: resolv.conf by dnsPolicy, host name, /etc/hosts. Pure.
#pragma once

#include <string>
#include <vector>

#include "agent/cri/runtime.h"
#include "agent/kubelet/config.h"
#include "agent/kubelet/pod.h"
#include "base/status.h"

namespace orch::agent {

using DnsConfig = SandboxConfig::Dns;

/// Reads nameserver, search and options lines; the last search line counts.
DnsConfig parse_resolv_conf(std::string_view text);

/// What a pod's resolv.conf says: ClusterFirst (with ndots:5 and the cluster's search list), Default (the
/// node's), None, ClusterFirstWithHostNet, each with spec.dnsConfig added. At most 3 servers and 32 domains.
/// `falls_back`: ClusterFirst was asked for and the node has no cluster DNS.
DnsConfig pod_dns(const Pod& pod, const KubeletConfig& config, const DnsConfig& host, bool* falls_back);

/// Host name of a pod's sandbox and the domain its hosts file adds.
struct PodHostname {
  std::string hostname;  // at most 63 characters, or the full name with setHostnameAsFQDN
  std::string short_name;
  std::string domain;  // "sub.ns.svc.cluster.local" or ""
};
/// kBadRequest when setHostnameAsFQDN makes a name over 64 characters.
base::Result<PodHostname> pod_hostname(const Pod& pod, const std::string& cluster_domain);

/// The managed hosts file; `node_hosts` is the node's own, used for pods on the host's network.
std::string hosts_file(const Pod& pod, const PodHostname& names, const std::vector<std::string>& ips,
                       const std::string& node_hosts);

}  // namespace orch::agent
