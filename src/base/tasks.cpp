#include "base/tasks.h"

#include <utility>

#include "base/threads.h"

namespace orch::base {

namespace {

class Pool final : public Tasks {
 public:
  Pool(std::string name, size_t at_once) : pool_(std::move(name), at_once) {}
  void post(std::function<void()> task) override { pool_.post(std::move(task)); }
  void drain() override { pool_.drain(); }

 private:
  ThreadPool pool_;
};

class PoolMaker final : public TaskMaker {
 public:
  std::unique_ptr<Tasks> make(std::string name, size_t at_once) override {
    return std::make_unique<Pool>(std::move(name), at_once);
  }
};

}  // namespace

TaskMaker& pools_of_threads() {
  static PoolMaker maker;
  return maker;
}

}  // namespace orch::base
