#include "client/nodes.h"

#include <chrono>
#include <cstdio>
#include <ctime>
#include <thread>

#include "http/dial.h"

namespace orch::bench {

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

std::string usual_pod(size_t i) {
  return base::cat(R"({"apiVersion":"v1","kind":"Pod","metadata":{"name":"pod-)", i,
                   R"(","labels":{"app":"app-)", i % 30,
                   R"("}},"spec":{"containers":[{"name":"c","image":"registry.k8s.io/pause:3.10.1",)"
                   R"("resources":{"requests":{"cpu":"100m","memory":"128Mi"}}}]}})");
}

void create(const Target& target, const std::string& path, size_t count, size_t connections,
            const std::function<std::string(size_t)>& body) {
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

void create_nodes(const Target& target, size_t nodes) {
  create(target, "/api/v1/nodes", nodes, 8, node);
  wait_ready(target, nodes);
  create(target, "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases", nodes, 8, lease);
}

}  // namespace orch::bench
