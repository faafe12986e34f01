#include "server/auth/rbac.h"

#include "server/auth/authorizers.h"
#include "server/auth/escalation.h"
#include "server/auth/forbidden.h"
#include "server/auth/role_aggregation.h"
#include "tests/catch.h"
#include "tests/unit/server/auth/fakes.h"

using namespace orch;
using namespace orch::server;
using namespace orch::testing;

namespace {

Json role(const char* kind, const char* ns, const char* name, const char* rules) {
  Json tree = {{"apiVersion", "rbac.authorization.k8s.io/v1"},
               {"kind", kind},
               {"metadata", {{"name", name}, {"uid", name}}},
               {"rules", json(rules)}};
  if (*ns != '\0') tree["metadata"]["namespace"] = ns;
  return tree;
}

Json binding(const char* kind, const char* ns, const char* name, const char* role_kind, const char* role_name,
             const char* subjects) {
  Json tree = role(kind, ns, name, "[]");
  tree.erase("rules");
  tree["roleRef"] = {{"apiGroup", "rbac.authorization.k8s.io"}, {"kind", role_kind}, {"name", role_name}};
  tree["subjects"] = json(subjects);
  return tree;
}

struct Cluster {
  RbacAuthorizer rbac;
  Cluster() {
    rbac.on_cluster_role(nullptr,
                         object(role("ClusterRole", "", "reader",
                                     R"([{"verbs":["get","list"],"apiGroups":[""],"resources":["pods"]}])")));
    rbac.on_role(nullptr,
                 object(role("Role", "a", "writer",
                             R"([{"verbs":["*"],"apiGroups":["apps"],"resources":["deployments"]}])")));
    rbac.on_cluster_role_binding(
        nullptr, object(binding("ClusterRoleBinding", "", "readers", "ClusterRole", "reader",
                                R"([{"kind":"User","name":"eve"},{"kind":"Group","name":"ops"}])")));
    rbac.on_role_binding(nullptr, object(binding("RoleBinding", "a", "writers", "Role", "writer",
                                                 R"([{"kind":"ServiceAccount","name":"bot"}])")));
    rbac.on_role_binding(nullptr,
                         object(binding("RoleBinding", "b", "readers", "ClusterRole", "reader",
                                        R"([{"kind":"ServiceAccount","name":"bot","namespace":"a"}])")));
  }
  Verdict ask(const UserInfo& u, const char* verb, const char* group, const char* resource, const char* ns) {
    return rbac.authorize(resource_attributes(u, verb, group, resource, ns));
  }
};

}  // namespace

TEST_CASE("RBAC follows bindings to users, groups and service accounts") {
  Cluster c;
  const UserInfo eve = user("eve"), op = user("olga", {"ops"}), bot = user("system:serviceaccount:a:bot");
  CHECK(c.ask(eve, "list", "", "pods", "x").reason ==
        R"(RBAC: allowed by ClusterRoleBinding "readers" of ClusterRole "reader" to User "eve")");
  CHECK(c.ask(eve, "list", "", "pods", "").decision == Decision::kAllow);
  CHECK(c.ask(op, "get", "", "pods", "x").reason ==
        R"(RBAC: allowed by ClusterRoleBinding "readers" of ClusterRole "reader" to Group "ops")");
  CHECK(c.ask(eve, "delete", "", "pods", "x").decision == Decision::kNoOpinion);
  CHECK(c.ask(bot, "create", "apps", "deployments", "a").reason ==
        R"(RBAC: allowed by RoleBinding "writers/a" of Role "writer" to ServiceAccount "bot/a")");
  CHECK(c.ask(bot, "create", "apps", "deployments", "b").decision == Decision::kNoOpinion);
  CHECK(c.ask(bot, "create", "apps", "deployments", "").decision == Decision::kNoOpinion);
  CHECK(c.ask(bot, "get", "", "pods", "b").decision == Decision::kAllow);
  CHECK(c.ask(bot, "get", "", "pods", "a").decision == Decision::kNoOpinion);
}

