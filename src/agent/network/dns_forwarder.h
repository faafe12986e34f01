// Asks the host's resolvers on behalf of clients: UDP, then TCP when the answer is truncated and the client
// can take more; one server after the other. Belongs to the DNS thread's event loop.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "agent/network/address.h"
#include "agent/network/dns_cache.h"
#include "base/clock.h"

namespace orch::agent {

/// Name servers of a resolv.conf, in order, without those in `except` (asking ourselves would go round in
/// circles).
std::vector<IpRange> read_name_servers(std::string_view resolv_conf, const std::vector<IpRange>& except);

/// Not thread-safe: everything runs on the thread of the epoll loop.
class DnsForwarder {
 public:
  /// The answer's bytes with the query's id; "" when nobody answered.
  using Done = std::function<void(const std::string& reply)>;
  struct Options {
    std::string resolv_conf;
    std::vector<IpRange> except;
    std::chrono::milliseconds try_timeout{1500};
    int rounds = 2;
    size_t max_pending = 500;
    uint16_t port = 53;
  };
  DnsForwarder(int epoll_fd, const base::Clock& clock, Options options);
  ~DnsForwarder();
  /// `stream` when the client can take answers of any size. `done` may run before this returns.
  void ask(const std::string& query, bool stream, Done done);
  /// For each event whose data is an fd of ours; false when it is not.
  bool on_event(int fd, uint32_t events);
  /// Gives up what waited too long; the time until the next such moment, -1 for none.
  int expire_ms();

 private:
  struct Pending;
  void refresh_servers();
  void begin_try(std::unique_ptr<Pending> pending);
  bool open_socket(Pending& pending);
  void finish(std::unique_ptr<Pending> pending, const std::string& reply);
  void next_server(std::unique_ptr<Pending> pending);
  /// True when the exchange is over one way or the other, with the reply in pending.in.
  enum class Progress : uint8_t { kMore, kReply, kFailed };
  Progress advance(Pending& pending, uint32_t events);
  Progress advance_stream(Pending& pending, uint32_t events);
  std::unique_ptr<Pending> take(int fd);

  const int epoll_fd_;
  const base::Clock& clock_;
  const Options options_;
  std::vector<IpRange> servers_;
  base::MonoTime servers_read_{};
  int64_t servers_changed_ = -1;                     // the file's modification time, ns
  std::map<int, std::unique_ptr<Pending>> pending_;  // by socket
  DnsCache cache_;
  std::mt19937 random_{std::random_device{}()};
};

}  // namespace orch::agent
