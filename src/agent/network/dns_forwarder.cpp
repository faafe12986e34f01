#include "agent/network/dns_forwarder.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "agent/network/dns_message.h"
#include "agent/network/dns_socket.h"
#include "base/file.h"

namespace orch::agent {

using std::chrono::milliseconds;

struct DnsForwarder::Pending {
  std::string query;  // as the client sent it
  std::string sent;   // with an id of our own
  bool stream = false, over_tcp = false;
  Done done;
  int fd = -1;
  size_t server = 0;
  int round = 0;
  base::MonoTime deadline{};
  std::string in, out;  // of TCP, with length prefixes; in holds the reply at the end
};

std::vector<IpRange> read_name_servers(std::string_view text, const std::vector<IpRange>& except) {
  std::vector<IpRange> out;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    constexpr std::string_view kWord = "nameserver";
    if (line.substr(0, kWord.size()) != kWord) continue;
    line.remove_prefix(kWord.size());
    const size_t first = line.find_first_not_of(" \t");
    if (first == 0 || first == std::string_view::npos) continue;
    line = line.substr(first, line.find_first_of(" \t\r#;", first) - first);
    const auto ip = parse_ip(line);
    if (ip && std::find(except.begin(), except.end(), *ip) == except.end()) out.push_back(*ip);
  }
  return out;
}

DnsForwarder::DnsForwarder(int epoll_fd, const base::Clock& clock, Options options)
    : epoll_fd_(epoll_fd), clock_(clock), options_(std::move(options)) {}

DnsForwarder::~DnsForwarder() {
  for (auto& [fd, pending] : pending_) ::close(fd);
}

void DnsForwarder::refresh_servers() {
  const auto now = clock_.mono();
  if (servers_changed_ >= 0 && now - servers_read_ < std::chrono::seconds(5)) return;
  servers_read_ = now;
  struct stat info {};
  const bool there = ::stat(options_.resolv_conf.c_str(), &info) == 0;
  const int64_t changed = there ? info.st_mtim.tv_sec * 1000000000 + info.st_mtim.tv_nsec : 0;
  if (changed == servers_changed_) return;
  servers_changed_ = changed;
  const auto text = base::read_file(options_.resolv_conf);
  servers_ = text.ok() ? read_name_servers(*text, options_.except) : std::vector<IpRange>();
}

void DnsForwarder::ask(const std::string& query, bool stream, Done done) {
  if (auto cached = cache_.get(DnsCache::key(query), message_id(query), clock_.mono())) {
    if (stream || !is_truncated(*cached)) {
      done(*cached);
      return;
    }
  }
  refresh_servers();
  if (servers_.empty() || pending_.size() >= options_.max_pending) {
    done({});
    return;
  }
  auto pending = std::make_unique<Pending>();
  pending->query = query;
  pending->stream = stream;
  pending->done = std::move(done);
  begin_try(std::move(pending));
}

bool DnsForwarder::open_socket(Pending& p) {
  p.sent = p.query;
  set_message_id(p.sent, static_cast<uint16_t>(random_()));
  p.in.clear();
  p.out.clear();
  if (p.over_tcp) p.out = with_length_prefix(p.sent);
  const SocketAddress to(servers_[p.server % servers_.size()], options_.port);
  p.fd = ::socket(to.family(), (p.over_tcp ? SOCK_STREAM : SOCK_DGRAM) | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (p.fd < 0) return false;
  if (::connect(p.fd, to.get(), to.size()) != 0 && errno != EINPROGRESS) return false;
  if (!p.over_tcp && ::send(p.fd, p.sent.data(), p.sent.size(), MSG_NOSIGNAL) < 0) return false;
  epoll_event event{};
  event.events = p.over_tcp ? EPOLLOUT | EPOLLIN : EPOLLIN;
  event.data.fd = p.fd;
  return ::epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, p.fd, &event) == 0;
}

void DnsForwarder::begin_try(std::unique_ptr<Pending> pending) {
  if (!open_socket(*pending)) {
    if (pending->fd >= 0) ::close(std::exchange(pending->fd, -1));
    next_server(std::move(pending));
    return;
  }
  pending->deadline = clock_.mono() + options_.try_timeout;
  const int fd = pending->fd;
  pending_[fd] = std::move(pending);
}

