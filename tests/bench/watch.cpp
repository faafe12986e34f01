// How long a change takes to reach those who watch: from the moment a create is sent until each watcher has
// its event. Prints one JSON line.
//
//   bench_watch --server 127.0.0.1:6443 --namespace default
//
// --watchers N (100)  --events N (500)  --interval MILLISECONDS between writes (20)  --prefix TEXT (watch-)
// --certificate FILE --key FILE or --token TEXT
#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "client/load.h"

namespace {

using namespace orch;
using namespace orch::bench;

class Watching {
 public:
  Watching(const Options& options, const Target& target)
      : target_(target),
        path_(base::cat("/api/v1/namespaces/", options.text("--namespace", "default"), "/configmaps")),
        mark_(base::cat("\"name\":\"", options.text("--prefix", "watch-"))),
        prefix_(options.text("--prefix", "watch-")),
        events_(options.number("--events", 500)),
        interval_(std::chrono::milliseconds(options.number("--interval", 20))),
        context_(client_context(target)),
        epoll_(epoll_create1(EPOLL_CLOEXEC)),
        watchers_(options.number("--watchers", 100)) {
    micros_.reserve(events_ * watchers_.size());
  }

  void run() {
    for (auto& watcher : watchers_) {
      add(watcher.connection, &watcher);
      // Only what comes from now on: the state of the namespace is nobody's event.
      watcher.connection.send(
          target_.request("GET", path_ + "?watch=1&resourceVersion=" + std::to_string(version())));
    }
    add(writer_, nullptr);
    wait_until(Clock::now() + std::chrono::milliseconds(500));
    auto next = Clock::now();
    for (size_t i = 0; i < events_; ++i) {
      started_.push_back(Clock::now());
      writer_.send(
          target_.request("POST", path_,
                          base::cat(R"({"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":")", prefix_,
                                    i, R"("},"data":{"data":")", std::string(256, 'x'), "\"}}")));
      next = std::max(next + interval_, Clock::now());
      wait_until(next);
      while (!written_) each_ready(1000);
      written_ = false;
    }
    const auto end = Clock::now() + std::chrono::seconds(10);
    while (micros_.size() < events_ * watchers_.size() && Clock::now() < end) each_ready(100);
    report();
  }

 private:
  struct Watcher {
    Connection connection;
    std::string bytes;
  };

  /// The collection's version, to watch from.
  unsigned long version() {
    if (version_ > 0) return version_;
    LoadPlan plan;
    plan.connections = 1;
    Connection one;
    one.open(target_, context_);
    one.send(target_.request("GET", path_ + "?limit=1"));
    while (!one.on_ready()) usleep(1000);
    const size_t at = one.body().find("\"resourceVersion\":\"");
    if (at == std::string::npos) die("no list of " + path_ + ": " + one.body());
    version_ = std::strtoul(one.body().c_str() + at + 19, nullptr, 10);
    return version_;
  }

  void add(Connection& connection, Watcher* watcher) {
    connection.open(target_, context_);
    epoll_event event{};
    event.events = EPOLLIN | EPOLLOUT | EPOLLET;
    event.data.ptr = watcher;
    epoll_ctl(epoll_, EPOLL_CTL_ADD, connection.fd(), &event);
  }

  void wait_until(Clock::time_point when) {
    while (true) {
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(when - Clock::now()).count();
      if (left <= 0) return;
      each_ready(static_cast<int>(left));
    }
  }

  void each_ready(int timeout_ms) {
    std::array<epoll_event, 256> events;
    const int n = epoll_wait(epoll_, events.data(), events.size(), timeout_ms);
    for (int i = 0; i < n; ++i) {
      auto* watcher = static_cast<Watcher*>(events[static_cast<size_t>(i)].data.ptr);
      if (watcher == nullptr) {
        if (!writer_.on_ready()) continue;
        if (writer_.status() != 201) die(writer_.body());
        written_ = true;
      } else {
        watcher->connection.on_ready(watcher->bytes);
        take(watcher->bytes);
      }
    }
  }

  /// Whole lines are events.
  void take(std::string& bytes) {
    const auto now = Clock::now();
    size_t begin = 0;
    for (size_t end = bytes.find('\n'); end != std::string::npos; end = bytes.find('\n', begin)) {
      const std::string_view line = std::string_view(bytes).substr(begin, end - begin);
      const size_t at = line.find(mark_);
      if (at != std::string_view::npos) {
        const size_t i = std::strtoul(line.data() + at + mark_.size(), nullptr, 10);
        micros_.push_back(static_cast<uint32_t>(
            std::chrono::duration_cast<std::chrono::microseconds>(now - started_.at(i)).count()));
      }
      begin = end + 1;
    }
    bytes.erase(0, begin);
  }

  void report() {
    std::sort(micros_.begin(), micros_.end());
    std::printf(
        "{\"bench\":\"watch\",\"watchers\":%zu,\"events\":%zu,\"received\":%zu,\"p50_ms\":%.3f,"
        "\"p99_ms\":%.3f,\"max_ms\":%.3f,\"client_cpu_seconds\":%.2f}\n",
        watchers_.size(), events_, micros_.size(), percentile_ms(micros_, 0.5), percentile_ms(micros_, 0.99),
        percentile_ms(micros_, 1), cpu_seconds());
  }

  const Target& target_;
  const std::string path_, mark_, prefix_;
  const size_t events_;
  const std::chrono::milliseconds interval_;
  const http::TlsContext context_;
  const int epoll_;
  std::vector<Watcher> watchers_;
  Connection writer_;
  unsigned long version_ = 0;
  bool written_ = false;
  std::vector<Clock::time_point> started_;
  std::vector<uint32_t> micros_;
};

}  // namespace

int main(int argc, char** argv) {
  const Options options = Options::parse(argc, argv, {"--plain"});
  const Target target = Target::from(options);
  Watching(options, target).run();
  return 0;
}
