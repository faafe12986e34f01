// A load client for any Kubernetes API server over HTTP/1.1: N kept connections driven by one epoll thread,
// so that it costs the machine it shares with the server as little as possible. Prints one JSON line.
//
//   bench_http_load --server 127.0.0.1:6443 --path /version                      GET a path
//   bench_http_load --server 127.0.0.1:6443 --create default --prefix run1-      create config maps
//   bench_http_load --own-server 1000                                            GET from a server of its own
//   bench_http_load --own-server 0 --idle 5000                                   memory of idle watches
//
// --connections N (64)  --seconds S (10) or --requests N  --size BYTES of a config map's data (256)
// --certificate FILE --key FILE or --token TEXT  --plain (no TLS)
#include <arpa/inet.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <map>
#include <memory>
#include <vector>

#include "base/clock.h"
#include "base/file.h"
#include "http/dial.h"
#include "http/server.h"
#include "http/tls.h"
#include "http/transport.h"
#include "pki/pki.h"

namespace {

using namespace orch;
using namespace orch::http;
using Clock = std::chrono::steady_clock;

[[noreturn]] void die(const std::string& why) {
  std::cerr << "http_load: " << why << "\n";
  std::exit(1);
}

struct Options {
  std::map<std::string, std::string> values;
  std::string get(const std::string& name, const std::string& fallback = "") const {
    const auto found = values.find(name);
    return found == values.end() ? fallback : found->second;
  }
  size_t number(const std::string& name, size_t fallback) const {
    const std::string text = get(name);
    return text.empty() ? fallback : std::strtoul(text.c_str(), nullptr, 10);
  }
  bool has(const std::string& name) const { return values.count(name) > 0; }
};

Options parse(int argc, char** argv) {
  Options out;
  for (int i = 1; i < argc; ++i) {
    const std::string name = argv[i];
    if (name == "--plain") {
      out.values[name] = "yes";
    } else if (i + 1 < argc) {
      out.values[name] = argv[++i];
    } else {
      die("what is " + name + "?");
    }
  }
  return out;
}

/// What every connection sends next.
class Requests {
 public:
  explicit Requests(const Options& options)
      : path_(options.get("--path", "/version")),
        create_(options.get("--create")),
        prefix_(options.get("--prefix", "load-")),
        data_(options.number("--size", 256), 'x') {
    common_ = "Host: localhost\r\nAccept: application/json\r\nUser-Agent: http_load\r\n";
    if (options.has("--token")) common_ += "Authorization: Bearer " + options.get("--token") + "\r\n";
    get_ = "GET " + path_ + " HTTP/1.1\r\n" + common_ + "\r\n";
  }
  std::string next() {
    if (create_.empty()) return get_;
    const std::string body = R"({"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":")" + prefix_ +
                             std::to_string(++count_) + R"("},"data":{"data":")" + data_ + "\"}}";
    return "POST /api/v1/namespaces/" + create_ + "/configmaps HTTP/1.1\r\n" + common_ +
           "Content-Type: application/json\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" +
           body;
  }
  std::string mode() const { return create_.empty() ? "get" : "create"; }

 private:
  const std::string path_, create_, prefix_, data_;
  std::string common_, get_;
  size_t count_ = 0;
};

struct Client {
  Transport transport;
  bool connected = false;
  std::string out, in;
  size_t sent = 0;
  Head head;
  bool in_body = false;
  std::unique_ptr<BodyDecoder> decoder;
  std::string body;
  Clock::time_point started;
};

class Load {
 public:
  Load(const Options& options, std::string host, uint16_t port)
      : host_(std::move(host)),
        port_(port),
        tls_(!options.has("--plain")),
        requests_(options),
        seconds_(options.number("--seconds", 10)),
        wanted_(options.number("--requests", 0)),
        epoll_(epoll_create1(EPOLL_CLOEXEC)) {
    ClientTls config;
    config.insecure = true;
    if (options.has("--certificate")) {
      auto certificate = base::read_file(options.get("--certificate"));
      auto key = base::read_file(options.get("--key"));
      if (!certificate.ok() || !key.ok()) die("cannot read --certificate and --key");
      config.certificate_pem = *certificate;
      config.key_pem = *key;
    }
    auto context = make_client_context(config);
    if (!context.ok()) die(context.error().message());
    context_ = *context;
    clients_.resize(options.number("--connections", 64));
  }

