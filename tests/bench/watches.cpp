// What idle watches cost: opens many over separate TLS connections, says on stdout when all of them stand,
// keeps them idle until stdin ends, then has one event go to all of them, which shows that they stood. Prints
// two JSON lines.
//
//   bench_watches --server 127.0.0.1:6443 --namespace default
//
// --watchers N (5000)  --certificate FILE --key FILE or --token TEXT
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <string>
#include <vector>

#include "client/load.h"

namespace {

using namespace orch;
using namespace orch::bench;

/// One descriptor for each watch.
void allow_descriptors() {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

class Watches {
 public:
  Watches(const Options& options, const Target& target)
      : target_(target),
        path_(base::cat("/api/v1/namespaces/", options.text("--namespace", "default"), "/configmaps")),
        name_(base::cat("watches-", getpid())),
        context_(client_context(target)),
        epoll_(epoll_create1(EPOLL_CLOEXEC)),
        watches_(options.number("--watchers", 5000)) {}

  void run() {
    const auto begin = Clock::now();
    const std::string from = path_ + "?watch=1&allowWatchBookmarks=true&resourceVersion=" + version();
    for (auto& watch : watches_) {
      watch.connection.open(target_, context_);
      epoll_event event{};
      event.events = EPOLLIN | EPOLLOUT | EPOLLET;
      event.data.ptr = &watch;
      epoll_ctl(epoll_, EPOLL_CTL_ADD, watch.connection.fd(), &event);
      watch.connection.send(target_.request("GET", from));
      while (watch.connection.status() == 0) each_ready(10'000);
    }
    std::printf("{\"watchers\":%zu,\"open_seconds\":%.2f}\n", watches_.size(), seconds_since(begin));
    std::fflush(stdout);
    char byte = 0;
    while (read(STDIN_FILENO, &byte, 1) > 0) {
    }
    const auto sent = Clock::now();
    ask("POST", path_,
        base::cat(R"({"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":")", name_, "\"}}"), 201);
    while (reached_ < watches_.size() && seconds_since(sent) < 30) each_ready(1000);
    const double took = seconds_since(sent);
    ask("DELETE", path_ + "/" + name_, "", 200);
    std::printf("{\"bench\":\"watches\",\"watchers\":%zu,\"reached\":%zu,\"reached_seconds\":%.2f}\n",
                watches_.size(), reached_, took);
  }

 private:
  struct Watch {
    Connection connection;
    std::string bytes;
    bool reached = false;
  };

  static double seconds_since(Clock::time_point begin) {
    return std::chrono::duration<double>(Clock::now() - begin).count();
  }

  /// One request on a connection of its own; the body of the answer.
  std::string ask(const std::string& method, const std::string& path, const std::string& body, int status) {
    Connection one;
    one.open(target_, context_);
    one.send(target_.request(method, path, body));
    while (!one.on_ready()) usleep(1000);
    if (one.status() != status) die(base::cat(method, " ", path, ": ", one.body()));
    return one.body();
  }

  /// The collection's version, to watch from.
  std::string version() {
    const std::string list = ask("GET", path_ + "?limit=1", "", 200);
    constexpr std::string_view kMember = "\"resourceVersion\":\"";
    const size_t at = list.find(kMember);
    if (at == std::string::npos) die("a list without a version: " + list);
    const size_t begin = at + kMember.size();
    return list.substr(begin, list.find('"', begin) - begin);
  }

  void each_ready(int timeout_ms) {
    std::array<epoll_event, 256> events;
    const int n = epoll_wait(epoll_, events.data(), events.size(), timeout_ms);
    if (n == 0 && timeout_ms >= 10'000) die("the server does not answer");
    for (int i = 0; i < n; ++i) {
      auto* watch = static_cast<Watch*>(events[static_cast<size_t>(i)].data.ptr);
      watch->connection.on_ready(watch->bytes);
      const int status = watch->connection.status();
      if (status != 0 && status != 200) die("no watch: " + watch->bytes);
      if (!watch->reached && watch->bytes.find(name_) != std::string::npos) {
        watch->reached = true;
        ++reached_;
      }
    }
  }

  const Target& target_;
  const std::string path_, name_;
  const http::TlsContext context_;
  const int epoll_;
  std::vector<Watch> watches_;
  size_t reached_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  const Options options = Options::parse(argc, argv, {"--plain"});
  allow_descriptors();
  const Target target = Target::from(options);
  Watches(options, target).run();
  return 0;
}
