#include "http/stream_body.h"

#include <utility>

#include "base/log.h"

namespace orch::http {

StreamBody::Rep::Rep(std::function<void(StreamBody&)> on_start, std::function<void()> on_close)
    : on_start_(std::move(on_start)), on_close_(std::move(on_close)) {}

bool StreamBody::Rep::write(std::vector<BodyPiece> frame, bool wait) {
  size_t size = 0;
  for (const auto& piece : frame) size += piece.bytes.size();
  std::unique_lock lock(mutex_);
  if (wait && !starting_) {
    room_.wait(lock, [&] { return closed_ || counted() == 0 || counted() + size <= limit_; });
  }
  if (closed_ || state_ != State::kOpen) return false;
  const size_t before = queue_.bytes();
  const bool first = queue_.empty();
  if (chunked_) {
    queue_.push_chunk(std::move(frame));
  } else {
    for (auto& piece : frame) queue_.push(std::move(piece));
  }
  const size_t added = queue_.bytes() - before;
  queued_ += added;
  if (starting_) {
    uncounted_ += added;
  } else if (!wait && counted() > limit_) {
    state_ = State::kBroken;  // a client this slow is not waited for
    queue_.clear();
  }
  const bool alive = state_ == State::kOpen;
  auto sink = first || !alive ? sink_.lock() : nullptr;
  lock.unlock();
  if (sink) sink->stream_ready();
  return alive;
}

void StreamBody::Rep::end(bool broken) {
  std::unique_lock lock(mutex_);
  if (closed_ || state_ != State::kOpen) return;
  state_ = broken ? State::kBroken : State::kFinished;
  auto sink = sink_.lock();
  lock.unlock();
  if (sink) sink->stream_ready();
}

void StreamBody::Rep::set_limit(size_t bytes) {
  const std::lock_guard lock(mutex_);
  limit_ = bytes;
}

bool StreamBody::Rep::closed() const {
  const std::lock_guard lock(mutex_);
  return closed_ || state_ != State::kOpen;
}

void StreamBody::Rep::attach(std::weak_ptr<StreamSink> sink, bool chunked) {
  const std::lock_guard lock(mutex_);
  sink_ = std::move(sink);
  chunked_ = chunked;
}

void StreamBody::Rep::start(StreamBody& body) {
  std::unique_lock lock(mutex_);
  if (!closed_) {
    auto on_start = std::exchange(on_start_, nullptr);
    running_ = true;
    lock.unlock();
    bool good = true;
    try {
      if (on_start) on_start(body);
    } catch (const std::exception& e) {
      base::log_error("http", "starting a stream failed", {{"error", e.what()}});
      good = false;
    }
    if (!good) end(true);
    on_start = nullptr;
    lock.lock();
    running_ = false;
  }
  starting_ = false;
  if (closed_) {
    deliver_close(lock);
  } else if (state_ != State::kOpen) {
    auto sink = sink_.lock();
    lock.unlock();
    if (sink) sink->stream_ready();
  }
}

StreamBody::Rep::State StreamBody::Rep::take(OutQueue& out) {
  const std::lock_guard lock(mutex_);
  if (!queue_.empty()) out.append(queue_);
  if (state_ == State::kFinished && starting_) return State::kOpen;  // on_start may still be on its way out
  return state_;
}

void StreamBody::Rep::sent(size_t bytes) {
  const std::lock_guard lock(mutex_);
  queued_ -= std::min(queued_, bytes);
  uncounted_ -= std::min(uncounted_, bytes);
  room_.notify_all();
}

void StreamBody::Rep::close() {
  std::unique_lock lock(mutex_);
  closed_ = true;
  queue_.clear();
  queued_ = uncounted_ = 0;
  room_.notify_all();
  if (!running_) deliver_close(lock);
}

void StreamBody::Rep::deliver_close(std::unique_lock<std::mutex>& lock) {
  if (std::exchange(close_delivered_, true)) return;
  auto on_close = std::exchange(on_close_, nullptr);
  auto on_start = std::exchange(on_start_, nullptr);  // freed too: it may hold what holds this body
  lock.unlock();
  try {
    if (on_close) on_close();
  } catch (const std::exception& e) {
    base::log_error("http", "closing a stream failed", {{"error", e.what()}});
  }
}

StreamBody::StreamBody(std::function<void(StreamBody&)> on_start, std::function<void()> on_close)
    : rep_(std::make_shared<Rep>(std::move(on_start), std::move(on_close))) {}
StreamBody::~StreamBody() { rep_->close(); }

bool StreamBody::write(std::vector<BodyPiece> frame) { return rep_->write(std::move(frame), false); }

bool StreamBody::write(std::string frame) {
  auto owner = std::make_shared<const std::string>(std::move(frame));
  const std::string_view bytes = *owner;
  std::vector<BodyPiece> pieces;
  pieces.push_back({bytes, std::move(owner)});
  return rep_->write(std::move(pieces), false);
}

bool StreamBody::write_waiting(std::string frame) {
  auto owner = std::make_shared<const std::string>(std::move(frame));
  const std::string_view bytes = *owner;
  std::vector<BodyPiece> pieces;
  pieces.push_back({bytes, std::move(owner)});
  return rep_->write(std::move(pieces), true);
}

void StreamBody::finish() { rep_->end(false); }
void StreamBody::abort() { rep_->end(true); }
bool StreamBody::closed() const { return rep_->closed(); }
void StreamBody::set_limit(size_t bytes) { rep_->set_limit(bytes); }

}  // namespace orch::http
