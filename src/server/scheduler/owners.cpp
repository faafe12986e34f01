#include "server/scheduler/owners.h"

#include "base/json.h"

namespace orch::server::scheduler {

namespace {

std::shared_ptr<const Json> read_selector(const api::Object& object) {
  return std::make_shared<const Json>(base::object_at(object.tree(), {"spec", "selector"}));
}

/// All pairs are labels of the pod.
bool selects(const Json& labels, const api::Object& pod) {
  for (const auto& [key, value] : labels.items()) {
    const std::string_view has = pod.label(key);
    if (has.data() == nullptr || !value.is_string() || has != value.get_ref<const std::string&>())
      return false;
  }
  return !labels.empty();
}

}  // namespace

Owners::Owners(const Objects& objects) : objects_(objects), selectors_(read_selector) {}

std::optional<api::LabelSelector> Owners::selector_of(const PodInfo& pod) const {
  Json labels = Json::object(), expressions = Json::array();
  for (const auto& service : objects_.list(Kind::kService, pod.ns)) {
    const Json& selector = **selectors_.of(service);
    if (selects(selector, *pod.object)) labels.update(selector);
  }
  const bool rc = pod.owner_version == "v1" && pod.owner_kind == "ReplicationController";
  const bool set = pod.owner_version == "apps/v1" && pod.owner_kind == "ReplicaSet";
  const bool stateful = pod.owner_version == "apps/v1" && pod.owner_kind == "StatefulSet";
  if (rc || set || stateful) {
    const Kind kind = rc ? Kind::kReplicationController : set ? Kind::kReplicaSet : Kind::kStatefulSet;
    if (auto owner = objects_.get(kind, pod.ns, pod.owner_name)) {
      const Json& selector = **selectors_.of(owner);
      if (rc) {
        labels.update(selector);
      } else {
        for (const auto& [key, value] : base::object_at(selector, {"matchLabels"}).items())
          expressions.push_back({{"key", key}, {"operator", "In"}, {"values", Json::array({value})}});
        for (const auto& e : base::array_at(selector, {"matchExpressions"})) expressions.push_back(e);
      }
    }
  }
  if (labels.empty() && expressions.empty()) return std::nullopt;
  auto read = api::LabelSelector::from_tree({{"matchLabels", labels}, {"matchExpressions", expressions}});
  if (!read.ok()) return std::nullopt;
  return std::move(*read);
}

}  // namespace orch::server::scheduler
