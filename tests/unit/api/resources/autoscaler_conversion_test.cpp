#include "api/resources/conversion.h"
#include "api/resources/tree.h"
#include "base/json.h"
#include "tests/catch.h"

namespace orch::api {
namespace {

Json parse(std::string_view text) {
  auto parsed = base::parse_json(text);
  REQUIRE(parsed.ok());
  return *parsed;
}

Json annotation_of(const Json& object, const char* key) {
  return parse(text_of(annotations_of(object), base::cat("autoscaling.alpha.kubernetes.io/", key)));
}

const char* kAutoscaler = R"({"metadata":{"name":"h"},"spec":{"maxReplicas":5,"metrics":[
  {"type":"Resource","resource":{"name":"cpu","target":{"type":"Utilization","averageUtilization":60}}},
  {"type":"Resource","resource":{"name":"memory","target":{"type":"AverageValue","averageValue":"1Gi"}}},
  {"type":"ContainerResource","containerResource":{"name":"cpu","container":"c","target":{"type":"Utilization","averageUtilization":50}}},
  {"type":"Pods","pods":{"metric":{"name":"qps","selector":{"matchLabels":{"a":"b"}}},"target":{"type":"AverageValue","averageValue":"1k"}}},
  {"type":"Object","object":{"describedObject":{"kind":"Service","name":"s"},"metric":{"name":"m"},"target":{"type":"AverageValue","averageValue":"3"}}},
  {"type":"External","external":{"metric":{"name":"q"},"target":{"type":"Value","value":"30"}}}],
  "behavior":{"scaleDown":{"selectPolicy":"Max","stabilizationWindowSeconds":10,"policies":[{"type":"Pods","value":1,"periodSeconds":15}]}}},
  "status":{"desiredReplicas":2,"currentMetrics":[
  {"type":"Resource","resource":{"name":"cpu","current":{"averageUtilization":40,"averageValue":"80m"}}},
  {"type":"External","external":{"metric":{"name":"q"},"current":{"value":"7"}}}],
  "conditions":[{"type":"AbleToScale","status":"True"}]}})";

TEST_CASE("what autoscaling/v1 cannot say travels in annotations, as Kubernetes writes them") {
  const Json stored = parse(kAutoscaler);
  Json v1 = stored;
  autoscaler_conversion().from_storage(v1);
  CHECK(v1["spec"] == parse(R"({"maxReplicas":5,"targetCPUUtilizationPercentage":60})"));
  CHECK(v1["status"] ==
        parse(R"({"currentReplicas":0,"desiredReplicas":2,"currentCPUUtilizationPercentage":40})"));
  CHECK(annotation_of(v1, "metrics") == parse(R"([
    {"type":"Resource","resource":{"name":"memory","targetAverageValue":"1Gi"}},
    {"type":"ContainerResource","containerResource":{"name":"cpu","container":"c","targetAverageUtilization":50}},
    {"type":"Pods","pods":{"metricName":"qps","selector":{"matchLabels":{"a":"b"}},"targetAverageValue":"1k"}},
    {"type":"Object","object":{"target":{"kind":"Service","name":"s"},"metricName":"m","targetValue":"0","averageValue":"3"}},
    {"type":"External","external":{"metricName":"q","targetValue":"30"}}])"));
  CHECK(annotation_of(v1, "current-metrics") == parse(R"([
    {"type":"Resource","resource":{"name":"cpu","currentAverageUtilization":40,"currentAverageValue":"80m"}},
    {"type":"External","external":{"metricName":"q","currentValue":"7"}}])"));
  CHECK(annotation_of(v1, "behavior") == parse(R"({"ScaleUp":null,"ScaleDown":{"SelectPolicy":"Max",
    "StabilizationWindowSeconds":10,"Policies":[{"Type":"Pods","Value":1,"PeriodSeconds":15}],"Tolerance":null}})"));
  CHECK(annotation_of(v1, "conditions") == stored["status"]["conditions"]);
  // And back: the order of metrics changes, nothing else.
  autoscaler_conversion().to_storage(v1);
  Json expected = stored;
  Json& metrics = expected["spec"]["metrics"];
  metrics.push_back(metrics[0]);
  metrics.erase(metrics.begin());
  CHECK(v1 == expected);
}

TEST_CASE("autoscaling/v1 without anything means four fifths of the processor") {
  Json v1 = parse(R"({"metadata":{"name":"h"},"spec":{"maxReplicas":5}})");
  autoscaler_conversion().to_storage(v1);
  CHECK(
      v1["spec"]["metrics"] ==
      parse(
          R"([{"type":"Resource","resource":{"name":"cpu","target":{"type":"Utilization","averageUtilization":80}}}])"));
}

}  // namespace
}  // namespace orch::api
