// Aggregated cluster roles, token secrets, protected volumes, quotas: plans over plain values.
#include <map>

#include "pki/pki.h"
#include "server/controllers/cluster_roles.h"
#include "server/controllers/ephemeral_volumes.h"
#include "server/controllers/persistent_volumes.h"
#include "server/controllers/resource_quota.h"
#include "server/controllers/service_cidr.h"
#include "server/controllers/token_secrets.h"
#include "server/controllers/volume_protection.h"
#include "tests/catch.h"
#include "tests/unit/server/auth/fakes.h"

using namespace orch;
using namespace orch::server;
using namespace orch::testing;

namespace {

/// Objects by plural; indexes are those of the controller under test, computed when asked.
class ValueView final : public View {
 public:
  explicit ValueView(const Controller& controller) : controller_(controller) {}
  void put(const std::string& plural, const api::ObjectPtr& o) {
    erase(plural, o->ns(), o->name());
    objects_[plural].push_back(o);
  }
  void put(const std::string& plural, const char* text) { put(plural, object(text)); }
  void erase(const std::string& plural, std::string_view ns, std::string_view name) {
    std::erase_if(objects_[plural], [&](const auto& o) { return o->ns() == ns && o->name() == name; });
  }
  api::ObjectPtr get(const client::ResourceRef& r, std::string_view ns,
                     std::string_view name) const override {
    for (const auto& o : list(r, ns)) {
      if (o->name() == name) return o;
    }
    return nullptr;
  }
  std::vector<api::ObjectPtr> list(const client::ResourceRef& r, std::string_view ns) const override {
    std::vector<api::ObjectPtr> out;
    const auto it = objects_.find(r.plural);
    if (it == objects_.end()) return out;
    for (const auto& o : it->second) {
      if (ns.empty() || o->ns() == ns) out.push_back(o);
    }
    return out;
  }
  std::vector<api::ObjectPtr> by_index(const client::ResourceRef& r, const std::string& index,
                                       std::string_view value) const override {
    std::vector<api::ObjectPtr> out;
    for (const Source& source : controller_.sources) {
      if (!(source.resource == r)) continue;
      for (const auto& [name, function] : source.indexes) {
        if (name != index) continue;
        for (const auto& o : list(r, "")) {
          for (const std::string& v : function(*o)) {
            if (v == value) out.push_back(o);
          }
        }
      }
    }
    return out;
  }

 private:
  const Controller& controller_;
  std::map<std::string, std::vector<api::ObjectPtr>> objects_;
};

const base::WallTime kStart(std::chrono::seconds(1767225600));  // 2026-01-01T00:00:00Z

}  // namespace

TEST_CASE("aggregated cluster roles are brought up to date") {
  const Controller c = make_cluster_role_aggregation_controller();
  ValueView view(c);
  view.put("clusterroles", R"({"apiVersion":"rbac.authorization.k8s.io/v1","kind":"ClusterRole",
    "metadata":{"name":"part","labels":{"to":"view"}},"rules":[{"verbs":["get"],"apiGroups":[""],"resources":["a"]}]})");
  CHECK(c.plan(view, {"", "all"}, kStart).writes.empty());
  view.put("clusterroles", R"({"apiVersion":"rbac.authorization.k8s.io/v1","kind":"ClusterRole",
    "metadata":{"name":"view"},"rules":null,"aggregationRule":{"clusterRoleSelectors":[{"matchLabels":{"to":"view"}}]}})");
  const Plan plan = c.plan(view, {"", "all"}, kStart);
  REQUIRE(plan.writes.size() == 1);
  CHECK(plan.writes[0].name == "view");
  CHECK((*plan.writes[0].body)["rules"].size() == 1);
  view.put("clusterroles", object(*plan.writes[0].body));
  CHECK(c.plan(view, {"", "all"}, kStart).writes.empty());
}

