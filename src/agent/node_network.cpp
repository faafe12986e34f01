#include "agent/node_network.h"

#include <mutex>

#include "agent/network/address.h"
#include "agent/network/cni.h"
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

std::vector<IpRange> pod_ranges(const api::Object& node) {
  std::vector<IpRange> out;
  const Json tree = node.tree();
  for (const auto& text : base::array_at(tree, {"spec", "podCIDRs"})) {
    if (auto range = parse_cidr(text.get<std::string>())) out.push_back(*range);
  }
  return out;
}

}  // namespace

struct NodeNetwork::Rep {
  NodeNetworkConfig config;
  std::function<void()> on_ready;
  HostFeatures features;
  std::unique_ptr<Routes> routes;
  std::unique_ptr<Proxy> proxy;
  std::mutex mutex;
  std::string written;  // under mutex: pod ranges of the configuration that is there
  base::ThreadPool pool{"network", 1};

  void node_changed(const api::Object& node) {
    auto ranges = pod_ranges(node);
    if (ranges.empty()) return;
    std::string text;
    for (const auto& r : ranges) text += r.text() + " ";
    {
      std::lock_guard lock(mutex);
      if (text == written) return;
      written = text;
    }
    pool.post([this, ranges] {
      CniConfig cni;
      cni.pod_ranges = ranges;
      cni.address_dir = config.cni_state_dir;
      Status s = base::make_dirs(config.cni_conf_dir, 0755);
      if (s.ok()) s = write_cni_config(cni, config.cni_conf_dir);
      if (!s.ok()) {
        base::log_error("network", "no CNI configuration", {{"error", s.message()}});
        return;
      }
      on_ready();
    });
  }
};

NodeNetwork::NodeNetwork(client::InformerFactory& informers, NodeNetworkConfig config,
                         std::function<void()> on_ready)
    : rep_(std::make_unique<Rep>()) {
  rep_->config = std::move(config);
  rep_->on_ready = std::move(on_ready);
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
  proxy.masquerade_local = !rep_->features.bridge_netfilter;
  if (auto dns = parse_ip(rep_->config.cluster_dns)) proxy.own_ips.push_back(*dns);
  rep_->proxy = std::make_unique<Proxy>(informers, std::move(proxy));
  informers.get(kNodes).on_change([rep = rep_.get()](const api::ObjectPtr&, const api::ObjectPtr& after) {
    if (after && after->name() == rep->config.node_name) rep->node_changed(*after);
  });
}

NodeNetwork::~NodeNetwork() = default;

Status NodeNetwork::start() {
  rep_->routes->start();
  rep_->proxy->start();
  return {};
}

}  // namespace orch::agent
