// A connection while a worker or the pump holds it: handling a request, sending the response or the stream.
#include <sys/epoll.h>

#include <array>

#include "base/log.h"
#include "http/blocking_stream.h"
#include "http/engine.h"

namespace orch::http {
namespace {

/// One TLS record.
constexpr size_t kWriteSize = 16U << 10;
/// What the pump sends on one connection before the others get their turn.
constexpr size_t kPumpBudget = 256U << 10;
constexpr size_t kEverything = SIZE_MAX;
/// A client may send its next request during a stream, but not much more.
constexpr size_t kMaxReadAhead = 64U << 10;

}  // namespace

void Connection::work() {
  std::unique_ptr<Incoming> incoming = std::move(incoming_);
  Request request;
  request.body = std::move(incoming->body);
  request.remote_address = remote_;
  request.tls = engine_.options.tls;
  if (peer_) {
    request.peer = peer_->identity;
    if (request.peer.error.empty() && base::SystemClock().now() > peer_->not_after) {
      request.peer = {};
      request.peer.error = "x509: certificate has expired or is not yet valid";
    }
  }
  engine_.metrics.in_flight->add(1);
  request.patient = patient_;
  Reply reply = engine_.codec.run(incoming->head_bytes, std::move(incoming->head), std::move(request),
                                  !engine_.stopping);
  engine_.metrics.in_flight->add(-1);
  incoming.reset();
  patient_ = reply.patient;
  if (reply.deferred) {
    wait_for(std::move(reply));
  } else {
    answer(std::move(reply));
  }
}

/// The connection stays busy, but no thread is.
void Connection::wait_for(Reply reply) {
  struct Waiting {
    std::shared_ptr<Connection> connection;
    Reply reply;
  };
  auto waiting = std::make_shared<Waiting>(Waiting{self(), std::move(reply)});
  const auto deferred = waiting->reply.deferred;
  deferred->wait([waiting] {
    // Who keeps this function for longer than the server lasts keeps nothing of it.
    auto connection = std::move(waiting->connection);
    Engine& engine = connection->engine_;
    engine.work(waiting->reply.patient, [connection = std::move(connection), waiting] {
      connection->engine_.metrics.in_flight->add(1);
      connection->engine_.codec.complete(waiting->reply);
      connection->engine_.metrics.in_flight->add(-1);
      if (waiting->reply.deferred) return connection->wait_for(std::move(waiting->reply));
      if (connection->engine_.stopping) waiting->reply.keep_alive = false;
      connection->answer(std::move(waiting->reply));
    });
  });
}

void Connection::answer(Reply reply) {
  if (reply.response.takeover) {
    take_over(std::move(reply.response));
  } else {
    send(std::move(reply));
  }
}

void Connection::take_over(Response response) {
  engine_.loop.remove(transport_.fd());
  state_ = State::kTaken;
  auto stream = std::make_shared<BlockingStream>(std::move(transport_), std::exchange(in_, {}));
  engine_.take_over(std::move(response.takeover), std::move(stream),
                    [self = self()] { self->hand_to_loop_for_close(); });
}

void Connection::send(Reply reply) {
  keep_alive_ = reply.keep_alive;
  out_.push(std::move(reply.head));
  if (!reply.response.body.empty()) out_.push(std::move(reply.response.body));
  for (auto& piece : reply.response.pieces) out_.push(std::move(piece));
  if (reply.response.stream) {
    auto stream = std::move(reply.response.stream);
    stream_ = stream;
    chunked_ = reply.chunked;
    stream->rep().attach(self(), chunked_);
    pump_ = &engine_.pump;
    engine_.pump.post([self = self()] { self->adopt_by_pump(State::kStreaming); });
    stream->rep().start(*stream);
    return;
  }
  switch (flush(kEverything)) {
    case Flush::kDone:
      return after_response();
    case Flush::kBlocked:
      pump_ = patient_ ? &engine_.patient_pump() : &engine_.pump;
      return pump_.load()->post([self = self()] { self->adopt_by_pump(State::kSending); });
    case Flush::kFailed:
      return hand_to_loop_for_close();
  }
}

/// Sends from the queue until it is empty, the socket is full or the budget is spent (also kBlocked: the
/// socket will be writable at once).
Connection::Flush Connection::flush(size_t budget) {
  std::array<char, kWriteSize> scratch;
  size_t total = 0;
  while (!out_.empty()) {
    if (total >= budget) return Flush::kBlocked;
    const std::string_view bytes = out_.front(scratch.data(), scratch.size());
    size_t sent = 0;
    const Io result = transport_.write(bytes, sent);
    if (result == Io::kWantWrite || result == Io::kWantRead) return Flush::kBlocked;
    if (result != Io::kOk) return Flush::kFailed;
    out_.consume(sent);
    total += sent;
    if (stream_) stream_->rep().sent(sent);
  }
  return Flush::kDone;
}

/// The response is out. A worker or the pump.
void Connection::after_response() {
  if (!keep_alive_ || engine_.stopping) return hand_to_loop_for_close();
  due_ = mono_milliseconds() + engine_.options.idle_timeout.count();
  const bool more = !in_.empty() || transport_.pending();
  const bool from_pump = on_pump();
  if (more || from_pump) {
    // The loop must look at what is there, or set a deadline again.
    return engine_.loop.post([self = self()] {
      self->state_ = State::kHead;
      self->resume();
    });
  }
  const int fd = transport_.fd();
  state_ = State::kHead;  // from here on it is the loop's, whatever modify() has yet to do
  engine_.loop.modify(fd, EPOLLIN | EPOLLRDHUP | EPOLLONESHOT, this);
}

void Connection::hand_to_loop_for_close() {
  engine_.loop.post([self = self()] { self->close(); });
}

void Connection::stream_ready() { engine_.pump.wake(shared_from_this()); }

void Connection::adopt_by_pump(State state) {
  state_ = state;
  if (state == State::kStreaming) {
    engine_.metrics.streams->add(1);
    if (engine_.stopping) stream_->finish();
  }
  if (engine_.stopping_now) return leave_pump(false);
  pump_step();
}

void Connection::on_wake() {
  if (state_ == State::kStreaming) pump_step();
}

void Connection::pump_events(uint32_t events) {
  if ((events & (EPOLLERR | EPOLLHUP)) != 0) return leave_pump(false);
  if (state_ == State::kStreaming && (events & (EPOLLIN | EPOLLRDHUP)) != 0 && !read_while_streaming()) {
    return leave_pump(false);
  }
  pump_step();
}

/// Notices a client that left, and keeps what it sends ahead. False when it is gone.
bool Connection::read_while_streaming() {
  std::array<char, 4096> buffer;
  while (true) {
    size_t got = 0;
    switch (transport_.read(buffer.data(), buffer.size(), got)) {
      case Io::kOk:
        in_.append(buffer.data(), got);
        if (in_.size() > kMaxReadAhead) return false;
        break;
      case Io::kWantRead:
      case Io::kWantWrite:
        return true;
      default:
        return false;
    }
  }
}

void Connection::listen_in_pump(uint32_t events) {
  if (pump_events_ == events) return;
  if (pump_events_ == 0) {
    pump_.load()->add(transport_.fd(), events, this);
  } else {
    pump_.load()->modify(transport_.fd(), events, this);
  }
  pump_events_ = events;
}

void Connection::pump_step() {
  const uint32_t watched = state_ == State::kStreaming ? EPOLLIN | EPOLLRDHUP : 0U;
  auto stream_state = StreamBody::Rep::State::kOpen;
  if (state_ == State::kStreaming) {
    stream_state = stream_->rep().take(out_);
    if (stream_state == StreamBody::Rep::State::kBroken) return leave_pump(false);
    if (stream_state == StreamBody::Rep::State::kFinished && !std::exchange(finishing_, true)) {
      if (chunked_) out_.push_final_chunk();
    }
  }
  const size_t before = out_.bytes();
  switch (flush(kPumpBudget)) {
    case Flush::kFailed:
      return leave_pump(false);
    case Flush::kBlocked:
      if (state_ == State::kSending && (pump_deadline_ == 0 || out_.bytes() < before)) {
        const int64_t due = pump_.load()->now() + engine_.options.write_timeout.count();
        pump_.load()->set_deadline(this, std::exchange(pump_deadline_, due), due);
      }
      return listen_in_pump(watched | EPOLLOUT);
    case Flush::kDone:
      if (state_ == State::kSending || stream_state == StreamBody::Rep::State::kFinished) {
        return leave_pump(true);
      }
      return listen_in_pump(watched);
  }
}

/// Everything was sent (`good`), or the connection is to be given up.
void Connection::leave_pump(bool good) {
  const bool streamed = state_ == State::kStreaming;
  state_ = State::kBusy;
  if (pump_deadline_ != 0) pump_.load()->set_deadline(this, std::exchange(pump_deadline_, 0), 0);
  if (std::exchange(pump_events_, 0) != 0) pump_.load()->remove(transport_.fd());
  out_.clear();
  if (streamed) {
    engine_.metrics.streams->add(-1);
    finishing_ = false;
    const auto stream = std::exchange(stream_, nullptr);
    stream->rep().close();
  }
  if (good) {
    after_response();
  } else {
    hand_to_loop_for_close();
  }
}

}  // namespace orch::http
