// Server-side apply and who owns what, through the API of a whole server.
#include <chrono>
#include <thread>

#include "tests/integration/server/fixture.h"

namespace orch::testing {
namespace {

constexpr const char* kDeployments = "/apis/apps/v1/namespaces/default/deployments";

Answer apply(const Control& c, const std::string& path, const Json& body, const std::string& query) {
  return c.send("PATCH", path + "?" + query, body.dump(), {"application/apply-patch+yaml", {}});
}

Json map_of(const std::string& name, const Json& data) {
  return {{"apiVersion", "v1"}, {"kind", "ConfigMap"}, {"metadata", {{"name", name}}}, {"data", data}};
}

Json deployment(const std::string& name) {
  return {{"apiVersion", "apps/v1"},
          {"kind", "Deployment"},
          {"metadata", {{"name", name}}},
          {"spec",
           {{"replicas", 0},
            {"selector", {{"matchLabels", {{"app", name}}}}},
            {"template",
             {{"metadata", {{"labels", {{"app", name}}}}},
              {"spec", {{"containers", {{{"name", "main"}, {"image", "nginx"}}}}}}}}}}};
}

/// "manager Operation subresource" of each owner, sorted as they stand.
std::vector<std::string> owners(const Json& object) {
  std::vector<std::string> out;
  for (const auto& entry : base::array_at(object, {"metadata", "managedFields"})) {
    out.push_back(base::cat(base::string_at(entry, {"manager"}), " ", base::string_at(entry, {"operation"}),
                            " ", base::string_at(entry, {"subresource"})));
  }
  return out;
}

Json fields_of(const Json& object, const std::string& manager) {
  for (const auto& entry : base::array_at(object, {"metadata", "managedFields"})) {
    if (base::string_at(entry, {"manager"}) == manager) return entry["fieldsV1"];
  }
  return {};
}

}  // namespace

TEST_CASE("apply makes, changes, shares and takes away") {
  const Control& c = shared();
  const std::string path = base::cat(kMaps, "/applied");
  auto made = apply(c, path, map_of("applied", {{"a", "1"}, {"b", "2"}}), "fieldManager=one");
  CHECK(made.status == 201);
  CHECK(owners(made.tree()) == std::vector<std::string>{"one Apply "});
  CHECK(fields_of(made.tree(), "one") == Json::parse(R"({"f:data":{"f:a":{},"f:b":{}}})"));

  auto shared_with = apply(c, path, map_of("applied", {{"b", "2"}}), "fieldManager=two");
  CHECK(shared_with.status == 200);
  auto less = apply(c, path, map_of("applied", Json::object()), "fieldManager=one");
  CHECK(less.status == 200);
  CHECK(less.tree()["data"] == Json::parse(R"({"b":"2"})"));

  auto refused = apply(c, path, map_of("applied", {{"b", "3"}}), "fieldManager=one");
  check_error(refused, 409, "Conflict", "Apply failed with 1 conflict: conflict with \"two\": .data.b");
  CHECK(refused.tree()["details"]["causes"][0] ==
        Json::parse(
            R"({"reason":"FieldManagerConflict","message":"conflict with \"two\"","field":".data.b"})"));
  auto forced = apply(c, path, map_of("applied", {{"b", "3"}}), "fieldManager=one&force=true");
  CHECK(forced.status == 200);
  CHECK(forced.tree()["data"]["b"] == "3");
  CHECK(owners(forced.tree()) == std::vector<std::string>{"one Apply "});
}

TEST_CASE("an apply of what is there writes nothing") {
  const Control& c = shared();
  const std::string path = base::cat(kMaps, "/same");
  const Json map = map_of("same", {{"a", "1"}});
  auto first = apply(c, path, map, "fieldManager=one");
  REQUIRE(first.status == 201);
  auto again = apply(c, path, map, "fieldManager=one");
  CHECK(again.status == 200);
  CHECK(again.tree()["metadata"]["resourceVersion"] == first.tree()["metadata"]["resourceVersion"]);
}

TEST_CASE("what an apply needs") {
  const Control& c = shared();
  const std::string path = base::cat(kMaps, "/needs");
  const Json map = map_of("needs", {{"a", "1"}});
  check_error(apply(c, path, map, ""), 422, "Invalid",
              "fieldManager: Required value: is required for apply patch");
  check_error(apply(c, path, map_of("other", {{"a", "1"}}), "fieldManager=x"), 400, "BadRequest",
              "the name of the object (other) does not match the name on the URL (needs)");
  Json wrong = map;
  wrong["kind"] = "Secret";
  check_error(apply(c, path, wrong, "fieldManager=x"), 400, "BadRequest",
              "invalid object type: /v1, Kind=Secret");
  wrong = map;
  wrong["metadata"]["managedFields"] = Json::array();
  check_error(apply(c, path, wrong, "fieldManager=x"), 400, "BadRequest",
              "metadata.managedFields must be nil");
  wrong = map;
  wrong["metadata"]["uid"] = "u";
  check_error(apply(c, path, wrong, "fieldManager=x"), 409, "Conflict", "uid mismatch");
  wrong = map;
  wrong["spec"] = 1;
  CHECK(apply(c, path, wrong, "fieldManager=x").status == 500);
  CHECK(c.get(path).status == 404);
  CHECK(apply(c, path, map, "fieldManager=x&dryRun=All").status == 201);
  CHECK(c.get(path).status == 404);
  check_error(c.send("PATCH", path + "?force=true", "{}", {"application/merge-patch+json", {}}), 422,
              "Invalid", "force: Forbidden: may not be specified for non-apply patch");
}

TEST_CASE("writes are tracked by manager") {
  const Control& c = shared();
  const std::string path = base::cat(kMaps, "/tracked");
  auto made =
      c.send("POST", std::string(kMaps) + "?fieldManager=maker", map_of("tracked", {{"a", "1"}}).dump());
  REQUIRE(made.status == 201);
  CHECK(owners(made.tree()) == std::vector<std::string>{"maker Update "});
  CHECK(fields_of(made.tree(), "maker") == Json::parse(R"({"f:data":{".":{},"f:a":{}}})"));
  auto patched = c.send("PATCH", path, R"({"data":{"a":"2"}})",
                        {"application/merge-patch+json", {"User-Agent: tool/1.2 (linux)"}});
  CHECK(patched.status == 200);
  CHECK(fields_of(patched.tree(), "tool") == Json::parse(R"({"f:data":{"f:a":{}}})"));
  CHECK(fields_of(patched.tree(), "maker") == Json::parse(R"({"f:data":{}})"));
  auto conflict = apply(c, path, map_of("tracked", {{"a", "3"}}), "fieldManager=one");
  check_error(conflict, 409, "Conflict", "conflict with \"tool\" using v1: .data.a");
  auto reset = c.patch(path, "merge-patch+json", {{"metadata", {{"managedFields", {Json::object()}}}}});
  CHECK(reset.status == 200);
  CHECK(owners(reset.tree()).empty());
  auto adopted = apply(c, path, map_of("tracked", {{"a", "2"}}), "fieldManager=one");
  CHECK(adopted.status == 200);
  CHECK(owners(adopted.tree()) == std::vector<std::string>{"one Apply ", "before-first-apply Update "});
}

TEST_CASE("apply through status and scale") {
  const Control& c = shared();
  const std::string path = base::cat(kDeployments, "/parts");
  REQUIRE(apply(c, path, deployment("parts"), "fieldManager=one").status == 201);
  const Json scale = {{"apiVersion", "autoscaling/v1"},
                      {"kind", "Scale"},
                      {"metadata", {{"name", "parts"}}},
                      {"spec", {{"replicas", 1}}}};
  check_error(apply(c, path + "/scale", scale, "fieldManager=auto"), 409, "Conflict",
              "conflict with \"one\": .spec.replicas");
  auto scaled = apply(c, path + "/scale", scale, "fieldManager=auto&force=true");
  CHECK(scaled.status == 200);
  CHECK(scaled.tree()["kind"] == "Scale");
  CHECK(scaled.tree()["spec"]["replicas"] == 1);
  const Json status = {{"apiVersion", "apps/v1"},
                       {"kind", "Deployment"},
                       {"metadata", {{"name", "parts"}}},
                       {"spec", {{"replicas", 7}}},
                       {"status", {{"conditions", {{{"type", "Mine"}, {"status", "True"}}}}}}};
  auto stated = apply(c, path + "/status", status, "fieldManager=judge");
  CHECK(stated.status == 200);
  const Json now = c.get(path).tree();
  CHECK(now["spec"]["replicas"] == 1);
  CHECK(fields_of(now, "auto") == Json::parse(R"({"f:spec":{"f:replicas":{}}})"));
  CHECK_FALSE(fields_of(now, "judge").contains("f:spec"));
  CHECK(fields_of(now, "judge")["f:status"]["f:conditions"].contains("k:{\"type\":\"Mine\"}"));
  CHECK(apply(c, std::string(kDeployments) + "/none/status", status, "fieldManager=judge").status == 404);
  CHECK(c.send("DELETE", path).status == 200);
}

TEST_CASE("controllers own what they write") {
  const Control& c = shared();
  REQUIRE(apply(c, std::string(kDeployments) + "/owned", deployment("owned"), "fieldManager=one").status ==
          201);
  std::vector<std::string> of_sets;
  for (int i = 0; i < 100 && of_sets.empty(); ++i) {
    const Json sets =
        c.get("/apis/apps/v1/namespaces/default/replicasets?labelSelector=app%3Downed").tree()["items"];
    if (!sets.empty()) of_sets = owners(sets[0]);
    if (of_sets.empty()) std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  REQUIRE_FALSE(of_sets.empty());
  CHECK(of_sets[0] == "kube-controller-manager Update ");
  CHECK(c.send("DELETE", std::string(kDeployments) + "/owned").status == 200);
}

}  // namespace orch::testing
