#include "agent/node_network.h"

#include <mutex>

#include "agent/network/address.h"
#include "agent/network/cni.h"
#include "agent/network/dns.h"
#include "agent/network/host.h"
#include "agent/network/routes.h"
#include "agent/proxy/proxy.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"

namespace orch::agent {

using base::Status;

namespace {

const client::ResourceRef kNodes{"", "v1", "nodes"};

/// Of the interface that has the node's address.
int uplink_mtu(const NodeNet& node) {
  const auto host = host_addresses();
  const HostAddress* uplink = node.addresses.empty() ? nullptr : find_address(host, node.addresses.front());
  return uplink != nullptr ? interface_mtu(uplink->interface) : 1500;
}

}  // namespace

struct NodeNetwork::Rep {
  NodeNetworkConfig config;
  HostFeatures features;
  std::unique_ptr<Routes> routes;
  std::unique_ptr<Proxy> proxy;
  std::unique_ptr<DnsServer> dns;
  base::SystemClock clock;
  std::mutex mutex;
  std::string written;  // under mutex: the configuration that is there
  base::ThreadPool pool{"network", 1};

  void node_changed(const api::Object& node) {
    const NodeNet net = read_node_net(node);
    if (net.pod_ranges.empty()) return;
    CniConfig cni;
    cni.pod_ranges = net.pod_ranges;
    cni.address_dir = config.cni_state_dir;
    cni.mtu =
        pod_mtu(uplink_mtu(net), OverlayMode::kAuto, !net.addresses.empty() && net.addresses.front().v6);
    const std::string text = cni_conflist(cni);
    {
      std::lock_guard lock(mutex);
      if (text == written) return;
      written = text;
    }
    pool.post([this, cni] {
      Status s = base::make_dirs(config.cni_conf_dir, 0755);
      if (s.ok()) s = write_cni_config(cni, config.cni_conf_dir);
      if (!s.ok()) {
        base::log_error("network", "no CNI configuration", {{"error", s.message()}});
        return;
      }
      config.on_ready();
    });
  }
};

NodeNetwork::NodeNetwork(client::InformerFactory& informers, NodeNetworkConfig config)
    : rep_(std::make_unique<Rep>()) {
  rep_->config = std::move(config);
  auto features = prepare_host(rep_->config.cluster_cidr.find(':') != std::string::npos);
  if (features.ok()) {
    rep_->features = *features;
  } else {
    base::log_warning("network", "kernel settings", {{"error", features.error().message()}});
  }
  RoutesConfig routes;
  routes.node_name = rep_->config.node_name;
  rep_->routes = std::make_unique<Routes>(informers, std::move(routes));
  ProxyConfig proxy;
  proxy.node_name = rep_->config.node_name;
  proxy.ipv6 = rep_->config.cluster_cidr.find(':') != std::string::npos;
  proxy.ipv4 = !proxy.ipv6;
  proxy.on_status = rep_->config.on_services;
  proxy.masquerade_local = !rep_->features.bridge_netfilter;
  if (auto ip = parse_ip(rep_->config.cluster_dns)) {
    proxy.own_ips.push_back(*ip);
    DnsConfig dns;
    dns.addresses = {*ip};
    dns.domain = rep_->config.cluster_domain;
    dns.resolv_conf = rep_->config.resolv_conf;
    rep_->dns = std::make_unique<DnsServer>(informers, rep_->clock, std::move(dns));
  }
  rep_->proxy = std::make_unique<Proxy>(informers, std::move(proxy));
  informers.get(kNodes).on_change([rep = rep_.get()](const api::ObjectPtr&, const api::ObjectPtr& after) {
    if (after && after->name() == rep->config.node_name) rep->node_changed(*after);
  });
}

NodeNetwork::~NodeNetwork() = default;

Status NodeNetwork::start() {
  rep_->routes->start();
  rep_->proxy->start();
  if (rep_->dns) {
    const Status dns = rep_->dns->start();
    if (!dns.ok()) base::log_error("network", "no cluster DNS on this node", {{"error", dns.message()}});
  }
  return {};
}

void NodeNetwork::stop() {
  rep_->dns.reset();
  rep_->proxy.reset();
  rep_->routes.reset();
}

}  // namespace orch::agent
