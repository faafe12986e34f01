#include "agent/network/dns.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <list>
#include <map>
#include <system_error>
#include <thread>

#include "agent/network/dns_forwarder.h"
#include "agent/network/dns_message.h"
#include "agent/network/dns_socket.h"
#include "agent/network/host.h"
#include "base/log.h"
#include "base/threads.h"

namespace orch::agent {

using base::cat;
using base::Code;
using base::Status;

namespace {

constexpr size_t kMaxConnections = 200;
constexpr std::chrono::seconds kIdleConnection{10};
constexpr int kBatch = 64;  // datagrams taken before other sockets get their turn

/// A TCP client. Answers may come in another order than the questions (RFC 7766).
struct Connection {
  int fd = -1;
  uint64_t id = 0;
  std::string in, out;
  int waiting = 0;  // questions without an answer yet
  base::MonoTime last{};
};

/// Where an answer goes.
struct Asker {
  int udp = -1;  // the listening socket, or -1 for TCP
  SocketAddress peer;
  uint64_t connection = 0;
};

}  // namespace

struct DnsServer::Loop {
  Loop(const InformerDnsView& view, const base::Clock& clock, const DnsConfig& config)
      : view(view), clock(clock), config(config) {
    zone.domain = config.domain;
    zone.server_ips = config.addresses;
  }
  ~Loop();
  Status open();
  Status listen_on(const IpRange& ip, int type);
  void run();
  void accept_from(int listener);
  void read_datagrams(int fd);
  void on_connection(uint64_t id, uint32_t events);
  void drop(uint64_t id);
  int expire_connections();
  void handle(const std::string& query, const Asker& asker);
  void answer_from_zone(const std::string& query, const DnsQuestion& question, const Asker& asker);
  void follow_alias(const std::string& query, const DnsQuestion& question, DnsAnswer answer,
                    const Asker& asker);
  void send(const std::string& reply, const Asker& asker);
  void flush(Connection& connection);
  bool watch(int fd, uint32_t events, int op = EPOLL_CTL_ADD) const;
  size_t limit(const DnsQuestion& question, const Asker& asker) const {
    return asker.udp < 0 ? kDnsTcpPayload : question.payload;
  }

