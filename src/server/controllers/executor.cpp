#include "server/controllers/executor.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>

#include "base/json.h"

namespace orch::server {

using base::Code;
using base::Status;

namespace {

/// Threads that share one batch; the store commits together what comes together, so more gain little.
constexpr size_t kSide = 16;

Status apply_write(client::Client& client, const Write& w) {
  switch (w.verb) {
    case Write::Verb::kCreate: {
      Status s = client.create(w.resource, w.ns, *w.body).status();
      const bool named = !base::string_at(*w.body, {"metadata", "name"}).empty();
      return s.code() == Code::kAlreadyExists && named ? Status() : s;
    }
    case Write::Verb::kUpdate:
      return client.update(w.resource, w.ns, *w.body, w.subresource).status();
    case Write::Verb::kPatch:
      return client.patch(w.resource, w.ns, w.name, client::PatchType::kStrategic, *w.body, w.subresource)
          .status();
    case Write::Verb::kDelete: {
      Status s = client.remove(w.resource, w.ns, w.name, w.remove);
      return s.code() == Code::kNotFound || (s.code() == Code::kConflict && !w.remove.uid.empty()) ? Status()
                                                                                                   : s;
    }
    case Write::Verb::kPost:
      break;
  }
  return client.post(w.resource, w.ns, w.name, w.subresource, *w.body).status();
}

/// Writes that any number of threads work off. A thread that comes late finds nothing left and touches
/// neither client nor plan.
class Side {
 public:
  Side(client::Client& client, const Plan& plan, size_t begin, size_t end)
      : client_(client), plan_(plan), begin_(begin), end_(end), next_(begin), left_(end - begin) {
    answers.resize(end - begin);
  }

  void work() {
    for (size_t i = next_++; i < end_; i = next_++) {
      answers[i - begin_] = apply_write(client_, plan_.writes[i]);
      const std::lock_guard lock(mutex_);
      if (--left_ == 0) all_done_.notify_all();
    }
  }
  void wait() {
    std::unique_lock lock(mutex_);
    all_done_.wait(lock, [this] { return left_ == 0; });
  }

  std::vector<Status> answers;  // each by one thread; read after wait()

 private:
  client::Client& client_;
  const Plan& plan_;
  const size_t begin_, end_;
  std::atomic<size_t> next_;
  std::mutex mutex_;
  std::condition_variable all_done_;
  size_t left_;  // under mutex_
};

class Application {
 public:
  Application(client::Client& client, const Plan& plan, base::Tasks* helpers)
      : client_(client), plan_(plan), helpers_(helpers) {
    out_.succeeded.resize(plan.writes.size());
  }

  Applied run() {
    size_t i = 0;
    for (const Batch& b : plan_.batches) {
      if (!in_order(i, b.begin) || !batch(b)) return std::move(out_);
      i = b.end;
    }
    (void)in_order(i, plan_.writes.size());
    return std::move(out_);
  }

 private:
  bool in_order(size_t begin, size_t end) {
    for (size_t i = begin; i < end; ++i) {
      if (!take(i, apply_write(client_, plan_.writes[i]))) return false;
    }
    return true;
  }

  bool batch(const Batch& b) {
    size_t width = b.slow_start ? 1 : b.end - b.begin;
    for (size_t begin = b.begin; begin < b.end; width *= 2) {
      const size_t end = std::min(begin + width, b.end);
      if (!side_by_side(begin, end)) return false;
      begin = end;
    }
    return true;
  }

  bool side_by_side(size_t begin, size_t end) {
    auto side = std::make_shared<Side>(client_, plan_, begin, end);
    const size_t more = helpers_ != nullptr ? std::min(end - begin, kSide) - 1 : 0;
    for (size_t i = 0; i < more; ++i) helpers_->post([side] { side->work(); });
    side->work();
    side->wait();
    bool good = true;
    for (size_t i = begin; i < end; ++i) good = take(i, std::move(side->answers[i - begin])) && good;
    return good;
  }

  bool take(size_t i, Status answer) {
    if (answer.ok()) {
      out_.succeeded[i] = 1;
      ++out_.done;
      return true;
    }
    if (out_.status.ok()) {
      out_.status = std::move(answer);
      out_.failed = i;
    }
    return false;
  }

  client::Client& client_;
  const Plan& plan_;
  base::Tasks* helpers_;
  Applied out_;
};

}  // namespace

Applied apply_plan(client::Client& client, const Plan& plan, base::Tasks* helpers) {
  return Application(client, plan, helpers).run();
}

}  // namespace orch::server
