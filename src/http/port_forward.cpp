#include "http/port_forward.h"

#include <array>
#include <charconv>
#include <condition_variable>
#include <deque>
#include <list>
#include <map>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#include "base/log.h"
#include "base/threads.h"
#include "http/upgrade.h"

namespace orch::http {
namespace {

using base::Result;

/// 0 when it is none.
uint16_t parse_port(std::string_view text) {
  uint16_t port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  return error == std::errc() && end == text.data() + text.size() ? port : 0;
}

/// Old clients send no request id: their data stream follows its error stream.
std::string request_id(const SpdyStream& stream) {
  const std::string_view given = stream.header("requestid");
  if (!given.empty()) return std::string(given);
  return std::to_string(stream.header("streamtype") == "error" ? stream.id() : stream.id() - 2);
}

void copy(Stream& from, Stream& to) {
  std::array<char, 32U << 10> buffer;
  while (true) {
    const long n = from.read(buffer.data(), buffer.size());
    if (n <= 0 || !to.write({buffer.data(), static_cast<size_t>(n)})) break;
  }
  to.close_write();
}

/// One session: streams arrive on its reading thread, pairs are forwarded on threads of their own.
class Forwarder {
 public:
  Forwarder(std::string pod, const PortConnector& connect) : pod_(std::move(pod)), connect_(connect) {}

  void run(const std::shared_ptr<Stream>& client) {
    {
      const auto session = SpdySession::start(
          client, SpdySession::Role::kServer,
          [this](const std::shared_ptr<SpdyStream>& stream) { return add(stream); }, [this] { end(); });
      std::unique_lock lock(mutex_);
      while (true) {
        changed_.wait(lock, [this] { return ended_ || !ready_.empty(); });
        if (ended_) break;
        const ForwardedPort pair = ready_.front();
        ready_.pop_front();
        reap(lock);
        start(pair);
      }
    }
    {
      // A pod that is silent would hold its thread for ever.
      const std::lock_guard lock(mutex_);
      for (auto& running : running_) {
        if (running.target) running.target->close();
      }
    }
    for (auto& running : running_) running.thread.join();
  }

 private:
  struct Running {
    std::thread thread;
    std::shared_ptr<Stream> target;
    bool done = false;
  };

  bool add(const std::shared_ptr<SpdyStream>& stream) {
    const std::string_view type = stream->header("streamtype");
    if (parse_port(stream->header("port")) == 0 || (type != "data" && type != "error")) return false;
    const std::lock_guard lock(mutex_);
    ForwardedPort& pair = waiting_[request_id(*stream)];
    auto& place = type == "data" ? pair.data : pair.error;
    if (place) return false;
    place = stream;
    if (pair.data && pair.error) {
      ready_.push_back(std::move(pair));
      waiting_.erase(request_id(*stream));
      changed_.notify_all();
    }
    return true;
  }

  void end() {
    const std::lock_guard lock(mutex_);
    ended_ = true;
    changed_.notify_all();
  }

  /// Joins threads that are done. With the lock held but while joining.
  void reap(std::unique_lock<std::mutex>& lock) {
    std::deque<Running> gone;
    for (auto at = running_.begin(); at != running_.end();) {
      if (at->done) {
        gone.push_back(std::move(*at));
        at = running_.erase(at);
      } else {
        ++at;
      }
    }
    lock.unlock();
    for (auto& running : gone) running.thread.join();
    lock.lock();
  }

  /// With the lock held.
  void start(const ForwardedPort& pair) {
    Running& entry = running_.emplace_back();
    try {
      entry.thread = base::start_thread("port-forward", [this, pair, &entry] {
        forward(pair, entry);
        const std::lock_guard lock(mutex_);
        entry.target.reset();
        entry.done = true;
      });
    } catch (const std::system_error& e) {
      base::log_error("http", "no thread for a forwarded port", {{"error", e.what()}});
      running_.pop_back();
      pair.data->reset();
      pair.error->reset();
    }
  }

  void forward(const ForwardedPort& pair, Running& entry) {
    const uint16_t port = parse_port(pair.data->header("port"));
    auto connection = connect_(port);
    if (!connection.ok()) {
      pair.error->write(
          base::cat("error forwarding port ", port, " to pod ", pod_, ": ", connection.error().message()));
      pair.error->close_write();
      pair.data->reset();
      return;
    }
    Stream& target = **connection;
    {
      const std::lock_guard lock(mutex_);
      if (ended_) return;
      entry.target = *connection;
    }
    std::thread to_target;
    try {
      to_target = base::start_thread("port-forward", [&] { copy(*pair.data, target); });
    } catch (const std::system_error& e) {
      base::log_error("http", "no thread for a forwarded port", {{"error", e.what()}});
      pair.data->reset();
      pair.error->reset();
      return;
    }
    copy(target, *pair.data);
    // The pod's side is over: what the client still sends has nowhere to go.
    target.close();
    pair.data->close();
    pair.error->close();
    to_target.join();
  }

  const std::string pod_;
  const PortConnector& connect_;
  std::mutex mutex_;
  std::condition_variable changed_;
  // Under mutex_:
  std::map<std::string, ForwardedPort> waiting_;  // by request id, one stream of the pair came
  std::deque<ForwardedPort> ready_;
  std::list<Running> running_;
  bool ended_ = false;
};

}  // namespace

void serve_port_forward(const Request& request, const std::shared_ptr<Stream>& client, const std::string& pod,
                        const PortConnector& connect) {
  const auto protocol = accept_spdy_upgrade(request, *client, {kPortForwardProtocol});
  if (protocol.ok()) Forwarder(pod, connect).run(client);
}

Result<ForwardedPort> open_forwarded_port(SpdySession& session, uint16_t port, int id,
                                          std::chrono::milliseconds timeout) {
  const auto headers = [&](const char* type) {
    return Headers{{"port", std::to_string(port)}, {"requestid", std::to_string(id)}, {"streamtype", type}};
  };
  ForwardedPort out;
  auto error = session.open(headers("error"), timeout);
  if (!error.ok()) return error.error();
  out.error = *error;
  out.error->close_write();  // nothing is written to it
  auto data = session.open(headers("data"), timeout);
  if (!data.ok()) return data.error();
  out.data = *data;
  return out;
}

}  // namespace orch::http