TEST_CASE("token secrets are filled in and go with their account") {
  const Controller c = make_token_secret_controller(
      [](const api::Object& account, std::string_view secret) -> base::Result<std::string> {
        return base::cat("token of ", account.name(), " in ", secret);
      },
      "CA");
  ValueView view(c);
  view.put("serviceaccounts", simple_object("ServiceAccount", "ns", "bot", "uid-1"));
  view.put("secrets", R"({"apiVersion":"v1","kind":"Secret","type":"kubernetes.io/service-account-token",
    "metadata":{"name":"s","namespace":"ns","annotations":{"kubernetes.io/service-account.name":"bot"}}})");
  view.put("secrets",
           R"({"apiVersion":"v1","kind":"Secret","type":"Opaque","metadata":{"name":"o","namespace":"ns"}})");
  const Plan plan = c.plan(view, {"ns", "s"}, kStart);
  REQUIRE(plan.writes.size() == 1);
  const Json& secret = *plan.writes[0].body;
  CHECK(secret["data"]["token"] == pki::base64_encode("token of bot in s"));
  CHECK(secret["data"]["ca.crt"] == pki::base64_encode("CA"));
  CHECK(secret["data"]["namespace"] == pki::base64_encode("ns"));
  CHECK(secret["metadata"]["annotations"]["kubernetes.io/service-account.uid"] == "uid-1");
  CHECK(c.plan(view, {"ns", "o"}, kStart).writes.empty());

  view.put("secrets", object(secret));
  CHECK(c.plan(view, {"ns", "s"}, kStart).writes.empty());
  const auto account = view.get({"", "v1", "serviceaccounts"}, "ns", "bot");
  CHECK(c.sources[1].keys(account, nullptr, view) == Keys{{"ns", "s"}});
  view.erase("serviceaccounts", "ns", "bot");
  const Plan gone = c.plan(view, {"ns", "s"}, kStart);
  REQUIRE(gone.writes.size() == 1);
  CHECK(gone.writes[0].verb == Write::Verb::kDelete);
}

TEST_CASE("bootstrap tokens go when they expire") {
  const Controller c = make_token_cleaner_controller();
  ValueView view(c);
  Json secret = json(R"({"apiVersion":"v1","kind":"Secret","type":"bootstrap.kubernetes.io/token",
                         "metadata":{"name":"bootstrap-token-abcdef","namespace":"kube-system"},"data":{}})");
  const Key key{"kube-system", "bootstrap-token-abcdef"};
  view.put("secrets", object(secret));
  CHECK(c.plan(view, key, kStart).writes.empty());
  secret["data"]["expiration"] = pki::base64_encode("2026-01-01T00:10:00Z");
  view.put("secrets", object(secret));
  const Plan later = c.plan(view, key, kStart);
  CHECK(later.writes.empty());
  CHECK(later.requeue == std::chrono::minutes(10));
  CHECK(c.plan(view, key, kStart + std::chrono::minutes(10)).writes.size() == 1);
}

