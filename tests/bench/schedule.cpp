// Simulated nodes, and pods from create until bound. Prints one JSON line.
//
//   bench_schedule --server 127.0.0.1:6443 --nodes 1000 --pods 3000
//
// --connections N that create (32)  --namespace NAME (default)
// --certificate FILE --key FILE or --token TEXT
#include <ctime>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <future>
#include <set>
#include <string>
#include <thread>

#include "client/load.h"
#include "http/dial.h"

namespace {

using namespace orch;
using namespace orch::bench;

std::string timestamp() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  gmtime_r(&now, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
  return text;
}

/// A machine of a usual size that reports to be ready.
std::string node(size_t i) {
  const std::string name = base::cat("sim-", i);
  const std::string size = R"({"cpu":"32","memory":"256Gi","ephemeral-storage":"100Gi","pods":"110"})";
  std::string conditions;
  const auto condition = [&](const char* type, const char* status, const char* reason) {
    conditions += base::cat(conditions.empty() ? "" : ",", R"({"type":")", type, R"(","status":")", status,
                            R"(","reason":")", reason, R"(","message":"simulated","lastHeartbeatTime":")",
                            timestamp(), R"(Z","lastTransitionTime":")", timestamp(), "Z\"}");
  };
  condition("MemoryPressure", "False", "KubeletHasSufficientMemory");
  condition("DiskPressure", "False", "KubeletHasNoDiskPressure");
  condition("PIDPressure", "False", "KubeletHasSufficientPID");
  condition("Ready", "True", "KubeletReady");
  return base::cat(
      R"({"apiVersion":"v1","kind":"Node","metadata":{"name":")", name,
      R"(","labels":{"kubernetes.io/hostname":")", name,
      R"(","kubernetes.io/os":"linux","kubernetes.io/arch":"amd64","topology.kubernetes.io/zone":"z)", i % 3,
      R"("}},"status":{"capacity":)", size, R"(,"allocatable":)", size,
      R"(,"addresses":[{"type":"InternalIP","address":"10.99.)", i / 250, ".", i % 250 + 1,
      R"("},{"type":"Hostname","address":")", name, R"("}],"conditions":[)", conditions, "]}}");
}

std::string lease(size_t i) {
  return base::cat(R"({"apiVersion":"coordination.k8s.io/v1","kind":"Lease","metadata":{"name":"sim-)", i,
                   R"(","namespace":"kube-node-lease"},"spec":{"holderIdentity":"sim-)", i,
                   R"(","leaseDurationSeconds":40,"renewTime":")", timestamp(), ".000000Z\"}}");
}

std::string pod(size_t i) {
  return base::cat(R"({"apiVersion":"v1","kind":"Pod","metadata":{"name":"pod-)", i,
                   R"(","labels":{"app":"app-)", i % 30,
                   R"("}},"spec":{"containers":[{"name":"c","image":"registry.k8s.io/pause:3.10.1",)"
                   R"("resources":{"requests":{"cpu":"100m","memory":"128Mi"}}}]}})");
}

void create(const Target& target, const std::string& path, size_t count, size_t connections,
            std::string (*body)(size_t)) {
  if (count == 0) return;
  size_t i = 0;
  LoadPlan plan;
  plan.connections = connections;
  plan.requests = count;
  plan.next = [&] { return target.request("POST", path, body(i++)); };
  const Figures figures = run_load(target, plan);
  if (figures.errors > 0) die(base::cat(figures.errors, " creates failed in ", path));
}

