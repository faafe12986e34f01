#include "http/server.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/log.h"
#include "http/engine.h"
#include "http/port_owner.h"

namespace orch::http {
namespace {

using base::Code;
using base::Result;
using base::Status;

union Address {
  sockaddr any;
  sockaddr_in v4;
  sockaddr_in6 v6;
};

/// False when `text` is no address.
bool parse_address(const std::string& text, uint16_t port, Address& out, socklen_t& size) {
  std::memset(&out, 0, sizeof out);
  if (inet_pton(AF_INET, text.c_str(), &out.v4.sin_addr) == 1) {
    out.v4.sin_family = AF_INET;
    out.v4.sin_port = htons(port);
    size = sizeof out.v4;
    return true;
  }
  if (inet_pton(AF_INET6, text.c_str(), &out.v6.sin6_addr) == 1) {
    out.v6.sin6_family = AF_INET6;
    out.v6.sin6_port = htons(port);
    size = sizeof out.v6;
    return true;
  }
  return false;
}

std::string format_address(const Address& address) {
  char text[INET6_ADDRSTRLEN] = {};
  if (address.any.sa_family == AF_INET) {
    inet_ntop(AF_INET, &address.v4.sin_addr, text, sizeof text);
    return base::cat(text, ":", ntohs(address.v4.sin_port));
  }
  const in6_addr& v6 = address.v6.sin6_addr;
  if (IN6_IS_ADDR_V4MAPPED(&v6)) {
    inet_ntop(AF_INET, v6.s6_addr + 12, text, sizeof text);
    return base::cat(text, ":", ntohs(address.v6.sin6_port));
  }
  inet_ntop(AF_INET6, &v6, text, sizeof text);
  return base::cat("[", text, "]:", ntohs(address.v6.sin6_port));
}

void set_option(int fd, int level, int name, int value) { setsockopt(fd, level, name, &value, sizeof value); }

/// The kernel notices peers that vanished; no thread wakes for it.
void tune(int fd) {
  set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
  set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, 60);
  set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, 20);
  set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, 4);
}

Result<int> open_listener(const ServerOptions& options) {
  Address address;
  socklen_t size = 0;
  if (!parse_address(options.bind_address, options.port, address, size)) {
    return Status(Code::kBadRequest, base::cat("invalid bind address ", options.bind_address));
  }
  const int fd = socket(address.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return Status(Code::kInternal, base::cat("opening a socket: ", std::strerror(errno)));
  set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
  if (address.any.sa_family == AF_INET6) set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0);
  if (bind(fd, &address.any, size) == 0 && listen(fd, 4096) == 0) return fd;
  const int error = errno;
  close(fd);
  if (error == EADDRINUSE) {
    return Status(Code::kConflict, base::cat("port ", options.port, " is already in use by ",
                                             describe_port_owner(options.port)));
  }
  return Status(Code::kInternal, base::cat("listening on ", options.bind_address, " port ", options.port,
                                           ": ", std::strerror(error)));
}

class ServerImpl;

/// The listening socket in the loop.
class Listener final : public Pollable {
 public:
  Listener(Engine& engine, int fd)
      : engine_(engine), fd_(fd), spare_(open("/dev/null", O_RDONLY | O_CLOEXEC)) {}
  ~Listener() override { close_all(); }

  /// The loop's thread, from here on.
  void begin() { engine_.loop.add(fd_, EPOLLIN, this); }
  void close_all() {
    if (fd_ >= 0) close(std::exchange(fd_, -1));
    if (spare_ >= 0) close(std::exchange(spare_, -1));
  }

  void on_events(uint32_t /*events*/) override {
    for (int i = 0; i < 64 && fd_ >= 0; ++i) {
      Address address;
      socklen_t size = sizeof address;
      const int fd = accept4(fd_, &address.any, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (fd < 0) {
        if (errno == EMFILE || errno == ENFILE) shed();
        return;
      }
      if (engine_.connections() >= engine_.options.max_connections) {
        engine_.metrics.refused->add();
        close(fd);
        continue;
      }
      tune(fd);
      engine_.adopt(fd, format_address(address));
    }
  }

 private:
  /// Out of descriptors: the spare one lets the client be told by a closed connection; left in the backlog,
  /// it would keep this thread awake.
  void shed() {
    if (spare_ >= 0) close(std::exchange(spare_, -1));
    const int fd = accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd >= 0) close(fd);
    spare_ = open("/dev/null", O_RDONLY | O_CLOEXEC);
    engine_.metrics.refused->add();
  }

  Engine& engine_;
  int fd_;
  int spare_;
};

class ServerImpl final : public Server {
 public:
  ServerImpl(ServerOptions options, Handler handler, int fd, uint16_t port)
      : port_(port),
        engine_(std::move(options), std::move(handler)),
        listener_(std::make_shared<Listener>(engine_, fd)) {}
  ~ServerImpl() override { stop(std::chrono::milliseconds(0)); }

  void begin(TlsContext context) {
    engine_.set_tls_context(std::move(context));
    engine_.loop.post([this] { listener_->begin(); });
  }
  uint16_t port() const override { return port_; }
  Status reload(const TlsConfig& config) override {
    auto context = make_server_context(config);
    if (!context.ok()) return context.error();
    engine_.set_tls_context(std::move(*context));
    return {};
  }
  void stop(std::chrono::milliseconds grace) override {
    if (engine_.stopping.exchange(true)) return;
    engine_.loop.post([this] { listener_->close_all(); });
    engine_.stop(grace);
  }
  size_t connections() const override { return engine_.connections(); }

 private:
  const uint16_t port_;
  Engine engine_;
  std::shared_ptr<Listener> listener_;
};

}  // namespace

Result<std::unique_ptr<Server>> Server::listen(ServerOptions options, Handler handler) {
  TlsContext context;
  if (options.tls) {
    auto made = make_server_context(options.tls_config);
    if (!made.ok()) return made.error();
    context = std::move(*made);
  }
  auto fd = open_listener(options);
  if (!fd.ok()) return fd.error();
  Address address;
  socklen_t size = sizeof address;
  getsockname(*fd, &address.any, &size);
  const uint16_t port = ntohs(address.any.sa_family == AF_INET ? address.v4.sin_port : address.v6.sin6_port);
  auto server = std::make_unique<ServerImpl>(std::move(options), std::move(handler), *fd, port);
  server->begin(std::move(context));
  return std::unique_ptr<Server>(std::move(server));
}

}  // namespace orch::http
