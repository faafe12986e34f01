// Pods and nodes for scheduling tests, from short descriptions.
#pragma once

#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/status.h"
#include "server/scheduler/types.h"
#include "tests/catch.h"

namespace orch::testing {

using server::scheduler::NodeInfo;
using server::scheduler::PodInfo;
using server::scheduler::PodPtr;

inline Json json(std::string_view text) {
  auto parsed = base::parse_json(text);
  INFO(text);
  REQUIRE(parsed.ok());
  return std::move(*parsed);
}

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

}  // namespace orch::testing
