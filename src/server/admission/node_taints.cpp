// Taints and what tolerates them: TaintNodesByCondition, DefaultTolerationSeconds, PodTopologyLabels.
#include "base/json.h"
#include "server/admission/plugins.h"
#include "server/admission/request.h"

namespace orch::server {
namespace {

constexpr std::string_view kNotReady = "node.kubernetes.io/not-ready";
constexpr std::string_view kUnreachable = "node.kubernetes.io/unreachable";

class TaintNodesByCondition final : public AdmissionPlugin {
 public:
  std::string_view name() const override { return "TaintNodesByCondition"; }
  bool handles(const AdmissionRequest& r) const override {
    return r.operation == Operation::kCreate && r.subresource.empty() && is_resource(r, "", "nodes");
  }
  base::Status admit(AdmissionRequest& r) override {
    for (const Json& taint : base::array_at(*r.object, {"spec", "taints"})) {
      if (base::string_at(taint, {"key"}) == kNotReady && base::string_at(taint, {"effect"}) == "NoSchedule")
        return {};
    }
    (*r.object)["spec"]["taints"].push_back({{"key", kNotReady}, {"effect", "NoSchedule"}});
    return {};
  }
};

class DefaultTolerationSeconds final : public AdmissionPlugin {
 public:
  DefaultTolerationSeconds(int64_t not_ready, int64_t unreachable)
      : not_ready_(not_ready), unreachable_(unreachable) {}
  std::string_view name() const override { return "DefaultTolerationSeconds"; }
  bool handles(const AdmissionRequest& r) const override { return is_pod_write(r); }

  base::Status admit(AdmissionRequest& r) override {
    add(*r.object, kNotReady, not_ready_);
    add(*r.object, kUnreachable, unreachable_);
    return {};
  }

 private:
  static void add(Json& pod, std::string_view taint, int64_t seconds) {
    for (const Json& toleration : base::array_at(pod, {"spec", "tolerations"})) {
      const std::string_view key = base::string_at(toleration, {"key"});
      const std::string_view effect = base::string_at(toleration, {"effect"});
      if ((key.empty() || key == taint) && (effect.empty() || effect == "NoExecute")) return;
    }
    pod["spec"]["tolerations"].push_back(
        {{"key", taint}, {"operator", "Exists"}, {"effect", "NoExecute"}, {"tolerationSeconds", seconds}});
  }

  const int64_t not_ready_, unreachable_;
};

class PodTopologyLabels final : public AdmissionPlugin {
 public:
  explicit PodTopologyLabels(const Lookup& lookup) : lookup_(lookup) {}
  std::string_view name() const override { return "PodTopologyLabels"; }
  bool handles(const AdmissionRequest& r) const override {
    return r.operation == Operation::kCreate && r.object != nullptr && is_resource(r, "", "pods") &&
           (r.subresource.empty() || r.subresource == "binding");
  }

  base::Status admit(AdmissionRequest& r) override {
    std::string_view node = base::string_at(*r.object, {"spec", "nodeName"});
    if (r.subresource == "binding") {
      if (base::string_at(*r.object, {"target", "kind"}) != "Node") return {};
      node = base::string_at(*r.object, {"target", "name"});
    }
    if (node.empty()) return {};
    const api::ObjectPtr object = lookup_.get("nodes", "", node);
    if (!object) return {};
    for (const char* key : {"topology.kubernetes.io/zone", "topology.kubernetes.io/region"}) {
      if (const std::string_view value = object->label(key); value.data() != nullptr) {
        (*r.object)["metadata"]["labels"][key] = value;
      }
    }
    return {};
  }

 private:
  const Lookup& lookup_;
};

}  // namespace

std::unique_ptr<AdmissionPlugin> make_taint_nodes_by_condition() {
  return std::make_unique<TaintNodesByCondition>();
}

std::unique_ptr<AdmissionPlugin> make_default_toleration_seconds(int64_t not_ready, int64_t unreachable) {
  return std::make_unique<DefaultTolerationSeconds>(not_ready, unreachable);
}

std::unique_ptr<AdmissionPlugin> make_pod_topology_labels(const Lookup& lookup) {
  return std::make_unique<PodTopologyLabels>(lookup);
}

}  // namespace orch::server
