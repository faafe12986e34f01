// Giving memory back after a burst of connections. A TLS handshake takes 45 KB while it lasts; a thousand at
// once (clients that come back to a restarted server) leave a heap full of holes, which glibc keeps.
#pragma once

#include <cstddef>
#include <cstdint>

#include "http/poller.h"

namespace orch::http {

class Engine;

/// When it is worth it: pure. Times are a poller's milliseconds.
class TrimPolicy {
 public:
  static constexpr size_t kWorthwhile = 256;
  static constexpr int64_t kPeriod = 2000, kAtLatest = 30'000;

  /// A connection came or went. When to look() for the first time; 0: that is settled already, or not yet
  /// due.
  int64_t note(int64_t now);
  struct Look {
    bool trim = false;
    int64_t again = 0;  // when to look next, if it is still busy; or 0
  };
  /// Trims once little has happened for a period, or it was busy for too long.
  Look look(int64_t now);

 private:
  size_t events_ = 0;  // since the last trim
  size_t recent_ = 0;  // since the last look
  int64_t since_ = 0;  // when it became worthwhile; 0: not yet
};

/// Belongs to the engine's loop; the trimming is done by a worker.
class HeapTrim final : public Pollable {
 public:
  explicit HeapTrim(Engine& engine) : engine_(engine) {}
  /// A connection came or went. The loop's thread.
  void note();

  void on_events(uint32_t /*events*/) override {}
  void on_deadline() override;

 private:
  Engine& engine_;
  TrimPolicy policy_;
};

}  // namespace orch::http
