#include "tests/simulation/machine.h"

#include <algorithm>
#include <utility>

namespace orch::simulation {

namespace {

uint64_t mix(uint64_t z) {
  z = (z ^ (z >> 30U)) * 0xBF58476D1CE4E5B9U;
  z = (z ^ (z >> 27U)) * 0x94D049BB133111EBU;
  return z ^ (z >> 31U);
}

}  // namespace

// Mixed: from states that are next to each other the same numbers come, only sooner or later.
Random::Random(uint64_t seed) : state_(mix(seed + 0x632BE59BD9B4E019U)) {}

uint64_t Random::next() {
  state_ += 0x9E3779B97F4A7C15U;
  return mix(state_);
}

void Clock::pass(base::Duration d) {
  mono_ += d;
  rest_ += d;
  const auto whole = std::chrono::duration_cast<std::chrono::microseconds>(rest_);
  wall_ += whole;
  rest_ -= whole;
}

void Clock::jump(base::Duration d) {
  latest_ = std::max(latest_, wall_);
  wall_ += std::chrono::duration_cast<std::chrono::microseconds>(d);
}

void Clock::mend() { wall_ = std::max(latest_, wall_); }

Timers::Id Timers::after(base::Duration delay, std::function<void()> callback) {
  const Id id = ++last_;
  const base::MonoTime at = clock_.mono() + std::max(delay, base::Duration{0});
  pending_[{at, id}] = std::move(callback);
  when_[id] = at;
  return id;
}

Timers::Id Timers::on_clock_set(std::function<void()> callback) {
  on_set_[++last_] = std::move(callback);
  return last_;
}

bool Timers::cancel(Id id) {
  if (on_set_.erase(id) != 0) return true;
  const auto it = when_.find(id);
  if (it == when_.end()) return false;
  pending_.erase({it->second, id});
  when_.erase(it);
  return true;
}

bool Timers::run_due() {
  bool any = false;
  while (!pending_.empty() && pending_.begin()->first.first <= clock_.mono()) {
    auto node = pending_.extract(pending_.begin());
    when_.erase(node.key().second);
    any = true;
    node.mapped()();
  }
  return any;
}

void Timers::clock_was_set() {
  std::vector<std::function<void()>> all;
  for (const auto& [id, callback] : on_set_) all.push_back(callback);
  for (const auto& callback : all) callback();
}

std::optional<base::Duration> Timers::wait() const {
  if (pending_.empty()) return std::nullopt;
  return std::max(base::Duration{0}, base::Duration(pending_.begin()->first.first - clock_.mono()));
}

void Timers::clear() {
  pending_.clear();
  when_.clear();
  on_set_.clear();
}

/// Its tasks are dropped with it: a control plane that was killed does not finish anything.
class Tasks::Queue final : public base::Tasks {
 public:
  Queue(simulation::Tasks& all, std::string name) : all_(all), name_(std::move(name)) {}
  ~Queue() override { drain(); }
  void post(std::function<void()> task) override { all_.waiting_.push_back({this, std::move(task)}); }
  void drain() override {
    std::erase_if(all_.waiting_, [this](const Task& t) { return t.queue == this; });
  }
  const std::string& name() const { return name_; }

 private:
  simulation::Tasks& all_;
  const std::string name_;
};

std::unique_ptr<base::Tasks> Tasks::make(std::string name, size_t /*at_once*/) {
  return std::make_unique<Queue>(*this, std::move(name));
}

void Tasks::run(size_t n) {
  const auto it = waiting_.begin() + static_cast<std::ptrdiff_t>(n);
  auto work = std::move(it->work);
  waiting_.erase(it);
  work();
}

void Tasks::run_all(std::string_view name) {
  while (true) {
    const auto it = std::find_if(waiting_.begin(), waiting_.end(),
                                 [&](const Task& t) { return t.queue->name() == name; });
    if (it == waiting_.end()) return;
    run(static_cast<size_t>(it - waiting_.begin()));
  }
}

}  // namespace orch::simulation
