// NodeZones: which nodes that are down may be tainted NoExecute, and when.
//
// Of each zone (labels topology.kubernetes.io/region and zone) one node after the other, at a rate that falls
// when much of the zone is down at once, for then it is rather the network that fails than the nodes. While
// no node of the cluster is ready none is: it is the control plane that is cut off (kube-controller-manager's
// partial and full disruption).
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "api/object.h"
#include "base/clock.h"
#include "base/metrics.h"
#include "server/controllers/manager_options.h"

namespace orch::server {

enum class ZoneState : uint8_t { kNormal, kPartialDisruption, kFullDisruption };
/// Of a zone of `size` nodes, `unhealthy` of which are not ready.
ZoneState zone_state(int64_t size, int64_t unhealthy, double threshold);
/// Nodes a second that may be tainted in such a zone, as long as another zone has a ready node. 0: none.
double zone_rate(int64_t size, int64_t unhealthy, const EvictionOptions& options);
/// What tells zones apart, as kube-controller-manager writes it in metrics; "" for nodes without the labels.
std::string zone_of(const api::Object& node);

/// Thread-safe.
class NodeZones {
 public:
  /// `metrics` may be null, or must outlive this.
  NodeZones(const EvictionOptions& options, base::Metrics* metrics);

  /// A node came, changed or went (null). Gives the names of other nodes whose turn may have changed by that.
  std::vector<std::string> note(const std::string& name, const api::ObjectPtr& node, base::MonoTime now);

  struct Turn {
    bool now = false;        // it may be tainted, or keep its taints
    base::Duration wait{0};  // > 0: when to ask again; otherwise note() tells
  };
  /// Asked for a node that is not ready. `needed`: it has no such taint and should. Once it is a node's turn
  /// it stays so until the node is ready or every node is down.
  Turn ask(const std::string& name, bool needed, base::MonoTime now);

 private:
  struct Standing {
    std::string zone;
    bool counted = true;  // not labelled node.kubernetes.io/exclude-disruption
    bool ready = false;
    bool tainted = false;  // NoExecute, for not being ready
  };
  struct Zone {
    int64_t size = 0, unhealthy = 0;  // counted ones
    double rate = 0;                  // nodes a second
    base::MonoTime next{};            // when the next may be tainted; unused turns are lost
    std::set<std::string> down;       // also those that are not counted
    std::deque<std::string> waiting;  // of these, who asked and has to wait
    base::Counter* evictions = nullptr;
    base::Gauge *nodes = nullptr, *nodes_down = nullptr;
    std::shared_ptr<std::atomic<double>> health;  // percent
  };

  static Standing standing_of(const api::Object& node);
  Zone& zone(const std::string& key);
  void count(const Standing& standing, const std::string& name, int64_t by);
  void set_rate(Zone& z, double rate, base::MonoTime now, std::set<std::string>& wake);
  void set_rates(base::MonoTime now, std::set<std::string>& wake);
  void forget(const std::string& key, const std::string& name, std::set<std::string>& wake);

  const EvictionOptions options_;
  base::Metrics* const metrics_;
  std::mutex mutex_;
  std::map<std::string, Standing> nodes_;  // all under mutex_
  std::map<std::string, Zone> zones_;      // never shrinks
  std::set<std::string> granted_;          // whose turn it is
  int64_t size_ = 0, unhealthy_ = 0;       // of the cluster: counted ones
  bool all_down_ = false;
  bool asked_ = false;  // before that, the nodes are only being listed
};

}  // namespace orch::server
