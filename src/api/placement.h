// Whether a pod may be on a node: both with just the parts that matter to that, read once from their objects,
// and the rules that the scheduler (filter plugins), the daemon set controller and the kubelet (admission)
// judge by. Pure.
//
// A PodInfo is immutable and shared; a NodeInfo belongs to one thread.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <vector>

#include "api/object.h"
#include "api/pod_terms.h"
#include "base/clock.h"
#include "base/json_fwd.h"

namespace orch::api {

/// Amounts of resources. CPU in thousandths of a core, the rest in bytes or pieces.
struct Resources {
  int64_t milli_cpu = 0, memory = 0, ephemeral_storage = 0;
  std::map<std::string, int64_t> scalars;  // extended resources and huge pages

  void add(const Resources& other, int64_t sign = 1);
  void at_least(const Resources& other);
};

/// One requirement of a node selector term (core/v1 NodeSelectorRequirement).
struct NodeRequirement {
  enum class Op : uint8_t { kIn, kNotIn, kExists, kDoesNotExist, kGt, kLt };
  std::string key;
  Op op = Op::kIn;
  std::vector<std::string> values;
  bool on_name = false;  // matchFields metadata.name
};
using NodeTerm = std::vector<NodeRequirement>;  // and-ed; an empty term matches nothing

struct Toleration {
  std::string key, value, effect;
  bool exists = false;
};
struct Taint {
  std::string key, value, effect;
};

/// (host IP, protocol, port)
using HostPort = std::tuple<std::string, std::string, int64_t>;

struct PodInfo {
  ObjectPtr object;
  std::string ns, name, uid, node_name, scheduler_name;
  std::string nominated_node;  // where it was promised room by preemption
  int64_t priority = 0;
  bool gated = false, finished = false;
  bool deleting = false;
  bool preempted = false;                          // its deletion is the scheduler's own doing
  bool preempts_never = false;                     // spec.preemptionPolicy Never
  base::WallTime started = base::WallTime::max();  // status.startTime; max = not yet
  /// While it is resized: the largest of what it asks for, was promised and has (KEP-1287).
  Resources requests;
  /// The same with 100m CPU and 200 MB for containers that ask for nothing: what nodes count for spreading,
  int64_t weighed_cpu = 0, weighed_memory = 0;
  /// and what its containers add when a node is weighed for it (its own pod-level requests do not count).
  Resources scored;
  std::vector<HostPort> ports;
  std::vector<std::pair<std::string, std::string>> node_selector;
  bool has_required_affinity = false;
  std::vector<NodeTerm> required;                       // or-ed
  std::vector<std::pair<int64_t, NodeTerm>> preferred;  // with weights
  std::vector<Toleration> tolerations;
  std::vector<std::string> images;        // of init containers too, with their tag
  std::shared_ptr<const PodTerms> terms;  // null: nothing about other pods
  std::vector<SpreadConstraint> spread;
  std::vector<PodVolume> volumes;
  /// metadata.ownerReferences' controller, "" when there is none: "apps/v1", "ReplicaSet", its name.
  std::string owner_version, owner_kind, owner_name;
  bool claims_devices = false;  // spec.resourceClaims

  bool tolerates(const Taint& taint) const;
};
using PodPtr = std::shared_ptr<const PodInfo>;

/// kInternal never: fields that are missing or odd count as absent, the API validated them.
PodPtr read_pod(const ObjectPtr& object);

struct NodeInfo {
  ObjectPtr object;  // null while only pods of a node are known
  std::string name;
  std::unordered_map<std::string, std::string> labels;
  Resources allocatable;
  int64_t allowed_pods = 0;
  bool unschedulable = false;
  std::vector<Taint> taints;
  std::unordered_map<std::string, int64_t> image_sizes;

  std::unordered_map<std::string, PodPtr> pods;  // by uid
  Resources requested;
  int64_t weighed_cpu = 0, weighed_memory = 0;
  std::multiset<HostPort> ports;

  void set_node(const ObjectPtr& node);
  /// What set_node() set of another one; the pods stay.
  void take_node(NodeInfo&& read);
  void add_pod(const PodPtr& pod);
  void remove_pod(const std::string& uid);
};

bool matches(const NodeTerm& term, const NodeInfo& node);
NodeTerm read_node_term(const Json& term);
/// spec.nodeSelector and the required node affinity (GetRequiredNodeAffinity of component-helpers).
bool affinity_allows(const PodInfo& pod, const NodeInfo& node);
/// None of the pod's host ports is taken by a pod of the node; 0.0.0.0 stands for every address.
bool ports_free(const PodInfo& pod, const NodeInfo& node);

/// A resource that a node has not enough of. CPU in thousandths of a core, the rest in bytes or pieces.
struct Shortage {
  std::string resource;  // "pods", "cpu", "memory", "ephemeral-storage", then extended ones by name
  int64_t requested = 0, used = 0, capacity = 0;
};
/// Empty when the pod fits beside those that the node has.
std::vector<Shortage> shortages(const PodInfo& pod, const NodeInfo& node);

}  // namespace orch::api
