#include "server/auth/bootstrap_policy.h"

#include <map>
#include <set>

#include "server/auth/rbac.h"
#include "server/auth/role_aggregation.h"
#include "tests/catch.h"
#include "tests/unit/server/auth/fakes.h"

using namespace orch;
using namespace orch::server;
using namespace orch::testing;

namespace {

/// Keeps trees by kind, namespace and name; enough of an API server for the reconciliation.
class FakeClient final : public client::Client {
 public:
  std::map<std::string, Json> objects;
  int writes = 0;

  base::Result<api::ObjectPtr> get(const client::ResourceRef& r, std::string_view ns,
                                   std::string_view name) override {
    const auto it = objects.find(key(r, ns, name));
    if (it == objects.end()) return base::Status(base::Code::kNotFound, "not found");
    return object(it->second);
  }
  base::Result<api::ObjectPtr> create(const client::ResourceRef& r, std::string_view ns,
                                      const Json& o) override {
    return store(r, ns, o);
  }
  base::Result<api::ObjectPtr> update(const client::ResourceRef& r, std::string_view ns, const Json& o,
                                      std::string_view) override {
    return store(r, ns, o);
  }
  base::Status remove(const client::ResourceRef& r, std::string_view ns, std::string_view name,
                      const client::DeleteOptions&) override {
    ++writes;
    objects.erase(key(r, ns, name));
    return {};
  }
  base::Result<client::List> list(const client::ResourceRef&, const client::ListOptions&) override {
    return no();
  }
  base::Result<api::ObjectPtr> patch(const client::ResourceRef&, std::string_view, std::string_view,
                                     client::PatchType, const Json&, std::string_view) override {
    return no();
  }
  base::Result<Json> post(const client::ResourceRef&, std::string_view, std::string_view, std::string_view,
                          const Json&) override {
    return no();
  }
  base::Result<std::unique_ptr<client::Watch>> watch(const client::ResourceRef&, const client::ListOptions&,
                                                     int64_t, client::WatchHandler) override {
    return no();
  }

 private:
  static base::Status no() { return {base::Code::kInternal, "not in this fake"}; }
  static std::string key(const client::ResourceRef& r, std::string_view ns, std::string_view name) {
    return base::cat(r.plural, "/", ns, "/", name);
  }
  base::Result<api::ObjectPtr> store(const client::ResourceRef& r, std::string_view ns, const Json& o) {
    ++writes;
    objects[key(r, ns, base::string_at(o, {"metadata", "name"}))] = o;
    return object(o);
  }
};

}  // namespace

TEST_CASE("the default policy is complete") {
  std::map<std::string, int> count;
  std::set<std::string> cluster_roles;
  for (const Json& o : bootstrap_policy()) {
    ++count[std::string(base::string_at(o, {"kind"}))];
    CHECK(base::string_at(o, {"metadata", "labels", "kubernetes.io/bootstrapping"}) == "rbac-defaults");
    if (o["kind"] == "ClusterRole") cluster_roles.insert(o["metadata"]["name"]);
  }
  CHECK(count["ClusterRole"] > 60);
  CHECK(count["ClusterRoleBinding"] > 40);
  CHECK(count["Role"] == 7);
  CHECK(count["RoleBinding"] == 7);
  for (const char* name :
       {"cluster-admin", "admin", "edit", "view", "system:node", "system:kube-scheduler", "system:discovery",
        "system:basic-user", "system:public-info-viewer", "system:controller:deployment-controller",
        "system:service-account-issuer-discovery", "system:aggregate-to-edit", "system:kubelet-api-admin"}) {
    INFO(name);
    CHECK(cluster_roles.contains(name));
  }
}

TEST_CASE("the default policy is written once and repaired") {
  FakeClient client;
  REQUIRE(reconcile_bootstrap_policy(client).ok());
  CHECK(client.objects.size() == bootstrap_policy().size());
  client.writes = 0;
  REQUIRE(reconcile_bootstrap_policy(client).ok());
  CHECK(client.writes == 0);

  Json& node = client.objects["clusterroles//system:node"];
  node["rules"].erase(0);
  node["metadata"]["annotations"]["mine"] = "kept";
  client.objects["clusterrolebindings//cluster-admin"]["subjects"] =
      json(R"([{"kind":"User","name":"eve"}])");
  client.objects["clusterrolebindings//system:discovery"]["roleRef"]["name"] = "other";
  Json& off = client.objects["clusterroles//view"];
  off["metadata"]["annotations"]["rbac.authorization.kubernetes.io/autoupdate"] = "false";
  off.erase("aggregationRule");
  REQUIRE(reconcile_bootstrap_policy(client).ok());
  CHECK(client.writes == 4);  // updates of two, delete and create of one
  CHECK(node["metadata"]["annotations"]["mine"] == "kept");
  CHECK(client.objects["clusterrolebindings//cluster-admin"]["subjects"].size() == 2);
  CHECK(client.objects["clusterrolebindings//system:discovery"]["roleRef"]["name"] == "system:discovery");
  CHECK_FALSE(client.objects["clusterroles//view"].contains("aggregationRule"));
  client.writes = 0;
  REQUIRE(reconcile_bootstrap_policy(client).ok());
  CHECK(client.writes == 0);
}

