#include "tests/simulation/users.h"

#include <algorithm>

#include "api/meta.h"
#include "server/controllers/pods.h"
#include "tests/simulation/truth.h"
#include "tests/simulation/world.h"

namespace orch::simulation {

using namespace server;

namespace {

const client::ResourceRef kBudgets{"policy", "v1", "poddisruptionbudgets"};
const client::ResourceRef kQuotas{"", "v1", "resourcequotas"};

}  // namespace

Users::Users(World& world) : world_(world), api_(world.api.client("user")) {}
Users::~Users() = default;

void Users::begin() {
  // Few kinds in a world, and more of each: what goes wrong only together has to come together.
  static const std::vector<std::vector<size_t>> kinds = {{0, 1, 2, 3}, {4}, {5, 6, 7}, {8, 9}, {10}, {11}};
  for (const auto& kind : kinds) {
    if (world_.random.chance(0.45)) kinds_.insert(kinds_.end(), kind.begin(), kind.end());
  }
  if (kinds_.empty()) kinds_ = world_.random.of(kinds);
  services_ = world_.random.chance(0.4);
  namespaces_ = {"default"};
  if (world_.random.chance(0.35)) {
    for (int64_t n = world_.random.between(1, 2); n > 0; --n) {
      namespaces_.push_back(base::cat("team-", n));
      make_namespace(namespaces_.back());
    }
  }
  if (world_.random.chance(0.3)) make_quota(world_.random.of(namespaces_));
  for (int64_t n = world_.random.between(1, 3); n > 0; --n) make_some();
}

void Users::make_some() {
  ns_ = world_.random.of(namespaces_);
  if (world_.truth->open(ns_)) make(world_.random.of(kinds_));
}

Json Users::pod_template(const std::string& app, bool ends) {
  static const std::vector<std::string> requests = {"100m", "200m"};
  static const std::vector<std::string> fates = {"succeeds", "succeeds", "mixed", "fails"};
  static const std::vector<std::string> tiers = {"a", "b"};
  if (services_ && world_.random.chance(0.5)) make_service(app);
  Json pod = {{"metadata", {{"labels", {{"app", app}, {"tier", world_.random.of(tiers)}}}}},
              {"spec",
               {{"terminationGracePeriodSeconds", world_.random.chance(0.8) ? 30 : 0},
                {"containers",
                 Json::array({{{"name", "c"},
                               {"image", "i:1"},
                               {"resources", {{"requests", {{"cpu", world_.random.of(requests)}}}}}}})}}}};
  if (ends) {
    pod["spec"]["restartPolicy"] = "Never";
    pod["metadata"]["annotations"]["fate"] = world_.random.of(fates);
  }
  return pod;
}

void Users::create(const client::ResourceRef& resource, const std::string& name, Json spec) {
  const Acting as(world_, "user");
  const auto made = api_->create(resource, ns_, {{"metadata", {{"name", name}}}, {"spec", std::move(spec)}});
  if (!made.ok()) world_.violated("setup", base::cat(name, ": ", made.error().message()));
  workloads_.push_back({resource, ns_, name});
}

void Users::make_namespace(const std::string& name) {
  const Acting as(world_, "user");
  (void)api_->create(kNamespaces, "", {{"metadata", {{"name", name}}}});
}

void Users::make_quota(const std::string& ns) {
  ns_ = ns;
  create(kQuotas, base::cat("quota", ++quotas_),
         {{"hard", {{"pods", std::to_string(world_.random.between(2, 8))}}}});
}

Json Users::selector(const std::string& app) {
  if (world_.random.chance(0.6)) return {{"app", app}};
  return {{"tier", world_.random.chance(0.5) ? "a" : "b"}};
}

void Users::make_service(const std::string& app) {
  Json spec = {{"clusterIP", "None"},
               {"selector", selector(app)},
               {"ports", Json::array({{{"name", "web"}, {"port", 80}}})}};
  if (world_.random.chance(0.15)) spec["publishNotReadyAddresses"] = true;
  create(kServices, "to-" + app, std::move(spec));
}

void Users::make(size_t kind) {
  const std::string id = std::to_string(++made_);
  if (kind < 4) {
    make_deployment("web" + id);
  } else if (kind < 5) {
    make_replica_set("set" + id);
  } else if (kind < 8) {
    make_job("job" + id);
  } else if (kind < 10) {
    make_stateful_set("db" + id);
  } else if (kind < 11) {
    make_daemon_set("agent" + id);
  } else {
    make_cron_job("cron" + id);
  }
}

void Users::make_deployment(const std::string& name) {
  Random& r = world_.random;
  Json spec = {{"replicas", r.between(1, 5)},
               {"selector", {{"matchLabels", {{"app", name}}}}},
               {"template", pod_template(name, false)}};
  if (r.chance(0.2)) {
    spec["strategy"] = {{"type", "Recreate"}};
  } else {
    const int64_t surge = r.between(0, 2);
    const int64_t unavailable = surge == 0 ? r.between(1, 2) : r.between(0, 2);
    spec["strategy"] = {{"type", "RollingUpdate"},
                        {"rollingUpdate", {{"maxSurge", surge}, {"maxUnavailable", unavailable}}}};
  }
  if (r.chance(0.3)) spec["minReadySeconds"] = r.between(1, 10);
  if (r.chance(0.3)) spec["revisionHistoryLimit"] = r.between(0, 2);
  create(kDeployments, name, std::move(spec));
  if (r.chance(0.4)) make_budget(name);
}

void Users::make_replica_set(const std::string& name) {
  create(kReplicaSets, name,
         {{"replicas", world_.random.between(1, 5)},
          {"selector", {{"matchLabels", {{"app", name}}}}},
          {"template", pod_template(name, false)}});
  if (world_.random.chance(0.4)) make_budget(name);
}

void Users::make_job(const std::string& name) {
  Random& r = world_.random;
  Json spec = {{"completions", r.between(1, 6)},
               {"parallelism", r.between(1, 4)},
               {"backoffLimit", r.between(0, 8)},
               {"template", pod_template(name, true)}};
  if (r.chance(0.5)) {
    spec["completionMode"] = "Indexed";
    if (r.chance(0.3)) {
      spec["backoffLimitPerIndex"] = r.between(0, 2);
      spec.erase("backoffLimit");
    }
  } else if (r.chance(0.15)) {
    spec.erase("completions");
  }
  if (r.chance(0.2)) spec["ttlSecondsAfterFinished"] = r.between(0, 100);
  if (r.chance(0.2)) spec["podReplacementPolicy"] = "Failed";
  if (r.chance(0.1)) spec["suspend"] = true;
  create(kJobs, name, std::move(spec));
}

void Users::make_stateful_set(const std::string& name) {
  Random& r = world_.random;
  Json spec = {{"replicas", r.between(1, 4)},
               {"serviceName", name},
               {"selector", {{"matchLabels", {{"app", name}}}}},
               {"template", pod_template(name, false)}};
  if (r.chance(0.3)) spec["podManagementPolicy"] = "Parallel";
  if (r.chance(0.2)) {
    spec["updateStrategy"] = {{"type", "OnDelete"}};
  } else if (r.chance(0.3)) {
    spec["updateStrategy"] = {{"type", "RollingUpdate"}, {"rollingUpdate", {{"partition", r.between(0, 2)}}}};
  }
  if (r.chance(0.2)) spec["minReadySeconds"] = r.between(1, 10);
  create(kStatefulSets, name, std::move(spec));
  if (r.chance(0.4)) make_budget(name);
}

void Users::make_daemon_set(const std::string& name) {
  Random& r = world_.random;
  Json spec = {{"selector", {{"matchLabels", {{"app", name}}}}}, {"template", pod_template(name, false)}};
  if (r.chance(0.3)) {
    spec["updateStrategy"] = {{"type", "RollingUpdate"},
                              {"rollingUpdate", {{"maxSurge", 1}, {"maxUnavailable", 0}}}};
  } else if (r.chance(0.3)) {
    spec["updateStrategy"] = {{"type", "OnDelete"}};
  }
  create(kDaemonSets, name, std::move(spec));
}

void Users::make_cron_job(const std::string& name) {
  static const std::vector<std::string> policies = {"Allow", "Forbid", "Replace"};
  create(kCronJobs, name,
         {{"schedule", "*/2 * * * *"},
          {"concurrencyPolicy", world_.random.of(policies)},
          {"jobTemplate", {{"spec", {{"backoffLimit", 1}, {"template", pod_template(name, true)}}}}}});
}

void Users::make_budget(const std::string& app) {
  Random& r = world_.random;
  Json spec = {{"selector", {{"matchLabels", {{"app", app}}}}}};
  spec[r.chance(0.5) ? "minAvailable" : "maxUnavailable"] = r.between(1, 3);
  create(kBudgets, app, std::move(spec));
}

bool Users::change(const Workload& workload, const std::function<void(Json& spec)>& edit) {
  const Acting as(world_, "user");
  for (int i = 0; i < 3; ++i) {
    const auto object = api_->get(workload.resource, workload.ns, workload.name);
    if (!object.ok()) return false;
    Json tree = (*object)->tree();
    edit(tree["spec"]);
    const auto done = api_->update(workload.resource, workload.ns, tree);
    if (done.ok()) return true;
    if (done.error().code() != base::Code::kConflict) {
      world_.tell(base::cat("user: update ", workload.name, " fails: ", done.error().message()));
      return true;
    }
  }
  return true;
}

void Users::step() {
  const size_t what = world_.random.below(27);
  if (what < 4) {
    if (made_ < 4) make_some();
  } else if (what < 10) {
    if (world_.weather.users_change) change_some();
  } else if (what < 12) {
    remove_some();
  } else if (what < 16) {
    evict_some();
  } else if (what < 18) {
    if (world_.weather.pods_fail) delete_a_pod();
  } else if (what < 20) {
    cordon_some();
  } else if (what < 24) {
    annotate_some();
  } else {
    change_namespaces();
  }
}

void Users::change_namespaces() {
  // Not the first, in which a cluster's life begins.
  if (namespaces_.size() < 2) return;
  const std::string& name = namespaces_[1 + world_.random.below(namespaces_.size() - 1)];
  if (world_.truth->find("namespaces", name) == nullptr) {
    make_namespace(name);
  } else if (world_.random.chance(0.6)) {
    const Acting as(world_, "user");
    (void)api_->remove(kNamespaces, "", name);
  }
}

void Users::touch() {
  if (world_.weather.users_change && world_.random.chance(0.3)) {
    change_some();
  } else {
    annotate_some();
  }
}

void Users::change_some() {
  if (workloads_.empty()) return;
  const size_t i = world_.random.below(workloads_.size());
  const Workload workload = workloads_[i];
  if (!api_->get(workload.resource, workload.ns, workload.name).ok()) {
    workloads_.erase(workloads_.begin() + static_cast<std::ptrdiff_t>(i));
    return;
  }
  change_spec(workload);
}

void Users::change_spec(const Workload& workload) {
  Random& r = world_.random;
  const client::ResourceRef& kind = workload.resource;
  (void)change(workload, [&](Json& spec) {
    if (kind == kJobs) {
      const size_t what = r.below(3);
      if (what == 0) spec["parallelism"] = r.between(0, 4);
      if (what == 1) spec["suspend"] = !spec.value("suspend", false);
      if (what == 2 && spec.value("completionMode", "") == "Indexed" && spec.contains("completions"))
        spec["completions"] = spec["parallelism"] = r.between(1, 5);
      return;
    }
    if (kind == kBudgets) {
      for (const char* key : {"minAvailable", "maxUnavailable"}) {
        if (spec.contains(key)) spec[key] = r.between(0, 3);
      }
      return;
    }
    if (kind == kQuotas) {
      spec["hard"]["pods"] = std::to_string(r.between(1, 10));
      return;
    }
    if (kind == kServices) {
      const std::string app = workload.name.substr(workload.name.find('-') + 1);
      if (r.chance(0.7)) {
        spec["selector"] = selector(app);
      } else {
        spec["publishNotReadyAddresses"] = !spec.value("publishNotReadyAddresses", false);
      }
      return;
    }
    if (kind == kCronJobs) {
      spec["suspend"] = r.chance(0.5);
      return;
    }
    if (kind == kDeployments && r.chance(0.1)) {
      spec["paused"] = !spec.value("paused", false);
    } else if (spec.contains("replicas") && r.chance(0.4)) {
      spec["replicas"] = r.between(0, 5);
    } else {
      const bool back = image_ > 1 && r.chance(0.2);
      const int image = back ? static_cast<int>(r.between(1, image_)) : ++image_;
      spec["template"]["spec"]["containers"][0]["image"] = base::cat("i:", image);
      spec["template"]["metadata"]["annotations"]["broken"] = r.chance(0.15) ? "true" : "false";
    }
  });
}

void Users::remove_some() {
  if (workloads_.empty()) return;
  static const std::vector<std::string> how = {"Background", "Background", "Foreground", "Orphan"};
  const Workload workload = world_.random.of(workloads_);
  const Acting as(world_, "user");
  client::DeleteOptions options;
  options.propagation = world_.random.of(how);
  (void)api_->remove(workload.resource, workload.ns, workload.name, options);
}

void Users::evict_some() {
  const auto pods = api_->list(kPods, {});
  if (!pods.ok() || pods->items.empty()) return;
  const api::ObjectPtr pod = world_.random.of(pods->items);
  const Acting as(world_, "evictor");
  world_.truth->evicting(pod);
  if (world_.plant == Plant::kIgnoreBudget) {
    (void)api_->remove(kPods, pod->ns(), pod->name());
  } else {
    const auto done = api_->post(
        kPods, pod->ns(), pod->name(), "eviction",
        {{"metadata", {{"name", std::string(pod->name())}, {"namespace", std::string(pod->ns())}}}});
    world_.tell(base::cat("evictor: ", pod->name(), done.ok() ? " is evicted" : " may not be evicted"));
  }
  world_.truth->evicting(nullptr);
}

void Users::delete_a_pod() {
  const auto pods = api_->list(kPods, {});
  if (!pods.ok() || pods->items.empty()) return;
  const api::ObjectPtr pod = world_.random.of(pods->items);
  const Acting as(world_, "user");
  (void)api_->remove(kPods, pod->ns(), pod->name());
}

void Users::cordon_some() {
  const auto nodes = api_->list(kNodes, {});
  if (!nodes.ok() || nodes->items.empty()) return;
  const api::ObjectPtr node = world_.random.of(nodes->items);
  const bool was = base::bool_at(node->tree(), {"spec", "unschedulable"});
  const Acting as(world_, "user");
  (void)api_->patch(kNodes, "", node->name(), client::PatchType::kStrategic,
                    {{"spec", {{"unschedulable", was ? Json() : Json(true)}}}});
}

void Users::annotate_some() {
  static const std::vector<client::ResourceRef> kinds = {kDeployments, kReplicaSets,  kJobs,
                                                         kDaemonSets,  kStatefulSets, kNodes};
  const client::ResourceRef kind = world_.random.of(kinds);
  const auto list = api_->list(kind, {});
  if (!list.ok() || list->items.empty()) return;
  const api::ObjectPtr object = world_.random.of(list->items);
  const Acting as(world_, "user");
  (void)api_->patch(
      kind, object->ns(), object->name(), client::PatchType::kMerge,
      {{"metadata", {{"annotations", {{base::cat("note-", kind.plural), std::to_string(++notes_)}}}}}});
}

void Users::settle_down() {
  for (const Workload& workload : workloads_) {
    (void)change(workload, [&](Json& spec) {
      if (workload.resource == kJobs) {
        spec["suspend"] = false;
        if (spec.value("parallelism", 1) == 0) spec["parallelism"] = 2;
      } else if (workload.resource == kCronJobs) {
        spec["suspend"] = true;
      } else if (workload.resource == kQuotas) {
        spec["hard"]["pods"] = "100";
      } else if (workload.resource == kDeployments || workload.resource == kDaemonSets ||
                 workload.resource == kStatefulSets) {
        spec.erase("paused");
        if (base::string_at(spec, {"template", "metadata", "annotations", "broken"}) == "true")
          spec["template"]["metadata"]["annotations"]["broken"] = "false";
      }
    });
  }
}

}  // namespace orch::simulation