TEST_CASE("a pod gets the claims that it describes") {
  const Controller c = make_ephemeral_volume_controller();
  ValueView view(c);
  const api::ObjectPtr pod = object(R"({"apiVersion":"v1","kind":"Pod",
    "metadata":{"name":"p","namespace":"ns","uid":"u1"},"spec":{"volumes":[
      {"name":"plain","emptyDir":{}},
      {"name":"a","ephemeral":{"volumeClaimTemplate":{"metadata":{"labels":{"l":"1"},"annotations":{"n":"2"}},
        "spec":{"accessModes":["ReadWriteOnce"]}}}},
      {"name":"b","ephemeral":{"volumeClaimTemplate":{"spec":{}}}}]}})");
  view.put("pods", pod);
  CHECK(c.sources[0].keys(nullptr, pod, view) == Keys{{"ns", "p"}});
  CHECK(c.sources[0].keys(pod, pod, view).empty());
  const Plan plan = c.plan(view, {"ns", "p"}, kStart);
  REQUIRE(plan.writes.size() == 2);
  CHECK(*plan.writes[0].body == json(R"({"apiVersion":"v1","kind":"PersistentVolumeClaim",
    "metadata":{"name":"p-a","namespace":"ns","labels":{"l":"1"},"annotations":{"n":"2"},"ownerReferences":[
      {"apiVersion":"v1","kind":"Pod","name":"p","uid":"u1","controller":true,"blockOwnerDeletion":true}]},
    "spec":{"accessModes":["ReadWriteOnce"]}})"));
  CHECK(plan.writes[1].body->at("metadata").at("name") == "p-b");
  const Plan told = plan.otherwise(plan.writes[1], {base::Code::kForbidden, "exceeded quota"});
  REQUIRE(told.notes.size() == 1);
  CHECK(told.notes[0].reason == "FailedBinding");
  CHECK(told.notes[0].message == "ephemeral volume b: create PVC p-b: exceeded quota");

  const api::ObjectPtr own = object(*plan.writes[0].body);
  view.put("persistentvolumeclaims", own);
  CHECK(c.plan(view, {"ns", "p"}, kStart).writes.size() == 1);
  CHECK(c.sources[1].keys(own, nullptr, view) == Keys{{"ns", "p"}});

  const api::ObjectPtr other = object(R"({"apiVersion":"v1","kind":"PersistentVolumeClaim",
    "metadata":{"name":"p-b","namespace":"ns","uid":"u2"}})");
  view.put("persistentvolumeclaims", other);
  const Plan refused = c.plan(view, {"ns", "p"}, kStart);
  CHECK(refused.writes.empty());
  REQUIRE(refused.notes.size() == 1);
  CHECK(refused.notes[0].message ==
        "ephemeral volume b: PVC ns/p-b was not created for pod ns/p (pod is not owner)");
  CHECK(c.sources[1].keys(other, nullptr, view) == Keys{{"ns", "p"}});

  Json going = pod->tree();
  going["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z";
  view.put("pods", object(going));
  CHECK(c.plan(view, {"ns", "p"}, kStart).notes.empty());
}

TEST_CASE("a claim that asks for more is told who can give it") {
  const Controller c = make_volume_expander_controller();
  ValueView view(c);
  view.put("persistentvolumes", R"({"apiVersion":"v1","kind":"PersistentVolume","metadata":{"name":"pv"},
    "spec":{"claimRef":{"namespace":"ns","name":"d","uid":"u1"}}})");
  const auto claim = [](const char* asked, const char* has, const char* phase = "Bound",
                        const char* uid = "u1") {
    return object(Json{{"apiVersion", "v1"},
                       {"kind", "PersistentVolumeClaim"},
                       {"metadata", {{"name", "d"}, {"namespace", "ns"}, {"uid", uid}}},
                       {"spec", {{"volumeName", "pv"}, {"resources", {{"requests", {{"storage", asked}}}}}}},
                       {"status", {{"phase", phase}, {"capacity", {{"storage", has}}}}}});
  };
  struct Row {
    const char* what;
    api::ObjectPtr before, after;
    bool wakes, tells;
  };
  for (const Row& r :
       {Row{"as large as asked", nullptr, claim("1Gi", "1Gi"), false, false},
        Row{"begins to ask for more", claim("1Gi", "1Gi"), claim("2Gi", "1Gi"), true, true},
        Row{"asked before the controller started", nullptr, claim("2Gi", "1Gi"), true, true},
        Row{"goes on asking", claim("2Gi", "1Gi"), claim("2Gi", "1Gi"), false, true},
        Row{"got a part of it", claim("4Gi", "1Gi"), claim("4Gi", "2Gi"), true, true},
        Row{"not bound", nullptr, claim("2Gi", "1Gi", "Pending"), false, false},
        Row{"the volume is another's", nullptr, claim("2Gi", "1Gi", "Bound", "u2"), true, false}}) {
    INFO(r.what);
    CHECK(c.sources[0].keys(r.before, r.after, view).empty() != r.wakes);
    view.put("persistentvolumeclaims", r.after);
    const Plan plan = c.plan(view, {"ns", "d"}, kStart);
    CHECK(plan.writes.empty());
    CHECK(plan.notes.empty() != r.tells);
  }
}

