#include "server/controllers/namespace.h"

#include "tests/fake_api.h"
#include "tests/unit/server/controllers/fixture.h"

namespace orch::testing {
namespace {

using server::kConfigMaps;
using server::kNamespaces;
using server::kPods;
using server::kServiceAccounts;

Json namespace_of(int64_t deleted_ago = -1) {
  Json n = {{"metadata", {{"name", "ns"}}}, {"spec", {{"finalizers", json(R"(["kubernetes"])")}}}};
  if (deleted_ago >= 0) n["metadata"]["deletionTimestamp"] = ago(deleted_ago);
  return n;
}

/// An API that refuses to delete the objects named "stuck", and keeps those with finalizers.
class StubbornApi final : public client::Client {
 public:
  tests::FakeApi api;
  base::Result<api::ObjectPtr> get(const client::ResourceRef& r, std::string_view ns,
                                   std::string_view name) override {
    return api.get(r, ns, name);
  }
  base::Result<client::List> list(const client::ResourceRef& r, const client::ListOptions& o) override {
    return api.list(r, o);
  }
  base::Result<api::ObjectPtr> create(const client::ResourceRef& r, std::string_view ns,
                                      const Json& o) override {
    return api.create(r, ns, o);
  }
  base::Result<api::ObjectPtr> update(const client::ResourceRef& r, std::string_view ns, const Json& o,
                                      std::string_view s) override {
    return api.update(r, ns, o, s);
  }
  base::Result<api::ObjectPtr> patch(const client::ResourceRef& r, std::string_view ns, std::string_view name,
                                     client::PatchType t, const Json& p, std::string_view s) override {
    return api.patch(r, ns, name, t, p, s);
  }
  base::Status remove(const client::ResourceRef& r, std::string_view ns, std::string_view name,
                      const client::DeleteOptions& o) override {
    if (name == "stuck") return {base::Code::kInternal, "disk full"};
    auto object = api.get(r, ns, name);
    if (object.ok() && (*object)->bytes().find("\"finalizers\"") != std::string_view::npos) {
      Json tree = (*object)->tree();
      tree["metadata"]["deletionTimestamp"] = ago(0);
      api.put(r, tree);
      return {};
    }
    return api.remove(r, ns, name, o);
  }
  base::Result<Json> post(const client::ResourceRef& r, std::string_view ns, std::string_view name,
                          std::string_view s, const Json& b) override {
    return api.post(r, ns, name, s, b);
  }
  base::Result<std::unique_ptr<client::Watch>> watch(const client::ResourceRef& r,
                                                     const client::ListOptions& o, int64_t revision,
                                                     client::WatchHandler h) override {
    return api.watch(r, o, revision, std::move(h));
  }

