#include "agent/api/node_server.h"

#include <algorithm>
#include <mutex>

#include "agent/api/log_reader.h"
#include "agent/api/stats.h"
#include "agent/api/tunnel.h"
#include "agent/kubelet/images.h"
#include "agent/kubelet/pod.h"
#include "base/file.h"
#include "base/json.h"
#include "base/threads.h"

namespace orch::agent {
namespace {

using base::Code;
using base::Result;
using base::Status;
using http::Request;
using http::Response;

constexpr size_t kMaxLogThreads = 256;

/// Path parts, decoded.
std::vector<std::string> split_path(std::string_view path) {
  std::vector<std::string> out;
  size_t at = 1;
  while (at < path.size()) {
    const size_t end = std::min(path.find('/', at), path.size());
    std::string part;
    if (!http::percent_decode(path.substr(at, end - at), false, part)) return {};
    out.push_back(std::move(part));
    at = end + 1;
  }
  return out;
}

Response plain_error(const Status& status) {
  return Response::text(status.message(), status.code() == Code::kUnknown ? 500 : status.http_code());
}

Runtime::StreamRequest streams_of(const http::Query& query) {
  const auto on = [&](const char* long_name, const char* short_name) {
    for (const char* name : {long_name, short_name}) {
      const auto value = query.get(name);
      if (value == "1" || value == "true") return true;
    }
    return false;
  };
  Runtime::StreamRequest out;
  out.in = on("input", "stdin");
  out.out = on("output", "stdout");
  out.err = on("error", "stderr");
  out.tty = on("tty", "tty");
  if (out.tty) out.err = false;
  return out;
}

base::WallTime boot_time(base::WallTime now) {
  const auto text = base::read_file("/proc/uptime");
  const double seconds = text.ok() ? std::strtod(text->c_str(), nullptr) : 0;
  return now - std::chrono::milliseconds(static_cast<int64_t>(seconds * 1000));
}

}  // namespace

struct NodeServer::Rep {
  Rep(std::vector<std::string> users, Kubelet& k, base::Metrics& m, const base::Clock& c)
      : allowed(users.begin(), users.end()), kubelet(k), metrics(m), clock(c), logs("logs", kMaxLogThreads) {}

  Response handle(Request& request);
  Response route(Request& request, const std::vector<std::string>& path);
  Response container_logs(const Request& request, const std::vector<std::string>& path);
  Response exec(const Request& request, const std::vector<std::string>& path, bool attach);
  Response port_forward(const Request& request, const std::vector<std::string>& path);
  Response run(const Request& request, const std::vector<std::string>& path);
  Response upgrade(const Request& request, const Result<std::string>& url);
  UsageReport usage();
  /// Running, by pod and container name, or why not.
  Result<ContainerLocation> running_container(const std::vector<std::string>& path);

