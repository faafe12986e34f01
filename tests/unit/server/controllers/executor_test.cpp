#include "server/controllers/executor.h"

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <set>

#include "tests/unit/server/controllers/fixture.h"

namespace orch::testing {
namespace {

using namespace std::chrono_literals;
using base::Code;
using base::Status;
using server::Applied;
using server::apply_plan;
using server::kPods;

/// Notes what it is asked to make; refuses names in `bad`; with `together`, waits until that many are under
/// way.
class Maker final : public client::Client {
 public:
  std::set<std::string> bad;
  size_t together = 0;

  std::vector<std::string> tried() {
    const std::lock_guard lock(mutex_);
    return tried_;
  }
  base::Result<api::ObjectPtr> create(const client::ResourceRef&, std::string_view,
                                      const Json& object) override {
    std::unique_lock lock(mutex_);
    const std::string name = object["metadata"]["name"];
    tried_.push_back(name);
    if (together > 0) {
      changed_.notify_all();
      if (!changed_.wait_for(lock, 10s, [&] { return tried_.size() >= together; }))
        return Status(Code::kInternal, "nobody came");
    }
    if (bad.count(name) != 0) return Status(Code::kForbidden, "no " + name);
    return api::ObjectPtr();
  }
  base::Result<api::ObjectPtr> get(const client::ResourceRef&, std::string_view, std::string_view) override {
    return none();
  }
  base::Result<client::List> list(const client::ResourceRef&, const client::ListOptions&) override {
    return none();
  }
  base::Result<api::ObjectPtr> update(const client::ResourceRef&, std::string_view, const Json&,
                                      std::string_view) override {
    return none();
  }
  base::Result<api::ObjectPtr> patch(const client::ResourceRef&, std::string_view, std::string_view,
                                     client::PatchType, const Json&, std::string_view) override {
    return none();
  }
  Status remove(const client::ResourceRef&, std::string_view, std::string_view,
                const client::DeleteOptions&) override {
    return none();
  }
  base::Result<Json> post(const client::ResourceRef&, std::string_view, std::string_view, std::string_view,
                          const Json&) override {
    return none();
  }
  base::Result<std::unique_ptr<client::Watch>> watch(const client::ResourceRef&, const client::ListOptions&,
                                                     int64_t, client::WatchHandler) override {
    return none();
  }

 private:
  static Status none() { return Status(Code::kMethodNotAllowed, "it only makes"); }
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::string> tried_;  // under mutex_
};

void make(Plan& plan, const std::string& prefix, int count) {
  for (int i = 0; i < count; ++i)
    plan.create(kPods, "ns", {{"metadata", {{"name", prefix + std::to_string(i)}}}});
}

TEST_CASE("a batch in growing steps ends with the step that fails") {
  struct Case {
    const char* bad;
    size_t tried, done;
  };
  // Steps are 0 | 1 2 | 3 4 5 6 | 7 8 9.
  for (const Case& c :
       std::vector<Case>{{"b0", 1, 0}, {"b2", 3, 2}, {"b3", 7, 6}, {"b9", 10, 9}, {"", 11, 11}}) {
    INFO(c.bad);
    Maker api;
    api.bad = {c.bad};
    Plan plan;
    make(plan, "b", 10);
    plan.batch(0, true);
    make(plan, "after", 1);
    const Applied applied = apply_plan(api, plan);
    CHECK(api.tried().size() == c.tried);
    CHECK(applied.done == c.done);
    CHECK(applied.status.ok() == (c.done == 11));
  }
}

TEST_CASE("the others of a batch are carried out although one fails, what follows is not") {
  Maker api;
  api.bad = {"b1", "b3"};
  Plan plan;
  make(plan, "before", 2);
  make(plan, "b", 5);
  plan.batch(2);
  make(plan, "after", 2);
  const Applied applied = apply_plan(api, plan);
  CHECK(api.tried().size() == 7);
  CHECK(applied.done == 5);
  CHECK(applied.failed == 3);
  CHECK(applied.status.message() == "no b1");
  // Notes belong to the write before them.
  CHECK(applied.reached(0));
  CHECK(applied.reached(3));
  CHECK_FALSE(applied.reached(4));
  CHECK(applied.reached(5));
  CHECK_FALSE(applied.reached(6));
  CHECK(applied.reached(7));
  CHECK_FALSE(applied.reached(8));
}

TEST_CASE("helpers carry out a batch side by side") {
  Maker api;
  api.together = 8;
  Plan plan;
  make(plan, "b", 8);
  plan.batch(0);
  const auto helpers = base::pools_of_threads().make("test", 16);
  const Applied applied = apply_plan(api, plan, helpers.get());
  CHECK(applied.status.message() == "");
  CHECK(applied.done == 8);
}

TEST_CASE("two batches, one after the other") {
  Maker api;
  api.bad = {"a0"};
  Plan plan;
  make(plan, "a", 3);
  plan.batch(0);
  make(plan, "b", 3);
  plan.batch(3);
  make(plan, "c", 1);
  plan.batch(6);  // one write is none
  CHECK(plan.batches.size() == 2);
  CHECK(apply_plan(api, plan).done == 2);
  CHECK(api.tried().size() == 3);
  api.bad = {};
  CHECK(apply_plan(api, plan).done == 7);
}

}  // namespace
}  // namespace orch::testing
