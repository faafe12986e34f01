#include "tests/simulation/plants.h"

#include "api/meta.h"
#include "server/controllers/pods.h"
#include "tests/simulation/world.h"

namespace orch::simulation {

using server::View;

namespace {

/// Shows objects of one kind otherwise than they are.
class Tinted final : public View {
 public:
  using Edit = std::function<void(Json& tree)>;
  Tinted(const View& view, client::ResourceRef resource, Edit edit)
      : view_(view), resource_(std::move(resource)), edit_(std::move(edit)) {}
  api::ObjectPtr get(const client::ResourceRef& r, std::string_view ns,
                     std::string_view name) const override {
    return shown(r, view_.get(r, ns, name));
  }
  std::vector<api::ObjectPtr> list(const client::ResourceRef& r, std::string_view ns) const override {
    return shown(r, view_.list(r, ns));
  }
  std::vector<api::ObjectPtr> by_index(const client::ResourceRef& r, const std::string& index,
                                       std::string_view value) const override {
    return shown(r, view_.by_index(r, index, value));
  }

 private:
  api::ObjectPtr shown(const client::ResourceRef& r, api::ObjectPtr object) const {
    if (!(r == resource_) || object == nullptr) return object;
    Json tree = object->tree();
    edit_(tree);
    return *api::Object::from_tree(tree, api::selectable_fields_of(r.group, std::string(object->kind())));
  }
  std::vector<api::ObjectPtr> shown(const client::ResourceRef& r, std::vector<api::ObjectPtr> list) const {
    for (auto& object : list) object = shown(r, object);
    return list;
  }
  const View& view_;
  const client::ResourceRef resource_;
  const Edit edit_;
};

void tint(server::Controller& controller, const client::ResourceRef& resource, const Tinted::Edit& edit) {
  controller.plan = [plan = controller.plan, resource, edit](const View& view, const server::Key& key,
                                                             base::WallTime now) {
    return plan(Tinted(view, resource, edit), key, now);
  };
}

}  // namespace

const std::vector<PlantName>& plants() {
  static const std::vector<PlantName> all = {
      {"forget-own-writes", Plant::kForgetOwnWrites, "replicas"},
      {"create-twice", Plant::kCreateTwice, "replicas"},
      {"count-twice", Plant::kCountTwice, "counts"},
      {"ignore-max-unavailable", Plant::kIgnoreUnavailable, "available"},
      {"ignore-max-surge", Plant::kIgnoreSurge, "surge"},
      {"ignore-budget", Plant::kIgnoreBudget, "budget"},
      {"keep-finalizer", Plant::kKeepFinalizer, "rest"},
      {"ignore-conflict", Plant::kIgnoreConflict, "undone"},
      {"lose-wakeup", Plant::kLoseWakeup, "rest"},
      {"bind-anywhere", Plant::kBindAnywhere, "capacity"},
      {"skip-ordinal", Plant::kSkipOrdinal, "ordinals"},
      {"ignore-owners", Plant::kIgnoreOwners, "rest"},
      {"deaf-slices", Plant::kDeafSlices, "slices"},
      {"select-all", Plant::kSelectAll, "strangers"},
      {"finalize-early", Plant::kFinalizeEarly, "emptied"},
      {"open-namespaces", Plant::kOpenNamespaces, "closed"},
      {"ignore-quota", Plant::kIgnoreQuota, "quota"},
      {"keep-charges", Plant::kKeepCharges, "used"}};
  return all;
}

namespace {

/// Changes of this kind wake nobody if `lost` says so.
void deafen(server::Controller& controller, const client::ResourceRef& resource,
            const std::function<bool(const api::ObjectPtr& before, const api::ObjectPtr& after)>& lost) {
  for (auto& source : controller.sources) {
    if (!(source.resource == resource) || !source.keys) continue;
    source.keys = [keys = source.keys, lost](const api::ObjectPtr& before, const api::ObjectPtr& after,
                                             const View& view) {
      return lost(before, after) ? server::Keys() : keys(before, after, view);
    };
  }
}

/// Lets namespaces go at once.
void finalize_early(server::Controller& controller) {
  controller.observe_and_plan = [plan = controller.observe_and_plan](
                                    client::Client& client, const View& view, const server::Key& key,
                                    base::WallTime now) -> base::Result<server::Plan> {
    const api::ObjectPtr ns = view.get(server::kNamespaces, "", key.name);
    if (ns == nullptr || !ns->deleting()) return plan(client, view, key, now);
    Json tree = ns->tree();
    tree["spec"]["finalizers"] = Json::array();
    server::Plan early;
    early.update(server::kNamespaces, std::move(tree), "finalize");
    return early;
  };
}

void plant_in_shared(World& world, server::Controller& c) {
  const bool slices = c.name == "endpoint-slice-controller";
  if (world.plant == Plant::kDeafSlices && slices) {
    deafen(c, server::kPods, [](const auto& before, const auto& after) { return before && after; });
  }
  if (world.plant == Plant::kSelectAll && slices) {
    tint(c, server::kServices, [](Json& s) { s["spec"]["selector"] = {{"tier", "a"}}; });
  }
  if (world.plant == Plant::kFinalizeEarly && c.name == "namespace-controller") finalize_early(c);
  if (world.plant == Plant::kKeepCharges && c.name == "resourcequota-controller") {
    deafen(c, server::kPods, [](const auto&, const auto&) { return true; });
  }
}

}  // namespace

void plant_in_controllers(World& world, std::vector<server::Controller>& controllers) {
  for (auto& c : controllers) {
    plant_in_shared(world, c);
    if (world.plant == Plant::kIgnoreUnavailable && c.name == "deployment-controller") {
      tint(c, server::kDeployments, [](Json& d) {
        if (d["spec"]["strategy"].contains("rollingUpdate"))
          d["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] = d["spec"]["replicas"];
      });
    }
    if (world.plant == Plant::kIgnoreSurge && c.name == "deployment-controller") {
      tint(c, server::kDeployments, [](Json& d) {
        if (d["spec"]["strategy"].contains("rollingUpdate"))
          d["spec"]["strategy"]["rollingUpdate"]["maxSurge"] = 10;
      });
    }
    if (world.plant == Plant::kSkipOrdinal && c.name == "statefulset-controller") {
      tint(c, server::kPods, [&world](Json& p) {
        api::set_condition(p, {"Ready", "True", "", ""}, world.clock.now());
        p["status"]["phase"] = "Running";
      });
    }
    // Not of ReplicaSets: Deployments rely on what those tell, and go wrong in more ways than one.
    if (world.plant == Plant::kLoseWakeup && c.name != "replicaset-controller") {
      for (auto& source : c.sources) {
        if (!source.keys) continue;
        source.keys = [&world, keys = source.keys](const api::ObjectPtr& before, const api::ObjectPtr& after,
                                                   const View& view) {
          return world.random.chance(0.05) ? server::Keys() : keys(before, after, view);
        };
      }
    }
  }
}

bool is_set_pod(const Json& object) {
  const Json& owners = base::array_at(object, {"metadata", "ownerReferences"});
  return !owners.empty() && base::string_at(owners[0], {"kind"}) == "ReplicaSet";
}

void plant_after_loss(World& world, client::Client& api, const client::ResourceRef& r,
                      const std::string& what) {
  if (world.plant == Plant::kCreateTwice && r == server::kPods && what.compare(0, 6, "create") == 0 &&
      is_set_pod(world.last_created)) {
    Json again = world.last_created;
    std::string name(base::string_at(again, {"metadata", "name"}));
    again["metadata"]["name"] = name + "x";
    (void)api.create(r, base::string_at(again, {"metadata", "namespace"}), again);
  }
  if (world.plant == Plant::kCountTwice && r == server::kJobs && what.find("/status") != std::string::npos) {
    // "update jobs NAMESPACE/NAME/status"
    const std::string place = what.substr(what.rfind(' ') + 1);
    const std::string ns = place.substr(0, place.find('/'));
    const auto job = api.get(r, ns, place.substr(ns.size() + 1, place.rfind('/') - ns.size() - 1));
    if (!job.ok()) return;
    Json tree = (*job)->tree();
    // Of an indexed Job what succeeded is counted by index.
    const bool indexed = base::string_at(tree, {"spec", "completionMode"}) == "Indexed";
    for (const char* count : {"failed", "succeeded"}) {
      const int64_t n = base::int_at(tree, {"status", count});
      if (n == 0 || (indexed && std::string_view(count) == "succeeded")) continue;
      tree["status"][count] = n + 1;
      (void)api.update(r, ns, tree, "status");
      return;
    }
  }
}

std::string first_node(client::Client& api) {
  const auto nodes = api.list(server::kNodes, {});
  return nodes.ok() && !nodes->items.empty() ? std::string(nodes->items[0]->name()) : std::string();
}

bool takes_finalizer_off(const Json& patch) {
  return patch.contains("metadata") && patch["metadata"].contains("$deleteFromPrimitiveList/finalizers");
}

}  // namespace orch::simulation
