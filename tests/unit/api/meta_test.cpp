#include "api/meta.h"

#include "base/json.h"
#include "tests/catch.h"

using namespace orch;
using namespace orch::api;
using namespace std::chrono_literals;

namespace {

const Json kTree =
    Json::parse(R"({"kind":"Pod","apiVersion":"v1","metadata":{"name":"p","namespace":"ns","uid":"u",
  "resourceVersion":"9","creationTimestamp":"2026-01-01T00:00:00Z","annotations":{"k":"a\"b"},
  "finalizers":["x","y"],"ownerReferences":[
    {"apiVersion":"v1","kind":"Foo","name":"f","uid":"1"},
    {"apiVersion":"apps/v1","kind":"ReplicaSet","name":"rs","uid":"2","controller":true,"blockOwnerDeletion":true}]}})");

}  // namespace

TEST_CASE("owners are read from trees and from bytes alike") {
  const ObjectPtr object = Object::from_tree(kTree).value();
  REQUIRE(owner_references(*object).size() == 2);
  REQUIRE(owner_references(kTree).size() == 2);
  for (const OwnerReference& owner : {controller_of(*object), controller_of(kTree)}) {
    CHECK(owner.uid == "2");
    CHECK(owner.api_version == "apps/v1");
    CHECK(owner.kind == "ReplicaSet");
    CHECK(owner.name == "rs");
    CHECK(owner.block_owner_deletion);
  }
  CHECK(is_controlled_by(*object, "2"));
  CHECK_FALSE(is_controlled_by(*object, "1"));
  CHECK_FALSE(is_controlled_by(*object, ""));
  CHECK(controller_of(Json::object()).uid.empty());
  const Json reference = controller_reference(*object);
  CHECK(reference["kind"] == "Pod");
  CHECK(reference["controller"] == true);
}

TEST_CASE("metadata is read and changed") {
  Json tree = kTree;
  CHECK(has_finalizer(tree, "x"));
  CHECK_FALSE(add_finalizer(tree, "x"));
  CHECK(add_finalizer(tree, "z"));
  CHECK(remove_finalizer(tree, "x"));
  CHECK_FALSE(remove_finalizer(tree, "x"));
  CHECK(tree["metadata"]["finalizers"] == Json({"y", "z"}));
  CHECK(remove_finalizer(tree, "y"));
  CHECK(remove_finalizer(tree, "z"));
  CHECK_FALSE(tree["metadata"].contains("finalizers"));
  const ObjectPtr object = Object::from_tree(kTree).value();
  CHECK(annotation(kTree, "k") == "a\"b");
  CHECK(annotation(*object, "k") == "a\"b");
  CHECK(annotation(*object, "none").empty());
  CHECK(creation_time(*object) == creation_time(kTree));
  CHECK(base::format_time(creation_time(kTree)) == "2026-01-01T00:00:00Z");
  CHECK(object_key(*object) == "ns/p");
  CHECK(object_key("", "n") == "n");
  CHECK(split_key("ns/p") == std::pair<std::string_view, std::string_view>("ns", "p"));
  CHECK(split_key("p") == std::pair<std::string_view, std::string_view>("", "p"));
  CHECK(object_reference(*object)["resourceVersion"] == "9");
}

TEST_CASE("conditions change their times only when they should") {
  const base::WallTime start = base::parse_time("2026-01-01T00:00:00Z").value();
  Json object = Json::object();
  CHECK(find_condition(object, "Ready") == nullptr);
  CHECK(set_condition(object, {"Ready", "False", "Starting", "x"}, start, ConditionTimes::kUpdate));
  CHECK_FALSE(
      set_condition(object, {"Ready", "False", "Starting", "x"}, start + 1h, ConditionTimes::kUpdate));
  CHECK_FALSE(condition_is_true(object, "Ready"));
  CHECK(set_condition(object, {"Ready", "False", "Waiting", ""}, start + 1h, ConditionTimes::kUpdate));
  const Json* condition = find_condition(object, "Ready");
  REQUIRE(condition != nullptr);
  CHECK((*condition)["lastTransitionTime"] == "2026-01-01T00:00:00Z");
  CHECK((*condition)["lastUpdateTime"] == "2026-01-01T01:00:00Z");
  CHECK_FALSE(condition->contains("message"));
  CHECK(set_condition(object, {"Ready", "True", "", ""}, start + 2h));
  CHECK(condition_is_true(object, "Ready"));
  CHECK((*find_condition(object, "Ready"))["lastTransitionTime"] == "2026-01-01T02:00:00Z");
  CHECK(set_condition(object, {"Other", "True", "r", "m"}, start));
  CHECK(object["status"]["conditions"].size() == 2);
  CHECK(remove_condition(object, "Ready"));
  CHECK_FALSE(remove_condition(object, "Ready"));
}
