#include "server/controllers/resource_claims.h"

#include "tests/unit/server/controllers/fixture.h"

namespace orch::testing {
namespace {

using server::Key;
using server::kPods;
using server::kResourceClaims;
using server::kResourceClaimTemplates;

constexpr const char* kFinalizer = "resource.kubernetes.io/delete-protection";

Json claiming_pod(const char* claims, const char* status = "{}", const char* node = "") {
  Json pod = {
      {"metadata", {{"name", "p"}}}, {"spec", {{"resourceClaims", json(claims)}}}, {"status", json(status)}};
  if (*node != 0) pod["spec"]["nodeName"] = node;
  return pod;
}

constexpr const char* kTwo =
    R"([{"name":"a","resourceClaimTemplateName":"t"},{"name":"b","resourceClaimName":"own"}])";

Json gpu_template() {
  return json(R"({"metadata":{"name":"t"},"spec":{"metadata":{"labels":{"l":"1"},"annotations":{"n":"2"}},
    "spec":{"devices":{"requests":[{"name":"r","exactly":{"deviceClassName":"gpu"}}]}}}})");
}

/// A claim with these users; "" for none.
Json claim_of(const char* name, std::vector<const char*> users, bool allocated, bool finalizer) {
  Json claim = {{"metadata", {{"name", name}}}, {"spec", Json::object()}, {"status", Json::object()}};
  for (const char* user : users) {
    claim["status"]["reservedFor"].push_back(
        {{"resource", "pods"}, {"name", user}, {"uid", std::string("uid-") + user}});
  }
  if (allocated) claim["status"]["allocation"] = Json::object();
  if (finalizer) claim["metadata"]["finalizers"] = {kFinalizer};
  return claim;
}

Plan plan_pod(const MapView& view) { return server::plan_pod_claims(view, {"ns", "p"}, kNow); }

Json patched(const Plan& plan) {
  const auto found = writes(plan, Verb::kPatch, "pods", "status");
  REQUIRE(found.size() == 1);
  return found[0].body->at("status").at("resourceClaimStatuses");
}

TEST_CASE("a claim is made from a pod's template and named in its status") {
  MapView view;
  view.put(kResourceClaimTemplates, gpu_template());
  view.put(kPods, claiming_pod(kTwo));
  const Plan plan = plan_pod(view);
  const auto made = writes(plan, Verb::kCreate, "resourceclaims");
  REQUIRE(made.size() == 1);
  const Json& claim = *made[0].body;
  const std::string name(base::string_at(claim, {"metadata", "name"}));
  CHECK(name.rfind("p-a-", 0) == 0);
  CHECK(name.size() == 9);
  CHECK(claim["metadata"]["generateName"] == "p-a-");
  CHECK(claim["metadata"]["labels"] == json(R"({"l":"1"})"));
  CHECK(claim["metadata"]["annotations"] == json(R"({"n":"2","resource.kubernetes.io/pod-claim-name":"a"})"));
  CHECK(claim["metadata"]["ownerReferences"] ==
        json(R"([{"apiVersion":"v1","kind":"Pod","name":"p","uid":"uid-p","controller":true}])"));
  CHECK(claim["spec"] == gpu_template()["spec"]["spec"]);
  CHECK(patched(plan) == Json::array({{{"name", "a"}, {"resourceClaimName", name}}}));

  // Before the status is written the claim is found by its owner, and not made again.
  view.apply(plan);
  const Plan again = plan_pod(view);
  CHECK(writes(again, Verb::kCreate, "resourceclaims").empty());
  CHECK(patched(again) == patched(plan));
  // Nor while the view has not seen it: the name stays.
  view.drop(kResourceClaims, "ns", name);
  CHECK(writes(plan_pod(view), Verb::kCreate, "resourceclaims")[0].body->at("metadata").at("name") == name);
}

