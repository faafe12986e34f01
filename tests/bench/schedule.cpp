// Simulated nodes, and pods from create until bound. Prints one JSON line.
//
//   bench_schedule --server 127.0.0.1:6443 --nodes 1000 --pods 3000
//
// --body FILE  a pod, in which each {} is a number and whose name is "pod-{}"; else one of a usual size
// --connections N that create (32)  --namespace NAME (default)  --timeout SECONDS (120)
// --certificate FILE --key FILE or --token TEXT
#include <algorithm>
#include <atomic>
#include <cstdio>
#include <future>
#include <set>
#include <string>
#include <thread>

#include "base/file.h"
#include "client/nodes.h"

namespace {

using namespace orch;
using namespace orch::bench;

std::function<std::string(size_t)> pod(const Options& options) {
  if (!options.has("--body")) return usual_pod;
  const auto body = base::read_file(options.text("--body"));
  if (!body.ok()) die(body.error().message());
  return [text = Template(*body)](size_t i) { return text.with(i); };
}

}  // namespace

int main(int argc, char** argv) {
  const Options options = Options::parse(argc, argv);
  const Target target = Target::from(options);
  const size_t nodes = options.number("--nodes", 1000), pods = options.number("--pods", 3000);
  const std::string path = base::cat("/api/v1/namespaces/", options.text("--namespace", "default"), "/pods");
  if (nodes > 0) create_nodes(target, nodes);

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
  create(target, path, pods, options.number("--connections", 32), pod(options));
  const double created = std::chrono::duration<double>(Clock::now() - begin).count();
  const auto limit = begin + std::chrono::seconds(options.number("--timeout", 120));
  while (bound < pods && Clock::now() < limit) std::this_thread::sleep_for(std::chrono::milliseconds(100));
  if (bound < pods) die(base::cat("in time only ", bound.load(), " of ", pods, " pods were bound"));
  watcher.join();
  const double seconds = std::chrono::duration<double>(bound_at - begin).count();
  std::printf(
      "{\"bench\":\"schedule\",\"nodes\":%zu,\"pods\":%zu,\"created_seconds\":%.3f,\"bound_seconds\":%.3f,"
      "\"pods_per_second\":%.0f,\"client_cpu_seconds\":%.2f}\n",
      nodes, pods, created, seconds, static_cast<double>(pods) / seconds, cpu_seconds());
  return 0;
}
