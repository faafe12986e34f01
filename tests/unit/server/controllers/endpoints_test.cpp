#include "server/controllers/endpoints.h"

#include "server/controllers/endpoint_mirroring.h"
#include "tests/unit/server/controllers/fixture.h"

namespace orch::testing {
namespace {

using server::kEndpoints;
using server::kEndpointSlices;
using server::kPods;
using server::kServices;

Json service_of(const Json& spec = Json::object()) {
  Json s = {{"metadata", {{"name", "s"}, {"labels", {{"tier", "web"}}}}},
            {"spec",
             {{"selector", {{"app", "x"}}},
              {"clusterIP", "10.43.0.9"},
              {"ipFamilies", json(R"(["IPv4"])")},
              {"ports", json(R"([{"name":"http","port":80,"protocol":"TCP","targetPort":8080}])")}}}};
  s["spec"].merge_patch(spec);
  return s;
}

Json pod_at(const std::string& name, const std::string& ip, int64_t ready_for = 10) {
  Json p = make_pod(name, ready_for);
  p["status"]["podIP"] = ip;
  p["status"]["podIPs"] = Json::array({{{"ip", ip}}});
  return p;
}

Plan slices(const MapView& view) { return server::plan_endpointslices(view, {"ns", "s"}, kNow); }
Plan mirrored(const MapView& view) { return server::plan_endpoint_mirroring(view, {"ns", "s"}, kNow); }

/// Every slice of the view: "10.0.0.1+ 10.0.0.2-:8080", + ready, - not.
std::string shown(const MapView& view) {
  std::vector<std::string> all;
  for (const auto& o : view.list(kEndpointSlices, "ns")) {
    const Json tree = o->tree();
    std::string one;
    for (const auto& e : base::array_at(tree, {"endpoints"})) {
      one += base::cat(one.empty() ? "" : " ", e["addresses"][0].get<std::string>(),
                       base::bool_at(e, {"conditions", "ready"}) ? "+" : "-");
    }
    for (const auto& p : base::array_at(tree, {"ports"})) one += base::cat(":", base::int_at(p, {"port"}));
    all.push_back(one);
  }
  std::sort(all.begin(), all.end());
  std::string out;
  for (const auto& one : all) out += base::cat(out.empty() ? "" : " | ", one);
  return out;
}

TEST_CASE("slices follow the pods behind a service") {
  MapView view;
  view.put(kServices, service_of());
  view.apply(slices(view));
  CHECK(shown(view) == "");  // one slice, empty
  CHECK(view.list(kEndpointSlices, "ns").size() == 1);

  view.put(kPods, pod_at("a", "10.42.0.1"));
  view.put(kPods, pod_at("b", "10.42.0.2", -1));
  view.put(kPods, pod_at("no-address", ""));
  Json ended = pod_at("ended", "10.42.0.3");
  ended["status"]["phase"] = "Succeeded";
  view.put(kPods, ended);
  Json other = pod_at("other", "10.42.0.4");
  other["metadata"]["labels"] = {{"app", "y"}};
  view.put(kPods, other);
  view.apply(slices(view));
  CHECK(shown(view) == "10.42.0.1+ 10.42.0.2-:8080");
  const Json slice = view.list(kEndpointSlices, "ns")[0]->tree();
  CHECK(slice["metadata"]["labels"] ==
        Json({{"tier", "web"},
              {"kubernetes.io/service-name", "s"},
              {"endpointslice.kubernetes.io/managed-by", "endpointslice-controller.k8s.io"}}));
  CHECK(api::controller_of(slice).kind == "Service");
  CHECK(slices(view).writes.empty());

  Json going = pod_at("a", "10.42.0.1");
  going["metadata"]["deletionTimestamp"] = ago(1);
  view.put(kPods, going);
  view.apply(slices(view));
  CHECK(shown(view) == "10.42.0.1- 10.42.0.2-:8080");
  for (const char* name : {"a", "b"}) view.drop(kPods, "ns", name);
  view.apply(slices(view));
  CHECK(view.list(kEndpointSlices, "ns").size() == 1);
  CHECK(shown(view) == "");
}

TEST_CASE("a family that a service gives up goes") {
  MapView view;
  view.put(kServices, service_of({{"ipFamilies", json(R"(["IPv4","IPv6"])")}}));
  Json p = pod_at("a", "10.42.0.1");
  p["status"]["podIPs"].push_back({{"ip", "fd00::1"}});
  view.put(kPods, p);
  view.apply(slices(view));
  CHECK(shown(view) == "10.42.0.1+:8080 | fd00::1+:8080");
  view.put(kServices, service_of());
  view.apply(slices(view));
  CHECK(shown(view) == "10.42.0.1+:8080");
}

TEST_CASE("a hundred endpoints to a slice, and few writes") {
  MapView view;
  view.put(kServices, service_of());
  for (int i = 0; i < 250; ++i)
    view.put(kPods, pod_at(base::cat("p", i), base::cat("10.42.", i / 200, ".", i % 200 + 1)));
  view.apply(slices(view));
  CHECK(view.list(kEndpointSlices, "ns").size() == 3);
  view.drop(kPods, "ns", "p7");
  Plan p = slices(view);
  CHECK(p.writes.size() == 1);
  view.apply(p);
  view.put(kPods, pod_at("new", "10.42.9.9"));
  p = slices(view);
  CHECK(writes(p, Verb::kUpdate, "endpointslices").size() == 1);
  CHECK(p.writes.size() == 1);
}

TEST_CASE("named target ports make one slice for each number") {
  MapView view;
  view.put(
      kServices,
      service_of({{"ports", json(R"([{"name":"http","port":80,"protocol":"TCP","targetPort":"web"}])")}}));
  auto with_port = [](Json p, int port) {
    p["spec"]["containers"][0]["ports"] =
        Json::array({{{"name", "web"}, {"containerPort", port}, {"protocol", "TCP"}}});
    return p;
  };
  view.put(kPods, with_port(pod_at("a", "10.42.0.1"), 8080));
  view.put(kPods, with_port(pod_at("b", "10.42.0.2"), 9090));
  view.apply(slices(view));
  CHECK(shown(view) == "10.42.0.1+:8080 | 10.42.0.2+:9090");
  view.drop(kPods, "ns", "b");
  view.apply(slices(view));
  CHECK(shown(view) == "10.42.0.1+:8080");
}

TEST_CASE("endpoints kept by hand are mirrored") {
  MapView view;
  Json s = service_of();
  s["spec"].erase("selector");
  view.put(kServices, s);
  Json e = {{"metadata",
             {{"name", "s"},
              {"labels", {{"mine", "1"}}},
              {"annotations", {{"note", "n"}, {"kubectl.kubernetes.io/last-applied-configuration", "{}"}}}}},
            {"subsets", json(R"([{"addresses":[{"ip":"192.0.2.1","nodeName":"n"},{"ip":"2001:db8::1"}],
                                  "notReadyAddresses":[{"ip":"192.0.2.2"}],
                                  "ports":[{"name":"http","port":8080,"protocol":"TCP"}]},
                                 {"addresses":[{"ip":"192.0.2.3"}],"ports":[{"port":9090}]}])")}};
  view.put(kEndpoints, e);
  view.apply(mirrored(view));
  CHECK(shown(view) == "192.0.2.1+ 192.0.2.2-:8080 | 192.0.2.3+:9090 | 2001:db8::1+:8080");
  for (const auto& o : view.list(kEndpointSlices, "ns")) {
    const Json slice = o->tree();
    CHECK(slice["metadata"]["labels"] ==
          Json({{"mine", "1"},
                {"kubernetes.io/service-name", "s"},
                {"endpointslice.kubernetes.io/managed-by", "endpointslicemirroring-controller.k8s.io"}}));
    CHECK(slice["metadata"]["annotations"] == Json({{"note", "n"}}));
    CHECK(api::controller_of(slice).kind == "Endpoints");
  }
  CHECK(mirrored(view).writes.empty());

  SECTION("changes follow") {
    e["subsets"] = json(
        R"([{"addresses":[{"ip":"192.0.2.2"}],"ports":[{"name":"http","port":8080,"protocol":"TCP"}]}])");
    view.put(kEndpoints, e);
    view.apply(mirrored(view));
    CHECK(shown(view) == "192.0.2.2+:8080");
  }
  SECTION("until they ask not to be") {
    e["metadata"]["labels"]["endpointslice.kubernetes.io/skip-mirror"] = "true";
    view.put(kEndpoints, e);
    view.apply(mirrored(view));
    CHECK(view.list(kEndpointSlices, "ns").empty());
  }
  SECTION("or the service selects pods itself") {
    view.put(kServices, service_of());
    view.apply(mirrored(view));
    CHECK(view.list(kEndpointSlices, "ns").empty());
  }
  SECTION("or is gone") {
    view.drop(kServices, "ns", "s");
    view.apply(mirrored(view));
    CHECK(view.list(kEndpointSlices, "ns").empty());
  }
}

TEST_CASE("locks of old are not mirrored") {
  MapView view;
  Json s = service_of();
  s["spec"].erase("selector");
  view.put(kServices, s);
  view.put(
      kEndpoints,
      {{"metadata", {{"name", "s"}, {"annotations", {{"control-plane.alpha.kubernetes.io/leader", "{}"}}}}},
       {"subsets", json(R"([{"addresses":[{"ip":"192.0.2.1"}]}])")}});
  CHECK(mirrored(view).writes.empty());
}

TEST_CASE("endpoints of a service") {
  MapView view;
  view.put(kServices, service_of());
  view.put(kPods, pod_at("a", "10.42.0.1"));
  view.put(kPods, pod_at("b", "10.42.0.2", -1));
  Json going = pod_at("c", "10.42.0.3");
  going["metadata"]["deletionTimestamp"] = ago(1);
  view.put(kPods, going);
  view.apply(server::plan_endpoints(view, {"ns", "s"}, kNow));
  const Json e = view.get(kEndpoints, "ns", "s")->tree();
  REQUIRE(e["subsets"].size() == 1);
  CHECK(e["subsets"][0]["addresses"].size() == 1);
  CHECK(e["subsets"][0]["addresses"][0]["ip"] == "10.42.0.1");
  CHECK(e["subsets"][0]["notReadyAddresses"][0]["ip"] == "10.42.0.2");
  CHECK(e["subsets"][0]["ports"][0]["port"] == 8080);
  CHECK(server::plan_endpoints(view, {"ns", "s"}, kNow).writes.empty());
  view.drop(kServices, "ns", "s");
  CHECK(removed(server::plan_endpoints(view, {"ns", "s"}, kNow), "endpoints") ==
        std::vector<std::string>{"s"});
}

}  // namespace
}  // namespace orch::testing
