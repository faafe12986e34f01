// The inside of StreamBody: where producers and the connection that sends the body meet.
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>

#include "http/message.h"
#include "http/out_queue.h"

namespace orch::http {

/// The connection, as the body sees it.
class StreamSink {
 public:
  virtual ~StreamSink() = default;
  /// Something changed: bytes to take, or an end. Thread-safe, does not block, coalesces.
  virtual void stream_ready() = 0;
};

/// Thread-safe. Producers: write, finish, abort. The engine, in this order: attach, start, then take and sent
/// from its pump, and close (at any time, also instead of start).
struct StreamBody::Rep {
  Rep(std::function<void(StreamBody&)> on_start, std::function<void()> on_close);

  bool write(std::vector<BodyPiece> frame, bool wait);
  void end(bool broken);
  void set_limit(size_t bytes);
  bool closed() const;

  /// `chunked` is false for HTTP/1.0 clients: raw bytes until the connection closes.
  void attach(std::weak_ptr<StreamSink> sink, bool chunked);
  /// Runs on_start, unless closed already.
  void start(StreamBody& body);
  enum class State { kOpen, kFinished, kBroken };
  /// Moves what is queued into `out`.
  State take(OutQueue& out);
  /// Bytes left for the network since the last call.
  void sent(size_t bytes);
  /// Nothing is taken any more; on_close is called now or when on_start returns.
  void close();

 private:
  size_t counted() const { return queued_ - uncounted_; }
  void deliver_close(std::unique_lock<std::mutex>& lock);

  mutable std::mutex mutex_;
  std::condition_variable room_;
  // All under mutex_:
  OutQueue queue_;
  size_t queued_ = 0;     // bytes written and not yet sent, with those the connection took
  size_t uncounted_ = 0;  // of these, what was written before on_start returned
  size_t limit_ = 8U << 20;
  std::weak_ptr<StreamSink> sink_;
  std::function<void(StreamBody&)> on_start_;
  std::function<void()> on_close_;
  State state_ = State::kOpen;
  bool chunked_ = true;
  bool starting_ = true;  // until on_start returned
  bool running_ = false;  // on_start was called
  bool closed_ = false;
  bool close_delivered_ = false;
};

}  // namespace orch::http