TEST_CASE("claims, volumes and classes are kept while in use") {
  const Controller claims = make_claim_protection_controller();
  ValueView view(claims);
  view.put("persistentvolumeclaims",
           R"({"apiVersion":"v1","kind":"PersistentVolumeClaim","metadata":{"name":"d",
    "namespace":"ns","deletionTimestamp":"2026-01-01T00:00:00Z","finalizers":["kubernetes.io/pvc-protection"]}})");
  const auto pod = [](const char* node) {
    return object(Json{{"apiVersion", "v1"},
                       {"kind", "Pod"},
                       {"metadata", {{"name", "p"}, {"namespace", "ns"}}},
                       {"spec",
                        {{"nodeName", node},
                         {"volumes", json(R"([{"name":"v","persistentVolumeClaim":{"claimName":"d"}}])")}}}});
  };
  view.put("pods", pod("n1"));
  CHECK(claims.plan(view, {"ns", "d"}, kStart).writes.empty());
  CHECK(claims.sources[1].keys(pod("n1"), nullptr, view) == Keys{{"ns", "d"}});
  view.put("pods", pod(""));
  const Plan unscheduled = claims.plan(view, {"ns", "d"}, kStart);
  REQUIRE(unscheduled.writes.size() == 1);
  CHECK_FALSE(unscheduled.writes[0].body->at("metadata").contains("finalizers"));

  const Controller volumes = make_volume_protection_controller();
  ValueView cluster(volumes);
  for (const auto& [phase, writes] : {std::pair("Bound", 0U), {"Released", 1U}}) {
    cluster.put("persistentvolumes",
                object(Json{{"apiVersion", "v1"},
                            {"kind", "PersistentVolume"},
                            {"metadata",
                             {{"name", "pv"},
                              {"deletionTimestamp", "2026-01-01T00:00:00Z"},
                              {"finalizers", Json::array({"kubernetes.io/pv-protection"})}}},
                            {"status", {{"phase", phase}}}}));
    CHECK(volumes.plan(cluster, {"", "pv"}, kStart).writes.size() == writes);
  }

  const Controller classes = make_attributes_class_protection_controller();
  ValueView storage(classes);
  storage.put("volumeattributesclasses", R"({"apiVersion":"storage.k8s.io/v1","kind":"VolumeAttributesClass",
    "metadata":{"name":"gold","deletionTimestamp":"2026-01-01T00:00:00Z","finalizers":["kubernetes.io/vac-protection"]}})");
  storage.put("persistentvolumeclaims", R"({"apiVersion":"v1","kind":"PersistentVolumeClaim",
    "metadata":{"name":"d","namespace":"ns"},"spec":{"volumeAttributesClassName":"gold"}})");
  CHECK(classes.plan(storage, {"", "gold"}, kStart).writes.empty());
  storage.erase("persistentvolumeclaims", "ns", "d");
  CHECK(classes.plan(storage, {"", "gold"}, kStart).writes.size() == 1);
}

