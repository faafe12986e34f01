// The API of a whole control plane: discovery, patches, watches, restarts.
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <sstream>

#include "client/remote_client.h"
#include "tests/integration/server/fixture.h"

namespace orch::testing {
namespace {

std::string version_of(const Json& object) { return object["metadata"]["resourceVersion"]; }

TEST_CASE("discovery") {
  const Control& c = shared();
  const Json versions = c.get("/api").tree();
  CHECK(versions["kind"] == "APIVersions");
  CHECK(versions["versions"] == Json::array({"v1"}));
  const Json groups = c.get("/apis").tree();
  CHECK(groups["kind"] == "APIGroupList");
  bool apps = false;
  for (const auto& g : groups["groups"]) apps = apps || g["name"] == "apps";
  CHECK(apps);
  const Json core = c.get("/api/v1").tree();
  CHECK(core["kind"] == "APIResourceList");
  CHECK(core["groupVersion"] == "v1");
  bool pods = false;
  for (const auto& r : core["resources"]) {
    if (r["name"] != "pods") continue;
    pods = true;
    CHECK(r["kind"] == "Pod");
    CHECK(r["namespaced"] == true);
    CHECK(r["shortNames"] == Json::array({"po"}));
  }
  CHECK(pods);
  CHECK(c.get("/apis/apps/v1").tree()["groupVersion"] == "apps/v1");
  CHECK(c.get("/apis/apps").tree()["kind"] == "APIGroup");
  const Json aggregated =
      c.send("GET", "/apis", {},
             {"", {"Accept: application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"}})
          .tree();
  CHECK(aggregated["kind"] == "APIGroupDiscoveryList");
  CHECK(aggregated["apiVersion"] == "apidiscovery.k8s.io/v2");
  CHECK(c.get("/version").tree()["major"] == "1");
  CHECK(c.get("/version").tree()["minor"] == "35");
  const Json v2 = c.get("/openapi/v2").tree();
  CHECK(v2["swagger"] == "2.0");
  // What a delete answers with: generated clients read it.
  const auto deleted = [&](const char* path) {
    return v2["paths"][path]["delete"]["responses"]["200"]["schema"]["$ref"].get<std::string>();
  };
  CHECK(deleted("/api/v1/namespaces/{namespace}/pods/{name}") == "#/definitions/io.k8s.api.core.v1.Pod");
  CHECK(deleted("/api/v1/namespaces/{namespace}/configmaps/{name}") ==
        "#/definitions/io.k8s.apimachinery.pkg.apis.meta.v1.Status");
  for (const Json& one : v2["paths"]["/api/v1/namespaces/{namespace}/pods/{name}/portforward"]["parameters"])
    if (one["name"] == "ports") CHECK(one["type"] == "integer");
  const Json v3 = c.get("/openapi/v3").tree();
  CHECK(v3["paths"].contains("api/v1"));
  CHECK(c.get(v3["paths"]["api/v1"]["serverRelativeURL"]).tree()["openapi"] == "3.0.0");
  for (const char* path : {"/healthz", "/livez", "/readyz"}) CHECK(c.get(path).body == "ok");
  CHECK(c.get("/readyz?verbose").status == 200);
  CHECK(c.get("/metrics").status == 200);
}

TEST_CASE("what a new cluster has") {
  const Control& c = shared();
  for (const char* ns : {"default", "kube-system", "kube-public", "kube-node-lease"}) {
    INFO(ns);
    CHECK(c.get(base::cat("/api/v1/namespaces/", ns)).tree()["status"]["phase"] == "Active");
    CHECK(soon([&] {
      return c.get(base::cat("/api/v1/namespaces/", ns, "/serviceaccounts/default")).status == 200;
    }));
    CHECK(soon([&] {
      return c.get(base::cat("/api/v1/namespaces/", ns, "/configmaps/kube-root-ca.crt")).status == 200;
    }));
  }
  CHECK(c.get("/api/v1/namespaces/default/services/kubernetes").tree()["spec"]["clusterIP"] == "10.43.0.1");
  CHECK(c.get("/apis/rbac.authorization.k8s.io/v1/clusterroles/cluster-admin").status == 200);
}

TEST_CASE("objects come and go") {
  const Control& c = shared();
  const Answer made = c.post(kMaps, config_map("life"));
  CHECK(made.status == 201);
  const Json object = made.tree();
  CHECK(c.get(kMaps + "/life").tree() == object);
  // The bytes of a get are those of the list's item.
  const Json list = c.get(kMaps + "?fieldSelector=metadata.name%3Dlife").tree();
  CHECK(list["kind"] == "ConfigMapList");
  REQUIRE(list["items"].size() == 1);
  CHECK(list["items"][0]["metadata"] == object["metadata"]);
  const Json table = c.send("GET", kMaps, {},
                            {"", {"Accept: application/json;as=Table;v=v1;g=meta.k8s.io,application/json"}})
                         .tree();
  CHECK(table["kind"] == "Table");
  CHECK(c.send("GET", kMaps + "/life", {}, {"", {"Accept: application/yaml"}}).content_type ==
        "application/yaml");
  const Answer proto =
      c.send("GET", kMaps + "/life", {}, {"", {"Accept: application/vnd.kubernetes.protobuf"}});
  CHECK(proto.content_type == "application/vnd.kubernetes.protobuf");
  CHECK(proto.body.substr(0, 4) == std::string("k8s\0", 4));
  // What came as protobuf can be sent back as such.
  const Answer again =
      c.send("PUT", kMaps + "/life", proto.body, {"application/vnd.kubernetes.protobuf", {}});
  CHECK(again.status == 200);
  CHECK(again.tree() == object);
  check_error(c.send("GET", kMaps + "/life", {}, {"", {"Accept: image/png"}}), 406, "NotAcceptable");
  const Json gone = c.send("DELETE", kMaps + "/life").tree();
  CHECK(gone["status"] == "Success");
  CHECK(gone["details"]["uid"] == object["metadata"]["uid"]);
  check_error(c.get(kMaps + "/life"), 404, "NotFound", "configmaps \"life\" not found");
  CHECK(c.send("POST", kMaps, "metadata:\n  name: z\ndata: {a: b}\n", {"application/yaml", {}}).status ==
        201);
  CHECK(c.send("DELETE", kMaps + "/z").status == 200);
}

TEST_CASE("every kind of patch") {
  const Control& c = shared();
  REQUIRE(c.post(kMaps, config_map("p", {{"a", "1"}, {"b", "2"}})).status == 201);
  const std::string path = kMaps + "/p";
  Json now = c.patch(path, "merge-patch+json", {{"data", {{"a", nullptr}, {"c", "3"}}}}).tree();
  CHECK(now["data"] == Json({{"b", "2"}, {"c", "3"}}));
  now = c.patch(path, "json-patch+json",
                Json::array({Json{{"op", "add"}, {"path", "/data/d"}, {"value", "4"}}}))
            .tree();
  CHECK(now["data"]["d"] == "4");
  now = c.patch(path, "strategic-merge-patch+json", {{"metadata", {{"labels", {{"l", "v"}}}}}}).tree();
  CHECK(now["metadata"]["labels"]["l"] == "v");
  const std::string version = version_of(now);
  CHECK(version_of(c.patch(path, "merge-patch+json", {{"data", {{"d", "4"}}}}).tree()) == version);
  CHECK(c.send("PATCH", path + "?dryRun=All", R"({"data":{"z":"1"}})", {"application/merge-patch+json", {}})
            .tree()["data"]["z"] == "1");
  CHECK_FALSE(c.get(path).tree()["data"].contains("z"));

  // Lists with keys are merged by them.
  Json d = base::parse_json(
               R"({"metadata":{"name":"d"},"spec":{"replicas":0,"selector":{"matchLabels":{"app":"x"}},
    "template":{"metadata":{"labels":{"app":"x"}},"spec":{"containers":[{"name":"a","image":"i"},{"name":"b","image":"j"}]}}}})")
               .value();
  const std::string deployments = "/apis/apps/v1/namespaces/default/deployments";
  REQUIRE(c.post(deployments, d).status == 201);
  Json patch = {
      {"spec", {{"template", {{"spec", {{"containers", Json::array({{{"name", "b"}, {"image", "k"}}})}}}}}}}};
  now = c.patch(deployments + "/d", "strategic-merge-patch+json", patch).tree();
  REQUIRE(now["spec"]["template"]["spec"]["containers"].size() == 2);
  CHECK(now["spec"]["template"]["spec"]["containers"][1]["image"] == "k");
  CHECK(now["metadata"]["generation"] >= 2);  // the controller's annotation may have counted, too
  now = c.patch(deployments + "/d/scale", "merge-patch+json", {{"spec", {{"replicas", 0}}}}).tree();
  CHECK(now["kind"] == "Scale");
  CHECK(c.send("DELETE", deployments + "/d").status == 200);
  CHECK(c.send("DELETE", path).status == 200);
}

