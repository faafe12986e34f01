#include "server/apiserver/query_options.h"

#include "api/resources/resource.h"
#include "api/schema/schema.h"
#include "base/json.h"
#include "tests/catch.h"

namespace orch::server {
namespace {

http::Query query(const std::string& text) { return http::Query::parse(text); }

TEST_CASE("numbers and flags of a query") {
  CHECK_FALSE(query_int(query(""), "a").value().has_value());
  CHECK(**query_int(query("a=-5&a=7"), "a") == -5);
  CHECK(**query_int(query("a=%2B5"), "a") == 5);
  CHECK(query_int(query("a="), "a").error().message() == "strconv.ParseInt: parsing \"\": invalid syntax");
  CHECK(query_int(query("a=5x"), "a").error().message() ==
        "strconv.ParseInt: parsing \"5x\": invalid syntax");
  CHECK(query_int(query("a=9223372036854775808"), "a").error().message() ==
        "strconv.ParseInt: parsing \"9223372036854775808\": value out of range");
  CHECK_FALSE(query_bool(query(""), "a"));
  CHECK(query_bool(query("a"), "a") == true);
  CHECK(query_bool(query("a=maybe"), "a") == true);
  CHECK(query_bool(query("a=False"), "a") == false);
  CHECK(query_bool(query("a=0"), "a") == false);
}

TEST_CASE("what a watch begins with") {
  const auto options = [](const std::string& text) { return *parse_list_options(query(text), true); };
  CHECK_FALSE(options("").initial_events);
  CHECK(options("").revision == -1);
  CHECK(options("resourceVersion=0").revision == 0);
  CHECK(options("sendInitialEvents=false&resourceVersionMatch=NotOlderThan").initial_events == false);
  CHECK(options("timeoutSeconds=7").timeout_seconds == 7);
  CHECK(options("limit=-3").limit == 0);
  CHECK(options("allowWatchBookmarks=1").bookmarks);
}

TEST_CASE("options of writes") {
  CHECK(parse_write_options(query("dryRun=All&fieldValidation=Strict"), "CreateOptions")->dry_run);
  CHECK(parse_write_options(query("fieldValidation=Ignore"), "CreateOptions")->validation ==
        FieldValidation::kIgnore);
  CHECK_FALSE(parse_write_options(query(""), "CreateOptions")->dry_run);
  const auto refused =
      parse_write_options(query("dryRun=All&dryRun=b&fieldValidation=c&force=1"), "PatchOptions");
  REQUIRE_FALSE(refused.ok());
  CHECK(refused.error().message() ==
        "PatchOptions.meta.k8s.io \"\" is invalid: [force: Forbidden: may not be specified for non-apply "
        "patch, dryRun: Unsupported value: [\"All\",\"b\"]: supported values: \"All\", fieldValidation: "
        "Unsupported value: \"c\": supported values: \"\", \"Ignore\", \"Strict\", \"Warn\"]");
}

TEST_CASE(
    "a field selector speaks the version of the path, and finds objects of the version that is stored") {
  const auto schema = api::Schema::builtin();
  const auto table = api::ResourceTable::builtin(*schema);
  const auto stored = table->find("", "v1", "events"),
             requested = table->find("events.k8s.io", "v1", "events");
  REQUIRE((stored && requested));
  const auto event = [&](const char* text) {
    return *api::Object::from_tree(*base::parse_json(text), stored->selectable_fields);
  };
  const auto ours = event(R"({"apiVersion":"v1","kind":"Event","metadata":{"name":"e","namespace":"d"},)"
                          R"("reportingComponent":"ours","involvedObject":{"name":"web"}})");
  const auto finds = [&](const char* text) {
    const auto filter = parse_filter(query(text), *requested, *stored, "d");
    REQUIRE(filter.ok());
    return filter->fields.matches(*ours, stored->selectable_fields);
  };
  CHECK(finds("fieldSelector=reportingController%3Dours"));
  CHECK_FALSE(finds("fieldSelector=reportingController%3Dtheirs"));
  CHECK(finds("fieldSelector=regarding.name%3Dweb,metadata.name%3De"));
  // Each version has its own names alone.
  CHECK(parse_filter(query("fieldSelector=involvedObject.name%3Dweb"), *requested, *stored, "d")
            .error()
            .message() == "field label not supported: involvedObject.name");
  CHECK(parse_filter(query("fieldSelector=involvedObject.name%3Dweb"), *stored, *stored, "d").ok());
}

}  // namespace
}  // namespace orch::server