  void run() {
    for (auto& client : clients_) open(client);
    size_t connected = 0;
    while (connected < clients_.size()) {
      each_ready([&](Client& client) {
        if (!client.connected && shake(client)) ++connected;
      });
    }
    begin_ = Clock::now();
    stop_ = begin_ + std::chrono::seconds(wanted_ > 0 ? 3600 : seconds_);
    for (auto& client : clients_) start(client);
    while (busy_ > 0) {
      each_ready([&](Client& client) { step(client); });
    }
    report();
  }

 private:
  void open(Client& client) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port_);
    if (inet_pton(AF_INET, host_.c_str(), &address.sin_addr) != 1) die("not an IPv4 address: " + host_);
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) die("cannot connect");
    client.transport = Transport(fd);
    if (tls_) client.transport.connect_tls(context_, "");
    epoll_event event{};
    event.events = EPOLLIN | EPOLLOUT | EPOLLET;
    event.data.ptr = &client;
    epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event);
  }

  template <typename F>
  void each_ready(F visit) {
    std::array<epoll_event, 256> events;
    const int n = epoll_wait(epoll_, events.data(), events.size(), 10'000);
    if (n == 0) die("the server does not answer");
    for (int i = 0; i < n; ++i) visit(*static_cast<Client*>(events[i].data.ptr));
  }

  static bool shake(Client& client) {
    const Io result = client.transport.handshake();
    if (result == Io::kError || result == Io::kEnd) die("TLS handshake failed");
    client.connected = result == Io::kOk;
    return client.connected;
  }

  void start(Client& client) {
    ++busy_;
    ++started_;
    client.out = requests_.next();
    client.sent = 0;
    client.started = Clock::now();
    send(client);
  }

  void send(Client& client) {
    while (client.sent < client.out.size()) {
      size_t n = 0;
      const Io result = client.transport.write(std::string_view(client.out).substr(client.sent), n);
      if (result == Io::kWantRead || result == Io::kWantWrite) return;
      if (result != Io::kOk) die("the connection broke while sending");
      client.sent += n;
    }
  }

  void step(Client& client) {
    if (client.sent < client.out.size()) send(client);
    std::array<char, 64U << 10> buffer;
    while (true) {
      size_t n = 0;
      const Io result = client.transport.read(buffer.data(), buffer.size(), n);
      if (result == Io::kWantRead || result == Io::kWantWrite) return;
      if (result != Io::kOk) die("the server closed the connection");
      client.in.append(buffer.data(), n);
      if (!finished(client)) continue;
      const auto now = Clock::now();
      micros_.push_back(static_cast<uint32_t>(
          std::chrono::duration_cast<std::chrono::microseconds>(now - client.started).count()));
      if (client.head.status >= 400) {
        ++errors_;
        if (errors_ == 1) std::cerr << "http_load: " << client.head.status << " " << client.body << "\n";
      }
      --busy_;
      end_ = now;
      if (now >= stop_ || (wanted_ > 0 && started_ >= wanted_)) return;
      start(client);
    }
  }

  static bool finished(Client& client) {
    if (!client.in_body) {
      const size_t end = find_head_end(client.in);
      if (end == 0) return false;
      client.head = {};
      if (!parse_response_head(std::string_view(client.in).substr(0, end), client.head).ok())
        die("bad response");
      client.in.erase(0, end);
      client.in_body = true;
      client.body.clear();
      client.decoder = std::make_unique<BodyDecoder>(client.head, SIZE_MAX / 2);
      if (client.head.content_length == 0U) return !(client.in_body = false);
    }
    std::string_view view = client.in;
    const auto state = client.decoder->feed(view, client.body);
    client.in.erase(0, client.in.size() - view.size());
    if (state == BodyDecoder::State::kMore) return false;
    if (state != BodyDecoder::State::kDone) die("bad body");
    client.in_body = false;
    return true;
  }

  void report() {
    std::sort(micros_.begin(), micros_.end());
    const auto at = [&](double part) {
      return micros_.empty() ? 0.0 : micros_[static_cast<size_t>(part * (micros_.size() - 1))] / 1000.0;
    };
    const double seconds = std::chrono::duration<double>(end_ - begin_).count();
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    const double cpu = usage.ru_utime.tv_sec + usage.ru_stime.tv_sec +
                       (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
    std::printf(
        "{\"bench\":\"http_load\",\"mode\":\"%s\",\"connections\":%zu,\"requests\":%zu,\"errors\":%zu,"
        "\"seconds\":%.3f,\"per_second\":%.0f,\"p50_ms\":%.3f,\"p99_ms\":%.3f,\"max_ms\":%.3f,"
        "\"client_cpu_seconds\":%.2f}\n",
        requests_.mode().c_str(), clients_.size(), micros_.size(), errors_, seconds, micros_.size() / seconds,
        at(0.5), at(0.99), at(1), cpu);
  }

  const std::string host_;
  const uint16_t port_;
  const bool tls_;
  Requests requests_;
  const size_t seconds_, wanted_;
  const int epoll_;
  TlsContext context_;
  std::vector<Client> clients_;
  std::vector<uint32_t> micros_;
  size_t busy_ = 0, started_ = 0, errors_ = 0;
  Clock::time_point begin_, stop_, end_;
};

/// A child process with the engine and a constant answer; its port.
struct OwnServer {
  pid_t pid = 0;
  uint16_t port = 0;

  explicit OwnServer(size_t body_size, bool tls) {
    int pipe_fds[2];
    if (pipe(pipe_fds) != 0) die("pipe");
    pid = fork();
    if (pid == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      serve(body_size, tls, pipe_fds[1]);
    }
    if (read(pipe_fds[0], &port, sizeof port) != sizeof port) die("the own server did not start");
  }
  ~OwnServer() {
    kill(pid, SIGKILL);
    waitpid(pid, nullptr, 0);
  }

  [[noreturn]] static void serve(size_t body_size, bool tls, int out) {
    const auto now = base::SystemClock().now();
    auto ca = pki::make_ca("bench", now);
    pki::CertificateRequest request;
    request.common_name = "bench";
    request.server = true;
    auto pair = pki::issue(*ca, request, now);
    ServerOptions options;
    options.bind_address = "127.0.0.1";
    options.tls = tls;
    options.tls_config = {pair->certificate_pem, pair->key_pem, ca->certificate_pem};
    options.max_connections = 100'000;
    const auto body = std::make_shared<const std::string>(body_size, 'x');
    auto server = Server::listen(options, [&](Request& r) {
      if (r.query == "watch") {
        Response response;
        response.stream = std::make_shared<StreamBody>([](StreamBody&) {}, [] {});
        return response;
      }
      Response response = Response::json("");
      response.pieces.push_back({*body, body});
      return response;
    });
    if (!server.ok()) die(server.error().message());
    const uint16_t port = (*server)->port();
    if (write(out, &port, sizeof port) != sizeof port) die("pipe");
    while (true) pause();
  }

  long resident_kb() const {
    auto status = base::read_file("/proc/" + std::to_string(pid) + "/status");
    const size_t at = status.ok() ? status->find("VmRSS:") : std::string::npos;
    return at == std::string::npos ? 0 : std::strtol(status->c_str() + at + 6, nullptr, 10);
  }
};

/// Opens watches and looks at what they cost the server.
void idle(const OwnServer& server, size_t count, bool tls, const Options& load) {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  DialOptions options;
  options.host = "127.0.0.1";
  options.port = server.port;
  options.tls = tls;
  options.tls_config.insecure = true;
  if (load.has("--certificate")) {
    options.tls_config.certificate_pem = *base::read_file(load.get("--certificate"));
    options.tls_config.key_pem = *base::read_file(load.get("--key"));
  }
  std::vector<std::shared_ptr<Stream>> open;
  const auto add = [&] {
    auto stream = dial(options);
    if (!stream.ok()) die(stream.error().message());
    (*stream)->write("GET /?watch HTTP/1.1\r\nHost: h\r\nUser-Agent: http_load\r\n\r\n");
    char buffer[4096];
    (*stream)->read(buffer, sizeof buffer);
    open.push_back(*stream);
  };
  for (int i = 0; i < 50; ++i) add();
  const long before = server.resident_kb();
  for (size_t i = 0; i < count; ++i) add();
  const long after = server.resident_kb();
  std::printf(
      "{\"bench\":\"http_idle\",\"watches\":%zu,\"resident_before_kb\":%ld,\"resident_after_kb\":%ld,"
      "\"bytes_per_watch\":%ld}\n",
      count, before, after, (after - before) * 1024 / static_cast<long>(count));
}

}  // namespace

int main(int argc, char** argv) {
  const Options options = parse(argc, argv);
  const bool tls = !options.has("--plain");
  if (options.has("--own-server")) {
    const OwnServer server(options.number("--own-server", 1000), tls);
    if (options.has("--idle")) {
      idle(server, options.number("--idle", 1000), tls, options);
    } else {
      Load(options, "127.0.0.1", server.port).run();
    }
    return 0;
  }
  const std::string address = options.get("--server");
  const size_t colon = address.rfind(':');
  if (colon == std::string::npos) die("--server ADDRESS:PORT or --own-server BYTES is needed");
  Load(options, address.substr(0, colon), static_cast<uint16_t>(std::stoul(address.substr(colon + 1)))).run();
  return 0;
}
