// What a pod's spec says about other pods and about volumes: affinity to pods, spreading over topology
// domains, claims and disks. Read once from the object; plain values.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "api/object.h"
#include "api/selector.h"
#include "base/json_fwd.h"

namespace orch::api {

/// core/v1 PodAffinityTerm, with the pod's own namespace filled in. matchLabelKeys are part of the selector
/// already: the API server merges them.
struct PodTerm {
  std::vector<std::string> namespaces;
  LabelSelector namespace_selector;  // nothing when it is not given
  LabelSelector selector;
  std::string topology_key;

  /// Of a pod that is looked at: whether the term speaks of its namespace. `labels` of the namespace: null
  /// when it is not known, which has no labels then.
  bool in_namespace(std::string_view ns, const Object* labels) const;
};
using WeightedPodTerm = std::pair<int64_t, PodTerm>;

/// spec.affinity.podAffinity and podAntiAffinity.
struct PodTerms {
  std::vector<PodTerm> near, apart;                // required: affinity, anti-affinity
  std::vector<WeightedPodTerm> prefers, dislikes;  // preferred: affinity, anti-affinity
  /// Equal for pods whose terms are the same.
  std::string key;
};

/// core/v1 TopologySpreadConstraint, its matchLabelKeys merged into the selector.
struct SpreadConstraint {
  int64_t max_skew = 1, min_domains = 1;
  std::string topology_key;
  bool hard = true;  // DoNotSchedule
  LabelSelector selector;
  bool honor_affinity = true, honor_taints = false;
};

/// A volume that matters to where a pod may run.
struct PodVolume {
  enum class Kind : uint8_t { kClaim, kEphemeral, kGcePd, kAwsEbs, kRbd, kIscsi, kInTree };
  Kind kind = Kind::kClaim;
  std::string name;    // of the volume
  std::string source;  // claim, disk, volume id, IQN, or pool/image
  std::vector<std::string> monitors;
  bool read_only = false;
  /// Of disks that a CSI driver took over: the in-tree plugin ("kubernetes.io/gce-pd"), its driver and what
  /// that calls the volume.
  std::string plugin, driver, handle;

  bool is_claim() const { return kind == Kind::kClaim || kind == Kind::kEphemeral; }
};

/// Null when the pod has none of them.
std::shared_ptr<const PodTerms> read_pod_terms(const Json& spec, std::string_view ns);
/// `labels` of the pod: what matchLabelKeys take their values from.
std::vector<SpreadConstraint> read_spread(const Json& spec, const Json& labels);
/// One constraint of the API's form.
SpreadConstraint read_spread_constraint(const Json& constraint, const Json& labels);
std::vector<PodVolume> read_volumes(const Json& spec, std::string_view pod_name);

}  // namespace orch::api
