// A View over plain values, and plans as text.
#pragma once

#include <algorithm>
#include <map>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "api/meta.h"
#include "api/resources/resource.h"
#include "base/clock.h"
#include "base/json.h"
#include "server/controllers/controller.h"
#include "server/controllers/pods.h"
#include "tests/catch.h"
#include "tests/json.h"

namespace orch::testing {

using server::Plan;

inline const base::WallTime kNow = base::WallTime(std::chrono::seconds(1767225600));  // 2026-01-01T00:00:00Z
/// The time that many seconds before kNow.
inline std::string ago(int64_t seconds) { return base::format_time(kNow - std::chrono::seconds(seconds)); }

class MapView final : public server::View {
 public:
  /// Adds or replaces; uid ("uid-<name>"), creationTimestamp and namespace "ns" are filled in. Returns the
  /// object as stored.
  Json put(const client::ResourceRef& r, Json tree) {
    Json& meta = tree["metadata"];
    const std::string name(base::string_at(meta, {"name"}));
    REQUIRE_FALSE(name.empty());
    const bool cluster = r == server::kNodes || r == server::kNamespaces;
    if (!cluster && !meta.contains("namespace")) meta["namespace"] = "ns";
    if (!meta.contains("uid")) meta["uid"] = "uid-" + name;
    if (!meta.contains("creationTimestamp")) meta["creationTimestamp"] = ago(3600);
    meta["resourceVersion"] = std::to_string(++revision_);
    tree["apiVersion"] = api::make_api_version(r.group, r.version);
    if (!tree.contains("kind")) tree["kind"] = kind_of(r);
    auto made = api::Object::from_tree(tree, api::selectable_fields_of(r.group, kind_of(r)));
    INFO(tree.dump());
    REQUIRE(made.ok());
    objects_[{r.group, r.plural, std::string((*made)->ns()), name}] = *made;
    return tree;
  }
  void drop(const client::ResourceRef& r, std::string_view ns, std::string_view name) {
    objects_.erase({r.group, r.plural, std::string(ns), std::string(name)});
  }
  /// What the plan would make of it: creates, updates, deletes (patches are left out).
  void apply(const Plan& plan) {
    for (const auto& w : plan.writes) {
      const Json* body = w.body.get();
      if (w.verb == server::Write::Verb::kCreate) put(w.resource, *body);
      if (w.verb == server::Write::Verb::kDelete) drop(w.resource, w.ns, w.name);
      if (w.verb != server::Write::Verb::kUpdate) continue;
      Json next = get(w.resource, w.ns, w.name)->tree();
      if (w.subresource == "status") {
        next["status"] = (*body)["status"];
        if (body->at("metadata").contains("annotations"))
          next["metadata"]["annotations"] = (*body)["metadata"]["annotations"];
      } else {
        Json status = next.value("status", Json());
        next = *body;
        if (!status.is_null()) next["status"] = status;
      }
      put(w.resource, next);
    }
  }

  api::ObjectPtr get(const client::ResourceRef& r, std::string_view ns,
                     std::string_view name) const override {
    auto it = objects_.find({r.group, r.plural, std::string(ns), std::string(name)});
    return it == objects_.end() ? nullptr : it->second;
  }
  std::vector<api::ObjectPtr> list(const client::ResourceRef& r, std::string_view ns) const override {
    std::vector<api::ObjectPtr> out;
    for (const auto& [key, object] : objects_) {
      if (std::get<0>(key) == r.group && std::get<1>(key) == r.plural &&
          (ns.empty() || std::get<2>(key) == ns)) {
        out.push_back(object);
      }
    }
    return out;
  }
  std::vector<api::ObjectPtr> by_index(const client::ResourceRef& r, const std::string& index,
                                       std::string_view value) const override {
    static const auto owner = server::controller_uid_index();
    std::vector<api::ObjectPtr> out;
    for (const auto& o : list(r, "")) {
      const std::vector<std::string> values =
          index == "controller" ? owner(*o) : std::vector<std::string>{std::string(o->field(0))};
      if (std::find(values.begin(), values.end(), value) != values.end()) out.push_back(o);
    }
    return out;
  }

