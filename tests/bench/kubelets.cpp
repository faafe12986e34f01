// Plays the kubelets of many simulated nodes against a real API server: registers the nodes, renews their
// leases, reports the pods that are bound to them as running, ends those that are to end (restart policy
// Never or OnFailure) with success, and lets go of those that are deleted. No container is ever started.
//
//   bench_kubelets --server 127.0.0.1:6443 --nodes 1000
//
// --threads N that write (16)  --certificate FILE --key FILE or --token TEXT
//
// Prints a line {"ready":NODES} when the nodes are there, goes on until its standard input ends, and then
// prints what it did.
#include <atomic>
#include <cstdio>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_map>

#include "api/object.h"
#include "base/json.h"
#include "base/threads.h"
#include "base/timer.h"
#include "client/informer.h"
#include "client/nodes.h"
#include "client/remote.h"

namespace {

using namespace orch;
using namespace orch::bench;

constexpr std::chrono::seconds kRenewEvery{10};  // as kubelets do
constexpr std::chrono::milliseconds kTryAgain{500};
const client::ResourceRef kPods{"", "v1", "pods"};

/// What a kubelet reports of a pod whose containers run, or have ended well.
Json status_of(const Json& pod, bool ended, const std::string& ip) {
  const std::string now = timestamp() + "Z";
  const std::string started = std::string(base::string_at(pod, {"status", "startTime"}, now));
  Json statuses = Json::array();
  for (const Json& container : base::array_at(pod, {"spec", "containers"})) {
    const Json state = ended ? Json{{"terminated",
                                     {{"exitCode", 0},
                                      {"reason", "Completed"},
                                      {"startedAt", started},
                                      {"finishedAt", now},
                                      {"containerID", "sim://1"}}}}
                             : Json{{"running", {{"startedAt", now}}}};
    statuses.push_back({{"name", container.at("name")},
                        {"image", container.at("image")},
                        {"imageID", "sim"},
                        {"containerID", "sim://1"},
                        {"ready", !ended},
                        {"started", !ended},
                        {"restartCount", 0},
                        {"state", state}});
  }
  Json conditions = Json::array();
  for (const char* type :
       {"PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"}) {
    const bool down =
        ended && type != std::string_view("Initialized") && type != std::string_view("PodScheduled");
    Json condition{{"type", type}, {"status", down ? "False" : "True"}, {"lastTransitionTime", now}};
    if (down) condition["reason"] = "PodCompleted";
    conditions.push_back(std::move(condition));
  }
  return {{"status",
           {{"phase", ended ? "Succeeded" : "Running"},
            {"startTime", started},
            {"podIP", ip},
            {"podIPs", Json::array({{{"ip", ip}}})},
            {"hostIP", "10.99.0.1"},
            {"hostIPs", Json::array({{{"ip", "10.99.0.1"}}})},
            {"conditions", std::move(conditions)},
            {"containerStatuses", std::move(statuses)}}}};
}

class Kubelets {
 public:
  Kubelets(client::Client& client, base::Timers& timers, size_t threads)
      : client_(client),
        timers_(timers),
        pool_("kubelets", threads),
        pods_(client::make_informer(client, timers, kPods)) {
    pods_->on_change([this](const api::ObjectPtr&, const api::ObjectPtr& after) {
      if (after) post(base::cat(after->ns(), "/", after->name()));
    });
  }
  ~Kubelets() {
    pods_->stop();
    pool_.drain();
  }

  void start() { pods_->start(); }
  void report() const {
    std::printf("{\"running\":%zu,\"ended\":%zu,\"removed\":%zu,\"renewed\":%zu,\"failed\":%zu}\n",
                running_.load(), ended_.load(), removed_.load(), renewed_.load(), failed_.load());
  }

  /// One after the other, all within kRenewEvery, until `stop`.
  void renew(size_t nodes, const std::atomic<bool>& stop) {
    for (size_t i = 0; !stop; i = (i + 1) % nodes) {
      std::this_thread::sleep_for(kRenewEvery / static_cast<double>(nodes));
      pool_.post([this, i] {
        const Json change{{"spec", {{"renewTime", timestamp() + ".000000Z"}}}};
        count(client_
                  .patch({"coordination.k8s.io", "v1", "leases"}, "kube-node-lease", base::cat("sim-", i),
                         client::PatchType::kMerge, change)
                  .status(),
              renewed_);
      });
    }
  }

