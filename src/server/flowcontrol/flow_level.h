// One priority level at work, and the tickets of its requests; for flow_control.cpp and flow_dump.cpp alone.
#pragma once

#include <atomic>
#include <map>
#include <mutex>
#include <set>
#include <shared_mutex>

#include "server/flowcontrol/flow_control.h"
#include "server/flowcontrol/seats.h"

namespace orch::server {

class Ticket;

/// What is told of a level's requests of one schema.
struct FlowSeries {
  FlowSeries(base::Metrics& metrics, const std::string& level, const std::string& schema);
  base::Counter *dispatched, *full, *too_many, *timed_out, *no_room;
  base::Gauge *waiting, *seats_waiting, *running, *seats, *seats_again;
  base::Histogram *waited_run, *waited_refused, *took, *watch_took;
};

/// Threads meet at the atomics when there is room, and at the mutex when there is not.
class Level {
 public:
  Level(LevelConfig config, base::MonoTime now, base::Metrics& metrics);

  /// How many seats may be in use: for patient ones not the last quarter, where they can wait instead.
  int64_t most_for(bool patient) const;
  /// Takes seats if there are as many; one wider than those gets them for itself.
  bool take(int64_t seats, bool patient);
  /// Somebody came, went or gave seats back. Skipped when another thread does the same just now.
  void measure(base::MonoTime now);

  std::atomic<int64_t> in_use{0}, limit{0}, waiting{0}, seats_waiting{0}, executing{0}, widest{0};
  std::atomic<int64_t> impatient{0};  // of those waiting
  std::atomic<int64_t> dispatched{0}, rejected{0}, timed_out{0}, cancelled{0};
  std::atomic<bool> exempt{false}, quiescing{false};
  std::atomic<bool> spares{false};  // it has queues

  mutable std::mutex mutex;
  LevelConfig config;       // under mutex
  FairQueues queues;        // under mutex
  std::set<Ticket*> known;  // under mutex: those that wait or went through a queue
  RetryAfter retry;         // under mutex

  std::mutex meter_mutex;
  DemandMeter meter;  // under meter_mutex

  // Under the control's mutex:
  SeatDemand demand;
  SeatLimits limits;
  base::Gauge *nominal, *least, *most, *current, *highest, *nominal_again;
};

/// A decision to tell, once no lock is held.
struct Decided {
  std::shared_ptr<Ticket> ticket;
  std::function<void()> ready;
};

struct SchemaAtWork {
  FlowSchema schema;
  std::string level_uid;
  std::shared_ptr<Level> level;
  std::shared_ptr<FlowSeries> series;
};
using SchemasAtWork = std::shared_ptr<const std::vector<SchemaAtWork>>;

struct FlowControl::Rep : std::enable_shared_from_this<FlowControl::Rep> {
  explicit Rep(FlowControlOptions given) : options(given) {}

  SchemasAtWork schemas() const;
  std::map<std::string, std::shared_ptr<Level>> levels() const;
  void configure(std::vector<LevelConfig> configs, std::vector<FlowSchema> given);
  /// With `mutex` held; what it gives is told afterwards.
  std::vector<Decided> share_out(base::MonoTime now, bool tick);
  void arm();
  void tick();
  /// Begins whoever can; with the level's mutex held.
  void dispatch(Level& level, base::MonoTime now, std::vector<Decided>& decided) const;
  static void tell(const std::vector<Decided>& decided);
  /// It waited too long, or everything ends.
  void give_up(const std::shared_ptr<Ticket>& ticket, bool timed_out) const;
  void release(Ticket& ticket) const;

  const FlowControlOptions options;
  WatchCounts watches;
  std::atomic<bool> armed{false}, stopped{false};
  std::atomic<base::Timers::Id> timer{0};
  mutable std::shared_mutex mutex;
  std::map<std::string, std::shared_ptr<Level>> all;  // under mutex
  SchemasAtWork by_precedence;                        // under mutex
};

class Ticket final : public FlowTicket,
                     public FairQueues::Entry,
                     public std::enable_shared_from_this<Ticket> {
 public:
  Ticket(std::shared_ptr<const FlowControl::Rep> control, std::shared_ptr<const SchemaAtWork> at,
         base::MonoTime now);
  ~Ticket() override { finish(); }
  State state() const override { return state_.load(std::memory_order_acquire); }
  const std::string& schema_uid() const override { return at_->schema.uid; }
  const std::string& level_uid() const override { return at_->level_uid; }
  int64_t retry_after() const override { return retry_after_; }
  void when_decided(std::function<void()> ready) override;
  void finish() override;

  std::shared_ptr<const FlowControl::Rep> control_;
  std::shared_ptr<const SchemaAtWork> at_;
  Level& level_;
  FlowSeries& series_;
  std::string flow_;
  FlowControl::Details details_;
  base::MonoTime came_, started_{};
  base::WallTime arrived_{}, run_{};
  std::atomic<State> state_{State::kRefused};
  std::atomic<bool> finished_{false};
  bool queued_ = false, watch_ = false, patient_ = false;
  int64_t retry_after_ = 1;
  base::Timers::Id timer_ = 0;    // under the level's mutex
  std::shared_ptr<Ticket> self_;  // under the level's mutex: while it waits
  std::function<void()> ready_;   // under the level's mutex
};

}  // namespace orch::server
