// Watches and lists: replay, selections that change, paging.
#include <mutex>

#include "tests/unit/server/registry/fixture.h"

namespace orch::testing {
namespace {

using base::Code;
using server::CacheEvent;
using server::Delivery;
using server::Filter;
using server::Page;

/// "ADDED one@5 …"
class Recorder {
 public:
  server::Sink sink() {
    return [this](const std::vector<Delivery>& deliveries) {
      std::lock_guard lock(mutex_);
      for (const auto& d : deliveries) all_.push_back(d);
    };
  }
  std::vector<Delivery> all() const {
    std::lock_guard lock(mutex_);
    return all_;
  }
  std::string text() const {
    std::string out;
    for (const auto& d : all()) {
      out += out.empty() ? "" : " ";
      out += d.type == CacheEvent::Type::kAdded ? "+" : d.type == CacheEvent::Type::kModified ? "~" : "-";
      out += d.object->name();
    }
    return out;
  }

 private:
  mutable std::mutex mutex_;
  std::vector<Delivery> all_;
};

Filter by_label(const std::string& text) {
  Filter filter;
  filter.labels = *api::LabelSelector::parse(text);
  return filter;
}
Filter by_field(const std::string& text) {
  Filter filter;
  filter.fields = *api::FieldSelector::parse(text);
  return filter;
}

std::string names(const Page& page) {
  std::string out;
  for (const auto& o : page.items)
    out += (out.empty() ? "" : " ") + std::string(o->ns()) + "/" + std::string(o->name());
  return out;
}

TEST_CASE("a watch replays what came after its revision, then goes on") {
  RegistryFixture f;
  f.create("configmaps", config_map("a"));
  const auto since = f.registry().revision();
  Json b = f.create("configmaps", config_map("b"));
  b["data"]["x"] = "y";
  f.update("configmaps", b);
  REQUIRE(f.remove("configmaps", "a").ok());
  Recorder got;
  auto watch = f.cache("configmaps").watch({}, since, nullptr, got.sink());
  REQUIRE(watch.ok());
  CHECK(got.text() == "+b ~b -a");
  f.create("configmaps", config_map("c"));
  f.create("secrets", config_map("not-mine"));
  CHECK(got.text() == "+b ~b -a +c");
  int64_t last = since;
  for (const auto& d : got.all()) {
    CHECK(d.revision > last);
    CHECK(d.object->revision() == d.revision);
    last = d.revision;
  }
  watch->reset();
  f.create("configmaps", config_map("d"));
  CHECK(got.text() == "+b ~b -a +c");
}

TEST_CASE("a deleted object is delivered as it was, at the revision of its end") {
  RegistryFixture f;
  Json a = f.create("configmaps", config_map("a"));
  Recorder got;
  auto watch = f.cache("configmaps").watch({}, f.registry().revision(), nullptr, got.sink());
  REQUIRE(watch.ok());
  REQUIRE(f.remove("configmaps", "a").ok());
  REQUIRE(got.all().size() == 1);
  Json last = got.all()[0].object->tree();
  CHECK(last["metadata"]["resourceVersion"] == std::to_string(f.registry().revision()));
  last["metadata"].erase("resourceVersion");
  a["metadata"].erase("resourceVersion");
  CHECK(last == a);
}

TEST_CASE("a watch from before the history is told to list again") {
  RegistryFixture f;
  const int64_t oldest = 100;
  f.cache("configmaps").set_oldest(oldest);
  Recorder got;
  auto watch = f.cache("configmaps").watch({}, 99, nullptr, got.sink());
  REQUIRE_FALSE(watch.ok());
  CHECK(watch.error().code() == Code::kExpired);
  CHECK(watch.error().message() == "too old resource version: 99 (100)");
  CHECK(f.cache("configmaps").watch({}, 100, nullptr, got.sink()).ok());
}

TEST_CASE("history is dropped by age, whole events at a time") {
  RegistryFixture f;
  const auto before = f.registry().revision();
  f.create("configmaps", config_map("old"));
  const auto old = f.registry().revision();
  f.clock.advance(std::chrono::minutes(9));
  f.create("configmaps", config_map("newer"));
  Recorder got;
  CHECK(f.cache("configmaps").watch({}, before, nullptr, got.sink()).ok());
  CHECK(got.text() == "+old +newer");
  f.clock.advance(std::chrono::minutes(2));
  f.create("configmaps", config_map("newest"));
  auto late = f.cache("configmaps").watch({}, before, nullptr, got.sink());
  REQUIRE_FALSE(late.ok());
  CHECK(late.error().code() == Code::kExpired);
  Recorder rest;
  CHECK(f.cache("configmaps").watch({}, old, nullptr, rest.sink()).ok());
  CHECK(rest.text() == "+newer +newest");
}

TEST_CASE("a restart keeps the history for watches") {
  RegistryFixture f;
  f.create("configmaps", config_map("a"));
  const auto since = f.registry().revision();
  f.create("configmaps", config_map("b"));
  REQUIRE(f.remove("configmaps", "a").ok());
  f.reopen();
  Recorder got;
  auto watch = f.cache("configmaps").watch({}, since, nullptr, got.sink());
  REQUIRE(watch.ok());
  CHECK(got.text() == "+b -a");
  CHECK(names(f.cache("configmaps").list({})) == "ns/b");
}

TEST_CASE("objects enter and leave a selection") {
  RegistryFixture f;
  Recorder red;
  auto watch =
      f.cache("configmaps").watch(by_label("color=red"), f.registry().revision(), nullptr, red.sink());
  REQUIRE(watch.ok());
  Json a = f.create("configmaps", config_map("a", {{"n", "1"}}, {{"color", "blue"}}));
  CHECK(red.text() == "");
  a["metadata"]["labels"]["color"] = "red";
  a = f.update("configmaps", a);
  CHECK(red.text() == "+a");
  a["data"]["n"] = "2";
  a = f.update("configmaps", a);
  CHECK(red.text() == "+a ~a");
  a["metadata"]["labels"]["color"] = "blue";
  a["data"]["n"] = "3";
  a = f.update("configmaps", a);
  CHECK(red.text() == "+a ~a -a");
  // What is taken away is what the watcher knew, at the revision at which it left.
  const Json last = red.all().back().object->tree();
  CHECK(last["metadata"]["labels"]["color"] == "red");
  CHECK(last["data"]["n"] == "2");
  CHECK(last["metadata"]["resourceVersion"] == a["metadata"]["resourceVersion"]);
  REQUIRE(f.remove("configmaps", "a").ok());
  CHECK(red.text() == "+a ~a -a");

  // The same from the history.
  Recorder replayed;
  auto again = f.cache("configmaps").watch(by_label("color=red"), 1, nullptr, replayed.sink());
  REQUIRE(again.ok());
  CHECK(replayed.text() == "+a ~a -a");
}

TEST_CASE("watches of one field value") {
  RegistryFixture f;
  Recorder n1, n2, named, elsewhere;
  auto& cache = f.cache("pods");
  const auto since = f.registry().revision();
  auto w1 = cache.watch(by_field("spec.nodeName=n1"), since, nullptr, n1.sink());
  auto w2 = cache.watch(by_field("spec.nodeName=n2"), since, nullptr, n2.sink());
  auto w3 = cache.watch(by_field("metadata.name=p"), since, nullptr, named.sink());
  Filter other;
  other.ns = "other";
  auto w4 = cache.watch(other, since, nullptr, elsewhere.sink());
  REQUIRE((w1.ok() && w2.ok() && w3.ok() && w4.ok()));
  f.create("pods", pod("p"));
  CHECK(n1.text() == "");
  auto bound = f.registry().update(
      f.row("pods"), "ns", "p", "",
      [](const Json& current) -> base::Result<Json> {
        Json next = current;
        next["spec"]["nodeName"] = "n1";
        return next;
      },
      [&] {
        auto c = f.context();
        c.skip_validation = true;
        return c;
      }());
  REQUIRE(bound.ok());
  f.create("pods", pod("q", "n2"));
  f.create("pods", pod("p", "n2"), "other");
  CHECK(n1.text() == "+p");
  CHECK(n2.text() == "+q +p");
  CHECK(named.text() == "+p ~p +p");
  CHECK(elsewhere.text() == "+p");
}

TEST_CASE("a watch that begins with the state misses nothing and repeats nothing") {
  RegistryFixture f;
  f.create("configmaps", config_map("b"));
  f.create("configmaps", config_map("a"));
  f.create("configmaps", config_map("a"), "aa");
  Recorder got;
  std::string initial;
  int64_t revision = 0;
  bool sunk_before = false;
  auto watch = f.cache("configmaps")
                   .watch(
                       {}, 0,
                       [&](const Page& page) {
                         initial = names(page);
                         revision = page.revision;
                         sunk_before = !got.all().empty();
                       },
                       got.sink());
  REQUIRE(watch.ok());
  CHECK(initial == "aa/a ns/a ns/b");
  CHECK(revision == f.registry().revision());
  CHECK_FALSE(sunk_before);
  CHECK(got.text() == "");
  f.create("configmaps", config_map("c"));
  CHECK(got.text() == "+c");
}

TEST_CASE("lists in pages") {
  RegistryFixture f;
  for (const char* ns : {"x", "y"}) {
    for (const char* name : {"c", "a", "b"})
      f.create("configmaps", config_map(name, {{"k", "v"}}, {{"l", name}}), ns);
  }
  auto& cache = f.cache("configmaps");
  CHECK(names(cache.list({})) == "x/a x/b x/c y/a y/b y/c");
  Page page = cache.list({}, "", 4);
  CHECK(names(page) == "x/a x/b x/c y/a");
  CHECK(page.next == "y/a");
  CHECK(page.remaining == 2);
  page = cache.list({}, page.next, 4);
  CHECK(names(page) == "y/b y/c");
  CHECK(page.next.empty());

  Filter y;
  y.ns = "y";
  page = cache.list(y, "", 2);
  CHECK(names(page) == "y/a y/b");
  CHECK(page.remaining == 1);
  CHECK(names(cache.list(y, page.next, 2)) == "y/c");
  // The last page is known to be the last.
  CHECK(cache.list(y, "", 3).next.empty());

  page = cache.list(by_label("l in (b,c)"), "", 3);
  CHECK(names(page) == "x/b x/c y/b");
  CHECK(page.remaining == -1);
  CHECK(names(cache.list(by_label("l in (b,c)"), page.next, 3)) == "y/c");

  CHECK(names(cache.list(by_field("metadata.name=b"))) == "x/b y/b");
  Filter one = by_field("metadata.name=b");
  one.ns = "y";
  CHECK(names(cache.list(one)) == "y/b");
  one.ns = "z";
  CHECK(names(cache.list(one)).empty());
}

TEST_CASE("cluster-scoped lists in pages") {
  RegistryFixture f;
  for (const char* name : {"n2", "n1", "n3"}) f.create("nodes", {{"metadata", {{"name", name}}}});
  auto& cache = f.cache("nodes");
  Page page = cache.list({}, "", 2);
  CHECK(names(page) == "/n1 /n2");
  CHECK(page.next == "n2");
  CHECK(names(cache.list({}, page.next, 2)) == "/n3");
}

TEST_CASE("what is marked as delivered was delivered") {
  RegistryFixture f;
  Recorder got;
  int64_t seen = 0;
  auto watch =
      f.cache("configmaps").watch({}, f.registry().revision(), nullptr, [&](const std::vector<Delivery>& d) {
        // While it is being told of them, it has not been told of them.
        seen = d.back().revision;
        CHECK(f.registry().delivered() < d.front().revision);
        CHECK(f.registry().revision() >= d.back().revision);
      });
  REQUIRE(watch.ok());
  f.create("configmaps", config_map("a"));
  CHECK(seen == f.registry().revision());
  CHECK(f.registry().delivered() == seen);
}

}  // namespace
}  // namespace orch::testing