 private:
  enum class State : uint8_t { kQueued, kRuns, kRunsAndAgain };

  /// A pod is worked on by one thread at a time; what happens meanwhile is looked at afterwards.
  void post(const std::string& key) {
    {
      std::lock_guard lock(mutex_);
      auto [it, added] = states_.emplace(key, State::kQueued);
      if (!added) {
        if (it->second == State::kRuns) it->second = State::kRunsAndAgain;
        return;
      }
    }
    pool_.post([this, key] { run(key); });
  }

  void run(const std::string& key) {
    {
      std::lock_guard lock(mutex_);
      states_[key] = State::kRuns;
    }
    const size_t slash = key.find('/');
    const auto pod = pods_->get(key.substr(0, slash), key.substr(slash + 1));
    // The server may be away for a while.
    if (pod && !act(*pod)) timers_.after(kTryAgain, [this, key] { post(key); });
    {
      std::lock_guard lock(mutex_);
      const bool again = states_[key] == State::kRunsAndAgain;
      if (!again) {
        states_.erase(key);
        return;
      }
      states_[key] = State::kQueued;
    }
    pool_.post([this, key] { run(key); });
  }

  /// False if it has to be tried again.
  bool act(const api::Object& object) {
    const Json pod = object.tree();
    if (base::string_at(pod, {"spec", "nodeName"}).substr(0, 4) != "sim-") return true;
    if (base::find_path(pod, {"metadata", "deletionTimestamp"}) != nullptr) {
      client::DeleteOptions now;
      now.grace_seconds = 0;
      now.uid = base::string_at(pod, {"metadata", "uid"});
      return count(client_.remove(kPods, object.ns(), object.name(), now), removed_);
    }
    const std::string_view phase = base::string_at(pod, {"status", "phase"});
    const bool ends = base::string_at(pod, {"spec", "restartPolicy"}) != "Always";
    if (phase != "Pending" && !(phase == "Running" && ends)) return true;
    const size_t number = ++addresses_;
    const std::string ip =
        base::cat("10.", 100 + number / 62500 % 100, ".", number / 250 % 250, ".", number % 250 + 1);
    const bool end = phase == "Running";
    return count(client_
                     .patch(kPods, object.ns(), object.name(), client::PatchType::kMerge,
                            status_of(pod, end, ip), "status")
                     .status(),
                 end ? ended_ : running_);
  }

  bool count(const base::Status& status, std::atomic<size_t>& good) {
    if (status.ok()) {
      ++good;
      return true;
    }
    // Others delete pods too, and who was faster does not matter.
    if (status.code() == base::Code::kNotFound || status.code() == base::Code::kConflict) return true;
    if (++failed_ <= 5) std::fprintf(stderr, "bench: %s\n", status.message().c_str());
    return false;
  }

  client::Client& client_;
  base::Timers& timers_;
  std::mutex mutex_;
  std::unordered_map<std::string, State> states_;  // under mutex_
  std::atomic<size_t> addresses_{0}, running_{0}, ended_{0}, removed_{0}, renewed_{0}, failed_{0};
  base::ThreadPool pool_;
  std::unique_ptr<client::Informer> pods_;
};

}  // namespace

int main(int argc, char** argv) {
  const Options options = Options::parse(argc, argv);
  const Target target = Target::from(options);
  const size_t nodes = options.number("--nodes", 1000);
  const auto client = remote_client(target, "kubelet");
  const auto timers = base::make_timers();
  create_nodes(target, nodes);
  Kubelets kubelets(*client, *timers, options.number("--threads", 16));
  kubelets.start();
  std::atomic<bool> stop{false};
  std::thread renewal([&] { kubelets.renew(nodes, stop); });
  std::printf("{\"ready\":%zu}\n", nodes);
  std::fflush(stdout);
  while (std::getchar() != EOF) {
  }
  stop = true;
  renewal.join();
  kubelets.report();
  return 0;
}