  const std::set<std::string> allowed;
  Kubelet& kubelet;
  base::Metrics& metrics;
  const base::Clock& clock;
  std::mutex mutex;
  std::set<std::shared_ptr<LogStop>> following;  // under mutex
  bool stopping = false;                         // under mutex
  base::ThreadPool logs;
  std::unique_ptr<http::Server> server;  // first to go
};

Response NodeServer::Rep::handle(Request& request) {
  if (request.path == "/healthz" || request.path == "/healthz/ping" || request.path == "/healthz/syncloop") {
    return Response::text("ok");
  }
  if (request.peer.common_name.empty()) return Response::text("Unauthorized", 401);
  const auto& groups = request.peer.organizations;
  const bool master = std::find(groups.begin(), groups.end(), "system:masters") != groups.end();
  if (!master && allowed.count(request.peer.common_name) == 0) {
    return Response::text(base::cat("Forbidden (user=", request.peer.common_name,
                                    ", verb=", request.method == "GET" ? "get" : "create",
                                    ", resource=nodes, subresource(s)=[proxy])"),
                          403);
  }
  return route(request, split_path(request.path));
}

Response NodeServer::Rep::route(Request& request, const std::vector<std::string>& path) {
  if (path.empty()) return Response::text("404 page not found\n", 404);
  const std::string& first = path[0];
  if (first == "containerLogs" && path.size() == 4) return container_logs(request, path);
  if (first == "exec" && (path.size() == 4 || path.size() == 5)) return exec(request, path, false);
  if (first == "attach" && (path.size() == 4 || path.size() == 5)) return exec(request, path, true);
  if (first == "portForward" && (path.size() == 3 || path.size() == 4)) return port_forward(request, path);
  if (first == "run" && (path.size() == 4 || path.size() == 5)) return run(request, path);
  if (first == "pods" || first == "runningpods") {
    Json items = Json::array();
    for (Json& pod : kubelet.pods()) items.push_back(std::move(pod));
    return Response::json(base::dump_json(Json{{"kind", "PodList"},
                                               {"apiVersion", "v1"},
                                               {"metadata", Json::object()},
                                               {"items", std::move(items)}}));
  }
  if (request.path == "/stats/summary") return Response::json(base::dump_json(stats_summary(usage())));
  if (request.path == "/metrics/resource") {
    Response out = Response::text(resource_metrics(usage()));
    out.content_type = "text/plain; version=0.0.4; charset=utf-8";
    return out;
  }
  if (request.path == "/metrics") {
    Response out = Response::text(metrics.expose());
    out.content_type = "text/plain; version=0.0.4; charset=utf-8";
    return out;
  }
  return Response::text("404 page not found\n", 404);
}

// --- Logs ---------------------------------------------------------------------------------------------

Response NodeServer::Rep::container_logs(const Request& request, const std::vector<std::string>& path) {
  const http::Query query = http::Query::parse(request.query);
  LogOptions options;
  if (std::string problem = log_options(request.query, clock.now(), options); !problem.empty()) {
    return Response::text(std::move(problem), 400);
  }
  const auto previous_text = query.get("previous");
  const bool previous = previous_text == "true" || previous_text == "1";
  const auto found = kubelet.find_container(path[1], path[2], path[3], previous);
  if (!found.ok()) return plain_error(found.error());
  if (!base::file_exists(found->log_path)) {
    return Response::text(base::cat("failed to try resolving symlinks in path \"", found->log_path,
                                    "\": lstat ", found->log_path, ": no such file or directory"),
                          500);
  }
  const auto stop = std::make_shared<LogStop>();
  {
    std::lock_guard lock(mutex);
    if (stopping) return Response::text("the node is stopping", 503);
    following.insert(stop);
  }
  const auto running = [this, ns = path[1], pod = path[2], container = path[3], id = found->id] {
    const auto now = kubelet.find_container(ns, pod, container, false);
    return now.ok() && now->id == id && now->running;
  };
  Response response;
  response.content_type = "text/plain";
  // The body has to be there until both the engine and the reading thread are done with it.
  auto holder = std::make_shared<std::shared_ptr<http::StreamBody>>();
  const auto start = [this, stop, running, options, log_path = found->log_path, holder](http::StreamBody&) {
    logs.post([this, stop, running, options, log_path, body = *holder] {
      const std::function<bool()> is_running = running;
      const std::function<bool(std::string)> sink = [&](std::string piece) {
        return body->write_waiting(std::move(piece));
      };
      (void)read_log(log_path, options, *stop, is_running, sink);
      body->finish();
      std::lock_guard lock(mutex);
      following.erase(stop);
    });
    holder->reset();
  };
  response.stream = std::make_shared<http::StreamBody>(start, [stop] { stop->stop(); });
  *holder = response.stream;
  return response;
}

// --- Streams ------------------------------------------------------------------------------------------

Result<ContainerLocation> NodeServer::Rep::running_container(const std::vector<std::string>& path) {
  // /exec/<ns>/<pod>[/<uid>]/<container>
  auto found = kubelet.find_container(path[1], path[2], path.back(), false);
  if (!found.ok() && found.error().code() == Code::kNotFound &&
      found.error().message().rfind("pod ", 0) == 0) {
    return Status(Code::kNotFound, "pod does not exist");
  }
  if (!found.ok() || !found->running) {
    return Status(Code::kInternal, base::cat("container not found (\"", path.back(), "\")"));
  }
  return found;
}

Response NodeServer::Rep::upgrade(const Request& request, const Result<std::string>& url) {
  if (!url.ok()) return Response::text(runtime_message(url.error()), 500);
  Response response;
  response.takeover = [request, url = *url](std::shared_ptr<http::Stream> client) {
    tunnel(request, url, std::move(client));
  };
  return response;
}

Response NodeServer::Rep::exec(const Request& request, const std::vector<std::string>& path, bool attach) {
  const http::Query query = http::Query::parse(request.query);
  const Runtime::StreamRequest streams = streams_of(query);
  if (!streams.in && !streams.out && !streams.err) {
    return Response::text("you must specify at least 1 of stdin, stdout, stderr", 400);
  }
  const auto found = running_container(path);
  if (!found.ok()) return plain_error(found.error());
  if (attach) {
    Runtime::StreamRequest wanted = streams;
    wanted.tty = found->tty;
    if (wanted.tty) wanted.err = false;
    return upgrade(request, kubelet.runtime().attach_url(found->id, wanted));
  }
  std::vector<std::string> command;
  for (const auto word : query.all("command")) command.emplace_back(word);
  if (command.empty()) return Response::text("you must specify at least 1 command", 400);
  return upgrade(request, kubelet.runtime().exec_url(found->id, command, streams));
}

Response NodeServer::Rep::port_forward(const Request& request, const std::vector<std::string>& path) {
  const auto sandbox = kubelet.find_sandbox(path[1], path[2]);
  if (!sandbox.ok()) return plain_error(sandbox.error());
  std::vector<int32_t> ports;
  const http::Query query = http::Query::parse(request.query);
  for (const auto text : query.all("port")) {
    size_t at = 0;
    while (at <= text.size()) {
      const size_t end = std::min(text.find(',', at), text.size());
      const int port = std::atoi(std::string(text.substr(at, end - at)).c_str());
      if (port < 1 || port > 65535) return Response::text(base::cat("invalid port \"", text, "\""), 400);
      ports.push_back(port);
      at = end + 1;
    }
  }
  return upgrade(request, kubelet.runtime().port_forward_url(*sandbox, ports));
}

Response NodeServer::Rep::run(const Request& request, const std::vector<std::string>& path) {
  if (request.method != "POST") return Response::text("405: Method Not Allowed", 405);
  const auto found = running_container(path);
  if (!found.ok()) return plain_error(found.error());
  std::vector<std::string> command;
  const http::Query query = http::Query::parse(request.query);
  std::string word;
  for (const char c : std::string(query.get("cmd"))) {
    if (c != ' ') {
      word += c;
    } else if (!word.empty()) {
      command.push_back(std::exchange(word, {}));
    }
  }
  if (!word.empty()) command.push_back(word);
  const auto result = kubelet.runtime().exec_sync(found->id, command, std::chrono::seconds(120));
  if (!result.ok()) return Response::text(runtime_message(result.error()), 500);
  return Response::text(result->out + result->err, result->exit_code == 0 ? 200 : 500);
}

// --- Statistics -----------------------------------------------------------------------------------------

UsageReport NodeServer::Rep::usage() {
  UsageReport out;
  out.now = clock.now();
  out.boot = boot_time(out.now);
  out.node = kubelet.node_usage();
  out.pods = kubelet.pod_usage();
  if (auto stats = kubelet.runtime().list_stats(); stats.ok()) out.containers = std::move(*stats);
  if (const auto containers = kubelet.runtime().list_containers(); containers.ok()) {
    for (const ContainerStatus& c : *containers) {
      out.names[c.id] = {std::string(label_of(c.labels, label::kPodNamespace)),
                         std::string(label_of(c.labels, label::kPodName)), c.name};
    }
  }
  return out;
}

// --- NodeServer -----------------------------------------------------------------------------------------

Result<std::unique_ptr<NodeServer>> NodeServer::start(NodeServerOptions options, Kubelet& kubelet,
                                                      base::Metrics& metrics, const base::Clock& clock) {
  auto rep = std::make_unique<Rep>(std::move(options.allowed_users), kubelet, metrics, clock);
  Rep* raw = rep.get();
  auto server =
      http::Server::listen(std::move(options.http), [raw](Request& request) { return raw->handle(request); });
  if (!server.ok()) return server.error();
  rep->server = std::move(*server);
  return std::unique_ptr<NodeServer>(new NodeServer(std::move(rep)));
}

NodeServer::NodeServer(std::unique_ptr<Rep> rep) : rep_(std::move(rep)) {}

NodeServer::~NodeServer() { stop(std::chrono::milliseconds(0)); }

uint16_t NodeServer::port() const { return rep_->server->port(); }

Status NodeServer::reload(const http::TlsConfig& config) { return rep_->server->reload(config); }

void NodeServer::stop(std::chrono::milliseconds grace) {
  {
    std::lock_guard lock(rep_->mutex);
    rep_->stopping = true;
    for (const auto& follower : rep_->following) follower->stop();
  }
  rep_->server->stop(grace);
  rep_->logs.drain();
}

}  // namespace orch::agent
