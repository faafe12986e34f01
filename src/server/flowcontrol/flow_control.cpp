#include "server/flowcontrol/flow_control.h"

#include <algorithm>

#include "base/log.h"
#include "server/flowcontrol/flow_level.h"

namespace orch::server {

FlowSeries::FlowSeries(base::Metrics& metrics, const std::string& level, const std::string& schema) {
  const auto labels = [&](base::MetricLabels more = {}) {
    base::MetricLabels out = {{"flow_schema", schema}, {"priority_level", level}};
    out.insert(out.end(), more.begin(), more.end());
    std::sort(out.begin(), out.end());
    return out;
  };
  const auto counter = [&](const char* name, const char* help, base::MetricLabels more = {}) {
    return &metrics.counter(base::cat("apiserver_flowcontrol_", name), help, labels(std::move(more)));
  };
  const auto gauge = [&](const char* name, const char* help) {
    return &metrics.gauge(base::cat("apiserver_flowcontrol_", name), help, labels());
  };
  const auto histogram = [&](const char* name, const char* help, base::MetricLabels more) {
    return &metrics.histogram(base::cat("apiserver_flowcontrol_", name), help, labels(std::move(more)));
  };
  constexpr const char *kRejected = "rejected_requests_total",
                       *kRefused = "Requests that were refused, by why.";
  constexpr const char *kWait = "request_wait_duration_seconds",
                       *kWaited = "Seconds from arrival to a decision.";
  constexpr const char *kTook = "request_execution_seconds",
                       *kRan = "Seconds a request (or the beginning of a watch) ran.";
  dispatched = counter("dispatched_requests_total", "Requests that ran.");
  full = counter(kRejected, kRefused, {{"reason", "queue-full"}});
  too_many = counter(kRejected, kRefused, {{"reason", "concurrency-limit"}});
  timed_out = counter(kRejected, kRefused, {{"reason", "time-out"}});
  no_room = counter("request_dispatch_no_accommodation_total",
                    "How often the next request had to wait on because its seats were not free.");
  waiting = gauge("current_inqueue_requests", "Requests that wait.");
  seats_waiting = gauge("current_inqueue_seats", "Seats that requests wait for.");
  running = gauge("current_executing_requests", "Requests that run.");
  seats = gauge("current_executing_seats", "Seats that requests hold.");
  seats_again = gauge("request_concurrency_in_use", "Seats that requests hold.");
  waited_run = histogram(kWait, kWaited, {{"execute", "true"}});
  waited_refused = histogram(kWait, kWaited, {{"execute", "false"}});
  took = histogram(kTook, kRan, {{"type", "regular"}});
  watch_took = histogram(kTook, kRan, {{"type", "watch"}});
}

Level::Level(LevelConfig given, base::MonoTime now, base::Metrics& metrics)
    : config(std::move(given)), meter(now) {
  const auto gauge = [&](const char* name, const char* help) {
    return &metrics.gauge(base::cat("apiserver_flowcontrol_", name), help, {{"priority_level", config.name}});
  };
  nominal = gauge("nominal_limit_seats", "Seats by the level's share.");
  nominal_again = gauge("request_concurrency_limit", "Seats by the level's share.");
  least = gauge("lower_limit_seats", "Seats that others may not borrow.");
  most = gauge("upper_limit_seats", "Seats it may have with what it borrows.");
  current = gauge("current_limit_seats", "Seats it has now.");
  highest = gauge("demand_seats_high_watermark", "Most seats asked for in the last period.");
}

int64_t Level::most_for(bool patient) const {
  constexpr int64_t kSpared = 4;  // one in so many
  const int64_t all = limit.load();
  return patient && spares.load(std::memory_order_relaxed) ? all - all / kSpared : all;
}

bool Level::take(int64_t seats, bool patient) {
  int64_t now = in_use.load();
  while (true) {
    const int64_t most_now = most_for(patient);
    if (!exempt.load(std::memory_order_relaxed) && (seats > most_now ? now != 0 : now + seats > most_now))
      return false;
    if (in_use.compare_exchange_weak(now, now + seats)) return true;
  }
}

void Level::measure(base::MonoTime now) {
  std::unique_lock lock(meter_mutex, std::try_to_lock);
  if (lock.owns_lock()) meter.set(now, in_use.load() + seats_waiting.load());
}

// --- Tickets

Ticket::Ticket(std::shared_ptr<const FlowControl::Rep> control, std::shared_ptr<const SchemaAtWork> at,
               base::MonoTime now)
    : control_(std::move(control)),
      at_(std::move(at)),
      level_(*at_->level),
      series_(*at_->series),
      came_(now) {}

void Ticket::when_decided(std::function<void()> ready) {
  {
    const std::lock_guard lock(level_.mutex);
    if (state_ == State::kWaiting) {
      ready_ = std::move(ready);
      return;
    }
  }
  ready();
}

void Ticket::finish() {
  // One that waits is in its queue still; should nobody want it, it ends when its turn has come.
  if (state_ != State::kRunning || finished_.exchange(true)) return;
  const base::MonoTime now = control_->options.clock->mono();
  (watch_ ? series_.watch_took : series_.took)
      ->observe(std::chrono::duration<double>(now - started_).count());
  series_.running->add(-1);
  --level_.executing;
  if (queued_) {
    const std::lock_guard lock(level_.mutex);
    level_.queues.pass(now, level_.limit);
    level_.queues.end(*this, now);
    level_.known.erase(this);
  }
  if (work.afterwards.count() <= 0) return control_->release(*this);
  // Its watchers are being told: the seats are free when that is done. The copy stands for the ticket, which
  // may go now.
  auto rest = std::make_shared<Ticket>(control_, at_, now);
  rest->work = work;
  rest->queued_ = queued_;
  rest->queue = queue;
  control_->options.timers->after(work.afterwards, [rest, control = control_] { control->release(*rest); });
}

void FlowControl::Rep::release(Ticket& ticket) const {
  Level& level = ticket.level_;
  const int64_t seats = ticket.work.widest();
  ticket.series_.seats->add(-seats);
  ticket.series_.seats_again->add(-seats);
  const base::MonoTime now = options.clock->mono();
  level.in_use.fetch_sub(seats);
  if (ticket.queued_ || level.waiting.load() > 0) {
    std::vector<Decided> decided;
    {
      const std::lock_guard lock(level.mutex);
      level.queues.pass(now, level.limit);
      if (ticket.queued_) level.queues.release(ticket);
      dispatch(level, now, decided);
    }
    tell(decided);
  }
  level.measure(now);
}

// --- Decisions

void FlowControl::Rep::dispatch(Level& level, base::MonoTime now, std::vector<Decided>& decided) const {
  while (FairQueues::Entry* entry = level.queues.next()) {
    auto& ticket = static_cast<Ticket&>(*entry);
    const int64_t seats = ticket.work.widest();
    // Where others wait too, all seats are shared out fairly.
    if (!level.take(seats, ticket.patient_ && level.impatient.load() == 0)) {
      ticket.series_.no_room->add();
      return;
    }
    level.queues.begin(ticket, now);
    if (!ticket.patient_) --level.impatient;
    level.waiting = static_cast<int64_t>(level.queues.waiting());
    level.seats_waiting = level.queues.seats_waiting();
    ticket.series_.waiting->add(-1);
    ticket.series_.seats_waiting->add(-seats);
    if (ticket.timer_ != 0) options.timers->cancel(std::exchange(ticket.timer_, 0));
    ticket.started_ = now;
    ticket.run_ = options.clock->now();
    ticket.state_.store(FlowTicket::State::kRunning, std::memory_order_release);
    decided.push_back({std::move(ticket.self_), std::move(ticket.ready_)});
  }
}

namespace {

/// It runs, whichever way it got there.
void began(Level& level, Ticket& ticket, base::MonoTime now) {
  ++level.executing;
  ++level.dispatched;
  const int64_t seats = ticket.work.widest();
  FlowSeries& series = ticket.series_;
  series.dispatched->add();
  series.running->add(1);
  series.seats->add(seats);
  series.seats_again->add(seats);
  if (!level.exempt.load(std::memory_order_relaxed))
    series.waited_run->observe(std::chrono::duration<double>(now - ticket.came_).count());
}

}  // namespace

void FlowControl::Rep::tell(const std::vector<Decided>& decided) {
  for (const Decided& one : decided) {
    if (one.ticket->state() == FlowTicket::State::kRunning)
      began(one.ticket->level_, *one.ticket, one.ticket->started_);
    if (one.ready) one.ready();
  }
}

void FlowControl::Rep::give_up(const std::shared_ptr<Ticket>& ticket, bool timed_out) const {
  Level& level = ticket->level_;
  std::vector<Decided> decided;
  const base::MonoTime now = options.clock->mono();
  {
    const std::lock_guard lock(level.mutex);
    if (ticket->state() != FlowTicket::State::kWaiting) return;
    level.queues.pass(now, level.limit);
    level.queues.leave(*ticket);
    if (!ticket->patient_) --level.impatient;
    level.known.erase(ticket.get());
    level.waiting = static_cast<int64_t>(level.queues.waiting());
    level.seats_waiting = level.queues.seats_waiting();
    level.retry.refused(std::chrono::duration_cast<std::chrono::seconds>(now.time_since_epoch()).count());
    ticket->retry_after_ = level.retry.seconds();
    if (!timed_out && ticket->timer_ != 0) options.timers->cancel(std::exchange(ticket->timer_, 0));
    ticket->state_.store(FlowTicket::State::kRefused, std::memory_order_release);
    decided.push_back({std::move(ticket->self_), std::move(ticket->ready_)});
    // It may have been the next one, too wide for what is free.
    dispatch(level, now, decided);
  }
  ++level.rejected;
  ++level.cancelled;
  FlowSeries& series = ticket->series_;
  series.timed_out->add();
  series.waiting->add(-1);
  series.seats_waiting->add(-ticket->work.widest());
  series.waited_refused->observe(std::chrono::duration<double>(now - ticket->came_).count());
  tell(decided);
  level.measure(now);
}

// --- The control

FlowControl::FlowControl(FlowControlOptions options) : rep_(std::make_shared<Rep>(options)) {
  configure({}, {});
}

FlowControl::~FlowControl() { stop(); }

WatchCounts& FlowControl::watches() { return rep_->watches; }

int64_t FlowControl::seats() const { return rep_->options.seats; }

SchemasAtWork FlowControl::Rep::schemas() const {
  const std::shared_lock lock(mutex);
  return by_precedence;
}

std::map<std::string, std::shared_ptr<Level>> FlowControl::Rep::levels() const {
  const std::shared_lock lock(mutex);
  return all;
}

FlowTicketPtr FlowControl::begin(const FlowRequest& request, base::Duration wait_limit,
                                 const Estimate& estimate, const std::function<Details()>& details) {
  Rep& rep = *rep_;
  const auto schemas = rep.schemas();
  const SchemaAtWork* at = nullptr;
  for (const SchemaAtWork& one : *schemas) {
    at = &one;  // the last one, catch-all, stands for whoever matches nothing
    if (matches(one.schema, request)) break;
  }
  Level& level = *at->level;
  const base::MonoTime now = rep.options.clock->mono();
  auto ticket = std::make_shared<Ticket>(rep_, std::shared_ptr<const SchemaAtWork>(schemas, at), now);
  ticket->watch_ = request.verb == "watch";
  ticket->patient_ = request.patient;
  ticket->work = estimate(level.widest.load(std::memory_order_relaxed));
  const int64_t seats = ticket->work.widest();
  rep.arm();
  // Who is not patient passes those who are, and takes what they had to leave.
  const std::atomic<int64_t>& before = request.patient ? level.waiting : level.impatient;
  if (before.load() == 0 && level.take(seats, request.patient)) {
    ticket->started_ = now;
    ticket->state_.store(FlowTicket::State::kRunning, std::memory_order_release);
    began(level, *ticket, now);
    level.measure(now);
    return ticket;
  }
  bool refused = false, by_length = false;
  std::vector<Decided> decided;
  {
    const std::lock_guard lock(level.mutex);
    by_length = level.config.shape.queues > 0;
    refused = !by_length || rep.stopped;
    if (!refused) {
      level.queues.pass(now, level.limit);
      ticket->flow_ = level.config.shape.queues > 1 ? std::string(distinguisher(at->schema, request)) : "";
      const uint64_t flow = level.config.shape.queues > 1 ? flow_hash(at->schema.name, ticket->flow_) : 0;
      refused = !level.queues.enqueue(*ticket, flow, level.in_use >= level.most_for(request.patient));
    }
    if (refused) {
      level.retry.refused(std::chrono::duration_cast<std::chrono::seconds>(now.time_since_epoch()).count());
      ticket->retry_after_ = level.retry.seconds();
    } else {
      ticket->queued_ = true;
      ticket->details_ = details();
      ticket->arrived_ = rep.options.clock->now();
      ticket->state_ = FlowTicket::State::kWaiting;
      ticket->self_ = ticket;
      level.known.insert(ticket.get());
      if (!request.patient) ++level.impatient;
      at->series->waiting->add(1);
      at->series->seats_waiting->add(seats);
      // Before seats are looked for: who gives some back afterwards sees that somebody waits.
      level.waiting = static_cast<int64_t>(level.queues.waiting());
      level.seats_waiting = level.queues.seats_waiting();
      rep.dispatch(level, now, decided);
      if (ticket->state() == FlowTicket::State::kWaiting) {
        ticket->timer_ =
            rep.options.timers->after(wait_limit, [control = rep_, weak = std::weak_ptr<Ticket>(ticket)] {
              if (auto waiting = weak.lock()) control->give_up(waiting, true);
            });
      }
    }
  }
  Rep::tell(decided);
  if (refused) {
    ++level.rejected;
    (by_length ? at->series->full : at->series->too_many)->add();
    at->series->waited_refused->observe(0);
  }
  level.measure(now);
  return ticket;
}

void FlowControl::stop() {
  rep_->stopped = true;
  if (const auto id = rep_->timer.exchange(0); id != 0) rep_->options.timers->cancel(id);
  for (const auto& [name, level] : rep_->levels()) {
    std::vector<std::shared_ptr<Ticket>> waiting;
    {
      const std::lock_guard lock(level->mutex);
      for (Ticket* ticket : level->known) {
        if (ticket->state() == FlowTicket::State::kWaiting) waiting.push_back(ticket->self_);
      }
    }
    for (const auto& ticket : waiting) rep_->give_up(ticket, false);
  }
}

// --- Configuration and borrowing

void FlowControl::configure(std::vector<LevelConfig> levels, std::vector<FlowSchema> schemas) {
  rep_->configure(std::move(levels), std::move(schemas));
}

void FlowControl::Rep::configure(std::vector<LevelConfig> configs, std::vector<FlowSchema> given) {
  const base::MonoTime now = options.clock->mono();
  FlowPlan plan = plan_flows(std::move(configs), std::move(given));
  std::unique_lock lock(mutex);
  std::map<std::string, std::shared_ptr<Level>> next;
  for (LevelConfig& config : plan.levels) {
    const auto old = all.find(config.name);
    auto level = old != all.end() ? old->second : std::make_shared<Level>(config, now, *options.metrics);
    level->exempt = config.exempt;
    level->spares = config.shape.queues > 0;
    level->quiescing = false;
    const std::lock_guard own(level->mutex);
    // Queues stay, for those who wait in them, when there are to be none.
    if (config.shape.queues > 0) level->queues.shape(config.shape);
    level->config = std::move(config);
    next.emplace(level->config.name, level);
  }
  for (const auto& [name, level] : all) {
    // What is not wanted any more stays until the last of its requests has ended.
    if (next.count(name) != 0 || (level->in_use == 0 && level->waiting == 0)) continue;
    level->quiescing = true;
    next.emplace(name, level);
  }
  auto ordered = std::make_shared<std::vector<SchemaAtWork>>();
  for (FlowSchema& schema : plan.schemas) {
    const auto& level = next.at(schema.level);
    auto series = std::make_shared<FlowSeries>(*options.metrics, schema.level, schema.name);
    ordered->push_back({std::move(schema), level->config.uid, level, std::move(series)});
  }
  all = std::move(next);
  by_precedence = std::move(ordered);
  std::vector<Decided> decided = share_out(now, false);
  lock.unlock();
  tell(decided);
}

std::vector<Decided> FlowControl::Rep::share_out(base::MonoTime now, bool tick) {
  std::vector<LevelConfig> configs;
  std::vector<SeatClaim> claims;
  for (const auto& [name, level] : all) {
    const std::lock_guard lock(level->mutex);
    configs.push_back(level->config);
  }
  const std::vector<SeatLimits> limits = divide_seats(configs, options.seats);
  bool asked = false;
  size_t i = 0;
  for (const auto& [name, level] : all) {
    DemandMeter::Result seen;
    {
      const std::lock_guard lock(level->meter_mutex);
      level->meter.set(now, level->in_use + level->seats_waiting);
      seen = level->meter.take(now);
    }
    asked = asked || seen.highest > 0;
    level->demand.update(seen);
    level->limits = limits[i];
    level->widest = widest_request(configs[i], limits[i].nominal);
    claims.push_back({configs[i].exempt, limits[i], level->demand, level->limit});
    ++i;
  }
  const std::vector<int64_t> seats = borrow_seats(claims);
  std::vector<Decided> decided;
  i = 0;
  for (const auto& [name, level] : all) {
    level->limit = seats[i];
    level->nominal->set(limits[i].nominal);
    level->nominal_again->set(limits[i].nominal);
    level->least->set(limits[i].least);
    level->most->set(limits[i].most);
    level->current->set(seats[i]);
    level->highest->set(level->demand.highest);
    ++i;
    if (level->waiting == 0) continue;
    const std::lock_guard lock(level->mutex);
    level->queues.pass(now, level->limit);
    dispatch(*level, now, decided);
  }
  if (tick && !asked) armed = false;  // until somebody asks again
  return decided;
}

/// Seats are divided anew every ten seconds for as long as any are asked for.
void FlowControl::Rep::arm() {
  if (armed.load(std::memory_order_relaxed) || stopped || armed.exchange(true)) return;
  timer = options.timers->after(kSeatPeriod, [weak = weak_from_this()] {
    if (auto self = weak.lock()) self->tick();
  });
}

void FlowControl::Rep::tick() {
  std::vector<Decided> decided;
  {
    const std::unique_lock lock(mutex);
    decided = share_out(options.clock->mono(), true);
    for (auto it = all.begin(); it != all.end();) {
      const Level& level = *it->second;
      it = level.quiescing && level.in_use == 0 && level.waiting == 0 ? all.erase(it) : std::next(it);
    }
  }
  tell(decided);
  if (!armed || stopped) return;
  timer = options.timers->after(kSeatPeriod, [weak = weak_from_this()] {
    if (auto self = weak.lock()) self->tick();
  });
}

}  // namespace orch::server
