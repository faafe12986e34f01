// NetSpace: a network namespace of a test, with servers and clients in it. Needs root.
#pragma once

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <list>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "base/process.h"
#include "tests/catch.h"

namespace orch::tests {

inline bool can_make_namespaces() {
  bool made = false;
  std::thread([&made] { made = ::geteuid() == 0 && ::unshare(CLONE_NEWNET) == 0; }).join();
  return made;
}

// Whoever is root can make them, so that being unable is a failure there.
#define NEEDS_ROOT()                                                 \
  if (!::orch::tests::can_make_namespaces()) {                       \
    if (::geteuid() == 0) FAIL("root without the right to unshare"); \
    WARN("not root: not tested");                                    \
    return;                                                          \
  }

class NetSpace {
 public:
  NetSpace() {
    std::thread([this] {
      if (::unshare(CLONE_NEWNET) != 0) throw std::runtime_error("no network namespace");
      fd_ = ::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    }).join();
    sh("ip link set lo up");
  }
  NetSpace(const NetSpace&) = delete;
  NetSpace& operator=(const NetSpace&) = delete;
  ~NetSpace() {
    stop_ = true;
    for (auto& s : servers_) s.join();
    ::close(fd_);
  }
  /// What `ip link … netns` takes.
  std::string path() const { return "/proc/" + std::to_string(::getpid()) + "/fd/" + std::to_string(fd_); }
  /// Runs on a thread that lives in the namespace; threads and processes it starts do, too.
  void run(const std::function<void()>& work) const {
    std::exception_ptr error;
    std::thread([&] {
      if (::setns(fd_, CLONE_NEWNET) != 0) std::abort();
      try {
        work();
      } catch (...) {
        error = std::current_exception();
      }
    }).join();
    if (error) std::rethrow_exception(error);
  }
  std::string sh(const std::string& command) const {
    std::string out;
    run([&] {
      const auto done = base::run_process({"sh", "-ec", command});
      if (!done.ok()) throw std::runtime_error(done.error().message());
      if (done->exit_code != 0) throw std::runtime_error(command + ": " + done->err);
      out = done->out;
    });
    return out;
  }
  /// Answers every connection or datagram with "<name> <client's address>" until the end.
  void serve(int type, uint16_t port, const std::string& name) {
    int s = -1;
    run([&] { s = ::socket(AF_INET, type | SOCK_CLOEXEC, 0); });
    const int on = 1;
    ::setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    const sockaddr_in at = address("0.0.0.0", port);
    if (::bind(s, reinterpret_cast<const sockaddr*>(&at), sizeof(at)) != 0) throw std::runtime_error("bind");
    if (type == SOCK_STREAM) ::listen(s, 64);
    servers_.emplace_back([this, s, type, name] {
      while (!stop_) {
        pollfd p{s, POLLIN, 0};
        if (::poll(&p, 1, 20) <= 0) continue;
        sockaddr_in from{};
        socklen_t size = sizeof(from);
        char text[64];
        if (type == SOCK_STREAM) {
          const int c = ::accept4(s, reinterpret_cast<sockaddr*>(&from), &size, SOCK_CLOEXEC);
          const std::string answer = name + " " + ::inet_ntop(AF_INET, &from.sin_addr, text, sizeof(text));
          (void)!::write(c, answer.data(), answer.size());
          ::close(c);
        } else {
          char question[2048];
          (void)::recvfrom(s, question, sizeof(question), 0, reinterpret_cast<sockaddr*>(&from), &size);
          const std::string answer = name + " " + ::inet_ntop(AF_INET, &from.sin_addr, text, sizeof(text));
          ::sendto(s, answer.data(), answer.size(), 0, reinterpret_cast<sockaddr*>(&from), size);
        }
      }
      ::close(s);
    });
  }
  /// What a TCP server says; "refused", "timeout" or another error.
  std::string call(const std::string& ip, uint16_t port, int timeout_ms = 1000) const {
    std::string out;
    run([&] {
      const int s = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
      const sockaddr_in to = address(ip, port);
      ::connect(s, reinterpret_cast<const sockaddr*>(&to), sizeof(to));
      pollfd p{s, POLLOUT, 0};
      int error = ETIMEDOUT;
      if (::poll(&p, 1, timeout_ms) > 0) {
        socklen_t size = sizeof(error);
        ::getsockopt(s, SOL_SOCKET, SO_ERROR, &error, &size);
      }
      out = error == ECONNREFUSED ? "refused"
            : error == ETIMEDOUT  ? "timeout"
            : error != 0          ? "unreachable"
                                  : "";
      p.events = POLLIN;
      if (error == 0 && ::poll(&p, 1, timeout_ms) > 0) out = read_some(s);
      ::close(s);
    });
    return out;
  }
  /// A UDP socket in this namespace, connected, with a fixed source port.
  int udp_socket(const std::string& ip, uint16_t port, uint16_t source_port) const {
    int s = -1;
    run([&] { s = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0); });
    const sockaddr_in from = address("0.0.0.0", source_port);
    (void)::bind(s, reinterpret_cast<const sockaddr*>(&from), sizeof(from));
    const sockaddr_in to = address(ip, port);
    (void)::connect(s, reinterpret_cast<const sockaddr*>(&to), sizeof(to));
    return s;
  }
  static std::string ask(int s, int timeout_ms = 500) {
    (void)::send(s, "?", 1, 0);
    pollfd p{s, POLLIN, 0};
    return ::poll(&p, 1, timeout_ms) > 0 ? read_some(s) : "timeout";
  }

 private:
  static std::string read_some(int s) {
    char text[256];
    const ssize_t n = ::recv(s, text, sizeof(text), 0);
    return n < 0 ? "refused" : std::string(text, static_cast<size_t>(n));
  }
  static sockaddr_in address(const std::string& ip, uint16_t port) {
    sockaddr_in out{};
    out.sin_family = AF_INET;
    out.sin_port = htons(port);
    ::inet_pton(AF_INET, ip.c_str(), &out.sin_addr);
    return out;
  }
  int fd_ = -1;
  std::atomic<bool> stop_{false};
  std::list<std::thread> servers_;
};

}  // namespace orch::tests