TEST_CASE("the default roles grant what people expect of them") {
  std::map<std::string, Json> roles;
  RbacAuthorizer rbac;
  for (const Json& o : bootstrap_policy()) {
    if (o["kind"] == "ClusterRole") roles[o["metadata"]["name"]] = o;
    if (o["kind"] == "Role") rbac.on_role(nullptr, object(o));
    if (o["kind"] == "ClusterRoleBinding") rbac.on_cluster_role_binding(nullptr, object(o));
    if (o["kind"] == "RoleBinding") rbac.on_role_binding(nullptr, object(o));
  }
  int rounds = 0;
  for (auto changed = plan_aggregation(roles); !changed.empty() && rounds < 10;
       changed = plan_aggregation(roles)) {
    for (Json& o : changed) roles[o["metadata"]["name"]] = o;
    ++rounds;
  }
  CHECK(rounds <= 3);
  for (const auto& [name, o] : roles) rbac.on_cluster_role(nullptr, object(o));
  for (const char* name : {"admin", "edit", "view"}) {
    rbac.on_role_binding(nullptr,
                         object(Json{{"apiVersion", "rbac.authorization.k8s.io/v1"},
                                     {"kind", "RoleBinding"},
                                     {"metadata", {{"name", name}, {"namespace", "ns"}}},
                                     {"roleRef", {{"kind", "ClusterRole"}, {"name", name}}},
                                     {"subjects", Json::array({{{"kind", "User"}, {"name", name}}})}}));
  }
  struct Row {
    const char *user, *group, *verb, *api, *resource, *subresource, *ns;
    bool allowed;
  };
  const Row rows[] = {
      {"view", "", "list", "", "pods", "", "ns", true},
      {"view", "", "get", "", "pods", "log", "ns", true},
      {"view", "", "list", "", "secrets", "", "ns", false},
      {"view", "", "list", "", "pods", "", "other", false},
      {"edit", "", "create", "apps", "deployments", "", "ns", true},
      {"edit", "", "get", "", "secrets", "", "ns", true},
      {"edit", "", "create", "rbac.authorization.k8s.io", "rolebindings", "", "ns", false},
      {"admin", "", "create", "rbac.authorization.k8s.io", "rolebindings", "", "ns", true},
      {"admin", "", "list", "", "pods", "", "ns", true},
      {"admin", "", "list", "", "nodes", "", "", false},
      {"x", "system:masters", "delete", "", "nodes", "", "", true},
      {"x", "system:authenticated", "create", "authorization.k8s.io", "selfsubjectaccessreviews", "", "",
       true},
      {"x", "system:authenticated", "list", "", "pods", "", "ns", false},
      {"system:kube-scheduler", "", "create", "", "pods", "binding", "ns", true},
      {"system:serviceaccount:kube-system:deployment-controller", "", "create", "apps", "replicasets", "",
       "ns", true},
      {"system:serviceaccount:kube-system:deployment-controller", "", "create", "", "secrets", "", "ns",
       false},
      {"system:kube-controller-manager", "", "get", "", "configmaps", "", "kube-system", true},
  };
  for (const Row& r : rows) {
    INFO(r.user << " " << r.group << " " << r.verb << " " << r.resource << " in " << r.ns);
    const UserInfo u = user(r.user, {r.group});
    const Verdict v =
        rbac.authorize(resource_attributes(u, r.verb, r.api, r.resource, r.ns, "", r.subresource));
    CHECK((v.decision == Decision::kAllow) == r.allowed);
  }
  const UserInfo anonymous = user("system:anonymous", {"system:unauthenticated"});
  CHECK(rbac.authorize(path_attributes(anonymous, "get", "/version")).decision == Decision::kAllow);
  CHECK(rbac.authorize(path_attributes(anonymous, "get", "/apis")).decision == Decision::kNoOpinion);
}