TEST_CASE("lists in pages") {
  const Control& c = shared();
  REQUIRE(c.post("/api/v1/namespaces", {{"metadata", {{"name", "pages"}}}}).status == 201);
  const std::string maps = "/api/v1/namespaces/pages/secrets";
  for (int i = 0; i < 5; ++i)
    REQUIRE(c.post(maps, {{"metadata", {{"name", base::cat("s", i)}}}}).status == 201);
  Json page = c.get(maps + "?limit=2").tree();
  REQUIRE(page["items"].size() == 2);
  CHECK(page["metadata"]["remainingItemCount"] == 3);
  const std::string version = version_of(page), token = page["metadata"]["continue"];
  // What happens between two pages is not in the later one.
  c.send("DELETE", maps + "/s3");
  c.post(maps, {{"metadata", {{"name", "s9"}}}});
  page = c.get(maps + "?limit=2&continue=" + token).tree();
  CHECK(page["items"][0]["metadata"]["name"] == "s2");
  CHECK(page["items"][1]["metadata"]["name"] == "s3");
  CHECK(version_of(page) == version);
  page = c.get(maps + "?limit=2&continue=" + page["metadata"]["continue"].get<std::string>()).tree();
  REQUIRE(page["items"].size() == 1);
  CHECK(page["items"][0]["metadata"]["name"] == "s4");
  CHECK_FALSE(page["metadata"].contains("continue"));
  page = c.get(maps + "?resourceVersionMatch=Exact&resourceVersion=" + version).tree();
  CHECK(page["items"].size() == 5);
  c.send("DELETE", "/api/v1/namespaces/pages");
  CHECK(soon([&] { return c.get("/api/v1/namespaces/pages").status == 404; }));
}

