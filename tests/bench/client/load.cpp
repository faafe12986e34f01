#include "client/load.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <iostream>

#include "base/file.h"
#include "base/status.h"
#include "http/tls.h"

namespace orch::bench {

using http::Io;

void die(const std::string& why) {
  std::cerr << "bench: " << why << "\n";
  std::exit(1);
}

Options Options::parse(int argc, char** argv, const std::set<std::string>& flags) {
  Options out;
  for (int i = 1; i < argc; ++i) {
    const std::string name = argv[i];
    if (flags.count(name) > 0) {
      out.values_[name] = "yes";
    } else if (name.rfind("--", 0) == 0 && i + 1 < argc) {
      out.values_[name] = argv[++i];
    } else {
      die("what is " + name + "?");
    }
  }
  return out;
}

std::string Options::text(const std::string& name, const std::string& fallback) const {
  const auto found = values_.find(name);
  return found == values_.end() ? fallback : found->second;
}

size_t Options::number(const std::string& name, size_t fallback) const {
  const std::string value = text(name);
  return value.empty() ? fallback : std::strtoul(value.c_str(), nullptr, 10);
}

Target Target::from(const Options& options) {
  Target out;
  const std::string address = options.text("--server");
  const size_t colon = address.rfind(':');
  if (colon == std::string::npos) die("--server ADDRESS:PORT is needed");
  out.host = address.substr(0, colon);
  out.port = static_cast<uint16_t>(std::strtoul(address.c_str() + colon + 1, nullptr, 10));
  out.tls = !options.has("--plain");
  out.token = options.text("--token");
  out.accept = options.text("--accept", out.accept);
  if (options.has("--certificate")) {
    auto certificate = base::read_file(options.text("--certificate"));
    auto key = base::read_file(options.text("--key"));
    if (!certificate.ok() || !key.ok()) die("cannot read --certificate and --key");
    out.certificate_pem = *certificate;
    out.key_pem = *key;
  }
  return out;
}

http::DialOptions Target::dial() const {
  http::DialOptions out;
  out.host = host;
  out.port = port;
  out.tls = tls;
  out.tls_config.insecure = true;
  out.tls_config.certificate_pem = certificate_pem;
  out.tls_config.key_pem = key_pem;
  return out;
}

std::string Target::request(const std::string& method, const std::string& path, const std::string& body,
                            const std::string& content_type) const {
  std::string out = base::cat(method, " ", path, " HTTP/1.1\r\nHost: localhost\r\n", "Accept: ", accept,
                              "\r\nUser-Agent: orch-bench\r\n");
  if (!token.empty()) out += base::cat("Authorization: Bearer ", token, "\r\n");
  if (!body.empty()) {
    out += base::cat("Content-Type: ", content_type, "\r\nContent-Length: ", body.size(), "\r\n");
  }
  return base::cat(out, "\r\n", body);
}

Template::Template(std::string_view text) {
  size_t begin = 0;
  for (size_t at = text.find("{}"); at != std::string_view::npos; at = text.find("{}", begin)) {
    pieces_.emplace_back(text.substr(begin, at - begin));
    begin = at + 2;
  }
  pieces_.emplace_back(text.substr(begin));
}

std::string Template::with(size_t number) const {
  std::string out = pieces_.front();
  for (size_t i = 1; i < pieces_.size(); ++i) out += base::cat(number, pieces_[i]);
  return out;
}

http::TlsContext client_context(const Target& target) {
  auto context = http::make_client_context(target.dial().tls_config);
  if (!context.ok()) die(context.error().message());
  return *context;
}

void Connection::open(const Target& target, const http::TlsContext& context) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(target.port);
  if (inet_pton(AF_INET, target.host.c_str(), &address.sin_addr) != 1)
    die("not an IPv4 address: " + target.host);
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) die("cannot connect");
  // As every client does: a request behind a handshake must not wait for an acknowledgement.
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  transport_ = http::Transport(fd);
  if (!target.tls) return;
  transport_.connect_tls(context, "");
  while (true) {
    const Io result = transport_.handshake();
    if (result == Io::kOk) return;
    if (result == Io::kError || result == Io::kEnd) die("TLS handshake failed");
    pollfd wait{fd, static_cast<short>(result == Io::kWantRead ? POLLIN : POLLOUT), 0};
    if (poll(&wait, 1, 10'000) == 0) die("the server does not answer");
  }
}

void Connection::send(std::string bytes) {
  out_ = std::move(bytes);
  sent_ = 0;
  flush();
}

void Connection::flush() {
  while (sent_ < out_.size()) {
    size_t n = 0;
    const Io result = transport_.write(std::string_view(out_).substr(sent_), n);
    if (result == Io::kWantRead || result == Io::kWantWrite) return;
    if (result != Io::kOk) die("the connection broke while sending");
    sent_ += n;
  }
}

/// Some bytes more in `in_`; false when there are none now.
bool Connection::receive() {
  thread_local std::array<char, 64U << 10> buffer;
  size_t n = 0;
  const Io result = transport_.read(buffer.data(), buffer.size(), n);
  if (result == Io::kWantRead || result == Io::kWantWrite) return false;
  if (result != Io::kOk) die("the server closed the connection");
  in_.append(buffer.data(), n);
  return true;
}

/// Takes what came out of `in_`; true at the end of the response.
bool Connection::decode(std::string& into) {
  if (!in_body_) {
    const size_t end = http::find_head_end(in_);
    if (end == 0) return false;
    head_ = {};
    if (!http::parse_response_head(std::string_view(in_).substr(0, end), head_).ok()) die("bad response");
    in_.erase(0, end);
    into.clear();
    if (head_.content_length == 0U) return true;
    in_body_ = true;
    decoder_ = std::make_unique<http::BodyDecoder>(head_, SIZE_MAX / 2);
  }
  std::string_view view = in_;
  const auto state = decoder_->feed(view, into);
  in_.erase(0, in_.size() - view.size());
  if (state == http::BodyDecoder::State::kMore) return false;
  if (state != http::BodyDecoder::State::kDone) die("bad body");
  in_body_ = false;
  return true;
}

bool Connection::on_ready() {
  flush();
  while (receive()) {
    if (decode(body_)) return true;
  }
  return false;
}

void Connection::on_ready(std::string& into) {
  flush();
  while (receive()) {
    if (decode(into)) die("the endless response ended: " + into);
  }
}

namespace {

class Load {
 public:
  Load(const Target& target, const LoadPlan& plan)
      : target_(target), plan_(plan), context_(client_context(target)), clients_(plan.connections) {}

  Figures run() {
    for (auto& client : clients_) open(client);
    const auto begin = Clock::now();
    stop_ = begin + std::chrono::microseconds(static_cast<long>(plan_.seconds * 1e6));
    for (auto& client : clients_) {
      if (more()) start(client);
    }
    std::array<epoll_event, 256> events;
    while (busy_ > 0 || (paced() && more())) {
      const int n = epoll_wait(epoll_, events.data(), events.size(), paced() ? 1 : 10'000);
      if (n == 0 && !paced()) die("the server does not answer");
      for (int i = 0; i < n; ++i) step(*static_cast<Client*>(events[static_cast<size_t>(i)].data.ptr));
      if (paced()) start_due();
    }
    figures_.connections = clients_.size();
    figures_.seconds = std::chrono::duration<double>(end_ - begin).count();
    std::sort(figures_.micros.begin(), figures_.micros.end());
    close(epoll_);
    return std::move(figures_);
  }

 private:
  struct Client {
    Connection connection;
    Clock::time_point started;
    bool busy = false;
  };

  void open(Client& client) {
    client.connection.open(target_, context_);
    epoll_event event{};
    event.events = EPOLLIN | EPOLLOUT | EPOLLET;
    event.data.ptr = &client;
    epoll_ctl(epoll_, EPOLL_CTL_ADD, client.connection.fd(), &event);
  }

  bool more() const {
    return plan_.requests > 0 ? started_ < plan_.requests
                              : started_ < clients_.size() || Clock::now() < stop_;
  }

  bool paced() const { return plan_.interval.count() > 0; }

  void start_due() {
    const auto now = Clock::now();
    for (auto& client : clients_) {
      if (!client.busy && now >= client.started + plan_.interval && more()) start(client);
    }
  }

  void start(Client& client) {
    ++busy_;
    ++started_;
    client.busy = true;
    std::string request = plan_.next();
    client.started = Clock::now();
    client.connection.send(std::move(request));
  }

  void step(Client& client) {
    if (!client.connection.on_ready() || !client.busy) return;
    end_ = Clock::now();
    client.busy = false;
    --busy_;
    figures_.micros.push_back(static_cast<uint32_t>(
        std::chrono::duration_cast<std::chrono::microseconds>(end_ - client.started).count()));
    if (client.connection.status() >= 400 && ++figures_.errors == 1) {
      std::cerr << "bench: " << client.connection.status() << " " << client.connection.body() << "\n";
    }
    if (!paced() && more()) start(client);
  }

  const Target& target_;
  const LoadPlan& plan_;
  const http::TlsContext context_;
  const int epoll_ = epoll_create1(EPOLL_CLOEXEC);
  std::vector<Client> clients_;
  Figures figures_;
  size_t busy_ = 0, started_ = 0;
  Clock::time_point stop_, end_;
};

}  // namespace

Figures run_load(const Target& target, const LoadPlan& plan) { return Load(target, plan).run(); }

double percentile_ms(const std::vector<uint32_t>& micros, double part) {
  if (micros.empty()) return 0;
  return micros[static_cast<size_t>(part * static_cast<double>(micros.size() - 1))] / 1000.0;
}

double Figures::percentile(double part) const { return percentile_ms(micros, part); }

double cpu_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
         static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

}  // namespace orch::bench
