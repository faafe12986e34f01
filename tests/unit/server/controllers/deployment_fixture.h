// Deployments and their replica sets as values.
#pragma once

#include <map>
#include <string>

#include "server/controllers/deployment.h"
#include "tests/unit/server/controllers/fixture.h"

namespace orch::testing {

using server::kDeployments;
using server::kPods;
using server::kReplicaSets;
using server::plan_deployment;

constexpr const char* kRevision = "deployment.kubernetes.io/revision";

inline Json deployment_of(int replicas, const std::string& image = "i") {
  Json d = {{"metadata", {{"name", "d"}, {"generation", 1}}},
            {"spec",
             {{"replicas", replicas},
              {"selector", {{"matchLabels", {{"app", "x"}}}}},
              {"strategy",
               json(R"({"type":"RollingUpdate","rollingUpdate":{"maxSurge":"25%","maxUnavailable":"25%"}})")},
              {"revisionHistoryLimit", 10},
              {"progressDeadlineSeconds", 600},
              {"template", template_x()}}}};
  d["spec"]["template"]["spec"]["containers"][0]["image"] = image;
  return d;
}

/// A replica set of the deployment with this image, `want` replicas of which `available` are available.
inline Json set_of(const std::string& name, const std::string& image, int want, int available, int revision,
                   int64_t age, int desired = -1, int max = -1) {
  Json set = {{"metadata",
               {{"name", name},
                {"generation", 1},
                {"labels", {{"app", "x"}, {"pod-template-hash", name}}},
                {"creationTimestamp", ago(age)},
                {"annotations", {{kRevision, std::to_string(revision)}}}}},
              {"spec", {{"replicas", want}, {"template", template_x()}}},
              {"status",
               {{"replicas", want},
                {"readyReplicas", available},
                {"availableReplicas", available},
                {"observedGeneration", 1}}}};
  set["spec"]["selector"]["matchLabels"] = set["metadata"]["labels"];
  set["spec"]["template"]["metadata"]["labels"]["pod-template-hash"] = name;
  set["spec"]["template"]["spec"]["containers"][0]["image"] = image;
  if (desired >= 0)
    set["metadata"]["annotations"]["deployment.kubernetes.io/desired-replicas"] = std::to_string(desired);
  if (max >= 0) set["metadata"]["annotations"]["deployment.kubernetes.io/max-replicas"] = std::to_string(max);
  return owned_by(set, "apps/v1", "Deployment", "d");
}

inline Plan plan(const MapView& view, base::WallTime now = kNow) {
  return plan_deployment(view, {"ns", "d"}, now);
}

/// What the plan wants each set to have, for sets it writes: "old=3 new=2".
inline std::string scales(const Plan& p) {
  std::map<std::string, int64_t> wanted;
  for (const auto& w : writes(p, Verb::kUpdate, "replicasets"))
    wanted[w.name] = base::int_at(*w.body, {"spec", "replicas"});
  std::string out;
  for (const auto& [name, n] : wanted) out += base::cat(out.empty() ? "" : " ", name, "=", n);
  return out;
}

}  // namespace orch::testing