void DnsForwarder::next_server(std::unique_ptr<Pending> pending) {
  pending->over_tcp = false;
  if (++pending->server >= servers_.size()) {
    pending->server = 0;
    if (++pending->round >= options_.rounds) {
      pending->done({});
      return;
    }
  }
  begin_try(std::move(pending));
}

void DnsForwarder::finish(std::unique_ptr<Pending> pending, const std::string& reply) {
  cache_.put(DnsCache::key(pending->query), reply, clock_.mono());
  std::string out = reply;
  set_message_id(out, message_id(pending->query));
  pending->done(out);
}

std::unique_ptr<DnsForwarder::Pending> DnsForwarder::take(int fd) {
  const auto it = pending_.find(fd);
  if (it == pending_.end()) return nullptr;
  auto out = std::move(it->second);
  pending_.erase(it);
  ::close(std::exchange(out->fd, -1));  // leaves the epoll set by that
  return out;
}

bool DnsForwarder::on_event(int fd, uint32_t events) {
  const auto it = pending_.find(fd);
  if (it == pending_.end()) return false;
  const Progress progress = advance(*it->second, events);
  if (progress == Progress::kMore) return true;
  auto pending = take(fd);
  if (progress == Progress::kFailed) {
    next_server(std::move(pending));
  } else if (is_truncated(pending->in) && pending->stream && !pending->over_tcp) {
    pending->over_tcp = true;
    begin_try(std::move(pending));
  } else {
    const std::string reply = std::move(pending->in);
    finish(std::move(pending), reply);
  }
  return true;
}

DnsForwarder::Progress DnsForwarder::advance(Pending& p, uint32_t events) {
  if (p.over_tcp) return advance_stream(p, events);
  std::array<char, 65535> buffer;
  while (true) {
    const ssize_t n = ::recv(p.fd, buffer.data(), buffer.size(), 0);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno == EAGAIN ? Progress::kMore : Progress::kFailed;
    const std::string_view reply(buffer.data(), static_cast<size_t>(n));
    // Forged and late answers are passed by.
    if (message_id(reply) != message_id(p.sent) || !is_answer_to(p.sent, reply)) continue;
    // The next server may know better than one that is ill.
    const int code = reply[3] & 0x0f;
    if ((code == dns::kServFail || code == dns::kRefused) && p.server + 1 < servers_.size())
      return Progress::kFailed;
    p.in = reply;
    return Progress::kReply;
  }
}

DnsForwarder::Progress DnsForwarder::advance_stream(Pending& p, uint32_t events) {
  if ((events & EPOLLOUT) != 0 && !p.out.empty()) {
    const ssize_t n = ::send(p.fd, p.out.data(), p.out.size(), MSG_NOSIGNAL);
    if (n < 0) return errno == EAGAIN || errno == EINTR ? Progress::kMore : Progress::kFailed;
    p.out.erase(0, static_cast<size_t>(n));
    if (p.out.empty()) {
      epoll_event event{};
      event.events = EPOLLIN;
      event.data.fd = p.fd;
      ::epoll_ctl(epoll_fd_, EPOLL_CTL_MOD, p.fd, &event);
    }
  }
  if ((events & ~static_cast<uint32_t>(EPOLLOUT)) == 0) return Progress::kMore;
  std::array<char, 16384> buffer;
  const ssize_t n = ::recv(p.fd, buffer.data(), buffer.size(), 0);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return Progress::kMore;
  if (n <= 0) return Progress::kFailed;
  p.in.append(buffer.data(), static_cast<size_t>(n));
  std::string reply;
  if (!take_prefixed(p.in, reply)) return Progress::kMore;
  if (message_id(reply) != message_id(p.sent) || !is_answer_to(p.sent, reply)) return Progress::kFailed;
  p.in = std::move(reply);
  return Progress::kReply;
}

int DnsForwarder::expire_ms() {
  const auto now = clock_.mono();
  std::vector<int> late;
  for (const auto& [fd, pending] : pending_) {
    if (pending->deadline <= now) late.push_back(fd);
  }
  for (const int fd : late) next_server(take(fd));
  if (pending_.empty()) return -1;
  base::MonoTime first = base::MonoTime::max();
  for (const auto& [fd, pending] : pending_) first = std::min(first, pending->deadline);
  const auto left = std::chrono::ceil<milliseconds>(first - clock_.mono()).count();
  return static_cast<int>(std::clamp<int64_t>(left, 0, 60000));
}

}  // namespace orch::agent