TEST_CASE("what a pod's claims need") {
  struct Case {
    const char *what, *claims, *status, *node;
    bool with_template, with_claim, owned;
    size_t creates, patches, reserves;
    const char* event;
  };
  constexpr const char* kOne = R"([{"name":"a","resourceClaimTemplateName":"t"}])";
  constexpr const char* kMade = R"({"resourceClaimStatuses":[{"name":"a","resourceClaimName":"c"}]})";
  constexpr const char* kNone = R"({"resourceClaimStatuses":[{"name":"a"}]})";
  constexpr const char* kOwn = R"([{"name":"a","resourceClaimName":"c"}])";
  const Case cases[] = {
      {"no template", kOne, "{}", "", false, false, false, 0, 0, 0,
       "PodResourceClaim a: resource claim template \"t\": resourceclaimtemplate.resource.k8s.io \"t\" not "
       "found"},
      {"made", kOne, kMade, "", true, true, true, 0, 0, 0, nullptr},
      {"made and deleted since", kOne, kMade, "", true, false, false, 1, 1, 0, nullptr},
      {"another's", kOne, kMade, "", true, true, false, 1, 1, 0, nullptr},
      {"none needed", kOne, kNone, "", true, false, false, 0, 0, 0, nullptr},
      {"the user's", kOwn, "{}", "", true, false, false, 0, 0, 0, nullptr},
      {"on a node without the scheduler", kOwn, "{}", "n1", true, true, false, 0, 0, 1, nullptr},
      {"the same, made for it", kOne, kMade, "n1", true, true, true, 0, 0, 1, nullptr},
  };
  for (const Case& c : cases) {
    INFO(c.what);
    MapView view;
    if (c.with_template) view.put(kResourceClaimTemplates, gpu_template());
    Json claim = claim_of("c", {"other"}, true, true);
    if (c.owned) {
      claim = owned_by(claim, "v1", "Pod", "p");
      claim["metadata"]["annotations"]["resource.kubernetes.io/pod-claim-name"] = "a";
    }
    if (c.with_claim) view.put(kResourceClaims, claim);
    view.put(kPods, claiming_pod(c.claims, c.status, c.node));
    const Plan plan = plan_pod(view);
    CHECK(writes(plan, Verb::kCreate, "resourceclaims").size() == c.creates);
    CHECK(writes(plan, Verb::kPatch, "pods", "status").size() == c.patches);
    const auto reserved = writes(plan, Verb::kUpdate, "resourceclaims", "status");
    CHECK(reserved.size() == c.reserves);
    if (!reserved.empty()) CHECK(reserved[0].body->at("status").at("reservedFor").size() == 2);
    CHECK(plan.notes.size() == (c.event != nullptr ? 1 : 0));
    if (c.event != nullptr) CHECK(noted(plan, "FailedResourceClaimCreation", c.event));
  }
}

TEST_CASE("a refused claim is told to the pod's owner") {
  MapView view;
  view.put(kResourceClaimTemplates, gpu_template());
  view.put(kPods, claiming_pod(kTwo));
  const Plan plan = plan_pod(view);
  const Plan told = plan.otherwise(plan.writes[0], {base::Code::kForbidden, "no"});
  CHECK(noted(told, "FailedResourceClaimCreation", "PodResourceClaim a: create ResourceClaim : no"));
}

TEST_CASE("long names leave room for the suffix") {
  MapView view;
  view.put(kResourceClaimTemplates, gpu_template());
  Json pod = claiming_pod(R"([{"name":"bbbbbbbbbbbbbbbbbbbb","resourceClaimTemplateName":"t"}])");
  pod["metadata"]["name"] = std::string(60, 'a');
  view.put(kPods, pod);
  const Plan plan = server::plan_pod_claims(view, {"ns", std::string(60, 'a')}, kNow);
  const Json meta = writes(plan, Verb::kCreate, "resourceclaims")[0].body->at("metadata");
  // 82 characters: 57/82 of either name.
  CHECK(meta["generateName"] == std::string(41, 'a') + "-" + std::string(13, 'b'));
  CHECK(meta["name"].get<std::string>().size() == 60);
}

