// What a whole server writes into its audit log.
#include <sstream>
#include <thread>

#include "tests/integration/server/fixture.h"

using namespace orch;
using namespace orch::testing;

namespace {

std::vector<Json> read_log(const std::string& path) {
  auto text = base::read_file(path);
  REQUIRE(text.ok());
  std::vector<Json> events;
  std::istringstream lines(*text);
  for (std::string line; std::getline(lines, line);) {
    auto parsed = base::parse_json(line);
    INFO(line);
    REQUIRE(parsed.ok());
    events.push_back(std::move(*parsed));
  }
  return events;
}

std::vector<Json> of_verb(const std::vector<Json>& events, const std::string& verb) {
  std::vector<Json> out;
  for (const Json& e : events) {
    if (e["verb"] == verb) out.push_back(e);
  }
  return out;
}

}  // namespace

TEST_CASE("requests are written down as the policy says") {
  DataFolder data, files;
  const std::string policy = files.path() + "/policy.yaml", path = files.path() + "/logs/audit.log";
  REQUIRE(base::write_file_atomic(
              policy,
              "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n"
              "- {level: None, nonResourceURLs: ['*'], userGroups: [system:masters]}\n"
              "- {level: RequestResponse, omitManagedFields: true, omitStages: [RequestReceived], "
              "resources: [{group: '', resources: [configmaps, serviceaccounts/token]}]}\n"
              "- {level: Metadata}\n")
              .ok());
  Control control(data);
  control.config().api.audit_policy_file = policy;
  control.config().api.audit_log_path = path;
  control.start();
  const Answer made = control.post(kMaps, config_map("one"));
  REQUIRE(made.status == 201);
  CHECK_THAT(made.headers, contains("Audit-Id: "));
  CHECK(control.get(kMaps + "/none").status == 404);
  CHECK(control.get("/api/v1/namespaces").status == 200);
  CHECK(control.get("/version").status == 200);
  CHECK(control.send("DELETE", kMaps + "/one").status == 200);
  CHECK(control.send_as({{}, "some-token"}, "GET", "/api/v1/pods").status == 401);
  const Answer token = control.default_token(
      {{"apiVersion", "authentication.k8s.io/v1"}, {"kind", "TokenRequest"}, {"spec", Json::object()}});
  REQUIRE(token.status == 201);
  CHECK(control
            .send("GET", "/api/v1/namespaces/default/pods", "",
                  {"", {"Impersonate-User: alice", "Impersonate-Group: dev"}})
            .status == 403);
  // A watch begins and ends.
  CHECK(control.get("/api/v1/namespaces?watch=true&timeoutSeconds=1").status == 200);
  std::vector<Json> watches;
  for (int i = 0; i < 100 && watches.size() < 3; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    watches = of_verb(read_log(path), "watch");
  }
  REQUIRE(watches.size() == 3);
  CHECK(watches[1]["stage"] == "ResponseStarted");
  CHECK(watches[2]["stage"] == "ResponseComplete");

  const auto events = read_log(path);
  for (const Json& e : events) {
    CHECK(e["kind"] == "Event");
    CHECK(e["requestURI"] != "/version");
    CHECK(e.dump().find("some-token") == std::string::npos);
    CHECK(e.dump().find(std::string(base::string_at(token.tree(), {"status", "token"}))) ==
          std::string::npos);
  }
  const auto creates = of_verb(events, "create");
  REQUIRE_FALSE(creates.empty());
  CHECK(creates[0]["stage"] == "ResponseComplete");
  CHECK(creates[0]["objectRef"]["name"] == "one");
  CHECK(creates[0]["requestObject"]["data"] == Json{{"a", "1"}});
  CHECK(creates[0]["responseObject"]["metadata"]["name"] == "one");
  CHECK_FALSE(creates[0]["responseObject"]["metadata"].contains("managedFields"));
  CHECK(creates[0]["annotations"]["authorization.k8s.io/decision"] == "allow");
  const auto gets = of_verb(events, "get");
  REQUIRE_FALSE(gets.empty());
  CHECK(gets[0]["responseStatus"]["code"] == 404);
  CHECK(gets[0]["responseStatus"]["reason"] == "NotFound");
  const auto lists = of_verb(events, "list");
  REQUIRE(lists.size() >= 2);
  CHECK(lists[0]["stage"] == "RequestReceived");
  CHECK_FALSE(lists[1].contains("responseObject"));
  bool refused = false, impersonated = false;
  for (const Json& e : lists) {
    if (base::int_at(e, {"responseStatus", "code"}) == 401) {
      refused = true;
      CHECK(e["stage"] == "ResponseStarted");
      CHECK(e["responseStatus"]["message"] == "Authentication failed, attempted: bearer");
    }
    if (e.contains("impersonatedUser")) {
      impersonated = true;
      CHECK(e["user"]["username"] == "system:admin");
      CHECK(e["impersonatedUser"]["username"] == "alice");
      CHECK(e["annotations"]["authorization.k8s.io/decision"] == "forbid");
    }
  }
  CHECK(refused);
  CHECK(impersonated);
}
