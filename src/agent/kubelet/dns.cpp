#include "agent/kubelet/dns.h"

#include <algorithm>
#include <sstream>

#include "base/json.h"

namespace orch::agent {
namespace {

using base::array_at;
using base::Code;
using base::Result;
using base::Status;
using base::string_at;

constexpr size_t kMaxServers = 3, kMaxSearches = 32, kMaxSearchBytes = 2048;
constexpr size_t kMaxHostname = 63, kMaxFullHostname = 64;

void append_unique(std::vector<std::string>& list, const std::string& item) {
  if (std::find(list.begin(), list.end(), item) == list.end()) list.push_back(item);
}

/// "ndots:5" replaces another "ndots:…".
void set_option(std::vector<std::string>& options, const std::string& option) {
  const std::string name = option.substr(0, option.find(':'));
  for (std::string& old : options) {
    if (old.substr(0, old.find(':')) == name) {
      old = option;
      return;
    }
  }
  options.push_back(option);
}

void apply_limits(DnsConfig& dns) {
  if (dns.servers.size() > kMaxServers) dns.servers.resize(kMaxServers);
  if (dns.searches.size() > kMaxSearches) dns.searches.resize(kMaxSearches);
  size_t bytes = 0;
  for (size_t i = 0; i < dns.searches.size(); ++i) {
    bytes += dns.searches[i].size() + (i != 0 ? 1 : 0);
    if (bytes > kMaxSearchBytes) {
      dns.searches.resize(i);
      break;
    }
  }
}

}  // namespace

DnsConfig parse_resolv_conf(std::string_view text) {
  DnsConfig out;
  std::istringstream lines{std::string(text)};
  std::string line;
  while (std::getline(lines, line)) {
    std::istringstream words(line.substr(0, line.find_first_of("#;")));
    std::string keyword, word;
    if (!(words >> keyword)) continue;
    if (keyword == "nameserver") {
      if (words >> word) out.servers.push_back(word);
    } else if (keyword == "search") {
      out.searches.clear();
      while (words >> word) {
        if (word.size() > 1 && word.back() == '.') word.pop_back();
        out.searches.push_back(word);
      }
    } else if (keyword == "options") {
      while (words >> word) set_option(out.options, word);
    }
  }
  return out;
}

DnsConfig pod_dns(const Pod& pod, const KubeletConfig& config, const DnsConfig& host, bool* falls_back) {
  std::string policy(string_at(pod.tree(), {"spec", "dnsPolicy"}, "ClusterFirst"));
  if (policy == "ClusterFirst" && pod.host_network()) policy = "Default";
  if (policy == "ClusterFirstWithHostNet") policy = "ClusterFirst";
  *falls_back = policy == "ClusterFirst" && config.cluster_dns.empty();
  DnsConfig out;
  if (policy == "ClusterFirst" && !*falls_back) {
    out.servers = config.cluster_dns;
    if (!config.cluster_domain.empty()) {
      out.searches = {base::cat(pod.ns(), ".svc.", config.cluster_domain), "svc." + config.cluster_domain,
                      config.cluster_domain};
    }
    for (const std::string& domain : host.searches) append_unique(out.searches, domain);
    out.options = {"ndots:5"};
  } else if (policy != "None") {
    out = host;
    // A pod cannot reach the node's loopback: without a server the runtime's default would be no better.
    if (out.servers.empty() && !pod.host_network()) out.servers = {"127.0.0.1"};
  }
  const Json& own = base::object_at(pod.tree(), {"spec", "dnsConfig"});
  for (const Json& server : array_at(own, {"nameservers"}))
    append_unique(out.servers, server.get<std::string>());
  for (const Json& domain : array_at(own, {"searches"}))
    append_unique(out.searches, domain.get<std::string>());
  for (const Json& option : array_at(own, {"options"})) {
    const std::string name(string_at(option, {"name"}));
    const Json* value = base::find_path(option, {"value"});
    set_option(out.options,
               value != nullptr && value->is_string() && !value->get_ref<const std::string&>().empty()
                   ? name + ":" + value->get<std::string>()
                   : name);
  }
  apply_limits(out);
  return out;
}

Result<PodHostname> pod_hostname(const Pod& pod, const std::string& cluster_domain) {
  PodHostname out;
  const Json& spec = pod.spec();
  if (const auto override_name = string_at(spec, {"hostnameOverride"}); !override_name.empty()) {
    out.hostname = out.short_name = override_name;
    return out;
  }
  std::string name(string_at(spec, {"hostname"}));
  if (name.empty()) name = pod.name();
  if (name.size() > kMaxHostname) {
    name.resize(kMaxHostname);
    while (!name.empty() && (name.back() == '-' || name.back() == '.')) name.pop_back();
  }
  out.hostname = out.short_name = name;
  if (const auto subdomain = string_at(spec, {"subdomain"}); !subdomain.empty()) {
    out.domain = base::cat(subdomain, ".", pod.ns(), ".svc.", cluster_domain);
  }
  if (base::bool_at(spec, {"setHostnameAsFQDN"}) && !out.domain.empty()) {
    const std::string full = out.short_name + "." + out.domain;
    if (full.size() > kMaxFullHostname) {
      return Status(Code::kBadRequest,
                    base::cat("Failed to construct FQDN from pod hostname and cluster domain, FQDN ", full,
                              " is too long (", kMaxFullHostname, " characters is the max, ", full.size(),
                              " characters requested)"));
    }
    out.hostname = full;
  }
  return out;
}

std::string hosts_file(const Pod& pod, const PodHostname& names, const std::vector<std::string>& ips,
                       const std::string& node_hosts) {
  std::string out;
  if (pod.host_network()) {
    out = "# Kubernetes-managed hosts file (host network).\n" + node_hosts;
  } else {
    out =
        "# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"
        "fe00::0\tip6-localnet\nfe00::0\tip6-mcastprefix\nfe00::1\tip6-allnodes\nfe00::2\tip6-allrouters\n";
    for (const std::string& ip : ips) {
      out += ip + "\t";
      if (!names.domain.empty()) out += names.short_name + "." + names.domain + "\t";
      out += names.short_name + "\n";
    }
  }
  const Json& aliases = array_at(pod.tree(), {"spec", "hostAliases"});
  if (aliases.empty()) return out;
  out += "\n# Entries added by HostAliases.\n";
  for (const Json& alias : aliases) {
    out += string_at(alias, {"ip"});
    for (const Json& name : array_at(alias, {"hostnames"})) out += "\t" + name.get<std::string>();
    out += "\n";
  }
  return out;
}

}  // namespace orch::agent
