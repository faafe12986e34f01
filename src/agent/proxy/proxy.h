// Proxy: services and endpoint slices into nftables, as they change. Takes the place of kube-proxy.
//
// A table `orch-proxy` of the node's own, per address family, holds everything; other tables are left alone.
// It is made anew at start and after a failed transaction, otherwise changed by differences. Connections of
// clients survive both, and survive the agent.
#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "agent/network/work_signal.h"
#include "agent/proxy/nft_table.h"
#include "agent/proxy/rules.h"
#include "base/status.h"
#include "client/informer.h"

namespace orch::agent {

struct ProxyConfig {
  std::string node_name;
  bool ipv4 = true, ipv6 = false;
  /// Cluster IPs that the node answers itself, such as that of DNS.
  std::vector<IpRange> own_ips;
  /// See RulesConfig; the negation of HostFeatures::bridge_netfilter.
  bool masquerade_local = false;
  uint32_t masquerade_mark = 0x4000;
  std::string table = "orch-proxy";
  std::string nft = "nft";
  /// Called on the proxy's thread when services cease to work on this node, and when they work again.
  std::function<void(const base::Status&)> on_status;
};

/// Thread-safe. Construct before the informers start; the factory must outlive this. One thread of its own,
/// asleep while nothing changes.
class Proxy {
 public:
  Proxy(client::InformerFactory& informers, ProxyConfig config);
  /// Stops; the rules stay.
  ~Proxy();
  void start();
  /// OK once the kernel holds what the API says; else why not (kNotFound when nft is not installed).
  base::Status status() const;
  /// Waits until the first full write was tried; false on timeout.
  bool wait_first(std::chrono::milliseconds timeout) const;

 private:
  struct Family {
    RulesConfig rules;
    NftTable table;
    bool written = false;  // the kernel has the table
  };
  void run();
  void update(const std::string& key);
  void update_node(const std::string& name);
  void update_service(const std::string& key);
  /// Everything into the tables' values, once, when the informers are synced.
  void update_all();
  base::Status write();
  base::Status write(Family& family);
  void clean_connections();
  std::set<std::string> service_keys() const;

  client::Informer& services_;
  client::Informer& slices_;
  client::Informer& nodes_;
  const ProxyConfig config_;
  const std::shared_ptr<WorkSignal> signal_ = std::make_shared<WorkSignal>();
  std::thread thread_;
  // Only on the thread:
  std::vector<Family> families_;
  NodePlace here_;
  bool udp_changed_ = false;  // endpoints of a UDP port changed since the connections were last looked at

  mutable std::mutex mutex_;
  mutable std::condition_variable tried_changed_;
  bool tried_ = false;   // under mutex_
  base::Status status_;  // under mutex_
};

}  // namespace orch::agent
