// What clients get for revisions whose history is gone: lists in pages and watches.
#include <chrono>
#include <thread>

#include "datastore/sqlite/sqlite_store.h"
#include "tests/integration/server/fixture.h"

namespace orch::testing {
namespace {

/// Ends all history, as time does.
void compact(const DataFolder& folder) {
  datastore::SqliteOptions options;
  options.path = folder.path() + "/server/db/state.db";
  // On disk it is with the first step of the sweep in the background, which closing may forestall.
  for (int i = 0; i < 100; ++i) {
    auto store = datastore::open_sqlite(options);
    INFO(store.status().message());
    REQUIRE(store.ok());
    if ((*store)->compacted() > 0 && (*store)->compacted() == (*store)->revision()) return;
    REQUIRE((*store)->compact((*store)->revision()) == datastore::Outcome::kOk);
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  FAIL("the history does not end");
}

std::string text_at(const Json& tree, std::initializer_list<std::string_view> path) {
  return std::string(base::string_at(tree, path));
}

TEST_CASE("history that is gone") {
  DataFolder folder;
  Control c(folder);
  c.start();
  REQUIRE(c.post("/api/v1/namespaces", {{"metadata", {{"name", "pages"}}}}).status == 201);
  const std::string maps = "/api/v1/namespaces/pages/configmaps";
  for (const char* name : {"a", "b", "c", "d"}) REQUIRE(c.post(maps, config_map(name)).status == 201);
  const Json page = c.get(maps + "?limit=2&labelSelector=!no").tree();
  const std::string token = text_at(page, {"metadata", "continue"});
  const std::string version = text_at(page, {"metadata", "resourceVersion"});
  REQUIRE_FALSE(token.empty());
  // In between: one of the rest goes, another comes.
  REQUIRE(c.send("DELETE", maps + "/c").status == 200);
  REQUIRE(c.post(maps, config_map("e")).status == 201);
  c.stop();
  compact(folder);
  c.start();

  const Answer expired = c.get(maps + "?limit=2&continue=" + token);
  check_error(expired, 410, "Expired",
              "The provided continue parameter is too old to display a consistent list result.");
  // The answer has a token to go on with what is there now.
  const std::string inconsistent = text_at(expired.tree(), {"metadata", "continue"});
  REQUIRE_FALSE(inconsistent.empty());
  Json rest = c.get(maps + "?limit=1&continue=" + inconsistent).tree();
  REQUIRE(rest["items"].size() == 1);
  CHECK(rest["items"][0]["metadata"]["name"] == "d");
  const std::string next = text_at(rest, {"metadata", "continue"});
  REQUIRE_FALSE(next.empty());
  rest = c.get(maps + "?limit=1&continue=" + next).tree();
  REQUIRE(rest["items"].size() == 1);
  CHECK(rest["items"][0]["metadata"]["name"] == "e");

  check_error(c.get(maps + "?resourceVersionMatch=Exact&resourceVersion=" + version), 410, "Expired",
              "The resourceVersion for the provided list is too old.");
  // A watch from there says so in its first and only event.
  const Answer watch = c.get(maps + "?watch=1&timeoutSeconds=5&resourceVersion=" + version);
  CHECK(watch.status == 200);
  const Json event = base::parse_json(watch.body.substr(0, watch.body.find('\n'))).value();
  CHECK(watch.body.find('\n') == watch.body.size() - 1);
  CHECK(event["type"] == "ERROR");
  CHECK(event["object"]["kind"] == "Status");
  CHECK(event["object"]["code"] == 410);
  CHECK(event["object"]["reason"] == "Expired");
  CHECK_THAT(text_at(event, {"object", "message"}),
             contains(base::cat("too old resource version: ", version)));
  // Not so one that wants the state first.
  const Answer fresh =
      c.get(maps + "?watch=1&timeoutSeconds=1&sendInitialEvents=true&allowWatchBookmarks=true" +
            "&resourceVersionMatch=NotOlderThan&resourceVersion=" + version);
  CHECK_THAT(fresh.body, contains("k8s.io/initial-events-end"));
}

}  // namespace
}  // namespace orch::testing