TEST_CASE("watches") {
  const Control& c = shared();
  const std::string since = version_of(c.get(kMaps).tree());
  Json a = c.post(kMaps, config_map("w-a")).tree();
  a["data"]["a"] = "2";
  c.put(kMaps + "/w-a", a);
  c.post(kMaps, config_map("w-b"));
  c.send("DELETE", kMaps + "/w-a");
  const std::string watch = kMaps + "?watch=1&timeoutSeconds=1";
  SECTION("from a revision") {
    const auto events = frames(c.get(watch + "&resourceVersion=" + since));
    CHECK(brief(events) == std::vector<std::string>{"ADDED w-a", "MODIFIED w-a", "ADDED w-b", "DELETED w-a"});
    CHECK(events[3]["object"]["data"]["a"] == "2");
    CHECK(std::stoll(version_of(events[3]["object"])) > std::stoll(version_of(events[2]["object"])));
  }
  SECTION("the state first, then a bookmark that says so") {
    const auto events = frames(
        c.get(watch + "&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"));
    REQUIRE(events.size() >= 2);
    CHECK(events.back()["type"] == "BOOKMARK");
    CHECK(events.back()["object"]["kind"] == "ConfigMap");
    CHECK(events.back()["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"] == "true");
    bool b = false;
    for (const auto& e : events) {
      CHECK((e["type"] == "ADDED" || e["type"] == "BOOKMARK"));
      b = b || base::string_at(e, {"object", "metadata", "name"}) == "w-b";
    }
    CHECK(b);
  }
  SECTION("a bookmark before the end, for a watch that saw nothing") {
    const auto events = frames(c.get(kMaps + "?watch=1&timeoutSeconds=3&allowWatchBookmarks=true" +
                                     "&fieldSelector=metadata.name%3Dnone&resourceVersion=" + since));
    REQUIRE(events.size() == 1);
    CHECK(events[0]["type"] == "BOOKMARK");
    CHECK(std::stoll(version_of(events[0]["object"])) > std::stoll(since));
  }
  SECTION("too old") {
    const auto events = frames(c.get(watch + "&resourceVersion=1"));
    // The history of a young server goes back to its beginning.
    if (!events.empty() && events[0]["type"] == "ERROR") CHECK(events[0]["object"]["code"] == 410);
  }
  SECTION("of one name") {
    const auto events = frames(c.get(watch + "&fieldSelector=metadata.name%3Dw-b&resourceVersion=" + since));
    CHECK(brief(events) == std::vector<std::string>{"ADDED w-b"});
  }
  SECTION("through the client") {
    client::RemoteOptions options;
    options.server = c.url();
    options.ca_pem = c.ca();
    options.certificate_pem = c.admin().certificate.certificate_pem;
    options.key_pem = c.admin().certificate.key_pem;
    auto remote = client::make_remote_client(options);
    std::mutex mutex;
    std::vector<std::string> seen;
    client::WatchHandler handler;
    handler.on_events = [&](const std::vector<client::WatchEvent>& events) {
      std::lock_guard lock(mutex);
      for (const auto& e : events) {
        if (e.object) seen.emplace_back(e.object->name());
      }
    };
    handler.on_end = [](const base::Status&) {};
    client::ListOptions list;
    list.ns = "default";
    auto live = remote->watch({"", "v1", "configmaps"}, list, std::stoll(since), handler);
    REQUIRE(live.ok());
    c.post(kMaps, config_map("w-live"));
    CHECK(soon([&] {
      std::lock_guard lock(mutex);
      return !seen.empty() && seen.back() == "w-live";
    }));
    live->reset();
    c.send("DELETE", kMaps + "/w-live");
  }
  c.send("DELETE", kMaps + "/w-b");
}