TEST_CASE("RBAC follows changes") {
  Cluster c;
  const UserInfo eve = user("eve"), tom = user("tom");
  const auto old = object(binding("ClusterRoleBinding", "", "readers", "ClusterRole", "reader",
                                  R"([{"kind":"User","name":"eve"}])"));
  const auto fresh = object(binding("ClusterRoleBinding", "", "readers", "ClusterRole", "reader",
                                    R"([{"kind":"User","name":"tom"},{"kind":"User","name":"tom"}])"));
  c.rbac.on_cluster_role_binding(old, fresh);
  CHECK(c.ask(eve, "get", "", "pods", "x").decision == Decision::kNoOpinion);
  CHECK(c.ask(tom, "get", "", "pods", "x").decision == Decision::kAllow);
  const auto r = object(role("ClusterRole", "", "reader", "[]"));
  c.rbac.on_cluster_role(r, r);
  CHECK(c.ask(tom, "get", "", "pods", "x").decision == Decision::kNoOpinion);
  c.rbac.on_cluster_role(r, nullptr);
  CHECK(c.ask(tom, "get", "", "pods", "x").reason ==
        R"(RBAC: clusterrole.rbac.authorization.k8s.io "reader" not found)");
  c.rbac.on_cluster_role_binding(fresh, nullptr);
  CHECK(c.ask(tom, "get", "", "pods", "x").reason.empty());
}

TEST_CASE("refusals are worded as Kubernetes words them") {
  const UserInfo eve = user("eve");
  const auto text = [&](const Attributes& a, std::string_view reason = {}) {
    return forbidden_status(a, reason).message();
  };
  CHECK(
      text(resource_attributes(eve, "list", "", "pods", "default")) ==
      R"(pods is forbidden: User "eve" cannot list resource "pods" in API group "" in the namespace "default")");
  CHECK(
      text(resource_attributes(eve, "get", "apps", "deployments", "d", "x", "scale")) ==
      R"(deployments.apps "x" is forbidden: User "eve" cannot get resource "deployments/scale" in API group "apps" in the namespace "d")");
  CHECK(
      text(resource_attributes(eve, "list", "", "nodes"), "because") ==
      R"(nodes is forbidden: User "eve" cannot list resource "nodes" in API group "" at the cluster scope: because)");
  CHECK(text(path_attributes(eve, "get", "/metrics<")) ==
        R"(forbidden: User "eve" cannot get path "/metrics&lt;")");
  const base::Status status =
      forbidden_status(resource_attributes(eve, "get", "apps", "deployments", "d", "x"));
  CHECK(status.code() == base::Code::kForbidden);
  REQUIRE(status.details() != nullptr);
  CHECK(status.details()->group == "apps");
  CHECK(status.details()->kind == "deployments");
  CHECK(status.details()->name == "x");
}

TEST_CASE("nobody grants what they do not hold") {
  Cluster c;
  MastersAuthorizer masters;
  UnionAuthorizer all({&masters, &c.rbac});
  const UserInfo eve = user("eve", {"dev"}), root = user("root", {"system:masters"});
  const auto check = [&](const UserInfo& u, const char* resource, const char* ns, const Json& o,
                         const Json* old = nullptr) {
    return confirm_no_escalation(c.rbac, all, u, resource, ns, o, old);
  };
  const Json same =
      role("ClusterRole", "", "copy", R"([{"verbs":["get"],"apiGroups":[""],"resources":["pods"]}])");
  const Json more = role("ClusterRole", "", "more",
                         R"([{"verbs":["get","delete","watch"],"apiGroups":[""],"resources":["pods"]}])");
  CHECK(check(eve, "clusterroles", "", same).ok());
  CHECK(check(root, "clusterroles", "", more).ok());
  const base::Status refused = check(eve, "clusterroles", "", more);
  CHECK(refused.code() == base::Code::kForbidden);
  CHECK(refused.message() ==
        "clusterroles.rbac.authorization.k8s.io \"more\" is forbidden: user \"eve\" (groups=[\"dev\"]) is "
        "attempting "
        "to grant RBAC permissions not currently held:\n"
        "{APIGroups:[\"\"], Resources:[\"pods\"], Verbs:[\"delete\" \"watch\"]}");

  Json aggregated = same;
  aggregated["aggregationRule"] = {{"clusterRoleSelectors", json(R"([{"matchLabels":{"a":"b"}}])")}};
  CHECK_THAT(check(eve, "clusterroles", "", aggregated).message(),
             contains("must have cluster-admin privileges to use the aggregationRule"));

  Json collected = more;
  collected["metadata"]["finalizers"] = {"x"};
  CHECK(check(eve, "clusterroles", "", more, &collected).ok());

  const Json bind_reader = binding("RoleBinding", "a", "mine", "ClusterRole", "reader", "[]");
  const Json bind_writer = binding("RoleBinding", "a", "mine", "Role", "writer", "[]");
  const Json bind_nothing = binding("RoleBinding", "a", "mine", "Role", "gone", "[]");
  CHECK(check(eve, "rolebindings", "a", bind_reader).ok());
  CHECK_THAT(check(eve, "rolebindings", "a", bind_writer).message(),
             contains("rolebindings.rbac.authorization.k8s.io"));
  CHECK(check(eve, "rolebindings", "a", bind_nothing).code() == base::Code::kNotFound);

  c.rbac.on_role(nullptr, object(role("Role", "a", "binder",
                                      R"([{"verbs":["bind"],"apiGroups":["rbac.authorization.k8s.io"],
                                           "resources":["roles"],"resourceNames":["writer"]}])")));
  c.rbac.on_role_binding(nullptr, object(binding("RoleBinding", "a", "binders", "Role", "binder",
                                                 R"([{"kind":"User","name":"eve"}])")));
  CHECK(check(eve, "rolebindings", "a", bind_writer).ok());
  CHECK(check(eve, "rolebindings", "a", bind_nothing).code() == base::Code::kNotFound);

  c.rbac.on_cluster_role(nullptr,
                         object(role("ClusterRole", "", "escalator",
                                     R"([{"verbs":["escalate"],"apiGroups":["rbac.authorization.k8s.io"],
                                                   "resources":["clusterroles"]}])")));
  c.rbac.on_cluster_role_binding(
      nullptr, object(binding("ClusterRoleBinding", "", "escalators", "ClusterRole", "escalator",
                              R"([{"kind":"User","name":"eve"}])")));
  CHECK(check(eve, "clusterroles", "", more).ok());
}

