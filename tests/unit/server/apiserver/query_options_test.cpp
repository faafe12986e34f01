#include "server/apiserver/query_options.h"

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

}  // namespace
}  // namespace orch::server