/// What a list or watch answers, line by line. False when `take` had enough.
bool follow(const Target& target, const std::string& path,
            const std::function<bool(std::string_view line)>& take) {
  http::ClientRequest request;
  request.target = path;
  request.headers = {{"Accept", "application/json"}};
  if (!target.token.empty()) request.headers.emplace_back("Authorization", "Bearer " + target.token);
  auto exchange = http::ClientExchange::start(target.dial(), request, std::chrono::seconds(10));
  if (!exchange.ok()) die(exchange.error().message());
  std::string bytes(1U << 16, 0), rest;
  while (true) {
    const long n = (*exchange)->read(bytes.data(), bytes.size());
    if (n <= 0) {
      if (n < 0) std::fprintf(stderr, "bench: %s broke off\n", path.c_str());
      return rest.empty() || take(rest);
    }
    rest.append(bytes, 0, static_cast<size_t>(n));
    size_t begin = 0;
    for (size_t end = rest.find('\n'); end != std::string::npos; end = rest.find('\n', begin)) {
      if (!take(std::string_view(rest).substr(begin, end - begin))) return false;
      begin = end + 1;
    }
    rest.erase(0, begin);
  }
}

/// Until no simulated node carries a taint: the node controller has seen that they are ready.
void wait_ready(const Target& target, size_t nodes) {
  const auto deadline = Clock::now() + std::chrono::minutes(3);
  while (Clock::now() < deadline) {
    size_t tainted = 0, seen = 0;
    follow(target, "/api/v1/nodes", [&](std::string_view text) {
      for (size_t at = text.find("\"name\":\"sim-"); at != std::string_view::npos;
           at = text.find("\"name\":\"sim-", at + 1)) {
        ++seen;
      }
      for (size_t at = text.find("\"taints\":["); at != std::string_view::npos;
           at = text.find("\"taints\":[", at + 1)) {
        ++tainted;
      }
      return true;
    });
    if (tainted == 0 && seen >= nodes) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(500));
  }
  die("the simulated nodes did not become ready");
}

}  // namespace

int main(int argc, char** argv) {
  const Options options = Options::parse(argc, argv);
  const Target target = Target::from(options);
  const size_t nodes = options.number("--nodes", 1000), pods = options.number("--pods", 3000);
  const std::string path = base::cat("/api/v1/namespaces/", options.text("--namespace", "default"), "/pods");
  create(target, "/api/v1/nodes", nodes, 8, node);
  wait_ready(target, nodes);
  // A node without a renewed lease is given up after 50 seconds.
  create(target, "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases", nodes, 8, lease);

  std::promise<void> watching;
  Clock::time_point bound_at;
  std::atomic<size_t> bound{0};
  std::thread watcher([&] {
    std::set<std::string, std::less<>> names;
    watching.set_value();
    const auto take = [&](std::string_view line) {
      const std::string_view mark = "\"name\":\"pod-";
      const size_t at = line.find(mark);
      if (at == std::string_view::npos || line.find("\"nodeName\":\"") == std::string_view::npos) return true;
      const size_t from = at + mark.size();
      names.emplace(line.substr(from, line.find('"', from) - from));
      bound = names.size();
      if (names.size() < pods) return true;
      bound_at = Clock::now();
      return false;
    };
    // A server may end a watch at any time; a new one begins with what there is.
    while (follow(target, path + "?watch=1", take)) {
    }
  });
  watching.get_future().wait();
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  const auto begin = Clock::now();
  create(target, path, pods, options.number("--connections", 32), pod);
  const double created = std::chrono::duration<double>(Clock::now() - begin).count();
  for (int i = 0; i < 1200 && bound < pods; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(100));
  if (bound < pods) die(base::cat("after two minutes only ", bound.load(), " of ", pods, " pods are bound"));
  watcher.join();
  const double seconds = std::chrono::duration<double>(bound_at - begin).count();
  std::printf(
      "{\"bench\":\"schedule\",\"nodes\":%zu,\"pods\":%zu,\"created_seconds\":%.3f,\"bound_seconds\":%.3f,"
      "\"pods_per_second\":%.0f,\"client_cpu_seconds\":%.2f}\n",
      nodes, pods, created, seconds, static_cast<double>(pods) / seconds, cpu_seconds());
  return 0;
}
