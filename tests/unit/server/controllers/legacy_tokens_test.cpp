#include "server/controllers/legacy_tokens.h"

#include "tests/fake_api.h"
#include "tests/unit/server/controllers/fixture.h"

namespace orch::testing {
namespace {

using namespace std::chrono_literals;
using server::Controller;
using server::kConfigMaps;
using server::kNamespaces;
using server::kPods;
using server::kSecrets;
using server::kServiceAccounts;

const server::Key kKey{"kube-system", "kube-apiserver-legacy-service-account-token-tracking"};

Json tracking_map(const char* since) {
  return {{"metadata", {{"name", kKey.name}, {"namespace", kKey.ns}}}, {"data", {{"since", since}}}};
}

TEST_CASE("since when uses of tokens are written down is written down") {
  base::FakeClock clock(kNow);
  MapView view;
  const Controller c = server::make_legacy_token_tracking_controller(clock);
  const auto look = [&] {
    Plan p = c.plan(view, kKey, clock.now());
    view.apply(p);
    return p;
  };
  const auto since = [&] {
    return std::string(base::string_at(view.get(kConfigMaps, kKey.ns, kKey.name)->tree(), {"data", "since"}));
  };
  look();
  CHECK(since() == "2026-01-01");
  clock.advance(48h);
  CHECK(look().writes.empty());
  for (const char* bad : {"", "yesterday", "2026-13-01", "1970-01-01", "2026-1-1"}) {
    INFO(bad);
    view.put(kConfigMaps, tracking_map(bad));
    CHECK(look().writes.size() == 1);
    CHECK(since() == "2026-01-03");
  }
  view.put(kConfigMaps, tracking_map("2024-05-06"));
  CHECK(look().writes.empty());

  // Deleted, it comes back; deleted again, not at once.
  view.drop(kConfigMaps, kKey.ns, kKey.name);
  CHECK(look().writes.size() == 1);
  view.drop(kConfigMaps, kKey.ns, kKey.name);
  clock.advance(10min);
  Plan p = look();
  CHECK(p.writes.empty());
  CHECK(p.requeue == 20min);
  clock.advance(20min);
  p = look();
  REQUIRE(p.writes.size() == 1);
  // That it could not be made is no reason to wait.
  view.drop(kConfigMaps, kKey.ns, kKey.name);
  p.otherwise(p.writes[0], {base::Code::kInternal, "no"});
  CHECK(look().writes.size() == 1);
}

TEST_CASE("who tells of a day before there was such a thing has no clock yet") {
  base::FakeClock clock(base::WallTime(1h));
  MapView view;
  const Controller c = server::make_legacy_token_tracking_controller(clock);
  const Plan p = c.plan(view, kKey, clock.now());
  CHECK(p.writes.empty());
  CHECK(p.requeue == 1min);
}

TEST_CASE("the map, and the namespace that comes, are looked at") {
  base::FakeClock clock(kNow);
  MapView view;
  const Controller c = server::make_legacy_token_tracking_controller(clock);
  view.put(kConfigMaps, tracking_map("x"));
  view.put(kConfigMaps, {{"metadata", {{"name", kKey.name}, {"namespace", "other"}}}});
  const auto map = view.get(kConfigMaps, kKey.ns, kKey.name);
  CHECK(c.sources[0].keys(map, nullptr, view) == server::Keys{kKey});
  CHECK(c.sources[0].keys(nullptr, view.get(kConfigMaps, "other", kKey.name), view).empty());
  for (const char* ns : {"kube-system", "default"}) view.put(kNamespaces, {{"metadata", {{"name", ns}}}});
  const auto system = view.get(kNamespaces, "", "kube-system");
  CHECK(c.sources[1].keys(nullptr, system, view) == server::Keys{kKey});
  CHECK(c.sources[1].keys(system, system, view).empty());
  CHECK(c.sources[1].keys(nullptr, view.get(kNamespaces, "", "default"), view).empty());
}

/// A cluster of 2026 whose account "bot" lists the Secret "auto", which is old.
struct Tokens {
  Tokens() {
    view.put(kConfigMaps, tracking_map("2024-12-30"));
    view.put(kServiceAccounts,
             {{"metadata", {{"name", "bot"}}}, {"secrets", Json::array({{{"name", "auto"}}})}});
  }
  void secret(const std::string& name, const Json& labels, const Json& more = Json::object()) {
    Json s = {{"metadata",
               {{"name", name},
                {"labels", labels},
                {"creationTimestamp", "2020-01-01T00:00:00Z"},
                {"annotations",
                 {{"kubernetes.io/service-account.name", "bot"},
                  {"kubernetes.io/service-account.uid", "uid-bot"}}}}},
              {"type", "kubernetes.io/service-account-token"}};
    s.merge_patch(more);
    view.put(kSecrets, s);
  }
  /// "", "invalid DATE" or "deleted".
  std::string fate() {
    const Plan p = controller.plan(view, kKey, now);
    CHECK(p.requeue == 24h);
    if (p.writes.empty()) return "";
    REQUIRE(p.writes.size() == 1);
    const server::Write& w = p.writes[0];
    if (w.verb == Verb::kDelete) return w.remove.resource_version.empty() ? "no precondition" : "deleted";
    CHECK((*w.body)["metadata"]["uid"] == "uid-auto");
    const Json& labels = (*w.body)["metadata"]["labels"];
    CHECK(labels.size() == 1);
    return "invalid " + labels.value("kubernetes.io/legacy-token-invalid-since", "");
  }