TEST_CASE("the small authorizers") {
  MastersAuthorizer masters;
  HealthAuthorizer health;
  struct Broken final : Authorizer {
    explicit Broken(std::string error) : why(std::move(error)) {}
    Verdict authorize(const Attributes& /*attributes*/) override { return {Decision::kNoOpinion, {}, why}; }
    std::string why;
  } first("one"), second("two");
  UnionAuthorizer half({&first}), broken({&first, &second});
  CHECK(half.authorize({}).error == "one");
  CHECK(broken.authorize({}).error == "[one, two]");

  UnionAuthorizer both({&masters, &health});
  const UserInfo anonymous = user("system:anonymous", {"system:unauthenticated"});
  const UserInfo root = user("root", {"system:masters"});
  CHECK(both.authorize(resource_attributes(root, "delete", "", "nodes")).decision == Decision::kAllow);
  for (const char* path : {"/healthz", "/livez", "/readyz", "/version", "/version/"}) {
    CHECK(both.authorize(path_attributes(anonymous, "get", path)).decision == Decision::kAllow);
  }
  for (const char* path : {"/", "/metrics", "/healthz/etcd", "/api", "/livezz"}) {
    CHECK(both.authorize(path_attributes(anonymous, "get", path)).decision == Decision::kNoOpinion);
  }
  CHECK(both.authorize(path_attributes(anonymous, "post", "/healthz")).decision == Decision::kNoOpinion);
}

TEST_CASE("cluster roles gather the rules of those they select") {
  std::map<std::string, Json> roles;
  const auto add = [&](const char* name, const char* rules, const char* label) {
    roles[name] = role("ClusterRole", "", name, rules);
    if (*label != '\0') roles[name]["metadata"]["labels"] = {{label, "true"}};
  };
  const char* get_a = R"([{"verbs":["get"],"apiGroups":[""],"resources":["a"]}])";
  const char* get_b =
      R"([{"verbs":["get"],"apiGroups":[""],"resources":["a"]},{"verbs":["get"],"apiGroups":[""],"resources":["b"]}])";
  add("one", get_a, "to-view");
  add("two", get_b, "to-view");
  add("view", "[]", "to-view");
  roles["view"]["aggregationRule"] = {
      {"clusterRoleSelectors", json(R"([{"matchLabels":{"to-view":"true"}}])")}};
  auto changed = plan_aggregation(roles);
  REQUIRE(changed.size() == 1);
  CHECK(changed[0]["metadata"]["name"] == "view");
  CHECK(changed[0]["rules"] == json(get_b));
  roles["view"] = changed[0];
  CHECK(plan_aggregation(roles).empty());
}
