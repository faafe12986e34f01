// What nodes and containers use, for metrics.k8s.io: read from the kubelets' /metrics/resource when somebody
// asks, and never otherwise. A rate needs two readings: the last one is kept, and where there is none that
// will do, a second one is taken a short while after the first.
#pragma once

#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "base/threads.h"

namespace orch::server {

/// A counter of processor time and the memory in use, at a time.
struct UsageSample {
  base::WallTime time;
  double cpu_seconds = 0;
  int64_t memory = -1;  // working set in bytes; -1: not told
};

/// namespace, pod, container
using ContainerKey = std::tuple<std::string, std::string, std::string>;

/// One reading of a node.
struct NodeSample {
  UsageSample node;
  std::map<ContainerKey, UsageSample> containers;
};

/// Reads the text format of Prometheus as kubelets write /metrics/resource; lines it does not know are passed
/// over. Pure.
NodeSample parse_resource_metrics(std::string_view text);

/// A rate over a window that ends at `time`.
struct Usage {
  base::WallTime time;
  base::Duration window{0};
  int64_t cpu_nanos = 0;  // billionths of a core
  int64_t memory = 0;     // bytes
};
struct NodeUsage {
  bool known = false;  // `node` is
  Usage node;
  std::map<ContainerKey, Usage> containers;
};

/// What has two readings and has not restarted between them; pods as a whole or not at all. Pure.
NodeUsage rates(const NodeSample& before, const NodeSample& after);

/// Readings of all nodes. Thread-safe.
class NodeFigures {
 public:
  /// Reads one node; called on threads of a pool that ends when idle.
  using Fetch = std::function<base::Result<std::string>(const std::string& node)>;
  NodeFigures(Fetch fetch, const base::Clock& clock);
  /// Usage of these nodes, by name; nodes that cannot be read are missing. May wait for a second reading.
  std::map<std::string, NodeUsage> get(const std::vector<std::string>& nodes);

 private:
  struct Readings {
    NodeSample before, last;
    bool has_before = false, has_last = false;
  };
  void read(const std::vector<std::string>& nodes);

  const Fetch fetch_;
  const base::Clock& clock_;
  std::mutex one_at_a_time_;  // callers that come together share readings
  std::mutex mutex_;
  std::map<std::string, Readings> nodes_;  // under mutex_
  base::ThreadPool pool_;
};

}  // namespace orch::server