TEST_CASE("users of a claim that are done are taken off, and what nobody uses is freed") {
  struct Case {
    const char* what;
    std::vector<const char*> users;
    const char* phase;
    bool allocated, finalizer, deleting;
    const char* key;
    // What is written: users left (-1: no status), allocation left, finalizer taken off.
    int left;
    bool keeps;
    bool released;
  };
  const Case cases[] = {
      {"running", {"p"}, "Running", true, true, false, "c", -1, true, false},
      {"one of two is done", {"p", "q"}, "Succeeded", true, true, false, "c", 1, true, false},
      {"the only one is done", {"p"}, "Failed", true, true, false, "c", 0, false, false},
      {"a pod that is gone", {"gone"}, "Running", true, true, false, "c", 0, false, false},
      {"allocated by a driver", {"p"}, "Failed", true, false, false, "c", 0, true, false},
      {"never used", {}, "Running", true, true, false, "c", -1, true, false},
      {"deleted and never used", {}, "Running", true, true, true, "c", 0, false, false},
      {"deleted and free", {}, "Running", false, true, true, "c", -1, false, true},
      {"being allocated", {}, "Running", false, true, false, "c", -1, false, false},
      {"just freed", {}, "Running", false, true, false, "c/freed", -1, false, true},
      {"freed and allocated again", {}, "Running", true, true, false, "c/freed", -1, true, false},
  };
  for (const Case& c : cases) {
    INFO(c.what);
    MapView view;
    for (const char* name : {"p", "q"}) {
      Json pod = make_pod(name, 0);
      pod["status"]["phase"] = std::string_view(name) == "p" ? c.phase : "Running";
      view.put(kPods, pod);
    }
    Json claim = claim_of("c", c.users, c.allocated, c.finalizer);
    if (c.deleting) claim["metadata"]["deletionTimestamp"] = ago(1);
    view.put(kResourceClaims, claim);
    const Plan plan = server::plan_claim_users(view, {"ns", c.key}, {});
    const auto status = writes(plan, Verb::kUpdate, "resourceclaims", "status");
    REQUIRE(status.size() == (c.left >= 0 ? 1 : 0));
    if (c.left >= 0) {
      const Json& written = status[0].body->at("status");
      CHECK(written.value("reservedFor", Json::array()).size() == static_cast<size_t>(c.left));
      CHECK(written.contains("allocation") == c.keeps);
    }
    const auto update = writes(plan, Verb::kUpdate, "resourceclaims");
    REQUIRE(update.size() == (c.released ? 1 : 0));
    if (c.released) CHECK_FALSE(update[0].body->at("metadata").contains("finalizers"));
    CHECK(removed(plan, "resourceclaims").empty());
  }
}

TEST_CASE("a user the view does not know yet is asked for") {
  MapView view;
  view.put(kResourceClaims, claim_of("c", {"new"}, true, true));
  CHECK(server::unknown_users(view, {"ns", "c"}) == std::vector<std::string>{"new"});
  CHECK(server::plan_claim_users(view, {"ns", "c"}, {{"new", "uid-new"}}).writes.empty());
  CHECK(server::plan_claim_users(view, {"ns", "c"}, {{"new", "another"}}).writes.size() == 1);
}

TEST_CASE("a claim that was made for a pod goes when the pod is done") {
  for (const char* phase : {"Running", "Succeeded", "replaced"}) {
    INFO(phase);
    MapView view;
    Json pod = make_pod("p", 0);
    pod["status"]["phase"] = phase;
    if (std::string_view(phase) == "replaced") pod["metadata"]["uid"] = "other";
    view.put(kPods, pod);
    view.put(kResourceClaims, owned_by(claim_of("c", {}, false, false), "v1", "Pod", "p"));
    const Plan plan = server::plan_claim_users(view, {"ns", "c"}, {});
    CHECK(removed(plan, "resourceclaims").empty() == (std::string_view(phase) == "Running"));
  }
}

TEST_CASE("what wakes the claim controllers") {
  MapView view;
  const server::Controller pods = server::make_pod_claims_controller();
  const server::Controller claims = server::make_claim_users_controller();
  const auto object = [&](const client::ResourceRef& r, Json tree) {
    const std::string name(base::string_at(tree, {"metadata", "name"}));
    view.put(r, std::move(tree));
    return view.get(r, "ns", name);
  };
  const auto waiting = object(kPods, claiming_pod(kTwo));
  CHECK(pods.sources[0].keys(nullptr, waiting, view) == server::Keys{{"ns", "p"}});
  CHECK(claims.sources[1].keys(nullptr, waiting, view).empty());
  const auto done = object(kPods, claiming_pod(kTwo, R"({"phase":"Failed"})"));
  CHECK(claims.sources[1].keys(waiting, done, view) == server::Keys{{"ns", "own"}});
  CHECK(claims.sources[1].keys(waiting, nullptr, view) == server::Keys{{"ns", "own"}});
  const auto plain = object(kPods, make_pod("plain", 0));
  CHECK(pods.sources[0].keys(nullptr, plain, view).empty());

  const auto used = object(kResourceClaims, claim_of("c", {"p"}, true, true));
  const auto freed = object(kResourceClaims, claim_of("c", {}, false, true));
  CHECK(claims.sources[0].keys(nullptr, used, view) == server::Keys{{"ns", "c"}});
  CHECK(claims.sources[0].keys(used, freed, view) == server::Keys{{"ns", "c"}, {"ns", "c/freed"}});
  CHECK(claims.sources[0].keys(freed, nullptr, view).empty());
}

}  // namespace
}  // namespace orch::testing