namespace {

/// Lists deployments; the quota controller asks it for kinds it does not watch.
class ListClient final : public client::Client {
 public:
  size_t count = 0;
  base::Result<client::List> list(const client::ResourceRef& r, const client::ListOptions& o) override {
    client::List out;
    for (size_t i = 0; r.plural == "deployments" && i < count; ++i) {
      out.items.push_back(simple_object("Deployment", o.ns, base::cat("d", i), "u"));
    }
    return out;
  }
  base::Result<api::ObjectPtr> get(const client::ResourceRef&, std::string_view, std::string_view) override {
    return no();
  }
  base::Result<api::ObjectPtr> create(const client::ResourceRef&, std::string_view, const Json&) override {
    return no();
  }
  base::Result<api::ObjectPtr> update(const client::ResourceRef&, std::string_view, const Json&,
                                      std::string_view) override {
    return no();
  }
  base::Result<api::ObjectPtr> patch(const client::ResourceRef&, std::string_view, std::string_view,
                                     client::PatchType, const Json&, std::string_view) override {
    return no();
  }
  base::Status remove(const client::ResourceRef&, std::string_view, std::string_view,
                      const client::DeleteOptions&) override {
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
};

}  // namespace

TEST_CASE("quotas are counted when new, and again once they are left alone") {
  const Controller c = make_resource_quota_controller([] {
    return std::vector<client::ResourceRef>{{"apps", "v1", "deployments"}};
  });
  ValueView view(c);
  ListClient client;
  client.count = 2;
  const Key key{"ns", "q"};
  Json quota = json(R"({"apiVersion":"v1","kind":"ResourceQuota",
    "metadata":{"name":"q","namespace":"ns","uid":"u","resourceVersion":"7"},
    "spec":{"hard":{"pods":"5","count/deployments.apps":"9"}}})");
  view.put("resourcequotas", object(quota));
  view.put("pods", R"({"apiVersion":"v1","kind":"Pod","metadata":{"name":"a","namespace":"ns"},"spec":{}})");
  const Plan first = *c.observe_and_plan(client, view, key, kStart);
  REQUIRE(first.writes.size() == 1);
  CHECK(first.writes[0].subresource == "status");
  CHECK(
      first.writes[0].body->at("status") ==
      json(
          R"({"hard":{"count/deployments.apps":"9","pods":"5"},"used":{"count/deployments.apps":"2","pods":"1"}})"));

  quota["status"] = json(
      R"({"hard":{"pods":"5","count/deployments.apps":"9"},"used":{"pods":"4","count/deployments.apps":"2"}})");
  view.put("resourcequotas", object(quota));
  const Plan waiting = *c.observe_and_plan(client, view, key, kStart);
  CHECK(waiting.writes.empty());
  CHECK(waiting.requeue == std::chrono::seconds(1));
  quota["metadata"]["resourceVersion"] = "8";
  view.put("resourcequotas", object(quota));
  CHECK(c.observe_and_plan(client, view, key, kStart + std::chrono::seconds(1))->writes.empty());
  const Plan counted = *c.observe_and_plan(client, view, key, kStart + std::chrono::seconds(2));
  REQUIRE(counted.writes.size() == 1);
  CHECK(counted.writes[0].body->at("status")["used"]["pods"] == "1");
  CHECK(counted.requeue == std::chrono::seconds(30));

  const auto pod = view.get({"", "v1", "pods"}, "ns", "a");
  CHECK(c.sources[1].keys(pod, nullptr, view) == Keys{key});
  CHECK(c.sources[1].keys(nullptr, pod, view).empty());
  CHECK(c.sources[1].keys(pod, pod, view).empty());
}

