#include "http/engine.h"

#include <algorithm>

#include "base/log.h"

namespace orch::http {

EngineMetrics::EngineMetrics(base::Metrics* metrics) {
  if (metrics == nullptr) {
    own_ = std::make_unique<base::Metrics>();
    metrics = own_.get();
  }
  connections = &metrics->gauge("orch_http_connections", "Open connections, upgraded ones included.");
  in_flight = &metrics->gauge("orch_http_requests_in_flight", "Requests that handlers are working on.");
  streams = &metrics->gauge("orch_http_streams", "Responses without an end, such as watches.");
  accepted = &metrics->counter("orch_http_connections_accepted_total", "Connections accepted.");
  refused = &metrics->counter("orch_http_refused_total",
                              "Connections and requests refused before a handler saw them.");
  handshake_errors = &metrics->counter("orch_http_tls_handshake_errors_total", "TLS handshakes that failed.");
}

Engine::Engine(ServerOptions given, Handler handler)
    : options(std::move(given)),
      codec(std::move(handler)),
      metrics(options.metrics),
      loop("http-loop"),
      pump("http-pump"),
      workers("http-worker", options.max_workers),
      patient("http-patient", options.max_workers, {[this] { return patient_places(); }, true}) {}

Engine::~Engine() = default;

size_t Engine::patient_places() const {
  // Whoever just woke up and finds no processor free waits until one of them looks up from its work.
  const bool others = mono_milliseconds() - last_impatient_ < options.others_stay.count();
  return std::max<size_t>(1, options.patient_workers - (others ? 1 : 0));
}

void Engine::work(bool patiently, std::function<void()> task) {
  if (patiently) {
    // By a thread that may wait: those who answer patiently queue for the pool's lock when a commit ends the
    // waiting of many at once, and the loop would queue behind them.
    return patient_pump().post([this, task = std::move(task)]() mutable { patient.post(std::move(task)); });
  }
  last_impatient_ = mono_milliseconds();
  workers.post(std::move(task));
}

Poller& Engine::patient_pump() {
  std::call_once(patient_pump_once_,
                 [this] { patient_pump_ = std::make_unique<Poller>("http-patient", true); });
  return *patient_pump_;
}

TlsContext Engine::tls_context() const {
  const std::lock_guard lock(mutex_);
  return tls_context_;
}

void Engine::set_tls_context(TlsContext context) {
  const std::lock_guard lock(mutex_);
  tls_context_ = std::move(context);
}

void Engine::adopt(int fd, std::string remote) {
  auto connection = std::make_shared<Connection>(*this, Transport(fd), std::move(remote));
  connections_.emplace(connection.get(), connection);
  ++count_;
  metrics.accepted->add();
  metrics.connections->add(1);
  connection->begin();
}

void Engine::forget(Connection* connection) {
  const auto found = connections_.find(connection);
  if (found == connections_.end()) return;
  // Freed after this round of events: one of them may still be using it, up the stack.
  loop.post([last = std::move(found->second)] {});
  connections_.erase(found);
  metrics.connections->add(-1);
  trim.note();
  const std::lock_guard lock(mutex_);
  if (--count_ == 0) gone_.notify_all();
}

void Engine::take_over(Takeover takeover, std::shared_ptr<Stream> stream, std::function<void()> done) {
  reap(false);
  const std::lock_guard lock(mutex_);
  Taken& taken = taken_.emplace_back();
  taken.stream = stream;
  if (stopping) stream->close();
  auto run = [this, &taken, takeover = std::move(takeover), stream, done = std::move(done)]() mutable {
    try {
      takeover(stream);
    } catch (const std::exception& e) {
      base::log_error("http", "a takeover threw", {{"error", e.what()}});
    }
    takeover = nullptr;
    stream->close();
    stream.reset();
    done();
    const std::lock_guard end(mutex_);
    taken.ended = true;
  };
  try {
    taken.thread = base::start_thread("http-takeover", std::move(run));
  } catch (const std::system_error& e) {
    base::log_error("http", "no thread for an upgraded connection", {{"error", e.what()}});
    stream->close();
    taken_.pop_back();
    loop.post(done);
  }
}

/// Joins the threads of takeovers that ended, or of all.
void Engine::reap(bool all) {
  std::list<Taken> gone;
  {
    const std::lock_guard lock(mutex_);
    for (auto at = taken_.begin(); at != taken_.end();) {
      const auto next = std::next(at);
      if (all || at->ended) gone.splice(gone.end(), taken_, at);
      at = next;
    }
  }
  for (auto& taken : gone) taken.thread.join();
}

void Engine::stop(std::chrono::milliseconds grace) {
  stopping = true;
  loop.post([this] {
    const auto all = connections_;
    for (const auto& [raw, connection] : all) connection->stop_gently();
  });
  const auto none = [this] { return count_ == 0; };
  {
    std::unique_lock lock(mutex_);
    gone_.wait_for(lock, grace, none);
    for (auto& taken : taken_) {
      if (const auto stream = taken.stream.lock()) stream->close();
    }
  }
  stopping_now = true;
  loop.post([this] {
    const auto all = connections_;
    for (const auto& [raw, connection] : all) connection->stop_now();
  });
  // Handlers come to their end by themselves; what they leave behind is closed as they do.
  workers.drain();
  patient.drain();
  loop.post([this] {
    const auto all = connections_;
    for (const auto& [raw, connection] : all) connection->stop_now();
  });
  {
    std::unique_lock lock(mutex_);
    gone_.wait(lock, none);
  }
  reap(true);
  pump.sync();
  if (patient_pump_) patient_pump_->sync();
  loop.sync();
}

}  // namespace orch::http
