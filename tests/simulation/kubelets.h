// Kubelets: nodes and what they do with pods: start them, tell that they are ready, end them. Nodes die, come
// back with or without what they ran, and are replaced.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/json.h"
#include "client/client.h"

namespace orch::simulation {

class World;

class Kubelets {
 public:
  explicit Kubelets(World& world);
  ~Kubelets();
  void begin();
  /// Some node does something.
  void step();
  /// Something bad happens to a pod or a node, as far as the weather has such things.
  void mishap();
  /// Leases of the nodes that are up.
  void heartbeats();
  /// All nodes are up again, and one is added that has room for everything.
  void heal();
  /// All nodes do what they can; false when there is nothing to do.
  bool work();
  /// Whether the node runs containers of this pod, alive or cut off.
  bool runs(const std::string& uid) const;

 private:
  struct Local {
    bool started = false, ready = false, exited = false;
    bool failed = false;  // how it exited
    std::string ip;
  };
  struct Node {
    std::string name;
    int number = 0;
    bool up = true;
    base::MonoTime renewed{};           // its lease
    std::map<std::string, Local> pods;  // by uid
  };
  void add(int64_t milli_cpu);
  void tell_ready(const Node& node);
  void renew(Node& node);
  /// True if it did something; `all`: as much as there is to do.
  bool turn(Node& node);
  bool turn(Node& node, const api::ObjectPtr& pod);
  bool end_pod(const api::ObjectPtr& pod, const Json& tree, Local& local);
  bool finish_pod(const api::ObjectPtr& pod, const Json& tree, Local& local);
  void write(const api::ObjectPtr& pod, const Local& local, const char* phase, bool ready);
  /// An address that no pod of the node has; the next pod may get it when this one is gone.
  static std::string free_address(const Node& node);
  void remove(const api::ObjectPtr& pod);
  void pod_mishap();
  void node_mishap();
  std::vector<api::ObjectPtr> pods_of(const std::string& node) const;

  World& world_;
  std::unique_ptr<client::Client> api_;
  std::vector<Node> nodes_;
  int made_ = 0;
  bool healed_ = false;
};

}  // namespace orch::simulation