TEST_CASE("controllers and scheduler do their part") {
  const Control& c = shared();
  Json node = {{"metadata", {{"name", "node-1"}}},
               {"status",
                {{"capacity", {{"cpu", "4"}, {"memory", "8Gi"}, {"pods", "110"}}},
                 {"allocatable", {{"cpu", "4"}, {"memory", "8Gi"}, {"pods", "110"}}},
                 {"conditions", Json::array({{{"type", "Ready"}, {"status", "True"}}})}}}};
  REQUIRE(c.post("/api/v1/nodes", node).status == 201);
  Json d = base::parse_json(
               R"({"metadata":{"name":"web"},"spec":{"replicas":3,"selector":{"matchLabels":{"app":"web"}},
    "template":{"metadata":{"labels":{"app":"web"}},"spec":{"containers":[{"name":"a","image":"i"}]}}}})")
               .value();
  const std::string deployments = "/apis/apps/v1/namespaces/default/deployments";
  REQUIRE(c.post(deployments, d).status == 201);
  const std::string pods = "/api/v1/namespaces/default/pods";
  CHECK(soon([&] {
    int bound = 0;
    const Json listed = c.get(pods + "?labelSelector=app%3Dweb").tree();
    for (const auto& p : base::array_at(listed, {"items"})) {
      bound += base::string_at(p, {"spec", "nodeName"}) == "node-1" ? 1 : 0;
    }
    return bound == 3;
  }));
  const Json bound = c.get(pods + "?labelSelector=app%3Dweb").tree();
  const Json conditions = bound["items"][0]["status"].value("conditions", Json::array());
  CHECK(std::any_of(conditions.begin(), conditions.end(),
                    [](const Json& x) { return x["type"] == "PodScheduled" && x["status"] == "True"; }));
  Json service = {{"metadata", {{"name", "web"}}},
                  {"spec", {{"selector", {{"app", "web"}}}, {"ports", Json::array({{{"port", 80}}})}}}};
  REQUIRE(c.post("/api/v1/namespaces/default/services", service).status == 201);
  CHECK(soon([&] {
    return !c.get(
                 "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices?labelSelector=kubernetes.io/"
                 "service-name%3Dweb")
                .tree()["items"]
                .empty();
  }));
  // What nothing fits says why.
  Json big = {
      {"metadata", {{"name", "big"}}},
      {"spec",
       {{"containers",
         Json::array({{{"name", "c"}, {"image", "i"}, {"resources", {{"requests", {{"cpu", "64"}}}}}}})}}}};
  REQUIRE(c.post(pods, big).status == 201);
  CHECK(soon([&] {
    const Json conditions = c.get(pods + "/big").tree()["status"].value("conditions", Json::array());
    for (const auto& x : conditions) {
      if (x["type"] == "PodScheduled")
        return base::string_at(x, {"message"}).find("1 Insufficient cpu") != std::string_view::npos;
    }
    return false;
  }));
  // A deployment takes its replica sets with it, those their pods.
  CHECK(c.send("DELETE", deployments + "/web").status == 200);
  CHECK(soon([&] { return c.get("/apis/apps/v1/namespaces/default/replicasets").tree()["items"].empty(); }));
  CHECK(soon([&] {
    const Json list = c.get(pods + "?labelSelector=app%3Dweb").tree();
    for (const auto& p : list["items"]) {
      if (!p["metadata"].contains("deletionTimestamp")) return false;
    }
    return true;
  }));
  c.send("DELETE", pods + "?gracePeriodSeconds=0");
  c.send("DELETE", "/api/v1/namespaces/default/services/web");
  c.send("DELETE", "/api/v1/nodes/node-1");
  CHECK(soon([&] { return c.get(pods).tree()["items"].empty(); }));
  c.check_alive();
}