  MapView view;
  Controller controller = server::make_legacy_token_cleaner_controller(24h * 365);
  base::WallTime now = kNow;
};

constexpr const char *kUsed = "kubernetes.io/legacy-token-last-used",
                     *kInvalid = "kubernetes.io/legacy-token-invalid-since";

TEST_CASE("tokens that nobody used for a year are refused, and deleted after another") {
  struct Row {
    const char* what;
    Json labels;
    const char* fate;
  };
  for (const Row& r : {
           Row{"never used", Json::object(), "invalid 2026-01-01"},
           Row{"used long ago", {{kUsed, "2024-12-31"}}, "invalid 2026-01-01"},
           Row{"used a year ago", {{kUsed, "2025-01-01"}}, ""},
           Row{"used today", {{kUsed, "2026-01-01"}}, ""},
           Row{"used nobody knows when", {{kUsed, "long ago"}}, ""},
           Row{"nor when", {{kUsed, ""}}, ""},
           Row{"invalid for a while", {{kInvalid, "2025-06-01"}}, ""},
           Row{"invalid for a year", {{kInvalid, "2025-01-01"}}, ""},
           Row{"invalid for longer", {{kInvalid, "2024-12-31"}}, "deleted"},
           Row{"and used, in vain", {{kInvalid, "2024-12-31"}, {kUsed, "2025-02-01"}}, ""},
           Row{"invalid since no day", {{kInvalid, "x"}}, "invalid 2026-01-01"},
       }) {
    INFO(r.what);
    Tokens t;
    t.secret("auto", r.labels);
    CHECK(t.fate() == r.fate);
  }
}

TEST_CASE("tokens that are left alone") {
  Tokens t;
  const auto kept = [&](const char* what) {
    INFO(what);
    CHECK(t.fate().empty());
  };
  t.secret("manual", Json::object());  // the account does not list it
  kept("made by hand");
  t.secret("auto", Json::object(),
           {{"type", "Opaque"}, {"data", {{"x", "kubernetes.io/service-account-token"}}}});
  kept("no token");
  t.secret("auto", Json::object(), {{"metadata", {{"creationTimestamp", "2025-01-01T00:00:00Z"}}}});
  kept("young");
  t.secret("auto", Json::object(), {{"metadata", {{"deletionTimestamp", "2025-12-01T00:00:00Z"}}}});
  kept("going");
  t.secret("auto", Json::object(),
           {{"metadata", {{"annotations", {{"kubernetes.io/service-account.uid", "old"}}}}}});
  kept("of an account that is gone");
  t.secret("auto", Json::object(),
           {{"metadata", {{"annotations", {{"kubernetes.io/service-account.uid", nullptr}}}}}});
  CHECK(t.fate() == "invalid 2026-01-01");
  Json pod = make_pod("p", 1);
  pod["spec"]["volumes"] = json(R"([{"name":"v","secret":{"secretName":"auto"}}])");
  t.view.put(kPods, pod);
  kept("mounted");
  t.view.drop(kPods, "ns", "p");
  pod["metadata"]["namespace"] = "elsewhere";
  t.view.put(kPods, pod);
  CHECK(t.fate() == "invalid 2026-01-01");
  for (const char* since : {"2025-01-01", "1970-01-01", ""}) {
    t.view.put(kConfigMaps, tracking_map(since));
    kept(since);  // who knows what was used before
  }
  // The day itself does not count.
  t.view.put(kConfigMaps, tracking_map("2024-12-31"));
  CHECK(t.fate() == "invalid 2026-01-01");
  t.now -= 1s;
  kept("a second early");
  t.now += 1s;
  t.view.drop(kConfigMaps, kKey.ns, kKey.name);
  kept("no map");
}

}  // namespace
}  // namespace orch::testing
