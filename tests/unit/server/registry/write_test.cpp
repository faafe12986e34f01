// Create and update: metadata, conflicts, generation, status, dry run.
#include "api/names.h"
#include "pki/pki.h"
#include "tests/unit/server/registry/fixture.h"

namespace orch::testing {
namespace {

using base::Code;

TEST_CASE("create fills in metadata and stores") {
  RegistryFixture f;
  Json made = f.create("configmaps", config_map("one"));
  CHECK(made["metadata"]["namespace"] == "ns");
  CHECK(made["metadata"]["creationTimestamp"] == "2026-01-01T00:00:00Z");
  CHECK(made["metadata"]["uid"].get<std::string>().size() == 36);
  CHECK(made["metadata"]["resourceVersion"] == std::to_string(f.registry().revision()));
  CHECK_FALSE(made["metadata"].contains("generation"));
  CHECK(made["data"]["a"] == "1");
  CHECK(f.get("configmaps", "one") == made);
  f.reopen();
  CHECK(f.get("configmaps", "one") == made);
}

TEST_CASE("create refuses what clients may not send") {
  RegistryFixture f;
  Json object = config_map("one");
  SECTION("a resourceVersion") {
    object["metadata"]["resourceVersion"] = "5";
    auto made = f.try_create("configmaps", object);
    REQUIRE_FALSE(made.ok());
    CHECK(made.error().code() == Code::kUnknown);
    CHECK(made.error().message() == "resourceVersion should not be set on objects to be created");
    auto dry = f.registry().create(f.row("configmaps"), "ns", object, f.dry());
    REQUIRE(dry.ok());
    CHECK((*dry)->tree()["metadata"]["resourceVersion"] == "5");  // nothing gave it another
  }
  SECTION("another namespace") {
    object["metadata"]["namespace"] = "other";
    auto made = f.try_create("configmaps", object);
    REQUIRE_FALSE(made.ok());
    CHECK(made.error().code() == Code::kBadRequest);
    CHECK(made.error().message() ==
          "the namespace of the provided object does not match the namespace sent on the request");
  }
  SECTION("no name") {
    object["metadata"].erase("name");
    auto made = f.try_create("configmaps", object);
    REQUIRE_FALSE(made.ok());
    CHECK(made.error().code() == Code::kInvalid);
    CHECK_THAT(made.error().message(),
               contains("metadata.name: Required value: name or generateName is required"));
  }
  SECTION("a bad name") {
    object["metadata"]["name"] = "../x";
    auto made = f.try_create("configmaps", object);
    REQUIRE_FALSE(made.ok());
    CHECK(made.error().code() == Code::kInvalid);
  }
  SECTION("a name in use") {
    f.create("configmaps", object);
    auto made = f.try_create("configmaps", object);
    REQUIRE_FALSE(made.ok());
    CHECK(made.error().code() == Code::kAlreadyExists);
    CHECK(made.error().message() == "configmaps \"one\" already exists");
  }
}

TEST_CASE("what the system sets cannot be sent with a create") {
  RegistryFixture f;
  Json object = config_map("one");
  object["metadata"].update({{"uid", "mine"},
                             {"creationTimestamp", "2001-01-01T00:00:00Z"},
                             {"deletionTimestamp", "2001-01-01T00:00:00Z"},
                             {"deletionGracePeriodSeconds", 5},
                             {"generation", 77},
                             {"selfLink", "/x"}});
  Json made = f.create("configmaps", object);
  CHECK(made["metadata"]["uid"] != "mine");
  CHECK(made["metadata"]["creationTimestamp"] == "2026-01-01T00:00:00Z");
  for (const char* key : {"deletionTimestamp", "deletionGracePeriodSeconds", "selfLink"}) {
    CHECK_FALSE(made["metadata"].contains(key));
  }
  // Nobody counts the generations of a config map.
  CHECK(made["metadata"]["generation"] == 77);
  object["metadata"]["generation"] = -1;
  auto refused = f.try_create("configmaps", object);
  REQUIRE_FALSE(refused.ok());
  CHECK_THAT(refused.error().message(), contains("metadata.generation: Invalid value: -1"));
  Json d = deployment("d");
  d["status"] = {{"replicas", 9}};
  made = f.create("deployments.apps", d);
  CHECK(made["metadata"]["generation"] == 1);
  CHECK_FALSE(made.value("status", Json::object()).contains("replicas"));
}

TEST_CASE("generateName gives each its own name") {
  RegistryFixture f;
  Json object = config_map("");
  object["metadata"] = {{"generateName", "gen-"}};
  const std::string a = f.create("configmaps", object)["metadata"]["name"];
  const std::string b = f.create("configmaps", object)["metadata"]["name"];
  CHECK(a != b);
  CHECK(a.size() == 9);
  CHECK(a.rfind("gen-", 0) == 0);
  object["metadata"]["name"] = "given";
  CHECK(f.create("configmaps", object)["metadata"]["name"] == "given");
}

TEST_CASE("the rules of the group that was asked for hold") {
  RegistryFixture f;
  const Json event = {{"kind", "Event"},
                      {"apiVersion", "v1"},
                      {"metadata", {{"name", "e"}, {"namespace", "ns"}}},
                      {"involvedObject", {{"kind", "Pod"}, {"name", "p"}, {"namespace", "ns"}}},
                      {"type", "Odd"}};
  auto context = f.context();
  context.dry_run = true;
  CHECK(f.registry().create(f.row("events"), "ns", event, context).ok());
  context.asked = &f.served("events.k8s.io", "v1", "events");
  const auto refused = f.registry().create(f.row("events"), "ns", event, context);
  REQUIRE_FALSE(refused.ok());
  CHECK_THAT(refused.error().message(), contains("type: Invalid value: \"\": has invalid value: Odd"));
  f.create("events", event);
  Json normal = event;
  normal["type"] = "Normal";
  normal["eventTime"] = "2026-01-01T00:00:00.000000Z";
  normal["action"] = normal["reason"] = normal["reportingInstance"] = normal["reportingComponent"] = "x";
  const auto again = f.registry().create(f.row("events"), "ns", normal, context);
  REQUIRE_FALSE(again.ok());
  CHECK(again.error().message() == "events.events.k8s.io \"e\" already exists");
}

TEST_CASE("get of what is not there") {
  RegistryFixture f;
  auto got = f.registry().get(f.row("deployments.apps"), "ns", "x");
  REQUIRE_FALSE(got.ok());
  CHECK(got.error().code() == Code::kNotFound);
  CHECK(got.error().message() == "deployments.apps \"x\" not found");
  REQUIRE(got.error().details() != nullptr);
  CHECK(got.error().details()->group == "apps");
  CHECK(got.error().details()->kind == "deployments");
}

TEST_CASE("update with a stale resourceVersion is a conflict, without one it wins") {
  RegistryFixture f;
  const Json first = f.create("configmaps", config_map("one"));
  Json next = first;
  next["data"]["a"] = "2";
  const Json second = f.update("configmaps", next);
  CHECK(second["metadata"]["resourceVersion"] != first["metadata"]["resourceVersion"]);

  next["data"]["a"] = "3";
  auto stale = f.try_update("configmaps", next);
  REQUIRE_FALSE(stale.ok());
  CHECK(stale.error().code() == Code::kConflict);
  CHECK(
      stale.error().message() ==
      "Operation cannot be fulfilled on configmaps \"one\": the object has been modified; please apply your "
      "changes to the latest version and try again");
  CHECK(f.get("configmaps", "one")["data"]["a"] == "2");

  next["metadata"].erase("resourceVersion");
  CHECK(f.update("configmaps", next)["data"]["a"] == "3");
}

TEST_CASE("an update of another object of the name is a conflict") {
  RegistryFixture f;
  Json next = f.create("configmaps", config_map("one"));
  const std::string uid = next["metadata"]["uid"];
  next["metadata"]["uid"] = "other";
  next["metadata"].erase("resourceVersion");
  auto refused = f.try_update("configmaps", next);
  REQUIRE_FALSE(refused.ok());
  CHECK(refused.error().code() == Code::kConflict);
  CHECK(refused.error().message() ==
        "Operation cannot be fulfilled on configmaps \"one\": Precondition failed: UID "
        "in precondition: other, UID in object meta: " +
            uid);
}

TEST_CASE("an update of what is not there") {
  RegistryFixture f;
  Json object = config_map("one");
  object["metadata"]["namespace"] = "ns";
  auto refused = f.try_update("configmaps", object);
  REQUIRE_FALSE(refused.ok());
  CHECK(refused.error().code() == Code::kNotFound);
}

TEST_CASE("an update without a change writes nothing") {
  RegistryFixture f;
  const Json made = f.create("deployments.apps", deployment("d"));
  const auto before = f.store().revision();
  CHECK(f.update("deployments.apps", made) == made);
  Json bare = made;
  for (const char* key : {"resourceVersion", "uid", "creationTimestamp", "generation"})
    bare["metadata"].erase(key);
  CHECK(f.update("deployments.apps", bare) == made);
  CHECK(f.store().revision() == before);
}

TEST_CASE("what the system keeps survives an update") {
  RegistryFixture f;
  Json next = f.create("deployments.apps", deployment("d"));
  const Json before = next;
  next["metadata"]["creationTimestamp"] = "2001-01-01T00:00:00Z";
  next["metadata"]["generation"] = 40;
  next["metadata"]["labels"] = {{"a", "b"}};
  const Json after = f.update("deployments.apps", next);
  CHECK(after["metadata"]["creationTimestamp"] == before["metadata"]["creationTimestamp"]);
  CHECK(after["metadata"]["labels"]["a"] == "b");
  CHECK(after["metadata"]["generation"] == 1);
}

TEST_CASE("generation follows the spec, status has its own door") {
  RegistryFixture f;
  Json d = f.create("deployments.apps", deployment("d"));
  d["spec"]["replicas"] = 3;
  d["status"] = {{"replicas", 9}};
  d = f.update("deployments.apps", d);
  CHECK(d["metadata"]["generation"] == 2);
  CHECK(d["spec"]["replicas"] == 3);
  CHECK_FALSE(d.value("status", Json::object()).contains("replicas"));

  d["spec"]["replicas"] = 8;
  d["metadata"]["labels"] = {{"from", "status"}};
  d["status"] = {{"replicas", 2}, {"observedGeneration", 2}};
  d = f.update("deployments.apps", d, "status");
  CHECK(d["metadata"]["generation"] == 2);
  CHECK(d["spec"]["replicas"] == 3);
  CHECK(d["status"]["replicas"] == 2);
  CHECK_FALSE(d["metadata"].contains("labels"));
}

TEST_CASE("defaults are stored") {
  RegistryFixture f;
  Json d = f.create("deployments.apps", deployment("d"));
  CHECK(d["spec"]["strategy"]["type"] == "RollingUpdate");
  CHECK(d["spec"]["strategy"]["rollingUpdate"]["maxSurge"] == "25%");
  CHECK(d["spec"]["revisionHistoryLimit"] == 10);
  CHECK(d["spec"]["progressDeadlineSeconds"] == 600);
  CHECK(d["spec"]["template"]["spec"]["restartPolicy"] == "Always");
}

TEST_CASE("a change runs on what is there, again after a lost race") {
  RegistryFixture f;
  f.create("configmaps", config_map("one", {{"n", "0"}}));
  int runs = 0;
  auto done = f.registry().update(
      f.row("configmaps"), "ns", "one", "",
      [&](const Json& current) -> base::Result<Json> {
        if (++runs == 1) {
          // Somebody else writes in between.
          Json other = current;
          other["data"]["other"] = "x";
          f.update("configmaps", other);
        }
        Json next = current;
        next["metadata"].erase("resourceVersion");
        next["data"]["n"] = "1";
        return next;
      },
      f.context());
  REQUIRE(done.ok());
  CHECK(runs == 2);
  CHECK((*done)->tree()["data"] == Json({{"n", "1"}, {"other", "x"}}));
}

TEST_CASE("a change that insists on its version is not tried again") {
  RegistryFixture f;
  f.create("configmaps", config_map("one"));
  int runs = 0;
  auto done = f.registry().update(
      f.row("configmaps"), "ns", "one", "",
      [&](const Json& current) -> base::Result<Json> {
        Json next = current;
        if (++runs == 1) {
          next["data"]["other"] = "x";
          f.update("configmaps", next);
        }
        next["data"]["n"] = "1";
        return next;
      },
      f.context());
  REQUIRE_FALSE(done.ok());
  CHECK(done.error().code() == Code::kConflict);
  CHECK(runs == 1);
}

TEST_CASE("a change that fails changes nothing") {
  RegistryFixture f;
  f.create("configmaps", config_map("one"));
  const auto before = f.store().revision();
  auto done = f.registry().update(
      f.row("configmaps"), "ns", "one", "",
      [](const Json&) -> base::Result<Json> { return base::Status(Code::kInvalid, "no"); }, f.context());
  REQUIRE_FALSE(done.ok());
  CHECK(done.error().message() == "no");
  CHECK(f.store().revision() == before);
}

TEST_CASE("a dry run changes nothing") {
  RegistryFixture f;
  const auto before = f.store().revision();
  Json object = config_map("one");
  object["kind"] = "ConfigMap";
  object["apiVersion"] = "v1";
  auto made = f.registry().create(f.row("configmaps"), "ns", object, f.dry());
  REQUIRE(made.ok());
  CHECK((*made)->name() == "one");
  CHECK_FALSE((*made)->uid().empty());
  CHECK(f.get("configmaps", "one").is_null());
  CHECK(f.store().revision() == before);

  const Json real = f.create("configmaps", config_map("one"));
  made = f.registry().create(f.row("configmaps"), "ns", object, f.dry());
  REQUIRE_FALSE(made.ok());
  CHECK(made.error().code() == Code::kAlreadyExists);
  auto changed = f.registry().update(
      f.row("configmaps"), "ns", "one", "",
      [](const Json& current) -> base::Result<Json> {
        Json next = current;
        next["data"]["a"] = "9";
        return next;
      },
      f.dry());
  REQUIRE(changed.ok());
  CHECK((*changed)->tree()["data"]["a"] == "9");
  CHECK((*changed)->tree()["metadata"]["resourceVersion"] == real["metadata"]["resourceVersion"]);
  auto gone = f.registry().remove(f.row("configmaps"), "ns", "one", {}, f.dry());
  REQUIRE(gone.ok());
  CHECK(f.get("configmaps", "one") == real);
  CHECK(f.stored("configmaps", "one"));
}

TEST_CASE("validation speaks of the kind and the field") {
  RegistryFixture f;
  Json d = deployment("d");
  d["spec"]["replicas"] = -1;
  auto made = f.try_create("deployments.apps", d);
  REQUIRE_FALSE(made.ok());
  CHECK(made.error().code() == Code::kInvalid);
  CHECK(made.error().message() ==
        "Deployment.apps \"d\" is invalid: spec.replicas: Invalid value: -1: must be greater than or equal "
        "to 0");
}

TEST_CASE("certificate requests are decided through approval, and certified through status") {
  RegistryFixture f;
  const char* kind = "certificatesigningrequests.certificates.k8s.io";
  const std::string pem = pki::base64_encode(*pki::make_csr(pki::generate_key(), {"r", {}, {}, {}}));
  const std::string certificate =
      pki::base64_encode(pki::make_ca("ca", base::SystemClock().now())->certificate_pem);
  Json csr = f.create(
      kind,
      {{"metadata", {{"name", "r"}}},
       {"spec",
        {{"request", pem}, {"signerName", "example.com/signer"}, {"usages", Json::array({"client auth"})}}},
       {"status", {{"conditions", Json::array({{{"type", "Approved"}}})}}}});
  CHECK_FALSE(csr.value("status", Json::object()).contains("conditions"));

  const Json approved{{"type", "Approved"}, {"status", "True"}, {"reason", "e2e"}};
  Json next = csr;
  next["metadata"]["annotations"]["a"] = "b";
  next["status"] = {{"conditions", Json::array({approved})}, {"certificate", certificate}};
  next = f.update(kind, next, "approval");
  CHECK(next["status"]["conditions"][0]["type"] == "Approved");
  CHECK(next["status"]["conditions"][0]["lastUpdateTime"].is_string());
  CHECK(next["metadata"]["annotations"]["a"] == "b");
  CHECK_FALSE(next["status"].contains("certificate"));

  // Through status decisions can neither be taken back nor added.
  Json status = next;
  status["status"]["conditions"] = Json::array();
  CHECK(f.try_update(kind, status, "status").error().message() ==
        "CertificateSigningRequest.certificates.k8s.io \"r\" is invalid: status.conditions: Forbidden: "
        "updates may not remove a condition of type \"Approved\"");
  status = next;
  status["status"]["conditions"].push_back({{"type", "Denied"}, {"status", "True"}});
  CHECK_FALSE(f.try_update(kind, status, "status").ok());
  status = next;
  status["status"]["certificate"] = certificate;
  status["status"]["conditions"].push_back({{"type", "Other"}, {"status", "False"}});
  status = f.update(kind, status, "status");
  CHECK(status["status"]["certificate"] == certificate);
  CHECK(status["status"]["conditions"].size() == 2);
  CHECK(status["status"]["conditions"][0]["reason"] == "e2e");

  // The request itself stays as it was made.
  Json main = status;
  main["spec"]["signerName"] = "example.com/other";
  main["status"]["conditions"] = Json::array();
  main = f.update(kind, main);
  CHECK(main["spec"]["signerName"] == "example.com/signer");
  CHECK(main["status"]["conditions"].size() == 2);
}

TEST_CASE("uids and generated names come from where they are said to") {
  RegistryFixture f;
  f.registry().set_ids({[] { return std::string("the-uid"); }, [] { return uint64_t{7}; }});
  Json map = config_map("");
  map["metadata"] = {{"generateName", "a-"}};
  const Json first = f.create("configmaps", map);
  CHECK(first["metadata"]["uid"] == "the-uid");
  CHECK(first["metadata"]["name"] == api::generate_name("a-", 7));
}

TEST_CASE("a write of status takes the metadata that is its writer's, but of some kinds") {
  RegistryFixture f;
  const auto with_metadata = [](Json object) {
    object["metadata"]["labels"] = {{"from", "status"}};
    object["metadata"]["annotations"] = {{"from", "status"}};
    object["metadata"]["finalizers"] = Json::array({"example.com/x"});
    return object;
  };
  const Json budget =
      f.update("poddisruptionbudgets.policy",
               with_metadata(f.create("poddisruptionbudgets.policy",
                                      {{"metadata", {{"name", "b"}}}, {"spec", {{"minAvailable", 1}}}})),
               "status");
  CHECK(budget["metadata"]["labels"]["from"] == "status");
  CHECK(budget["metadata"]["annotations"]["from"] == "status");
  CHECK(budget["metadata"]["finalizers"] == Json::array({"example.com/x"}));
  const Json range = f.update(
      "servicecidrs.networking.k8s.io",
      with_metadata(f.create("servicecidrs.networking.k8s.io",
                             {{"metadata", {{"name", "r"}}}, {"spec", {{"cidrs", {"10.97.0.0/24"}}}}})),
      "status");
  CHECK_FALSE(range["metadata"].contains("labels"));
  CHECK_FALSE(range["metadata"].contains("annotations"));
  CHECK_FALSE(range["metadata"].contains("finalizers"));
}

TEST_CASE("who sends an empty list owns it") {
  RegistryFixture f;
  auto context = f.context();
  context.manager = "m";
  const auto owned = [&](const char* rules) {
    Json role = json(R"({"kind":"ClusterRole","apiVersion":"rbac.authorization.k8s.io/v1",
                         "metadata":{"name":"r","labels":{"a":"b"}}})");
    if (rules != nullptr) role["rules"] = json(rules);
    context.dry_run = true;
    auto made = f.registry().create(f.row("clusterroles.rbac.authorization.k8s.io"), "", role, context);
    REQUIRE(made.ok());
    return std::string((*made)->bytes()).find("f:rules") != std::string::npos;
  };
  CHECK(owned("[]"));
  CHECK(owned(R"([{"verbs":["get"],"nonResourceURLs":["/x"]}])"));
  CHECK_FALSE(owned(nullptr));
}

TEST_CASE("what is spelled out but says nothing does not change a template") {
  RegistryFixture f;
  const auto daemon_set = [](bool spelled) {
    Json container = {{"name", "c"}, {"image", "i"}};
    if (spelled) container["stdinOnce"] = false;
    return Json{{"metadata", {{"name", "d"}, {"namespace", "ns"}}},
                {"spec",
                 {{"selector", {{"matchLabels", {{"a", "b"}}}}},
                  {"template",
                   {{"metadata", {{"labels", {{"a", "b"}}}}},
                    {"spec", {{"containers", Json::array({std::move(container)})}}}}}}}};
  };
  f.create("daemonsets.apps", daemon_set(false));
  const Json after = f.update("daemonsets.apps", daemon_set(true));
  CHECK(after["metadata"]["annotations"]["deprecated.daemonset.template.generation"] == "1");
}

TEST_CASE("devices with admin access are for namespaces that say so") {
  RegistryFixture f;
  const auto message = [&](const char* resource, const char* ns, Json spec) {
    Json object = {{"metadata", {{"name", "c"}}}, {"spec", std::move(spec)}};
    const auto& row = f.row(resource);
    object["kind"] = row.kind;
    object["apiVersion"] = row.api_version();
    return f.registry().create(row, ns, object, f.dry()).status().message();
  };
  const auto spec = [](bool admin) {
    return Json{
        {"devices",
         {{"requests", Json::array({{{"name", "one"},
                                     {"exactly", {{"deviceClassName", "gpu"}, {"adminAccess", admin}}}}})}}}};
  };
  f.create("namespaces", {{"metadata", {{"name", "plain"}}}});
  f.create(
      "namespaces",
      {{"metadata", {{"name", "admins"}, {"labels", {{"resource.kubernetes.io/admin-access", "true"}}}}}});
  constexpr const char* kClaims = "resourceclaims.resource.k8s.io";
  CHECK(message(kClaims, "admins", spec(true)).empty());
  CHECK(message(kClaims, "plain", spec(false)).empty());
  CHECK(message(kClaims, "plain", spec(true)) ==
        "ResourceClaim.resource.k8s.io \"c\" is invalid: spec.devices.requests[0].adminAccess: Forbidden: "
        "admin "
        "access to devices requires the `resource.kubernetes.io/admin-access: true` label on the containing "
        "namespace");
  CHECK_THAT(message(kClaims, "nowhere", spec(true)),
             contains("Internal error: could not retrieve namespace to verify admin access"));
  CHECK_THAT(message("resourceclaimtemplates.resource.k8s.io", "plain", {{"spec", spec(true)}}),
             contains("spec.devices.requests[0].adminAccess: Forbidden"));

  Json claim = f.create(kClaims, {{"metadata", {{"name", "c"}}}, {"spec", spec(false)}}, "plain");
  claim["status"]["allocation"]["devices"]["results"] = Json::array(
      {{{"request", "one"}, {"driver", "d"}, {"pool", "p"}, {"device", "x"}, {"adminAccess", true}}});
  auto refused = f.try_update(kClaims, claim, "status");
  REQUIRE_FALSE(refused.ok());
  CHECK_THAT(refused.error().message(),
             contains("status.allocation.devices.results[0].adminAccess: Forbidden"));
  claim["status"]["allocation"]["devices"]["results"][0].erase("adminAccess");
  CHECK(f.try_update(kClaims, claim, "status").ok());
}

}  // namespace
}  // namespace orch::testing