  void put(const client::ResourceRef& r, const char* kind, const std::string& name,
           const std::vector<std::string>& finalizers = {}, const std::string& ns = "ns") {
    Json o = {{"kind", kind},
              {"apiVersion", "v1"},
              {"metadata", {{"name", name}, {"namespace", ns}, {"uid", "uid-" + name}}}};
    if (!finalizers.empty()) o["metadata"]["finalizers"] = finalizers;
    api.put(r, o);
  }
};

struct Rig {
  StubbornApi api;
  MapView view;
  server::Controller controller = server::make_namespace_controller([] {
    return std::vector<client::ResourceRef>{kConfigMaps, kPods};
  });
  Plan run() {
    auto p = controller.observe_and_plan(api, view, {"", "ns"}, kNow);
    REQUIRE(p.ok());
    return *p;
  }
};

std::string told(const Plan& p, const char* type) {
  const Json c = condition({{"status", planned_status(p, "namespaces")}}, type);
  if (c.is_null()) return "";
  return base::cat(base::string_at(c, {"status"}), " ", base::string_at(c, {"reason"}), ": ",
                   base::string_at(c, {"message"}));
}

TEST_CASE("a namespace that is not deleted keeps everything") {
  Rig rig;
  rig.view.put(kNamespaces, namespace_of());
  rig.api.put(kConfigMaps, "ConfigMap", "c");
  CHECK(rig.run().writes.empty());
  CHECK(rig.api.list(kConfigMaps, {})->items.size() == 1);
}

TEST_CASE("a deleted namespace is emptied, pods first, then let go") {
  Rig rig;
  rig.view.put(kNamespaces, namespace_of(0));
  rig.api.put(kConfigMaps, "ConfigMap", "c");
  rig.api.put(kConfigMaps, "ConfigMap", "elsewhere", {}, "other");
  rig.api.put(kPods, "Pod", "p", {"example.com/wait"});
  Plan p = rig.run();
  CHECK(told(p, "NamespaceContentRemaining") ==
        "True SomeResourcesRemain: Some resources are remaining: pods. has 1 resource instances");
  CHECK(told(p, "NamespaceFinalizersRemaining") ==
        "True SomeFinalizersRemain: Some content in the namespace has finalizers remaining: example.com/wait "
        "in 1 "
        "resource instances");
  CHECK(told(p, "NamespaceDeletionContentFailure") ==
        "False ContentDeleted: All content successfully deleted, may be waiting on finalization");
  CHECK(rig.api.list(kConfigMaps, {})->items.size() == 2);
  CHECK(p.requeue == std::chrono::milliseconds(200));
  rig.view.apply(p);
  CHECK(rig.run().writes.empty());

  rig.api.api.erase(kPods, "ns", "p");
  p = rig.run();
  CHECK(rig.api.list(kConfigMaps, {})->items.size() == 1);
  auto finalized = writes(p, Verb::kUpdate, "namespaces", "finalize");
  REQUIRE(finalized.size() == 1);
  CHECK((*finalized[0].body)["spec"]["finalizers"].empty());
}

TEST_CASE("what stays is counted, and why") {
  Rig rig;
  rig.view.put(kNamespaces, namespace_of(20));
  rig.api.put(kConfigMaps, "ConfigMap", "a", {"x/a", "x/b"});
  rig.api.put(kConfigMaps, "ConfigMap", "b", {"x/b"});
  rig.api.put(kConfigMaps, "ConfigMap", "stuck");
  Plan p = rig.run();
  CHECK(told(p, "NamespaceContentRemaining") ==
        "True SomeResourcesRemain: Some resources are remaining: configmaps. has 3 resource instances");
  CHECK(
      told(p, "NamespaceFinalizersRemaining") ==
      "True SomeFinalizersRemain: Some content in the namespace has finalizers remaining: x/a in 1 resource "
      "instances, x/b in 2 resource instances");
  CHECK(told(p, "NamespaceDeletionContentFailure") ==
        "True ContentDeletionFailed: Failed to delete all resource types, 1 remaining: disk full");
  CHECK(p.requeue == std::chrono::seconds(5));
}

TEST_CASE("finalizers of others are left to them") {
  Rig rig;
  Json n = namespace_of(0);
  n["spec"]["finalizers"] = json(R"(["example.com/mine","kubernetes"])");
  rig.view.put(kNamespaces, n);
  auto finalized = writes(rig.run(), Verb::kUpdate, "namespaces", "finalize");
  REQUIRE(finalized.size() == 1);
  CHECK((*finalized[0].body)["spec"]["finalizers"] == json(R"(["example.com/mine"])"));
}

TEST_CASE("every namespace has its account and the cluster's certificate") {
  MapView view;
  view.put(kNamespaces, namespace_of());
  auto accounts = server::make_service_account_controller();
  auto certificates = server::make_root_ca_controller("PEM");
  const server::Key key{"", "ns"};
  Plan p = accounts.plan(view, key, kNow);
  REQUIRE(writes(p, Verb::kCreate, "serviceaccounts").size() == 1);
  CHECK((*p.writes[0].body)["metadata"]["name"] == "default");
  view.apply(p);
  CHECK(accounts.plan(view, key, kNow).writes.empty());
  p = certificates.plan(view, key, kNow);
  REQUIRE(writes(p, Verb::kCreate, "configmaps").size() == 1);
  CHECK((*p.writes[0].body)["data"]["ca.crt"] == "PEM");
  view.apply(p);
  CHECK(certificates.plan(view, key, kNow).writes.empty());
  Json edited = view.get(kConfigMaps, "ns", "kube-root-ca.crt")->tree();
  edited["data"]["ca.crt"] = "mine";
  view.put(kConfigMaps, edited);
  CHECK(writes(certificates.plan(view, key, kNow), Verb::kUpdate, "configmaps").size() == 1);
  view.put(kNamespaces, namespace_of(0));
  view.drop(kServiceAccounts, "ns", "default");
  CHECK(accounts.plan(view, key, kNow).writes.empty());
}

}  // namespace
}  // namespace orch::testing
