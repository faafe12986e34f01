#include "server/auth/rbac_rule.h"

#include "tests/catch.h"
#include "tests/unit/server/auth/fakes.h"

using namespace orch;
using namespace orch::server;
using namespace orch::testing;

TEST_CASE("a rule allows what it names") {
  struct Row {
    const char* rule;
    const char *verb, *group, *resource, *subresource, *name;
    bool allowed;
  };
  const Row rows[] = {
      {R"({"verbs":["get"],"apiGroups":[""],"resources":["pods"]})", "get", "", "pods", "", "a", true},
      {R"({"verbs":["get"],"apiGroups":[""],"resources":["pods"]})", "list", "", "pods", "", "", false},
      {R"({"verbs":["*"],"apiGroups":[""],"resources":["pods"]})", "list", "", "pods", "", "", true},
      {R"({"verbs":["get"],"apiGroups":["apps"],"resources":["pods"]})", "get", "", "pods", "", "a", false},
      {R"({"verbs":["get"],"apiGroups":["*"],"resources":["*"]})", "get", "x.io", "ys", "", "a", true},
      {R"({"verbs":["get"],"apiGroups":["*"],"resources":["*"]})", "get", "x.io", "ys", "status", "a", true},
      {R"({"verbs":["get"],"apiGroups":[""],"resources":["pods"]})", "get", "", "pods", "log", "a", false},
      {R"({"verbs":["get"],"apiGroups":[""],"resources":["pods/log"]})", "get", "", "pods", "log", "a", true},
      {R"({"verbs":["get"],"apiGroups":[""],"resources":["pods/log"]})", "get", "", "pods", "", "a", false},
      {R"({"verbs":["get"],"apiGroups":["*"],"resources":["*/scale"]})", "get", "apps", "deployments",
       "scale", "a", true},
      {R"({"verbs":["get"],"apiGroups":["*"],"resources":["*/scale"]})", "get", "apps", "deployments",
       "status", "a", false},
      {R"({"verbs":["get"],"apiGroups":["*"],"resources":["*/scale"]})", "get", "apps", "deployments", "",
       "a", false},
      {R"({"verbs":["get"],"apiGroups":[""],"resources":["secrets"],"resourceNames":["a","b"]})", "get", "",
       "secrets", "", "b", true},
      {R"({"verbs":["get"],"apiGroups":[""],"resources":["secrets"],"resourceNames":["a","b"]})", "get", "",
       "secrets", "", "c", false},
      {R"({"verbs":["list"],"apiGroups":[""],"resources":["secrets"],"resourceNames":["a"]})", "list", "",
       "secrets", "", "", false},
  };
  const UserInfo anybody = user("u");
  for (const Row& row : rows) {
    const Attributes a =
        resource_attributes(anybody, row.verb, row.group, row.resource, "ns", row.name, row.subresource);
    INFO(row.rule << " " << row.verb << " " << row.resource << "/" << row.subresource << " " << row.name);
    CHECK(rule_from_json(json(row.rule)).allows(a, resource_path(a)) == row.allowed);
  }
}

TEST_CASE("a rule allows paths") {
  struct Row {
    const char *pattern, *path;
    bool allowed;
  };
  const Row rows[] = {{"/healthz", "/healthz", true},
                      {"/healthz", "/healthz/ping", false},
                      {"/healthz/*", "/healthz/", true},
                      {"/healthz/*", "/healthz", false},
                      {"/apis*", "/apis/apps/v1", true},
                      {"*", "/anything", true},
                      {"/a/**", "/a/b", true}};
  const UserInfo anybody = user("u");
  for (const Row& row : rows) {
    const PolicyRule rule{{"get"}, {}, {}, {}, {row.pattern}};
    INFO(row.pattern << " " << row.path);
    CHECK(rule.allows(path_attributes(anybody, "get", row.path), "") == row.allowed);
    CHECK_FALSE(rule.allows(path_attributes(anybody, "post", row.path), ""));
  }
}

TEST_CASE("rules that cover others") {
  struct Row {
    const char *held, *wanted;
    size_t missing;
  };
  const Row rows[] = {
      {R"([{"verbs":["*"],"apiGroups":["*"],"resources":["*"]}])",
       R"([{"verbs":["get","list"],"apiGroups":["","apps"],"resources":["pods","deployments/scale"]}])", 0},
      {R"([{"verbs":["get"],"apiGroups":[""],"resources":["pods"]}])",
       R"([{"verbs":["get","list"],"apiGroups":[""],"resources":["pods"]}])", 1},
      {R"([{"verbs":["get"],"apiGroups":[""],"resources":["pods"]}])",
       R"([{"verbs":["get"],"apiGroups":["*"],"resources":["pods"]}])", 1},
      {R"([{"verbs":["get"],"apiGroups":["*"],"resources":["*/scale"]}])",
       R"([{"verbs":["get"],"apiGroups":["apps"],"resources":["deployments/scale","deployments"]}])", 1},
      {R"([{"verbs":["get"],"apiGroups":[""],"resources":["secrets"],"resourceNames":["a"]}])",
       R"([{"verbs":["get"],"apiGroups":[""],"resources":["secrets"],"resourceNames":["a","b"]}])", 1},
      {R"([{"verbs":["get"],"apiGroups":[""],"resources":["secrets"],"resourceNames":["a"]}])",
       R"([{"verbs":["get"],"apiGroups":[""],"resources":["secrets"]}])", 1},
      {R"([{"verbs":["get"],"apiGroups":[""],"resources":["secrets"]}])",
       R"([{"verbs":["get"],"apiGroups":[""],"resources":["secrets"],"resourceNames":["a"]}])", 0},
      {R"([{"verbs":["get"],"nonResourceURLs":["/a/*"]}])",
       R"([{"verbs":["get"],"nonResourceURLs":["/a/b","/c"]}])", 1},
      {R"([{"verbs":["*"],"apiGroups":["*"],"resources":["*"]}])",
       R"([{"verbs":["get"],"nonResourceURLs":["/a"]}])", 1},
      {"[]", R"([{"verbs":["get"],"apiGroups":[""],"resources":[]}])", 0},
  };
  for (const Row& row : rows) {
    INFO(row.held << " against " << row.wanted);
    const auto missing =
        uncovered_rules(rules_of({{"rules", json(row.held)}}), rules_of({{"rules", json(row.wanted)}}));
    CHECK(missing.size() == row.missing);
  }
}

TEST_CASE("rules are compacted and worded as Kubernetes does") {
  const auto compact = compact_rules({{{"get"}, {""}, {"pods"}, {}, {}},
                                      {{"list"}, {""}, {"pods"}, {}, {}},
                                      {{"get"}, {""}, {"pods"}, {"x"}, {}},
                                      {{"get"}, {}, {}, {}, {"/a"}}});
  REQUIRE(compact.size() == 3);
  CHECK(compact[0].compact_text() == R"({APIGroups:[""], Resources:["pods"], Verbs:["get" "list"]})");
  CHECK(compact[1].compact_text() ==
        R"({APIGroups:[""], Resources:["pods"], ResourceNames:["x"], Verbs:["get"]})");
  CHECK(compact[2].compact_text() == R"({NonResourceURLs:["/a"], Verbs:["get"]})");
}
