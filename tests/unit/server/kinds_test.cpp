#include "server/kinds.h"

#include <algorithm>

#include "api/schema/schema.h"
#include "tests/catch.h"

namespace orch::server {

TEST_CASE("kinds are told from a table that changes meanwhile") {
  const auto schema = api::Schema::builtin();
  const auto table = api::ResourceTable::builtin(*schema);
  // Adding a row publishes the table anew and drops the old rows: those that are walked stay.
  auto added = std::make_shared<api::Resource>();
  added->group = "example.com";
  added->version = "v1";
  added->kind = "Thing";
  added->plural = "things";
  bool once = false;
  const auto kinds = kinds_of(*table, [&](const api::Resource& r) {
    if (!once) table->replace("example.com", "things", {added});
    once = true;
    return r.group == "apps" && r.storage_version;
  });
  CHECK(std::any_of(kinds.begin(), kinds.end(), [](const auto& k) { return k.plural == "deployments"; }));
  CHECK(kinds_of(*table, [](const api::Resource& r) { return r.kind == "Thing"; }).size() == 1);
}

}  // namespace orch::server