TEST_CASE("ranges of services are made ready, and go when no address is left in them") {
  const Controller c = make_service_cidr_controller("10.43.1.2/16");
  ValueView view(c);
  const auto named = [](const char* name, const char* cidr, const char* more = "") {
    return base::cat(R"({"apiVersion":"networking.k8s.io/v1","kind":"ServiceCIDR","metadata":{"uid":"u-)",
                     name, R"(","name":")", name, "\"", more, R"(},"spec":{"cidrs":[")", cidr, R"("]}})");
  };
  // The server's own is made, and made again.
  Plan plan = c.plan(view, {"", "kubernetes"}, kStart);
  REQUIRE(plan.writes.size() == 1);
  CHECK(plan.writes[0].body->at("spec") == json(R"({"cidrs":["10.43.0.0/16"]})"));
  CHECK(c.plan(view, {"", "other"}, kStart).writes.empty());
  view.put("servicecidrs", object(json(named("kubernetes", "10.43.0.0/16"))));
  plan = c.plan(view, {"", "kubernetes"}, kStart);
  REQUIRE(plan.writes.size() == 1);
  view.put("servicecidrs", object(*plan.writes[0].body));
  plan = c.plan(view, {"", "kubernetes"}, kStart);
  REQUIRE(plan.writes.size() == 1);
  CHECK(plan.writes[0].subresource == "status");
  CHECK(plan.writes[0].body->at("status")["conditions"][0]["message"] == "Kubernetes Service CIDR is ready");
  view.put("servicecidrs", object(*plan.writes[0].body));
  CHECK(c.plan(view, {"", "kubernetes"}, kStart).writes.empty());

  // One that goes.
  constexpr const char* kDeleted =
      R"(,"deletionTimestamp":"2026-01-01T00:00:00Z","finalizers":["networking.k8s.io/service-cidr-finalizer"])";
  view.put("servicecidrs", object(json(named("extra", "10.99.0.0/24", kDeleted))));
  view.put("ipaddresses",
           R"({"apiVersion":"networking.k8s.io/v1","kind":"IPAddress","metadata":{"name":"10.99.0.7",
    "labels":{"ipaddress.kubernetes.io/managed-by":"ipallocator.k8s.io"}}})");
  plan = c.plan(view, {"", "extra"}, kStart);
  REQUIRE(plan.writes.size() == 1);
  CHECK(plan.writes[0].body->at("status")["conditions"][0]["reason"] == "Terminating");
  view.put("servicecidrs", object(json(named("wider", "10.99.0.0/16"))));
  plan = c.plan(view, {"", "extra"}, kStart + std::chrono::seconds(4));
  CHECK(plan.writes.empty());
  CHECK(plan.requeue == std::chrono::seconds(6));
  view.erase("servicecidrs", "", "wider");
  const auto address = view.get({"networking.k8s.io", "v1", "ipaddresses"}, "", "10.99.0.7");
  CHECK(c.sources[1].keys(address, nullptr, view) == Keys{{"", "extra"}});
  view.erase("ipaddresses", "", "10.99.0.7");
  plan = c.plan(view, {"", "extra"}, kStart + std::chrono::seconds(10));
  REQUIRE(plan.writes.size() == 1);
  CHECK(base::array_at(*plan.writes[0].body, {"metadata", "finalizers"}).empty());
}

TEST_CASE("services have address objects") {
  const Controller c = make_ip_address_controller();
  ValueView view(c);
  const Key key{"", "10.43.0.9"};
  view.put("services", R"({"apiVersion":"v1","kind":"Service","metadata":{"name":"s","namespace":"ns"},
    "spec":{"type":"ClusterIP","clusterIPs":["10.43.0.9"]}})");
  const auto service = view.get({"", "v1", "services"}, "ns", "s");
  CHECK(c.sources[1].keys(nullptr, service, view) == Keys{key});
  Plan plan = c.plan(view, key, kStart);
  REQUIRE(plan.writes.size() == 1);
  CHECK(plan.writes[0].body->at("metadata") ==
        json(R"({"name":"10.43.0.9","labels":{"ipaddress.kubernetes.io/ip-family":"IPv4",
                 "ipaddress.kubernetes.io/managed-by":"ipallocator.k8s.io"}})"));
  CHECK(plan.writes[0].body->at("spec") ==
        json(R"({"parentRef":{"resource":"services","namespace":"ns","name":"s"}})"));
  view.put("ipaddresses", object(*plan.writes[0].body));
  CHECK(c.plan(view, key, kStart).writes.empty());
  view.erase("services", "ns", "s");
  plan = c.plan(view, key, kStart);
  REQUIRE(plan.writes.size() == 1);
  CHECK(plan.writes[0].verb == Write::Verb::kDelete);
  // Others' are nobody's here.
  view.put("ipaddresses",
           R"({"apiVersion":"networking.k8s.io/v1","kind":"IPAddress","metadata":{"name":"10.43.0.9"}})");
  CHECK(c.plan(view, key, kStart).writes.empty());
}