TEST_CASE("a restart loses nothing") {
  DataFolder folder;
  Control control(folder);
  control.start();
  const Json made = control.post(kMaps, config_map("kept")).tree();
  const std::string since = version_of(made);
  Json next = made;
  next["data"]["a"] = "2";
  const Json changed = control.put(kMaps + "/kept", next).tree();
  control.post(kMaps, config_map("dropped"));
  control.send("DELETE", kMaps + "/dropped");
  const std::string token = control.server().node_token();
  const std::string ca = control.ca();
  control.stop();
  control.start();
  CHECK(control.ca() == ca);
  CHECK(control.server().node_token() == token);
  CHECK(control.get(kMaps + "/kept").tree() == changed);
  CHECK(control.get(kMaps + "/dropped").status == 404);
  const auto events = frames(control.get(kMaps + "?watch=1&timeoutSeconds=1&resourceVersion=" + since));
  const auto seen = brief(events);
  REQUIRE(seen.size() >= 3);
  CHECK(std::vector<std::string>(seen.begin(), seen.begin() + 3) ==
        std::vector<std::string>{"MODIFIED kept", "ADDED dropped", "DELETED dropped"});
  // Revisions go on upwards, and so do lists of before.
  CHECK(std::stoll(version_of(control.post(kMaps, config_map("later")).tree())) >
        std::stoll(version_of(changed)));
}

