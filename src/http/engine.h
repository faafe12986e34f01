// What the connections of one server share, and one connection's way through it.
#pragma once

#include <atomic>
#include <condition_variable>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <unordered_map>

#include "base/metrics.h"
#include "base/threads.h"
#include "http/codec.h"
#include "http/head.h"
#include "http/heap_trim.h"
#include "http/out_queue.h"
#include "http/poller.h"
#include "http/server.h"
#include "http/stream_body.h"
#include "http/transport.h"

namespace orch::http {

class Connection;

struct EngineMetrics {
  explicit EngineMetrics(base::Metrics* metrics);
  base::Gauge *connections, *in_flight, *streams;
  base::Counter *accepted, *refused, *handshake_errors;

 private:
  std::unique_ptr<base::Metrics> own_;  // when the server was given none
};

/// Thread-safe but for the members marked otherwise. Outlives its connections.
class Engine {
 public:
  Engine(ServerOptions options, Handler handler);
  ~Engine();
  Engine(const Engine&) = delete;

  const ServerOptions options;
  const Codec codec;
  EngineMetrics metrics;
  std::atomic<bool> stopping{false};
  std::atomic<bool> stopping_now{false};  // grace is over
  std::atomic<size_t> buffered{0};        // bytes of requests being received
  HeapTrim trim{*this};                   // the loop's thread only

  TlsContext tls_context() const;
  void set_tls_context(TlsContext context);

  /// A new connection, from the listener; the loop's thread only.
  void adopt(int fd, std::string remote);
  /// The connection is over: forgets it. The loop's thread only.
  void forget(Connection* connection);
  size_t connections() const { return count_; }
  /// Runs a takeover on a thread of its own; `done` is called on that thread at its end.
  void take_over(Takeover takeover, std::shared_ptr<Stream> stream, std::function<void()> done);
  /// Has the request of a connection answered, by who may be patient or by who may not.
  void work(bool patiently, std::function<void()> task);
  /// See Server::stop.
  void stop(std::chrono::milliseconds grace);

 private:
  struct Taken {
    std::thread thread;
    std::weak_ptr<Stream> stream;
    bool ended = false;
  };
  void reap(bool all);
  size_t patient_places() const;

  mutable std::mutex mutex_;
  TlsContext tls_context_;  // under mutex_
  std::list<Taken> taken_;  // under mutex_
  std::condition_variable gone_;
  std::atomic<size_t> count_{0};
  std::atomic<int64_t> last_impatient_{INT64_MIN / 2};  // when one came, see mono_milliseconds()
  std::unordered_map<Connection*, std::shared_ptr<Connection>> connections_;  // the loop's thread only

 public:
  // Last, so that they end first: their threads use all of the above.
  Poller loop, pump;
  base::ThreadPool workers, patient;
  /// Sends the rest of patient answers; made when there is the first.
  Poller& patient_pump();

 private:
  std::once_flag patient_pump_once_;
  std::unique_ptr<Poller> patient_pump_;
};

/// Owned by one thread at a time, as its state says; handed on through the pollers and the pool, never
/// shared.
class Connection final : public Pollable, public StreamSink {
 public:
  enum class State : uint8_t {
    // The loop's:
    kHandshake,
    kHead,    // between requests, or within a head
    kBody,    // within a request's body
    kLinger,  // everything was said; waits for the client to close, so that it gets to read it
    // A worker's:
    kBusy,
    // The pump's:
    kSending,    // the rest of a response
    kStreaming,  // a StreamBody
    // Nobody's:
    kTaken,  // the transport went to a takeover
    kClosed,
  };

  Connection(Engine& engine, Transport transport, std::string remote);
  ~Connection() override;
  /// Starts listening to the client; the loop's thread.
  void begin();
  /// Parts of Engine::stop; the loop's thread. Gently: what is idle closes, streams finish.
  void stop_gently();
  void stop_now();

  void on_events(uint32_t events) override;
  void on_wake() override;
  void on_deadline() override;
  void stream_ready() override;

 private:
  /// A request as far as it was received.
  struct Incoming {
    Head head;
    std::string head_bytes;
    std::string body;
    std::optional<BodyDecoder> decoder;
  };
  enum class Flush { kDone, kBlocked, kFailed };

  // The loop's (connection_receive.cpp):
  void step_handshake();
  bool answer_plain_http();
  void receive();
  bool digest();
  bool digest_head();
  bool digest_body();
  bool within_budget();
  void dispatch();
  void refuse(Reply reply);
  void linger();
  void drain();
  void resume();
  void expire();
  void arm(int64_t due);
  void listen(uint32_t events);
  void close();
  void part();

  // A worker's (connection_send.cpp):
  void work();
  void wait_for(Reply reply);
  void answer(Reply reply);
  void take_over(Response response);
  void send(Reply reply);

  // The pump's:
  void adopt_by_pump(State state);
  void pump_events(uint32_t events);
  void pump_step();
  bool read_while_streaming();
  void listen_in_pump(uint32_t events);
  void end_stream();
  void leave_pump(bool good);

  // Whoever owns it:
  Flush flush(size_t budget);
  void after_response();
  void hand_to_loop_for_close();

  bool on_pump() const {
    const Poller* pump = pump_;
    return pump != nullptr && pump->on_thread();
  }
  std::shared_ptr<Connection> self() { return std::static_pointer_cast<Connection>(shared_from_this()); }

  Engine& engine_;
  Transport transport_;
  std::atomic<State> state_{State::kHandshake};
  std::atomic<Poller*> pump_{nullptr};  // which one sends, once there is something to
  bool patient_ = false;                // what the last request was answered as
  bool keep_alive_ = true;
  bool chunked_ = true;          // framing of stream_
  bool finishing_ = false;       // the end of stream_ is queued
  bool peeked_ = false;          // the first bytes were looked at
  uint32_t pump_events_ = 0;     // what the pump's epoll watches; 0: not registered
  size_t scanned_ = 0;           // of in_, known to hold no end of a head
  size_t held_ = 0;              // counted in Engine::buffered
  int64_t deadline_ = 0;         // as set in the loop; 0: none. The loop's thread only
  int64_t pump_deadline_ = 0;    // as set in the pump. The pump's thread only
  std::atomic<int64_t> due_{0};  // when waiting ends; deadline_ may be earlier and is then moved on
  const std::string remote_;
  std::string in_;  // received, not yet digested
  std::unique_ptr<Incoming> incoming_;
  OutQueue out_;
  std::shared_ptr<StreamBody> stream_;
  std::shared_ptr<const PeerCertificate> peer_;
};

}  // namespace orch::http
