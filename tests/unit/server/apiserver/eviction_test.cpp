#include "server/apiserver/eviction.h"

#include "base/json.h"
#include "tests/catch.h"

namespace orch::testing {
namespace {

const base::WallTime kNow = base::WallTime(std::chrono::seconds(1767225600));

Json budget(int64_t allowed, int64_t healthy, int64_t desired) {
  return {{"metadata", {{"name", "b"}, {"generation", 2}}},
          {"status",
           {{"observedGeneration", 2},
            {"disruptionsAllowed", allowed},
            {"currentHealthy", healthy},
            {"desiredHealthy", desired}}}};
}

TEST_CASE("an eviction is charged to the budget") {
  auto next = server::charge_budget(budget(2, 4, 2), "p", kNow);
  REQUIRE(next.ok());
  CHECK((*next)["status"]["disruptionsAllowed"] == 1);
  CHECK((*next)["status"]["disruptedPods"] == Json({{"p", "2026-01-01T00:00:00Z"}}));
}

TEST_CASE("what a budget does not allow") {
  Json failed = budget(0, 5, 2);
  failed["status"]["conditions"] = Json::array({{{"type", "DisruptionAllowed"},
                                                 {"status", "False"},
                                                 {"reason", "SyncFailed"},
                                                 {"message", "no scale"}}});
  Json told = budget(0, 5, 2);
  told["status"]["conditions"] = Json::array(
      {{{"type", "DisruptionAllowed"}, {"status", "False"}, {"reason", "Other"}, {"message", "so it is"}}});
  Json behind = budget(3, 5, 2);
  behind["metadata"]["generation"] = 3;
  struct Case {
    const char* what;
    Json budget;
    int http;
    int retry_after;
    const char* cause;
  };
  const std::vector<Case> cases = {
      {"used up", budget(0, 2, 2), 429, 0,
       "The disruption budget b needs 2 healthy pods and has 2 currently"},
      {"no reason to be seen", budget(0, 5, 2), 429, 0,
       "The disruption budget b does not allow evicting pods currently"},
      {"its controller failed", failed, 429, 0,
       "The disruption budget b does not allow evicting pods currently because it failed sync: no scale"},
      {"a condition says why", told, 429, 0,
       "The disruption budget b does not allow evicting pods currently (Other): so it is"},
      {"its controller is behind", behind, 429, 10,
       "The disruption budget b is still being processed by the server."},
      {"nonsense", budget(-1, 5, 2), 403, 0, nullptr},
  };
  for (const auto& c : cases) {
    INFO(c.what);
    auto next = server::charge_budget(c.budget, "p", kNow);
    REQUIRE_FALSE(next.ok());
    CHECK(next.error().http_code() == c.http);
    if (c.cause == nullptr) continue;
    CHECK(next.error().message() == "Cannot evict pod as it would violate the pod's disruption budget.");
    REQUIRE(next.error().details() != nullptr);
    CHECK(next.error().details()->retry_after_seconds == c.retry_after);
    REQUIRE(next.error().details()->causes.size() == 1);
    CHECK(next.error().details()->causes[0].reason == "DisruptionBudget");
    CHECK(next.error().details()->causes[0].message == c.cause);
  }
}

TEST_CASE("which pods cost a budget nothing") {
  auto pod = [](const char* ready) -> Json {
    return {{"status", {{"conditions", Json::array({{{"type", "Ready"}, {"status", ready}}})}}}};
  };
  Json always = budget(0, 0, 2);
  always["spec"] = {{"unhealthyPodEvictionPolicy", "AlwaysAllow"}};
  CHECK_FALSE(server::spares_budget(budget(1, 3, 2), pod("True")));
  CHECK(server::spares_budget(budget(0, 2, 2), pod("False")));
  CHECK_FALSE(server::spares_budget(budget(0, 1, 2), pod("False")));
  CHECK_FALSE(server::spares_budget(budget(0, 0, 0), pod("False")));
  CHECK(server::spares_budget(always, pod("False")));
  CHECK_FALSE(server::spares_budget(always, pod("True")));
}

}  // namespace
}  // namespace orch::testing