  const InformerDnsView& view;
  const base::Clock& clock;
  const DnsConfig& config;
  DnsZoneConfig zone;
  int epoll = -1, stop = -1;
  std::vector<int> datagrams, listeners;
  std::map<uint64_t, Connection> connections;
  std::map<int, uint64_t> by_fd;
  uint64_t last_id = 0;
  std::unique_ptr<DnsForwarder> forwarder;
  std::thread thread;
};

DnsServer::Loop::~Loop() {
  if (thread.joinable()) {
    const uint64_t one = 1;
    (void)!::write(stop, &one, sizeof(one));
    thread.join();
  }
  forwarder.reset();
  for (const auto& [id, c] : connections) ::close(c.fd);
  for (const auto* list : {&datagrams, &listeners}) {
    for (const int fd : *list) ::close(fd);
  }
  if (epoll >= 0) ::close(epoll);
  if (stop >= 0) ::close(stop);
}

bool DnsServer::Loop::watch(int fd, uint32_t events, int op) const {
  epoll_event event{};
  event.events = events;
  event.data.fd = fd;
  return ::epoll_ctl(epoll, op, fd, &event) == 0;
}

Status DnsServer::Loop::listen_on(const IpRange& ip, int type) {
  const SocketAddress at(ip, config.port);
  const int fd = ::socket(at.family(), type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return {Code::kInternal, cat("DNS socket: ", std::generic_category().message(errno))};
  (type == SOCK_STREAM ? listeners : datagrams).push_back(fd);
  const int on = 1;
  if (type == SOCK_STREAM) ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  if (::bind(fd, at.get(), at.size()) != 0 || (type == SOCK_STREAM && ::listen(fd, 128) != 0)) {
    return {errno == EADDRINUSE ? Code::kConflict : Code::kInternal,
            cat("DNS cannot listen on ", ip.address(), " port ", config.port,
                type == SOCK_STREAM ? "/tcp: " : "/udp: ", std::generic_category().message(errno))};
  }
  watch(fd, EPOLLIN);
  return {};
}

Status DnsServer::Loop::open() {
  epoll = ::epoll_create1(EPOLL_CLOEXEC);
  stop = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (epoll < 0 || stop < 0) return {Code::kInternal, cat("DNS: ", std::generic_category().message(errno))};
  watch(stop, EPOLLIN);
  for (const auto& ip : config.addresses) {
    if (config.add_addresses)
      ORCH_RETURN_IF_ERROR(add_local_address(ip).with_context("address of the cluster DNS"));
    ORCH_RETURN_IF_ERROR(listen_on(ip, SOCK_DGRAM));
    ORCH_RETURN_IF_ERROR(listen_on(ip, SOCK_STREAM));
  }
  DnsForwarder::Options options;
  options.resolv_conf = config.resolv_conf;
  if (config.upstream_port == config.port) options.except = config.addresses;
  options.port = config.upstream_port;
  forwarder = std::make_unique<DnsForwarder>(epoll, clock, std::move(options));
  return {};
}

void DnsServer::Loop::run() {
  std::array<epoll_event, 64> events;
  while (true) {
    const int a = forwarder->expire_ms();
    const int b = expire_connections();
    const int timeout = a < 0 ? b : b < 0 ? a : std::min(a, b);
    const int n = ::epoll_wait(epoll, events.data(), events.size(), timeout);
    for (int i = 0; i < n; ++i) {
      const int fd = events[static_cast<size_t>(i)].data.fd;
      const uint32_t what = events[static_cast<size_t>(i)].events;
      if (fd == stop) return;
      if (std::find(datagrams.begin(), datagrams.end(), fd) != datagrams.end()) {
        read_datagrams(fd);
      } else if (std::find(listeners.begin(), listeners.end(), fd) != listeners.end()) {
        accept_from(fd);
      } else if (const auto it = by_fd.find(fd); it != by_fd.end()) {
        on_connection(it->second, what);
      } else {
        forwarder->on_event(fd, what);
      }
    }
  }
}

void DnsServer::Loop::read_datagrams(int fd) {
  std::array<char, 65535> buffer;
  for (int i = 0; i < kBatch; ++i) {
    Asker asker;
    asker.udp = fd;
    const ssize_t n =
        ::recvfrom(fd, buffer.data(), buffer.size(), 0, asker.peer.out(), asker.peer.out_size());
    if (n < 0) return;
    handle(std::string(buffer.data(), static_cast<size_t>(n)), asker);
  }
}

void DnsServer::Loop::accept_from(int listener) {
  const int fd = ::accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (fd < 0) return;
  if (connections.size() >= kMaxConnections || !watch(fd, EPOLLIN)) {
    ::close(fd);
    return;
  }
  Connection& c = connections[++last_id];
  c.fd = fd;
  c.id = last_id;
  c.last = clock.mono();
  by_fd[fd] = last_id;
}

void DnsServer::Loop::drop(uint64_t id) {
  const auto it = connections.find(id);
  if (it == connections.end()) return;
  by_fd.erase(it->second.fd);
  ::close(it->second.fd);
  connections.erase(it);
}

void DnsServer::Loop::on_connection(uint64_t id, uint32_t events) {
  Connection& c = connections[id];
  c.last = clock.mono();
  if ((events & EPOLLOUT) != 0) flush(c);
  if ((events & ~static_cast<uint32_t>(EPOLLOUT)) == 0) return;
  std::array<char, 16384> buffer;
  const ssize_t n = ::recv(c.fd, buffer.data(), buffer.size(), 0);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (n <= 0) {
    drop(id);
    return;
  }
  c.in.append(buffer.data(), static_cast<size_t>(n));
  std::string query;
  // An answer that fails to be sent ends the connection.
  while (connections.count(id) != 0 && take_prefixed(connections[id].in, query)) {
    ++connections[id].waiting;
    Asker asker;
    asker.connection = id;
    handle(query, asker);
  }
}

int DnsServer::Loop::expire_connections() {
  if (connections.empty()) return -1;
  const auto now = clock.mono();
  std::vector<uint64_t> late;
  base::MonoTime first = base::MonoTime::max();
  for (const auto& [id, c] : connections) {
    if (c.last + kIdleConnection <= now) {
      late.push_back(id);
    } else {
      first = std::min(first, c.last + kIdleConnection);
    }
  }
  for (const uint64_t id : late) drop(id);
  if (connections.empty()) return -1;
  return static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(first - now).count());
}

void DnsServer::Loop::handle(const std::string& query, const Asker& asker) {
  const auto question = read_question(query);
  if (!question) {
    send(error_answer(query, dns::kFormErr), asker);
  } else if (question->opcode != 0) {
    send(error_answer(query, dns::kNotImp), asker);
  } else if (question->klass != 1) {
    send(error_answer(query, dns::kRefused), asker);
  } else {
    answer_from_zone(query, *question, asker);
  }
}

void DnsServer::Loop::answer_from_zone(const std::string& query, const DnsQuestion& question,
                                       const Asker& asker) {
  DnsAnswer answer = answer_question(question.name, question.type, view, zone);
  if (!answer.ours) {
    forwarder->ask(query, asker.udp < 0, [this, query, asker, question](const std::string& reply) {
      // A reply to somebody who asked before with a larger buffer may be kept in the cache.
      const bool fits = reply.size() <= limit(question, asker);
      if (reply.empty()) {
        send(error_answer(query, dns::kServFail), asker);
      } else if (fits) {
        send(reply, asker);
      } else {
        std::string cut = error_answer(query, dns::kNoError);
        if (cut.size() > 2) cut[2] = static_cast<char>(cut[2] | 0x02);
        send(cut, asker);
      }
    });
  } else if (!view.synced()) {
    send(error_answer(query, dns::kServFail), asker);
  } else if (!answer.follow.empty()) {
    follow_alias(query, question, std::move(answer), asker);
  } else {
    send(write_answer(query, answer, zone.ttl, limit(question, asker)), asker);
  }
}

void DnsServer::Loop::follow_alias(const std::string& query, const DnsQuestion& question, DnsAnswer answer,
                                   const Asker& asker) {
  std::string target = answer.follow;
  if (target.back() == '.') target.pop_back();
  std::transform(target.begin(), target.end(), target.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  // One step within the cluster; an alias of an alias is left to the client.
  const DnsAnswer inside = answer_question(target, question.type, view, zone);
  if (inside.ours) {
    if (inside.follow.empty()) {
      answer.answers.insert(answer.answers.end(), inside.answers.begin(), inside.answers.end());
    }
    send(write_answer(query, answer, zone.ttl, limit(question, asker)), asker);
    return;
  }
  const std::string other = write_query(message_id(query), target, question.type);
  if (other.empty()) {
    send(write_answer(query, answer, zone.ttl, limit(question, asker)), asker);
    return;
  }
  forwarder->ask(other, true, [this, query, question, asker, answer](const std::string& reply) {
    DnsAnswer whole = answer;
    for (const auto& record : address_records(reply)) whole.answers.push_back(record);
    send(write_answer(query, whole, zone.ttl, limit(question, asker)), asker);
  });
}

void DnsServer::Loop::send(const std::string& reply, const Asker& asker) {
  if (asker.udp >= 0) {
    if (!reply.empty()) {
      (void)::sendto(asker.udp, reply.data(), reply.size(), MSG_NOSIGNAL, asker.peer.get(),
                     asker.peer.size());
    }
    return;
  }
  const auto it = connections.find(asker.connection);
  if (it == connections.end()) return;
  Connection& c = it->second;
  --c.waiting;
  if (!reply.empty()) c.out += with_length_prefix(reply);
  flush(c);
}

void DnsServer::Loop::flush(Connection& c) {
  while (!c.out.empty()) {
    const ssize_t n = ::send(c.fd, c.out.data(), c.out.size(), MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) break;
    c.out.erase(0, static_cast<size_t>(n));
  }
  // A client that does not read what it asked for is cut off by the idle limit.
  watch(c.fd, c.out.empty() ? EPOLLIN : EPOLLIN | EPOLLOUT, EPOLL_CTL_MOD);
}

DnsServer::DnsServer(client::InformerFactory& informers, const base::Clock& clock, DnsConfig config)
    : clock_(clock), config_(std::move(config)), view_(informers) {}

DnsServer::~DnsServer() = default;

Status DnsServer::start() {
  auto loop = std::make_unique<Loop>(view_, clock_, config_);
  ORCH_RETURN_IF_ERROR(loop->open());
  Loop* raw = loop.get();
  loop->thread = base::start_thread("dns", [raw] { raw->run(); });
  loop_ = std::move(loop);
  return {};
}

}  // namespace orch::agent
