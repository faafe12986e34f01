#include "server/controllers/autoscaler.h"

#include "server/controllers/autoscaler_state.h"
#include "tests/unit/server/controllers/fixture.h"

namespace orch::testing {
namespace {

using server::AutoscalerFacts;
using server::AutoscalerHistory;
using server::AutoscalerOptions;
using server::kAutoscalers;
using server::MetricAnswer;
using server::PodMetric;

Json autoscaler_of(const Json& metrics, int least = 1, int most = 10) {
  return {{"metadata", {{"name", "h"}}},
          {"spec",
           {{"scaleTargetRef", json(R"({"apiVersion":"apps/v1","kind":"Deployment","name":"d"})")},
            {"minReplicas", least},
            {"maxReplicas", most},
            {"metrics", metrics}}}};
}

Json cpu_utilization(int percent) {
  Json m = json(R"({"type":"Resource","resource":{"name":"cpu","target":{"type":"Utilization"}}})");
  m["resource"]["target"]["averageUtilization"] = percent;
  return m;
}

Json scale_of(int replicas) {
  return {{"kind", "Scale"},
          {"metadata", {{"name", "d"}, {"namespace", "ns"}, {"resourceVersion", "7"}}},
          {"spec", {{"replicas", replicas}}},
          {"status", {{"replicas", replicas}, {"selector", "app=x"}}}};
}

/// A pod that asks for `request`, ready for an hour unless told.
Json worker(const std::string& name, const std::string& request, int64_t ready_for = 3600,
            int64_t started = 7200) {
  Json p = make_pod(name, ready_for);
  p["spec"]["containers"][0]["resources"]["requests"]["cpu"] = request;
  p["status"]["startTime"] = ago(started);
  return p;
}

struct Setting {
  MapView view;
  AutoscalerFacts facts;
  AutoscalerOptions options;
  AutoscalerHistory history;

