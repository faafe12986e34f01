// Requests in a row on kept connections, to any Kubernetes API server over HTTP/1.1. Prints one JSON line.
//
//   bench_http_load --server 127.0.0.1:6443 --path /version                      GET a path
//   bench_http_load --server 127.0.0.1:6443 --path /api/v1/nodes/n-{} --count 9  ... n-0 to n-8 in turn
//   bench_http_load --server 127.0.0.1:6443 --create default --prefix run1-      create config maps
//   bench_http_load --server 127.0.0.1:6443 --method POST --path PATH --body FILE
//                                              send what is in the file; each {} in it and in the path is a
//                                              number
//   bench_http_load --own-server 1000                                            GET from a server of its own
//   bench_http_load --own-server 0 --idle 5000                                   memory of idle watches
//
// --connections N (64)  --seconds S (10) or --requests N  --size BYTES of a config map's data (256)
// --interval MILLISECONDS between the requests of a connection (as soon as the last is answered)
// --content-type TYPE of the body (application/json)  --accept TYPE (application/json)
// --certificate FILE --key FILE or --token TEXT  --plain (no TLS)
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <vector>

#include "base/clock.h"
#include "base/file.h"
#include "client/load.h"
#include "http/dial.h"
#include "http/server.h"
#include "pki/pki.h"

namespace {

using namespace orch;
using namespace orch::bench;
using namespace orch::http;

/// What is sent next: the GET of a path, a body to one, or the create of a config map.
std::function<std::string()> requests(const Options& options, const Target& target) {
  auto number = std::make_shared<size_t>(0);
  if (!options.has("--create")) {
    const std::string method = options.text("--method", "GET");
    const auto body = options.has("--body") ? base::read_file(options.text("--body")) : std::string();
    if (!body.ok()) die(body.error().message());
    const Template path(options.text("--path", "/version")), content(*body);
    const std::string type = options.text("--content-type", "application/json");
    if (!path.numbered() && !content.numbered())
      return [same = target.request(method, path.with(0), content.with(0), type)] { return same; };
    return [=, count = options.number("--count", SIZE_MAX)] {
      const size_t n = (*number)++ % count;
      return target.request(method, path.with(n), content.with(n), type);
    };
  }
  const std::string path = base::cat("/api/v1/namespaces/", options.text("--create"), "/configmaps");
  const std::string before = base::cat(R"({"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":")",
                                       options.text("--prefix", "load-"));
  const std::string after =
      base::cat(R"("},"data":{"data":")", std::string(options.number("--size", 256), 'x'), "\"}}");
  return [=] { return target.request("POST", path, base::cat(before, (*number)++, after)); };
}

void load(const Target& target, const Options& options) {
  LoadPlan plan;
  plan.connections = options.number("--connections", 64);
  plan.seconds = static_cast<double>(options.number("--seconds", 10));
  plan.requests = options.number("--requests", 0);
  plan.interval = std::chrono::milliseconds(options.number("--interval", 0));
  plan.next = requests(options, target);
  const Figures f = run_load(target, plan);
  std::printf(
      "{\"bench\":\"http_load\",\"mode\":\"%s\",\"connections\":%zu,\"requests\":%zu,\"errors\":%zu,"
      "\"seconds\":%.3f,\"per_second\":%.1f,\"p50_ms\":%.3f,\"p99_ms\":%.3f,\"max_ms\":%.3f,"
      "\"client_cpu_seconds\":%.2f}\n",
      options.has("--create") ? "POST" : options.text("--method", "GET").c_str(), f.connections,
      f.micros.size(), f.errors, f.seconds, f.per_second(), f.percentile(0.5), f.percentile(0.99),
      f.percentile(1), cpu_seconds());
}

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
void idle(const OwnServer& server, const Target& target, size_t count) {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  const DialOptions options = target.dial();
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
  const Options options = Options::parse(argc, argv, {"--plain"});
  if (!options.has("--own-server")) {
    load(Target::from(options), options);
    return 0;
  }
  const OwnServer server(options.number("--own-server", 1000), !options.has("--plain"));
  Target target;
  target.host = "127.0.0.1";
  target.port = server.port;
  target.tls = !options.has("--plain");
  if (options.has("--idle")) {
    idle(server, target, options.number("--idle", 1000));
  } else {
    load(target, options);
  }
  return 0;
}
