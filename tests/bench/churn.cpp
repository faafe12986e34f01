// Pods that come and go at a rate: the oldest is deleted, a new one is created. Prints one JSON line with how
// long the requests took.
//
//   bench_churn --server 127.0.0.1:6443 --pods 50000 --rate 500 --seconds 60
//
// --pods N: pod-0 to pod-(N-1) are there; pod-N is the first that is made
// --namespace NAME (default)  --threads N that write (16)
// --certificate FILE --key FILE or --token TEXT
#include <algorithm>
#include <cstdio>
#include <mutex>
#include <thread>

#include "base/json.h"
#include "base/threads.h"
#include "client/nodes.h"
#include "client/remote.h"

namespace {

using namespace orch;
using namespace orch::bench;

class Churn {
 public:
  Churn(const Target& target, std::string ns, size_t threads)
      : client_(remote_client(target, "churn")), ns_(std::move(ns)), pool_("churn", threads) {}
  ~Churn() { pool_.drain(); }

  void replace(size_t old_number, size_t new_number) {
    pool_.post([this, old_number, new_number] {
      timed([&] { return client_->remove(kPods, ns_, base::cat("pod-", old_number)); });
      timed([&] { return client_->create(kPods, ns_, *base::parse_json(usual_pod(new_number))).status(); });
    });
  }

  /// After all that was begun.
  void report(double seconds) {
    pool_.drain();
    std::sort(micros_.begin(), micros_.end());
    std::printf(
        "{\"bench\":\"churn\",\"requests\":%zu,\"errors\":%zu,\"per_second\":%.1f,\"p50_ms\":%.3f,\"p99_ms\":"
        "%.3f,"
        "\"max_ms\":%.3f}\n",
        micros_.size(), failed_, static_cast<double>(micros_.size()) / seconds, percentile_ms(micros_, 0.5),
        percentile_ms(micros_, 0.99), percentile_ms(micros_, 1));
  }

 private:
  void timed(const std::function<base::Status()>& request) {
    const auto begin = Clock::now();
    const base::Status status = request();
    const auto taken = std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - begin).count();
    const std::lock_guard lock(mutex_);
    micros_.push_back(static_cast<uint32_t>(taken));
    if (!status.ok() && ++failed_ <= 5) std::fprintf(stderr, "bench: %s\n", status.message().c_str());
  }

  const client::ResourceRef kPods{"", "v1", "pods"};
  std::unique_ptr<client::RemoteClient> client_;
  const std::string ns_;
  std::mutex mutex_;
  std::vector<uint32_t> micros_;  // under mutex_
  size_t failed_ = 0;             // under mutex_
  base::ThreadPool pool_;
};

}  // namespace

int main(int argc, char** argv) {
  const Options options = Options::parse(argc, argv);
  const size_t pods = options.number("--pods", 1000), rate = options.number("--rate", 10);
  const size_t rounds = rate * options.number("--seconds", 60);
  Churn churn(Target::from(options), options.text("--namespace", "default"), options.number("--threads", 16));
  const auto begin = Clock::now();
  for (size_t i = 0; i < rounds; ++i) {
    std::this_thread::sleep_until(begin + std::chrono::microseconds(1'000'000 * i / rate));
    churn.replace(i, pods + i);
  }
  churn.report(std::chrono::duration<double>(Clock::now() - begin).count());
  return 0;
}