  explicit Setting(const Json& autoscaler, int replicas) {
    view.put(kAutoscalers, autoscaler);
    facts.object = view.get(kAutoscalers, "ns", "h");
    facts.target = server::kDeployments;
    facts.scale = scale_of(replicas);
    facts.others = {"{h ns}"};
  }
  Setting& pod(const Json& tree) {
    view.put(server::kPods, tree);
    const auto object =
        view.get(server::kPods, "ns", std::string(base::string_at(tree, {"metadata", "name"})));
    facts.pods.push_back({object, object->tree()});
    return *this;
  }
  /// An answer with figures by pod.
  Setting& figures(const std::map<std::string, int64_t>& milli) {
    MetricAnswer a;
    for (const auto& [name, value] : milli) a.pods[name] = {kNow, std::chrono::seconds(30), value};
    facts.metrics.push_back(a);
    return *this;
  }
  Setting& values(std::vector<int64_t> milli) {
    MetricAnswer a;
    a.values = std::move(milli);
    facts.metrics.push_back(a);
    return *this;
  }
  Setting& failing(const std::string& why) {
    MetricAnswer a;
    a.error = base::Status(base::Code::kUnknown, why);
    facts.metrics.push_back(a);
    return *this;
  }
  Plan plan(base::WallTime now = kNow) { return server::plan_autoscaler(facts, options, history, now); }
};

/// The size the plan sets; -1: none.
int64_t size_of(const Plan& p) {
  const auto scales = writes(p, Verb::kPost, "deployments", "scale");
  return scales.empty() ? -1 : base::int_at(*scales[0].body, {"spec", "replicas"});
}

/// "True ReadyForNewScale" of a condition the plan writes.
std::string said(const Plan& p, const char* type) {
  const Json c = condition({{"status", planned_status(p, "horizontalpodautoscalers")}}, type);
  if (c.is_null()) return "";
  return base::cat(base::string_at(c, {"status"}), " ", base::string_at(c, {"reason"}));
}

std::string message(const Plan& p, const char* type) {
  const Json c = condition({{"status", planned_status(p, "horizontalpodautoscalers")}}, type);
  return std::string(base::string_at(c, {"message"}));
}

/// Three pods of one core each, using this much.
Setting three(int percent, int64_t each) {
  Setting s(autoscaler_of(Json::array({cpu_utilization(percent)})), 3);
  for (const char* name : {"a", "b", "c"}) s.pod(worker(name, "1"));
  return s.figures({{"a", each}, {"b", each}, {"c", each}});
}

TEST_CASE("utilization of a resource sizes the target") {
  SECTION("grow") {
    Setting s = three(30, 500);
    const Plan p = s.plan();
    CHECK(size_of(p) == 5);
    CHECK(noted(p, "SuccessfulRescale",
                "New size: 5; reason: cpu resource utilization (percentage of request) above target"));
    CHECK(said(p, "AbleToScale") == "True SucceededRescale");
    CHECK(message(p, "AbleToScale") == "the HPA controller was able to update the target scale to 5");
    CHECK(said(p, "ScalingActive") == "True ValidMetricFound");
    CHECK(message(p, "ScalingActive") ==
          "the HPA was able to successfully calculate a replica count from cpu resource utilization "
          "(percentage of request)");
    CHECK(said(p, "ScalingLimited") == "False DesiredWithinRange");
    const Json status = planned_status(p, "horizontalpodautoscalers");
    CHECK(status["currentReplicas"] == 3);
    CHECK(status["desiredReplicas"] == 5);
    CHECK(status["lastScaleTime"] == base::format_time(kNow));
    CHECK(
        status["currentMetrics"] ==
        json(
            R"([{"type":"Resource","resource":{"name":"cpu","current":{"averageUtilization":50,"averageValue":"500m"}}}])"));
    // Whoever resized meanwhile does not matter.
    CHECK_FALSE(
        (*writes(p, Verb::kPost, "deployments", "scale")[0].body)["metadata"].contains("resourceVersion"));
  }
  SECTION("within a tenth nothing changes") {
    Setting s = three(50, 540);
    const Plan p = s.plan();
    CHECK(size_of(p) == -1);
    CHECK(said(p, "AbleToScale") == "True ReadyForNewScale");
  }
  SECTION("shrinking waits for the window") {
    Setting s = three(50, 100);
    CHECK(size_of(s.plan()) == -1);
    CHECK(said(s.plan(kNow + std::chrono::seconds(10)), "AbleToScale") == "True ScaleDownStabilized");
    CHECK(size_of(s.plan(kNow + std::chrono::seconds(299))) == -1);
    const Plan p = s.plan(kNow + std::chrono::seconds(301));
    CHECK(size_of(p) == 1);
    CHECK(noted(p, "SuccessfulRescale", "New size: 1; reason: All metrics below target"));
  }
}

TEST_CASE("bounds go before metrics") {
  struct Case {
    int replicas, least, most;
    int64_t size;
    const char* reason;
  };
  for (const Case& c : {Case{12, 1, 10, 10, "Current number of replicas above Spec.MaxReplicas"},
                        Case{1, 2, 10, 2, "Current number of replicas below Spec.MinReplicas"}}) {
    Setting s(autoscaler_of(Json::array({cpu_utilization(50)}), c.least, c.most), c.replicas);
    CHECK_FALSE(server::needs_metrics(s.facts.object->tree(), *s.facts.scale));
    const Plan p = s.plan();
    CHECK(size_of(p) == c.size);
    CHECK(noted(p, "SuccessfulRescale", base::cat("New size: ", c.size, "; reason: ", c.reason)));
  }
  Setting off(autoscaler_of(Json::array({cpu_utilization(50)})), 0);
  const Plan p = off.plan();
  CHECK(size_of(p) == -1);
  CHECK(said(p, "ScalingActive") == "False ScalingDisabled");
  CHECK(message(p, "ScalingActive") == "scaling is disabled since the replica count of the target is zero");
}

TEST_CASE("limits of a wish") {
  struct Case {
    const char* what;
    int percent;
    int64_t each;
    int64_t size;
    const char* limited;
  };
  for (const Case& c : {Case{"no faster than doubling", 5, 1000, 6, "True ScaleUpLimit"},
                        Case{"no more than the most", 22, 1000, 10, "True ScaleUpLimit"}}) {
    DYNAMIC_SECTION(c.what) {
      Setting s = three(c.percent, c.each);
      if (c.size == 10) {
        s.facts.scale = scale_of(6);
      }
      const Plan p = s.plan();
      CHECK(size_of(p) == (c.size == 10 ? 10 : 6));
      CHECK(said(p, "ScalingLimited") == (c.size == 10 ? "True TooManyReplicas" : c.limited));
    }
  }
}

TEST_CASE("pods without figures, and those that start, hold back") {
  SECTION("a missing one counts as busy when the set would shrink") {
    Setting s(autoscaler_of(Json::array({cpu_utilization(50)})), 4);
    for (const char* name : {"a", "b", "c", "d"}) s.pod(worker(name, "1"));
    s.figures({{"a", 300}, {"b", 300}, {"c", 300}});
    s.options.downscale_stabilization = std::chrono::seconds(0);
    // 300, 300, 300 and 1000 of 4000: 47 %, close enough to 50.
    CHECK(size_of(s.plan()) == -1);
  }
  SECTION("and as idle when it would grow") {
    Setting s(autoscaler_of(Json::array({cpu_utilization(50)})), 4);
    for (const char* name : {"a", "b", "c", "d"}) s.pod(worker(name, "1"));
    s.figures({{"a", 800}, {"b", 800}, {"c", 800}});
    // 60 % over four pods: 5.
    CHECK(size_of(s.plan()) == 5);
  }
  SECTION("pending ones count as idle when it would grow") {
    Setting s(autoscaler_of(Json::array({cpu_utilization(50)})), 3);
    s.pod(worker("a", "1")).pod(worker("b", "1"));
    Json pending = worker("c", "1", -1);
    pending["status"]["phase"] = "Pending";
    s.pod(pending).figures({{"a", 1000}, {"b", 1000}});
    // 66 % over three.
    CHECK(size_of(s.plan()) == 4);
  }
  SECTION("one that became ready less than a window ago is left out") {
    Setting s(autoscaler_of(Json::array({cpu_utilization(50)})), 2);
    s.pod(worker("a", "1")).pod(worker("b", "1", 10, 60)).figures({{"a", 500}, {"b", 3000}});
    CHECK(size_of(s.plan()) == -1);
  }
  SECTION("one that is being deleted and one that failed do not count") {
    Setting s(autoscaler_of(Json::array({cpu_utilization(50)})), 2);
    Json going = worker("b", "1"), dead = worker("c", "1");
    going["metadata"]["deletionTimestamp"] = ago(1);
    dead["status"]["phase"] = "Failed";
    s.pod(worker("a", "1")).pod(going).pod(dead).figures({{"a", 500}, {"b", 4000}, {"c", 4000}});
    CHECK(size_of(s.plan()) == -1);
  }
}

TEST_CASE("what cannot be computed is told") {
  SECTION("no request") {
    Setting s(autoscaler_of(Json::array({cpu_utilization(50)})), 1);
    Json pod = worker("a", "1");
    pod["spec"]["containers"][0].erase("resources");
    const Plan p = s.pod(pod).figures({{"a", 500}}).plan();
    const std::string why = "failed to get cpu utilization: missing request for cpu in container c of Pod a";
    CHECK(said(p, "ScalingActive") == "False FailedGetResourceMetric");
    CHECK(message(p, "ScalingActive") == "the HPA was unable to compute the replica count: " + why);
    CHECK(noted(p, "FailedGetResourceMetric", why));
    CHECK(noted(
        p, "FailedComputeMetricsReplicas",
        "invalid metrics (1 invalid out of 1), first error is: failed to get cpu resource metric value: " +
            why));
    CHECK(planned_status(p, "horizontalpodautoscalers")["currentMetrics"] == json(R"([{"type":""}])"));
  }
  SECTION("no figures") {
    Setting s(autoscaler_of(Json::array({cpu_utilization(50)})), 1);
    const Plan p = s.pod(worker("a", "1")).failing("no metrics returned from resource metrics API").plan();
    CHECK(message(p, "ScalingActive") ==
          "the HPA was unable to compute the replica count: failed to get cpu utilization: unable to get "
          "metrics for "
          "resource cpu: no metrics returned from resource metrics API");
  }
  SECTION("all pods start") {
    Setting s(autoscaler_of(Json::array({cpu_utilization(50)})), 1);
    const Plan p = s.pod(worker("a", "1", -1, 10)).figures({{"a", 500}}).plan();
    CHECK(noted(p, "FailedGetResourceMetric",
                "did not receive metrics for targeted pods (pods might be unready)"));
  }
  SECTION("no scale") {
    Setting s(autoscaler_of(Json::array({cpu_utilization(50)})), 1);
    s.facts.scale = base::Status(base::Code::kNotFound, "deployments.apps \"d\" not found");
    const Plan p = s.plan();
    CHECK(said(p, "AbleToScale") == "False FailedGetScale");
    CHECK(
        message(p, "AbleToScale") ==
        "the HPA controller was unable to get the target's current scale: deployments.apps \"d\" not found");
    CHECK(noted(p, "FailedGetScale", "deployments.apps \"d\" not found"));
  }
  SECTION("no selector") {
    Setting s = three(50, 500);
    Json scale = *s.facts.scale;
    scale["status"].erase("selector");
    s.facts.scale = scale;
    const Plan p = s.plan();
    CHECK(said(p, "ScalingActive") == "False InvalidSelector");
    CHECK(noted(p, "SelectorRequired", "selector is required"));
  }
  SECTION("two autoscalers") {
    Setting s = three(50, 500);
    s.facts.others = {"{h ns}", "{i ns}"};
    const Plan p = s.plan();
    CHECK(said(p, "ScalingActive") == "False AmbiguousSelector");
    CHECK(message(p, "ScalingActive") ==
          "pods by selector app=x are controlled by multiple HPAs: [{h ns} {i ns}]");
  }
  SECTION("the target cannot be resized") {
    Setting s = three(30, 500);
    const Plan p = s.plan();
    const Plan other = p.otherwise(p.writes[0], base::Status(base::Code::kForbidden, "no"));
    CHECK(noted(
        other, "FailedRescale",
        "New size: 5; reason: cpu resource utilization (percentage of request) above target; error: no"));
    CHECK(said(other, "AbleToScale") == "False FailedUpdateScale");
    CHECK(planned_status(other, "horizontalpodautoscalers")["desiredReplicas"] == 0);
  }
}

TEST_CASE("of several metrics the largest counts; one that fails forbids shrinking alone") {
  const Json pods = json(
      R"({"type":"Pods","pods":{"metric":{"name":"qps"},"target":{"type":"AverageValue","averageValue":"100"}}})");
  SECTION("the larger") {
    Setting s(autoscaler_of(Json::array({cpu_utilization(50), pods})), 3);
    for (const char* n : {"a", "b", "c"}) s.pod(worker(n, "1"));
    s.figures({{"a", 600}, {"b", 600}, {"c", 600}}).figures({{"a", 200000}, {"b", 200000}, {"c", 200000}});
    const Plan p = s.plan();
    CHECK(size_of(p) == 6);
    CHECK(noted(p, "SuccessfulRescale", "pods metric qps above target"));
  }
  SECTION("grows although one fails") {
    Setting s(autoscaler_of(Json::array({pods, cpu_utilization(50)})), 3);
    for (const char* n : {"a", "b", "c"}) s.pod(worker(n, "1"));
    s.failing("x").figures({{"a", 800}, {"b", 800}, {"c", 800}});
    CHECK(size_of(s.plan()) == 5);
  }
  SECTION("does not shrink then") {
    Setting s(autoscaler_of(Json::array({pods, cpu_utilization(50)})), 3);
    for (const char* n : {"a", "b", "c"}) s.pod(worker(n, "1"));
    s.options.downscale_stabilization = std::chrono::seconds(0);
    s.failing("x").figures({{"a", 100}, {"b", 100}, {"c", 100}});
    const Plan p = s.plan();
    CHECK(size_of(p) == -1);
    CHECK(said(p, "ScalingActive") == "False FailedGetPodsMetric");
  }
}

TEST_CASE("metrics of objects and from outside") {
  struct Case {
    const char* what;
    const char* metric;
    std::vector<int64_t> milli;
    int64_t size;
    const char* status;
  };
  const std::vector<Case> cases = {
      {"value of an object",
       R"({"type":"Object","object":{"describedObject":{"kind":"Service","name":"s","apiVersion":"v1"},"metric":{"name":"m"},"target":{"type":"Value","value":"10"}}})",
       {20000},
       6,
       R"({"type":"Object","object":{"describedObject":{"kind":"Service","name":"s","apiVersion":"v1"},"metric":{"name":"m"},"current":{"value":"20"}}})"},
      {"per pod",
       R"({"type":"Object","object":{"describedObject":{"kind":"Service","name":"s","apiVersion":"v1"},"metric":{"name":"m"},"target":{"type":"AverageValue","averageValue":"4"}}})",
       {20000},
       5,
       R"({"type":"Object","object":{"describedObject":{"kind":"Service","name":"s","apiVersion":"v1"},"metric":{"name":"m"},"current":{"averageValue":"6667m"}}})"},
      {"sum of external ones",
       R"({"type":"External","external":{"metric":{"name":"m"},"target":{"type":"Value","value":"10"}}})",
       {10000, 10000},
       6,
       R"({"type":"External","external":{"metric":{"name":"m"},"current":{"value":"20"}}})"},
      {"external per pod",
       R"({"type":"External","external":{"metric":{"name":"m"},"target":{"type":"AverageValue","averageValue":"4"}}})",
       {10000, 10000},
       5,
       R"({"type":"External","external":{"metric":{"name":"m"},"current":{"averageValue":"6667m"}}})"},
  };
  for (const auto& c : cases) {
    DYNAMIC_SECTION(c.what) {
      Setting s(autoscaler_of(Json::array({json(c.metric)})), 3);
      for (const char* n : {"a", "b", "c"}) s.pod(worker(n, "1"));
      const Plan p = s.values(c.milli).plan();
      CHECK(size_of(p) == c.size);
      CHECK(planned_status(p, "horizontalpodautoscalers")["currentMetrics"] == Json::array({json(c.status)}));
    }
  }
}

TEST_CASE("memory, one container, and side cars") {
  SECTION("memory is shown in powers of two") {
    Setting s(
        autoscaler_of(Json::array({json(
            R"({"type":"Resource","resource":{"name":"memory","target":{"type":"AverageValue","averageValue":"10Mi"}}})")})),
        1);
    const int64_t milli = 20LL * 1024 * 1024 * 1000;
    const Plan p = s.pod(worker("a", "1")).figures({{"a", milli}}).plan();
    CHECK(size_of(p) == 2);
    CHECK(planned_status(
              p, "horizontalpodautoscalers")["currentMetrics"][0]["resource"]["current"]["averageValue"] ==
          "20Mi");
  }
  SECTION("requests of one container") {
    Json m = json(
        R"({"type":"ContainerResource","containerResource":{"name":"cpu","container":"c","target":{"type":"Utilization","averageUtilization":50}}})");
    Setting s(autoscaler_of(Json::array({m})), 1);
    Json pod = worker("a", "1");
    pod["spec"]["containers"].push_back({{"name", "other"}});
    const Plan p = s.pod(pod).figures({{"a", 1000}}).plan();
    CHECK(size_of(p) == 2);
    CHECK(noted(p, "SuccessfulRescale",
                "cpu container resource utilization (percentage of request) above target"));
  }
  SECTION("a side car's request counts, a pod's own goes before all") {
    Json pod = worker("a", "1");
    pod["spec"]["initContainers"] =
        json(R"([{"name":"s","restartPolicy":"Always","resources":{"requests":{"cpu":"1"}}},{"name":"i"}])");
    Setting s(autoscaler_of(Json::array({cpu_utilization(50)})), 1);
    CHECK(size_of(s.pod(pod).figures({{"a", 1000}}).plan()) == -1);
    pod["spec"]["resources"]["requests"]["cpu"] = "500m";
    Setting t(autoscaler_of(Json::array({cpu_utilization(50)})), 1);
    CHECK(size_of(t.pod(pod).figures({{"a", 1000}}).plan()) == 4);
  }
}

TEST_CASE("behavior: policies, windows and tolerance") {
  const auto with = [](Setting s, const char* behavior) {
    Json tree = s.facts.object->tree();
    tree["spec"]["behavior"] = json(behavior);
    s.view.put(kAutoscalers, tree);
    s.facts.object = s.view.get(kAutoscalers, "ns", "h");
    return s;
  };
  const char* usual_down =
      R"("scaleDown":{"selectPolicy":"Max","policies":[{"type":"Percent","value":100,"periodSeconds":15}]})";
  SECTION("so many pods in a period") {
    Setting s = with(
        three(10, 500),
        base::cat(
            R"({"scaleUp":{"stabilizationWindowSeconds":0,"selectPolicy":"Max","policies":[{"type":"Pods","value":1,"periodSeconds":60}]},)",
            usual_down, "}")
            .c_str());
    const Plan p = s.plan();
    CHECK(size_of(p) == 4);
    CHECK(said(p, "ScalingLimited") == "True ScaleUpLimit");
    s.facts.scale = scale_of(4);
    CHECK(size_of(s.plan(kNow + std::chrono::seconds(30))) == -1);
    CHECK(size_of(s.plan(kNow + std::chrono::seconds(61))) == 5);
  }
  SECTION("the smaller of two policies") {
    Setting s = with(
        three(10, 500),
        base::cat(
            R"({"scaleUp":{"stabilizationWindowSeconds":0,"selectPolicy":"Min","policies":[{"type":"Pods","value":2,"periodSeconds":60},{"type":"Percent","value":10,"periodSeconds":60}]},)",
            usual_down, "}")
            .c_str());
    CHECK(size_of(s.plan()) == 4);
  }
  SECTION("disabled") {
    Setting s = with(
        three(10, 500),
        base::cat(
            R"({"scaleUp":{"stabilizationWindowSeconds":0,"selectPolicy":"Disabled","policies":[{"type":"Pods","value":2,"periodSeconds":60}]},)",
            usual_down, "}")
            .c_str());
    CHECK(size_of(s.plan()) == -1);
  }
  SECTION("growing can wait, too") {
    Setting s = with(
        three(30, 500),
        base::cat(
            R"({"scaleUp":{"stabilizationWindowSeconds":60,"selectPolicy":"Max","policies":[{"type":"Percent","value":100,"periodSeconds":15}]},)",
            usual_down, "}")
            .c_str());
    const Plan p = s.plan();
    CHECK(size_of(p) == -1);
    CHECK(said(p, "AbleToScale") == "True ScaleUpStabilized");
    CHECK(size_of(s.plan(kNow + std::chrono::seconds(61))) == 5);
  }
  SECTION("shrinking at once, but slowly") {
    Setting s = with(
        three(50, 50),
        R"({"scaleUp":{"stabilizationWindowSeconds":0,"selectPolicy":"Max","policies":[{"type":"Pods","value":4,"periodSeconds":15}]},"scaleDown":{"stabilizationWindowSeconds":0,"selectPolicy":"Max","policies":[{"type":"Pods","value":1,"periodSeconds":60}]}})");
    const Plan p = s.plan();
    CHECK(size_of(p) == 2);
    CHECK(said(p, "ScalingLimited") == "True ScaleDownLimit");
  }
  SECTION("a tolerance of one's own") {
    Setting s = with(
        three(50, 540),
        R"({"scaleUp":{"stabilizationWindowSeconds":0,"selectPolicy":"Max","tolerance":"0.05","policies":[{"type":"Pods","value":4,"periodSeconds":15}]},"scaleDown":{"selectPolicy":"Max","policies":[{"type":"Percent","value":100,"periodSeconds":15}]}})");
    CHECK(size_of(s.plan()) == 4);
  }
}

TEST_CASE("selectors in messages are printed as Go prints them") {
  CHECK(server::go_selector_text(nullptr) == "nil");
  const Json s = json(
      R"({"matchLabels":{"a":"b"},"matchExpressions":[{"key":"k","operator":"In","values":["x","y"]}]})");
  CHECK(server::go_selector_text(&s) ==
        "&LabelSelector{MatchLabels:map[string]string{a: b,},MatchExpressions:[]LabelSelectorRequirement{"
        "LabelSelectorRequirement{Key:k,Operator:In,Values:[x y],},},}");
}

}  // namespace
}  // namespace orch::testing
