#include "server/admission/plugins.h"
#include "server/admission/pod_resources.h"
#include "tests/catch.h"
#include "tests/unit/server/admission/requests.h"

using namespace orch;
using namespace orch::server;
using namespace orch::testing;
using Operation = TestRequest::Operation;

namespace {

void put_range(FakeLookup& lookup, const char* limits) {
  lookup.put("limitranges", object(Json{{"apiVersion", "v1"},
                                        {"kind", "LimitRange"},
                                        {"metadata", {{"name", "r"}, {"namespace", "ns"}}},
                                        {"spec", {{"limits", json(limits)}}}}));
}

}  // namespace

TEST_CASE("containers get default requests and limits") {
  FakeLookup lookup;
  put_range(lookup,
            R"([{"type":"Container","default":{"cpu":"1","memory":"1Gi"},"defaultRequest":{"cpu":"100m"}}])");
  auto plugin = make_limit_ranger(lookup);
  auto r =
      create_pod(pod_with(R"({"initContainers":[{"name":"i"}]})", R"({"resources":{"limits":{"cpu":"2"}}})"));
  REQUIRE(r->run(*plugin).empty());
  const Json& pod = r->object();
  CHECK(pod["spec"]["containers"][0]["resources"] ==
        json(R"({"limits":{"cpu":"2","memory":"1Gi"},"requests":{"cpu":"100m"}})"));
  CHECK(pod["spec"]["initContainers"][0]["resources"]["limits"] == json(R"({"cpu":"1","memory":"1Gi"})"));
  CHECK(pod["metadata"]["annotations"]["kubernetes.io/limit-ranger"] ==
        "LimitRanger plugin set: cpu request for container c; memory limit for container c; cpu request for "
        "init "
        "container i; cpu, memory limit for init container i");
  put_range(lookup, "[]");
  auto nothing = create_pod(pod_with());
  CHECK(nothing->run(*plugin).empty());
  CHECK_FALSE(nothing->object()["metadata"].contains("annotations"));
}

TEST_CASE("bounds of containers, pods and claims") {
  struct Row {
    const char *limits, *container, *message;
  };
  const Row rows[] = {
      {R"([{"type":"Container","max":{"memory":"1Gi"}}])", R"({"resources":{"limits":{"memory":"2Gi"}}})",
       "maximum memory usage per Container is 1Gi, but limit is 2Gi"},
      {R"([{"type":"Container","max":{"memory":"1Gi"}}])", "{}",
       "maximum memory usage per Container is 1Gi.  No limit is specified"},
      {R"([{"type":"Container","max":{"cpu":"1"}}])",
       R"({"resources":{"limits":{"cpu":"1"},"requests":{"cpu":"1001m"}}})",
       "maximum cpu usage per Container is 1, but request is 1001m"},
      {R"([{"type":"Container","max":{"cpu":"1"}}])", R"({"resources":{"limits":{"cpu":"1000m"}}})", ""},
      {R"([{"type":"Container","min":{"cpu":"100m"}}])", R"({"resources":{"requests":{"cpu":"50m"}}})",
       "minimum cpu usage per Container is 100m, but request is 50m"},
      {R"([{"type":"Container","min":{"cpu":"100m"}}])", "{}",
       "minimum cpu usage per Container is 100m.  No request is specified"},
      {R"([{"type":"Container","maxLimitRequestRatio":{"cpu":"2"}}])",
       R"({"resources":{"limits":{"cpu":"3"},"requests":{"cpu":"1"}}})",
       "cpu max limit to request ratio per Container is 2, but provided ratio is 3.000000"},
      {R"([{"type":"Container","maxLimitRequestRatio":{"cpu":"2"}}])",
       R"({"resources":{"limits":{"cpu":"2"},"requests":{"cpu":"1"}}})", ""},
      {R"([{"type":"Pod","max":{"cpu":"1"}}])", R"({"resources":{"limits":{"cpu":"2"}}})",
       "maximum cpu usage per Pod is 1, but limit is 2"},
      {R"([{"type":"Container","max":{"cpu":"1","memory":"1Gi"}}])",
       R"({"resources":{"limits":{"cpu":"2","memory":"2Gi"}}})",
       "[maximum cpu usage per Container is 1, but limit is 2, maximum memory usage per Container is 1Gi, "
       "but limit "
       "is 2Gi]"},
  };
  for (const Row& row : rows) {
    FakeLookup lookup;
    put_range(lookup, row.limits);
    auto plugin = make_limit_ranger(lookup);
    INFO(row.limits << " " << row.container);
    const std::string expected =
        *row.message == '\0' ? "" : base::cat("pods \"p\" is forbidden: ", row.message);
    CHECK(create_pod(pod_with("{}", row.container))->run(*plugin) == expected);
  }
  FakeLookup lookup;
  put_range(lookup, R"([{"type":"PersistentVolumeClaim","max":{"storage":"1Gi"}}])");
  auto plugin = make_limit_ranger(lookup);
  TestRequest claim(Operation::kCreate, "", "PersistentVolumeClaim", "persistentvolumeclaims", "ns",
                    json(R"({"metadata":{"name":"d"},"spec":{"resources":{"requests":{"storage":"2Gi"}}}})"));
  CHECK_THAT(claim.run(*plugin),
             contains("maximum storage usage per PersistentVolumeClaim is 1Gi, but request is 2Gi"));
}

TEST_CASE("pods sum their containers as the scheduler does") {
  struct Row {
    const char *spec, *cpu;
  };
  const Row rows[] = {
      {R"({"containers":[{"resources":{"requests":{"cpu":"1"}}},{"resources":{"requests":{"cpu":"500m"}}}]})",
       "1500m"},
      {R"({"containers":[{"resources":{"requests":{"cpu":"1"}}}],
           "initContainers":[{"resources":{"requests":{"cpu":"3"}}},{"resources":{"requests":{"cpu":"2"}}}]})",
       "3"},
      {R"({"containers":[{"resources":{"requests":{"cpu":"1"}}}],
           "initContainers":[{"restartPolicy":"Always","resources":{"requests":{"cpu":"1"}}},
                             {"resources":{"requests":{"cpu":"2"}}}]})",
       "3"},
      {R"({"containers":[{"resources":{"requests":{"cpu":"2"}}}],
           "initContainers":[{"restartPolicy":"Always","resources":{"requests":{"cpu":"1"}}}]})",
       "3"},
      {R"({"containers":[{"resources":{"requests":{"cpu":"1"}}}],"resources":{"requests":{"cpu":"4"}}})",
       "4"},
  };
  for (const Row& row : rows) {
    INFO(row.spec);
    CHECK(pod_resources({{"spec", json(row.spec)}}, "requests").at("cpu").text() == row.cpu);
  }
}
