// Delete: preconditions, grace, finalizers, propagation.
#include "tests/unit/server/registry/fixture.h"

namespace orch::testing {
namespace {

using base::Code;
using server::DeleteParams;

DeleteParams grace(int64_t seconds) {
  DeleteParams p;
  p.grace_seconds = seconds;
  return p;
}
DeleteParams propagation(std::string how) {
  DeleteParams p;
  p.propagation = std::move(how);
  return p;
}

TEST_CASE("delete takes an object away") {
  RegistryFixture f;
  f.create("configmaps", config_map("one"));
  const auto before = f.store().revision();
  auto gone = f.remove("configmaps", "one");
  REQUIRE(gone.ok());
  CHECK(gone->gone);
  CHECK(gone->object->revision() == before + 1);
  CHECK(f.get("configmaps", "one").is_null());
  CHECK_FALSE(f.stored("configmaps", "one"));
  gone = f.remove("configmaps", "one");
  REQUIRE_FALSE(gone.ok());
  CHECK(gone.error().code() == Code::kNotFound);
  CHECK(gone.error().message() == "configmaps \"one\" not found");
}

TEST_CASE("preconditions of a delete") {
  RegistryFixture f;
  const Json made = f.create("configmaps", config_map("one"));
  DeleteParams p;
  p.uid = "other";
  auto gone = f.remove("configmaps", "one", p);
  REQUIRE_FALSE(gone.ok());
  CHECK(gone.error().code() == Code::kConflict);
  CHECK_THAT(gone.error().message(),
             contains("the UID in the precondition (other) does not match the UID in record ("));
  p.uid = made["metadata"]["uid"];
  p.resource_version = "1";
  gone = f.remove("configmaps", "one", p);
  REQUIRE_FALSE(gone.ok());
  CHECK(gone.error().code() == Code::kConflict);
  CHECK_THAT(
      gone.error().message(),
      contains("the ResourceVersion in the precondition (1) does not match the ResourceVersion in record ("));
  p.resource_version = made["metadata"]["resourceVersion"];
  gone = f.remove("configmaps", "one", p);
  REQUIRE(gone.ok());
  CHECK(gone->gone);
}

TEST_CASE("a pod without a node goes at once, one on a node has its time") {
  RegistryFixture f;
  f.create("pods", pod("loose"));
  auto gone = f.remove("pods", "loose");
  REQUIRE(gone.ok());
  CHECK(gone->gone);

  f.create("pods", pod("bound", "n1"));
  gone = f.remove("pods", "bound");
  REQUIRE(gone.ok());
  CHECK_FALSE(gone->gone);
  Json now = f.get("pods", "bound");
  CHECK(now["metadata"]["deletionTimestamp"] == "2026-01-01T00:00:30Z");
  CHECK(now["metadata"]["deletionGracePeriodSeconds"] == 30);
  CHECK(now["metadata"]["generation"] == 2);

  SECTION("a second delete may not lengthen it") {
    const auto before = f.store().revision();
    gone = f.remove("pods", "bound", grace(60));
    REQUIRE(gone.ok());
    CHECK_FALSE(gone->gone);
    gone = f.remove("pods", "bound");
    REQUIRE(gone.ok());
    CHECK_FALSE(gone->gone);
    CHECK(f.store().revision() == before);
  }
  SECTION("but may shorten it") {
    f.clock.advance(std::chrono::seconds(7));
    gone = f.remove("pods", "bound", grace(5));
    REQUIRE(gone.ok());
    CHECK_FALSE(gone->gone);
    now = f.get("pods", "bound");
    CHECK(now["metadata"]["deletionTimestamp"] == "2026-01-01T00:00:05Z");
    CHECK(now["metadata"]["deletionGracePeriodSeconds"] == 5);
    CHECK(now["metadata"]["generation"] == 2);
  }
  SECTION("the node ends it") {
    gone = f.remove("pods", "bound", grace(0));
    REQUIRE(gone.ok());
    CHECK(gone->gone);
    CHECK_FALSE(f.stored("pods", "bound"));
  }
  SECTION("a pod that has ended keeps the time it was given") {
    now["status"]["phase"] = "Failed";
    f.update("pods", now, "status");
    gone = f.remove("pods", "bound", grace(60));
    REQUIRE(gone.ok());
    CHECK_FALSE(gone->gone);
    CHECK(f.get("pods", "bound")["metadata"]["deletionGracePeriodSeconds"] == 30);
  }
}

TEST_CASE("the grace period asked for counts") {
  RegistryFixture f;
  f.create("pods", pod("p", "n1"));
  auto gone = f.remove("pods", "p", grace(12));
  REQUIRE(gone.ok());
  CHECK_FALSE(gone->gone);
  CHECK(f.get("pods", "p")["metadata"]["deletionGracePeriodSeconds"] == 12);
  // A pod that would go at once gets time, too.
  Json quick = pod("quick", "n1");
  quick["spec"]["terminationGracePeriodSeconds"] = 0;
  f.create("pods", quick);
  gone = f.remove("pods", "quick", grace(60));
  REQUIRE(gone.ok());
  CHECK_FALSE(gone->gone);
  CHECK(f.get("pods", "quick")["metadata"]["deletionGracePeriodSeconds"] == 60);
  quick["metadata"]["name"] = "quicker";
  f.create("pods", quick);
  gone = f.remove("pods", "quicker");
  REQUIRE(gone.ok());
  CHECK(gone->gone);
}

TEST_CASE("finalizers hold an object back until the last is gone") {
  RegistryFixture f;
  Json object = config_map("one");
  object["metadata"]["finalizers"] = {"example.com/a", "example.com/b"};
  f.create("configmaps", object);
  auto gone = f.remove("configmaps", "one");
  REQUIRE(gone.ok());
  CHECK_FALSE(gone->gone);
  Json now = f.get("configmaps", "one");
  CHECK(now["metadata"]["deletionTimestamp"] == "2026-01-01T00:00:00Z");
  CHECK(now["metadata"]["deletionGracePeriodSeconds"] == 0);

  const auto before = f.store().revision();
  gone = f.remove("configmaps", "one");
  REQUIRE(gone.ok());
  CHECK_FALSE(gone->gone);
  CHECK(f.store().revision() == before);

  SECTION("a new one may not be added") {
    now["metadata"]["finalizers"].push_back("example.com/c");
    auto refused = f.try_update("configmaps", now);
    REQUIRE_FALSE(refused.ok());
    CHECK(refused.error().code() == Code::kInvalid);
    CHECK_THAT(refused.error().message(),
               contains("no new finalizers can be added if the object is being deleted"));
  }
  SECTION("they are taken off one by one") {
    now["metadata"]["finalizers"] = {"example.com/b"};
    now = f.update("configmaps", now);
    CHECK(f.stored("configmaps", "one"));
    now["metadata"].erase("finalizers");
    f.update("configmaps", now);
    CHECK(f.get("configmaps", "one").is_null());
    CHECK_FALSE(f.stored("configmaps", "one"));
  }
}

TEST_CASE("a pod with finalizers goes when both its time and they are over") {
  RegistryFixture f;
  Json p = pod("p", "n1");
  p["metadata"]["finalizers"] = {"example.com/a"};
  f.create("pods", p);
  REQUIRE(f.remove("pods", "p").ok());
  auto gone = f.remove("pods", "p", grace(0));
  REQUIRE(gone.ok());
  CHECK_FALSE(gone->gone);
  Json now = f.get("pods", "p");
  CHECK(now["metadata"]["deletionGracePeriodSeconds"] == 0);
  now["metadata"].erase("finalizers");
  f.update("pods", now);
  CHECK_FALSE(f.stored("pods", "p"));

  SECTION("finalizers first") {
    f.create("pods", p);
    REQUIRE(f.remove("pods", "p").ok());
    now = f.get("pods", "p");
    now["metadata"].erase("finalizers");
    f.update("pods", now);
    CHECK(f.stored("pods", "p"));
    gone = f.remove("pods", "p", grace(0));
    REQUIRE(gone.ok());
    CHECK(gone->gone);
  }
}

TEST_CASE("propagation leaves the garbage collector its finalizers") {
  RegistryFixture f;
  const auto finalizers = [&](const Json& object) {
    return object["metadata"].value("finalizers", Json::array());
  };
  f.create("configmaps", config_map("one"));
  SECTION("foreground") {
    auto gone = f.remove("configmaps", "one", propagation("Foreground"));
    REQUIRE(gone.ok());
    CHECK_FALSE(gone->gone);
    CHECK(finalizers(f.get("configmaps", "one")) == Json::array({"foregroundDeletion"}));
    SECTION("then nothing in particular") {
      REQUIRE(f.remove("configmaps", "one").ok());
      CHECK(finalizers(f.get("configmaps", "one")) == Json::array({"foregroundDeletion"}));
    }
    SECTION("then orphan") {
      REQUIRE(f.remove("configmaps", "one", propagation("Orphan")).ok());
      CHECK(finalizers(f.get("configmaps", "one")) == Json::array({"orphan"}));
    }
    SECTION("then background") {
      gone = f.remove("configmaps", "one", propagation("Background"));
      REQUIRE(gone.ok());
      CHECK(gone->gone);
    }
  }
  SECTION("orphan") {
    auto gone = f.remove("configmaps", "one", propagation("Orphan"));
    REQUIRE(gone.ok());
    CHECK_FALSE(gone->gone);
    CHECK(finalizers(f.get("configmaps", "one")) == Json::array({"orphan"}));
  }
  SECTION("background") {
    auto gone = f.remove("configmaps", "one", propagation("Background"));
    REQUIRE(gone.ok());
    CHECK(gone->gone);
  }
}

TEST_CASE("two old kinds orphan by default") {
  RegistryFixture f;
  const Json pod_template = {
      {"metadata", {{"labels", {{"a", "b"}}}}},
      {"spec", {{"restartPolicy", "Never"}, {"containers", Json::array({{{"name", "c"}, {"image", "i"}}})}}}};
  f.create("jobs.batch", {{"metadata", {{"name", "j"}}}, {"spec", {{"template", pod_template}}}});
  std::vector<std::string> warnings;
  auto context = f.context();
  context.warnings = &warnings;
  auto remove = [&](const DeleteParams& params) {
    return f.registry().remove(f.row("jobs.batch"), "ns", "j", params, context);
  };
  SECTION("when nobody says") {
    auto gone = remove({});
    REQUIRE(gone.ok());
    CHECK_FALSE(gone->gone);
    CHECK(f.get("jobs.batch", "j")["metadata"]["finalizers"] == Json::array({"orphan"}));
    CHECK(warnings == std::vector<std::string>{
                          "child pods are preserved by default when jobs are deleted; set "
                          "propagationPolicy=Background to remove them or set propagationPolicy=Orphan to "
                          "suppress this warning"});
  }
  SECTION("not when somebody says") {
    REQUIRE(remove(propagation("Background")).ok());
    CHECK(f.get("jobs.batch", "j").is_null());
    CHECK(warnings.empty());
  }
  SECTION("not when the object says") {
    REQUIRE(remove(propagation("Foreground")).ok());
    REQUIRE(remove({}).ok());
    CHECK(f.get("jobs.batch", "j")["metadata"]["finalizers"] == Json::array({"foregroundDeletion"}));
  }
}

TEST_CASE("a namespace becomes Terminating and goes when it is finalized") {
  RegistryFixture f;
  Json made = f.create("namespaces", {{"metadata", {{"name", "team"}}}});
  CHECK(made["spec"]["finalizers"] == Json::array({"kubernetes"}));
  CHECK(made["status"]["phase"] == "Active");
  auto gone = f.remove("namespaces", "team");
  REQUIRE(gone.ok());
  CHECK_FALSE(gone->gone);
  Json now = f.get("namespaces", "team");
  CHECK(now["status"]["phase"] == "Terminating");
  now["spec"]["finalizers"] = Json::array();
  auto done = f.try_update("namespaces", now, "finalize");
  INFO(done.status().message());
  REQUIRE(done.ok());
  CHECK_FALSE(f.stored("namespaces", "team"));
}

TEST_CASE("a dry deletion answers with what would be written") {
  RegistryFixture f;
  const auto dry = [&](const char* resource, const char* ns, const char* name) {
    auto gone = f.registry().remove(f.row(resource), ns, name, {}, f.dry());
    REQUIRE(gone.ok());
    return gone->object->tree()["metadata"];
  };
  f.create("configmaps", config_map("plain"));
  CHECK_FALSE(dry("configmaps", "ns", "plain").contains("deletionTimestamp"));
  Json held = config_map("held");
  held["metadata"]["finalizers"] = Json::array({"example.com/x"});
  f.create("configmaps", held);
  CHECK(dry("configmaps", "ns", "held")["deletionGracePeriodSeconds"] == 0);
  CHECK_FALSE(f.get("configmaps", "held")["metadata"].contains("deletionTimestamp"));
  f.create("namespaces", {{"metadata", {{"name", "team"}}}});
  CHECK(dry("namespaces", "", "team").contains("deletionTimestamp"));
  // Namespaces mark themselves, without a period.
  CHECK_FALSE(dry("namespaces", "", "team").contains("deletionGracePeriodSeconds"));
  DeleteParams other;
  other.uid = "other";
  const auto refused = f.registry().remove(f.row("namespaces"), "", "team", other, f.dry());
  REQUIRE_FALSE(refused.ok());
  CHECK_THAT(refused.error().message(),
             contains("Operation cannot be fulfilled on namespaces \"team\": Precondition failed: UID in "
                      "precondition: other, UID in object meta: "));
}

}  // namespace
}  // namespace orch::testing
