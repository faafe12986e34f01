// Pods and nodes for scheduling tests, from short descriptions.
#pragma once

#include <initializer_list>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/status.h"
#include "server/scheduler/framework.h"
#include "tests/catch.h"
#include "tests/json.h"

namespace orch::testing {

using server::scheduler::NodeInfo;
using server::scheduler::PodInfo;
using server::scheduler::PodPtr;

inline api::ObjectPtr object(const char* kind, const std::string& name, Json tree) {
  tree["kind"] = kind;
  tree["apiVersion"] = "v1";
  tree["metadata"]["name"] = name;
  tree["metadata"]["uid"] = "uid-" + name;
  tree["metadata"]["resourceVersion"] = "1";
  auto made = api::Object::from_tree(tree);
  REQUIRE(made.ok());
  return *made;
}

/// A pod of namespace "ns" with one container that requests this CPU ("" = nothing); `more` is merged in.
inline PodPtr pod(const std::string& name, const std::string& cpu = "", const Json& more = Json::object()) {
  Json tree = {{"metadata", {{"namespace", "ns"}}},
               {"spec", {{"containers", Json::array({{{"name", "c"}, {"image", "i"}}})}}}};
  if (!cpu.empty()) tree["spec"]["containers"][0]["resources"]["requests"]["cpu"] = cpu;
  tree.merge_patch(more);
  return server::scheduler::read_pod(object("Pod", name, tree));
}

/// A node with 4 CPUs, 8 GiB of memory and room for 110 pods; `more` is merged in.
inline NodeInfo node(const std::string& name, const Json& more = Json::object(),
                     const std::vector<PodPtr>& pods = {}) {
  Json tree = {{"metadata", {{"labels", {{"kubernetes.io/hostname", name}}}}},
               {"status", {{"allocatable", {{"cpu", "4"}, {"memory", "8Gi"}, {"pods", "110"}}}}}};
  tree.merge_patch(more);
  NodeInfo out;
  out.set_node(object("Node", name, tree));
  for (const PodPtr& p : pods) out.add_pod(p);
  return out;
}

/// Objects by kind, in memory.
class FakeObjects final : public server::scheduler::Objects {
 public:
  using Kind = server::scheduler::Kind;
  void add(Kind kind, const api::ObjectPtr& object) { by_kind_[kind].push_back(object); }
  api::ObjectPtr get(Kind kind, std::string_view ns, std::string_view name) const override {
    for (const auto& o : of(kind)) {
      if (o->name() == name && o->ns() == ns) return o;
    }
    return nullptr;
  }
  std::vector<api::ObjectPtr> list(Kind kind, std::string_view ns) const override {
    std::vector<api::ObjectPtr> out;
    for (const auto& o : of(kind)) {
      if (ns.empty() || o->ns() == ns) out.push_back(o);
    }
    return out;
  }

 private:
  const std::vector<api::ObjectPtr>& of(Kind kind) const {
    static const std::vector<api::ObjectPtr> none;
    auto it = by_kind_.find(kind);
    return it == by_kind_.end() ? none : it->second;
  }
  std::map<Kind, std::vector<api::ObjectPtr>> by_kind_;
};

/// Nodes with their pods and whatever else there is, as decisions see them. Nodes are in order of their
/// names; what is changed after construction is not counted.
class World {
 public:
  explicit World(std::vector<NodeInfo> nodes, FakeObjects objects = {})
      : nodes_(std::move(nodes)), objects_(std::move(objects)) {
    for (const auto& n : nodes_) {
      snapshot_.push_back(&n);
      census_.add_node(n);
    }
  }
  World(const World&) = delete;
  World& operator=(const World&) = delete;
  server::scheduler::Cluster cluster() const {
    return {snapshot_, census_, objects_, storage_, owners_, devices_};
  }
  const server::scheduler::Snapshot& nodes() const { return snapshot_; }
  server::scheduler::Storage& storage() { return storage_; }
  server::scheduler::Devices& devices() { return devices_; }

 private:
  const std::vector<NodeInfo> nodes_;
  const FakeObjects objects_;
  server::scheduler::Snapshot snapshot_;
  server::scheduler::Census census_;
  server::scheduler::Storage storage_{objects_};
  server::scheduler::Owners owners_{objects_};
  base::FakeClock clock_;
  server::scheduler::Devices devices_{objects_, clock_};
};

}  // namespace orch::testing