TEST_CASE("a server stops while clients write") {
  for (int round = 0; round < 4; ++round) {
    DataFolder folder;
    Control control(folder);
    control.start();
    client::RemoteOptions options;
    options.server = control.url();
    options.ca_pem = control.ca();
    options.certificate_pem = control.admin().certificate.certificate_pem;
    options.key_pem = control.admin().certificate.key_pem;
    std::atomic<bool> done{false};
    std::atomic<int> made{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 3; ++t) {
      threads.emplace_back([&, t] {
        auto remote = client::make_remote_client(options);
        for (int i = 0; !done; ++i) {
          // Scheduler and controllers look at each.
          const Json node{{"kind", "Node"},
                          {"apiVersion", "v1"},
                          {"metadata", {{"name", base::cat("stop-", t, "-", i)}}}};
          if (remote->create({"", "v1", "nodes"}, {}, node).ok()) ++made;
        }
      });
    }
    CHECK(soon([&] { return made > 20; }));
    control.stop();
    done = true;
    for (auto& thread : threads) thread.join();
  }
}

TEST_CASE("two servers side by side") {
  DataFolder one, two;
  Control a(one), b(two);
  a.start();
  b.start();
  CHECK(a.post(kMaps, config_map("only-a")).status == 201);
  CHECK(b.get(kMaps + "/only-a").status == 404);
  const Answer foreign = b.send_as(a.admin(), "GET", kMaps);
  if (foreign.status != 0) check_error(foreign, 401, "Unauthorized");
  a.stop();
  b.check_alive();
}

TEST_CASE("a data folder in use") {
  DataFolder folder;
  Control first(folder), second(folder);
  first.start();
  const auto refused = second.try_start();
  REQUIRE_FALSE(refused.ok());
  CHECK_THAT(refused.message(),
             contains(base::cat("the data folder ", folder.path(), " is in use by another orch")));
  first.check_alive();
}

TEST_CASE("a port in use") {
  DataFolder one, two;
  Control first(one);
  first.start();
  Control second(two, first.server().port());
  const auto refused = second.try_start();
  REQUIRE_FALSE(refused.ok());
  CHECK_THAT(refused.message(),
             contains(base::cat("port ", first.server().port(), " is already in use by ")));
  CHECK_THAT(refused.message(), contains(base::cat(::getpid())));
  first.check_alive();
}

TEST_CASE("zero values that a client spells out are no change") {
  Control& c = shared();
  const std::string pods = "/api/v1/namespaces/default/pods";
  Json pod = {{"metadata", {{"name", "zeros"}}},
              {"spec", {{"nodeName", "none"}, {"containers", {{{"name", "c"}, {"image", "i"}}}}}}};
  // Pods need it.
  REQUIRE(soon([&] { return c.get("/api/v1/namespaces/default/serviceaccounts/default").status == 200; }));
  REQUIRE(c.post(pods, pod).status == 201);
  // As clients with typed objects send it: with what they leave out in protobuf.
  Json next = c.get(pods + "/zeros").tree();
  const Json generation = next["metadata"]["generation"];
  next["metadata"]["labels"] = {{"changed", "yes"}};
  next["spec"]["hostname"] = "";
  next["spec"]["hostNetwork"] = false;
  next["spec"]["containers"][0]["tty"] = false;
  next["spec"]["containers"][0]["command"] = Json::array();
  const Answer put = c.put(pods + "/zeros", next);
  INFO(put.body);
  CHECK(put.status == 200);
  CHECK(put.tree()["metadata"]["labels"]["changed"] == "yes");
  CHECK(put.tree()["metadata"]["generation"] == generation);
  CHECK_FALSE(put.tree()["spec"].contains("hostname"));
  CHECK(c.send("DELETE", pods + "/zeros?gracePeriodSeconds=0").status == 200);
}

}  // namespace
}  // namespace orch::testing
