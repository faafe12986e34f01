// Durable writes of the SQLite store: 1 and 64 writers of 500-byte values, each waiting for its answer.
//   bench_store [FOLDER] [SECONDS]
// One JSON line per run: writes per second and latency percentiles in microseconds. The folder must be on the
// disk to be measured.
#include <stdlib.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <string>
#include <thread>
#include <vector>

#include "base/file.h"
#include "datastore/sqlite/sqlite_store.h"

namespace {

using orch::base::cat;
using orch::datastore::Outcome;
using orch::datastore::Store;
using orch::datastore::Write;
using Clock = std::chrono::steady_clock;

// Every fourth write makes a new key, the others change one.
void write_until(Store& store, int writer, Clock::time_point end, std::vector<double>& micros) {
  for (int i = 0; Clock::now() < end; ++i) {
    Write write;
    write.key = cat("/registry/configmaps/default/bench-", writer, "-", i % 4 == 0 ? i : i % 1000 / 4 * 4);
    write.value = std::string(500, static_cast<char>('a' + i % 26));
    const auto begin = Clock::now();
    if (store.write_sync(std::move(write)).outcome != Outcome::kOk) return;
    micros.push_back(std::chrono::duration<double, std::micro>(Clock::now() - begin).count());
  }
}

bool measure(const std::string& folder, int writers, int seconds) {
  orch::datastore::SqliteOptions options;
  options.path = cat(folder, "/store-", writers, ".db");
  options.history = std::chrono::seconds(2);  // so that compaction is part of what is measured
  auto store = orch::datastore::open_sqlite(options);
  if (!store.ok()) {
    std::fprintf(stderr, "%s\n", store.error().message().c_str());
    return false;
  }
  std::vector<std::vector<double>> micros(static_cast<size_t>(writers));
  std::vector<std::thread> threads;
  const auto end = Clock::now() + std::chrono::seconds(seconds);
  for (int w = 0; w < writers; ++w) {
    threads.emplace_back([&, w] { write_until(**store, w, end, micros[static_cast<size_t>(w)]); });
  }
  for (std::thread& t : threads) t.join();
  std::vector<double> all;
  for (const auto& m : micros) all.insert(all.end(), m.begin(), m.end());
  std::sort(all.begin(), all.end());
  if (all.empty()) return false;
  const auto at = [&](double share) {
    return all[static_cast<size_t>(share * static_cast<double>(all.size() - 1))];
  };
  std::printf(
      "{\"bench\":\"store\",\"writers\":%d,\"value_bytes\":500,\"writes\":%zu,\"per_second\":%.0f,\"p50_us\":"
      "%.0f,"
      "\"p99_us\":%.0f,\"max_us\":%.0f,\"disk_bytes\":%lld}\n",
      writers, all.size(), static_cast<double>(all.size()) / seconds, at(0.5), at(0.99), all.back(),
      static_cast<long long>((*store)->size()));
  std::fflush(stdout);
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  std::string folder = (argc > 1 ? std::string(argv[1]) : "/var/tmp") + "/orch-bench-XXXXXX";
  const int seconds = argc > 2 ? std::max(1, std::atoi(argv[2])) : 5;
  if (::mkdtemp(folder.data()) == nullptr) {
    std::perror(folder.c_str());
    return 1;
  }
  const bool done = measure(folder, 1, seconds) && measure(folder, 64, seconds);
  (void)orch::base::remove_all(folder);
  return done ? 0 : 1;
}