 private:
  static std::string kind_of(const client::ResourceRef& r) {
    static const std::map<std::string, std::string> kinds = {
        {"pods", "Pod"},
        {"nodes", "Node"},
        {"services", "Service"},
        {"replicasets", "ReplicaSet"},
        {"replicationcontrollers", "ReplicationController"},
        {"jobs", "Job"},
        {"cronjobs", "CronJob"},
        {"deployments", "Deployment"},
        {"daemonsets", "DaemonSet"},
        {"leases", "Lease"},
        {"endpoints", "Endpoints"},
        {"endpointslices", "EndpointSlice"},
        {"namespaces", "Namespace"},
        {"configmaps", "ConfigMap"},
        {"secrets", "Secret"},
        {"serviceaccounts", "ServiceAccount"},
        {"controllerrevisions", "ControllerRevision"},
        {"statefulsets", "StatefulSet"},
        {"poddisruptionbudgets", "PodDisruptionBudget"},
        {"certificatesigningrequests", "CertificateSigningRequest"},
        {"persistentvolumeclaims", "PersistentVolumeClaim"},
        {"persistentvolumes", "PersistentVolume"},
        {"storageclasses", "StorageClass"},
        {"resourceclaims", "ResourceClaim"},
        {"resourceclaimtemplates", "ResourceClaimTemplate"},
        {"horizontalpodautoscalers", "HorizontalPodAutoscaler"}};
    return kinds.at(r.plural);
  }
  std::map<std::tuple<std::string, std::string, std::string, std::string>, api::ObjectPtr> objects_;
  int64_t revision_ = 0;
};

using Verb = server::Write::Verb;

/// The writes of one verb to one plural.
inline std::vector<server::Write> writes(const Plan& plan, Verb verb, std::string_view plural,
                                         std::string_view subresource = "") {
  std::vector<server::Write> out;
  for (const auto& w : plan.writes) {
    if (w.verb == verb && w.resource.plural == plural && w.subresource == subresource) out.push_back(w);
  }
  return out;
}

inline std::vector<std::string> removed(const Plan& plan, std::string_view plural) {
  std::vector<std::string> out;
  for (const auto& w : writes(plan, Verb::kDelete, plural)) out.push_back(w.name);
  std::sort(out.begin(), out.end());
  return out;
}

/// The status the plan writes, or null.
inline Json planned_status(const Plan& plan, std::string_view plural) {
  auto found = writes(plan, Verb::kUpdate, plural, "status");
  return found.empty() ? Json() : found.back().body->value("status", Json());
}

inline bool noted(const Plan& plan, std::string_view reason, std::string_view message = {}) {
  return std::any_of(plan.notes.begin(), plan.notes.end(), [&](const server::Note& n) {
    return n.reason == reason && n.message.find(message) != std::string::npos;
  });
}

inline Json condition(const Json& object_with_status, const char* type) {
  const Json* c = api::find_condition(object_with_status, type);
  return c == nullptr ? Json() : *c;
}

inline Json owned_by(Json object, const char* api_version, const char* kind, const std::string& name) {
  object["metadata"]["ownerReferences"] =
      Json::array({api::controller_reference(api_version, kind, name, "uid-" + name)});
  return object;
}

/// A pod with labels app=x, ready since `ready_for` seconds (-1: not ready).
inline Json make_pod(const std::string& name, int64_t ready_for, const std::string& node = "n1") {
  Json p = {{"metadata", {{"name", name}, {"labels", {{"app", "x"}}}}},
            {"spec", {{"containers", Json::array({{{"name", "c"}, {"image", "i"}}})}}},
            {"status", {{"phase", "Running"}}}};
  if (!node.empty()) p["spec"]["nodeName"] = node;
  p["status"]["conditions"] = Json::array({{{"type", "Ready"},
                                            {"status", ready_for >= 0 ? "True" : "False"},
                                            {"lastTransitionTime", ago(std::max<int64_t>(ready_for, 0))}}});
  return p;
}

inline Json template_x() {
  return json(R"({"metadata":{"labels":{"app":"x"}},"spec":{"containers":[{"name":"c","image":"i"}]}})");
}

inline Json make_node(const std::string& name) {
  return {{"metadata", {{"name", name}, {"labels", {{"kubernetes.io/hostname", name}}}}},
          {"status", {{"conditions", Json::array({{{"type", "Ready"}, {"status", "True"}}})}}}};
}

}  // namespace orch::testing
