#include "tests/simulation/truth.h"

#include <algorithm>

#include "api/meta.h"
#include "base/json_tree.h"
#include "tests/simulation/world.h"

namespace orch::simulation {

namespace {

/// "apps", "deployments", "default", "web" of a key; the namespace may be missing.
struct Place {
  std::string plural, ns, name;
};

Place place_of(const std::string& key) {
  std::vector<std::string> parts;
  for (size_t at = 1; at < key.size();) {
    const size_t end = std::min(key.find('/', at), key.size());
    parts.push_back(key.substr(at, end - at));
    at = end + 1;
  }
  return {parts.size() > 2 ? parts[2] : "", parts.size() > 4 ? parts[3] : "",
          parts.empty() ? "" : parts.back()};
}

std::string summary(const std::string& plural, const Json& tree) {
  const Json& meta = base::object_at(tree, {"metadata"});
  std::string out;
  if (meta.contains("deletionTimestamp")) out += " deleting";
  for (const Json& f : base::array_at(meta, {"finalizers"}))
    out += base::cat(" [", f.get<std::string>(), "]");
  if (plural == "pods") {
    const std::string_view node = base::string_at(tree, {"spec", "nodeName"});
    out += base::cat(" ", base::string_at(tree, {"status", "phase"}), node.empty() ? "" : " on ", node,
                     api::condition_is_true(tree, "Ready") ? " ready" : "");
  } else if (tree.contains("status")) {
    Json status = tree["status"];
    if (!status.is_object()) return out;
    status.erase("conditions");
    if (tree.contains("spec") && tree["spec"].contains("replicas"))
      out += base::cat(" wants ", tree["spec"]["replicas"].dump());
    if (plural != "nodes") out += " " + status.dump();
  }
  return out;
}

}  // namespace

Truth::Truth(World& world) : world_(world) {
  auto made =
      world_.api.store().subscribe("/registry/", 0, [this](const std::vector<datastore::Event>& events) {
        for (const auto& event : events) on_event(event);
      });
  subscription_ = std::move(made.subscription);
}

Truth::~Truth() = default;

void Truth::on_event(const datastore::Event& event) {
  world_.digest(event.kv.key);
  world_.digest(event.kv.value);
  const Place place = place_of(event.kv.key);
  if (place.plural == "leases") return;
  world_.wrote();
  const bool gone = event.type == datastore::Event::Type::kDelete;
  Json parsed;
  if (!gone) parsed = base::read_tree(event.kv.value);
  last_write_ =
      base::cat(world_.actor, gone ? " removes " : " writes ", place.plural, " ", place.ns, "/", place.name);
  if (world_.trace) {
    world_.tell(
        base::cat("#", event.kv.mod_revision, " ", last_write_, gone ? "" : summary(place.plural, parsed)));
  }
  if (gone) {
    on_gone(place.plural, place.name);
  } else {
    on_put(place.plural, place.ns, place.name, std::move(parsed));
  }
}

void Truth::on_put(const std::string& plural, const std::string& ns, const std::string& name, Json tree) {
  Kind& kind = all_[plural];
  const auto it = kind.find(name);
  // Another object of the same name is a new one.
  const bool same = it != kind.end() && it->second["metadata"]["uid"] == tree["metadata"]["uid"];
  const Json before = same ? std::move(it->second) : Json();
  Json& now = kind[name] = std::move(tree);
  const Json* had = same ? &before : nullptr;
  if (!same) check_made(plural, ns, name);
  if (same && world_.actor != "user") check_undone(plural, name, before, now);
  if (plural == "pods") put_pod(now);
  if (plural == "deployments") put_deployment(now);
  if (plural == "replicasets") put_set(had, now);
  if (plural == "statefulsets") {
    sets_[std::string(base::string_at(now, {"metadata", "uid"}))].set(
        base::int_at(now, {"spec", "replicas"}, 1));
    if (had != nullptr &&
        base::int_at(*had, {"spec", "replicas"}, 1) != base::int_at(now, {"spec", "replicas"}, 1))
      moved_.insert(name);
  }
  if (plural == "poddisruptionbudgets") put_budget(had, now);
  if (plural == "jobs") put_job(had, now);
  if (plural == "resourcequotas") put_quota(now);
  if (plural == "services") put_service(now);
  if (plural == "endpointslices" && world_.actor == "controllers") check_slice(now);
}

void Truth::on_gone(const std::string& plural, const std::string& name) {
  all_[plural].erase(name);
  if (plural == "pods") pod_gone(name);
  if (plural == "resourcequotas") quotas_.erase(name);
  if (plural == "namespaces") check_emptied(name);
}

const Json* Truth::find(const std::string& plural, std::string_view name) const {
  const auto kind = all_.find(plural);
  if (kind == all_.end()) return nullptr;
  const auto it = kind->second.find(name);
  return it == kind->second.end() ? nullptr : &it->second;
}

void Truth::calm() {
  for (auto& [uid, d] : deployments_) d.limit.calm(), d.floor.calm();
  for (auto& [uid, n] : sets_) n.calm();
  for (auto& [uid, s] : services_) s.selectors.erase(s.selectors.begin(), s.selectors.end() - 1);
  disturbed_.clear();
  moved_.clear();
  fresh_.clear();
  ended_.clear();
  calm_at_ = world_.clock.mono();
}

}  // namespace orch::simulation
