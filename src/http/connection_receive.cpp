// A connection while the loop holds it: handshake, receiving requests, time-outs, closing.
#include <sys/epoll.h>
#include <sys/socket.h>

#include <array>

#include "http/engine.h"

namespace orch::http {
namespace {

constexpr size_t kReadSize = 16U << 10;
/// Requests smaller than this are received however much others have buffered.
constexpr size_t kSmallRequest = 64U << 10;
constexpr int64_t kLingerMilliseconds = 2000;
constexpr std::string_view kPlainHttpAnswer =
    "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n";

}  // namespace

Connection::Connection(Engine& engine, Transport transport, std::string remote)
    : engine_(engine), transport_(std::move(transport)), remote_(std::move(remote)) {}

Connection::~Connection() { engine_.buffered -= held_; }

void Connection::begin() {
  state_ = engine_.options.tls ? State::kHandshake : State::kHead;
  if (engine_.loop.add(transport_.fd(), EPOLLIN | EPOLLRDHUP | EPOLLONESHOT, this)) {
    arm(engine_.loop.now() + engine_.options.request_timeout.count());
  } else {
    close();
  }
}

void Connection::on_events(uint32_t events) {
  switch (state_) {
    case State::kHandshake:
      return step_handshake();
    case State::kHead:
    case State::kBody:
      return receive();
    case State::kLinger:
      return drain();
    case State::kSending:
    case State::kStreaming:
      return pump_events(events);
    case State::kBusy:
    case State::kTaken:
    case State::kClosed:
      return;
  }
}

void Connection::listen(uint32_t events) {
  engine_.loop.modify(transport_.fd(), events | EPOLLRDHUP | EPOLLONESHOT, this);
}

/// Go's answer to http:// on the TLS port. True when the connection was dealt with.
bool Connection::answer_plain_http() {
  if (peeked_) return false;
  char first = 0;
  if (recv(transport_.fd(), &first, 1, MSG_PEEK) != 1) return false;
  peeked_ = true;
  if (first < 'A' || first > 'Z') return false;  // a TLS record begins with 22
  ::send(transport_.fd(), kPlainHttpAnswer.data(), kPlainHttpAnswer.size(), MSG_NOSIGNAL);
  linger();
  return true;
}

void Connection::step_handshake() {
  if (transport_.ssl() == nullptr) {
    if (answer_plain_http()) return;
    if (!transport_.accept_tls(engine_.tls_context())) return close();
  }
  switch (transport_.handshake()) {
    case Io::kWantRead:
      return listen(EPOLLIN);
    case Io::kWantWrite:
      return listen(EPOLLOUT);
    case Io::kOk:
      break;
    default:
      engine_.metrics.handshake_errors->add();
      return close();
  }
  peer_ = peer_certificate(transport_.ssl());
  transport_.release_handshake();
  engine_.trim.note();
  state_ = State::kHead;
  receive();
}

void Connection::receive() {
  std::array<char, kReadSize> buffer;
  for (int round = 0; round < 8; ++round) {
    size_t got = 0;
    switch (transport_.read(buffer.data(), buffer.size(), got)) {
      case Io::kOk:
        break;
      case Io::kWantRead:
        return listen(EPOLLIN);
      case Io::kWantWrite:
        return listen(EPOLLOUT);
      default:
        return close();
    }
    const bool fresh = state_ == State::kHead && in_.empty();
    in_.append(buffer.data(), got);
    if (!digest()) return;
    // From its first byte on, a request has a limited time to be whole.
    if (fresh) arm(engine_.loop.now() + engine_.options.request_timeout.count());
    if (!transport_.pending()) return listen(EPOLLIN);
  }
  // What TLS has buffered raises no event; others get their turn before it is read.
  engine_.loop.post([self = self()] { self->resume(); });
}

/// Goes on with what was received before. The loop's thread.
void Connection::resume() {
  if (state_ != State::kHead && state_ != State::kBody) return;
  if (deadline_ == 0) arm(due_);
  if (!in_.empty() && !digest()) return;
  receive();
}

/// Looks at what was received. True while more is needed.
bool Connection::digest() {
  if (state_ == State::kHead && !digest_head()) return false;
  if (state_ == State::kBody && !digest_body()) return false;
  return within_budget();
}

bool Connection::digest_head() {
  // Line ends between requests are forgiven (RFC 9112, 2.2).
  const size_t begin = in_.find_first_not_of("\r\n");
  if (begin != 0) in_.erase(0, std::min(begin, in_.size()));
  const size_t end = find_head_end(in_, scanned_);
  scanned_ = end == 0 ? in_.size() : 0;
  if (end > engine_.options.max_header_bytes || scanned_ > engine_.options.max_header_bytes) {
    refuse(engine_.codec.refuse(HeadError{431, "431 Request Header Fields Too Large"}));
    return false;
  }
  if (end == 0) return true;

  incoming_ = std::make_unique<Incoming>();
  if (end == in_.size()) {
    incoming_->head_bytes = std::exchange(in_, {});
  } else {
    incoming_->head_bytes = in_.substr(0, end);
    in_.erase(0, end);
  }
  if (const auto error = parse_request_head(incoming_->head_bytes, incoming_->head)) {
    refuse(engine_.codec.refuse(*error));
    return false;
  }
  const Head& head = incoming_->head;
  if (!head.chunked && head.content_length.value_or(0) == 0) {
    dispatch();
    return false;
  }
  incoming_->decoder.emplace(head, engine_.options.max_body_bytes);
  state_ = State::kBody;
  const bool too_large = head.content_length.value_or(0) > engine_.options.max_body_bytes;
  if (head.expect_continue && in_.empty() && !too_large) {
    size_t sent = 0;
    constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
    // Nothing is on its way to this client, so the socket takes a line at once or is dead.
    if (transport_.write(kContinue, sent) != Io::kOk || sent != kContinue.size()) {
      close();
      return false;
    }
  }
  return true;
}

bool Connection::digest_body() {
  std::string_view view = in_;
  const auto state = incoming_->decoder->feed(view, incoming_->body);
  in_.erase(0, in_.size() - view.size());
  switch (state) {
    case BodyDecoder::State::kMore:
      return true;
    case BodyDecoder::State::kDone:
      dispatch();
      return false;
    case BodyDecoder::State::kTooLarge:
      refuse(engine_.codec.refuse(Response::from_status(
          base::Status(base::Code::kRequestEntityTooLarge,
                       base::cat("Request entity too large: limit is ", engine_.options.max_body_bytes)))));
      return false;
    case BodyDecoder::State::kMalformed:
      refuse(engine_.codec.refuse(HeadError{}));
      return false;
  }
  return false;
}

/// Keeps count of what is buffered; refuses when the server as a whole holds too much.
bool Connection::within_budget() {
  const size_t size = in_.size() + (incoming_ ? incoming_->head_bytes.size() + incoming_->body.size() : 0);
  const size_t total = engine_.buffered += size - held_;
  held_ = size;
  if (total <= engine_.options.max_buffered_bytes || size <= kSmallRequest) return true;
  base::StatusDetails details;
  details.retry_after_seconds = 1;
  refuse(engine_.codec.refuse(Response::from_status(base::Status(
      base::Code::kTooManyRequests, "too many requests, please try again later", std::move(details)))));
  return false;
}

void Connection::dispatch() {
  state_ = State::kBusy;
  engine_.buffered -= std::exchange(held_, 0);
  // Whose last request had to be patient: this one waits its turn before anybody looks at it.
  engine_.work(patient_, [self = self()] { self->work(); });
}

/// Answers what will not be handled, and ends the connection. The answers are short.
void Connection::refuse(Reply reply) {
  engine_.metrics.refused->add();
  incoming_.reset();
  in_.clear();
  out_.push(std::move(reply.head));
  out_.push(std::move(reply.response.body));
  if (flush(kReadSize) == Flush::kFailed) return close();
  linger();
}

void Connection::linger() {
  transport_.end_writing();
  state_ = State::kLinger;
  arm(engine_.loop.now() + kLingerMilliseconds);
  listen(EPOLLIN);
}

void Connection::drain() {
  std::array<char, kReadSize> buffer;
  for (int round = 0; round < 8; ++round) {
    const ssize_t n = recv(transport_.fd(), buffer.data(), buffer.size(), 0);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) return close();
    if (n < 0) break;
  }
  listen(EPOLLIN);
}

/// Waiting ends at `due`. A deadline that is set already and earlier is left: when it comes it is moved on,
/// so that a busy connection costs no bookkeeping per request.
void Connection::arm(int64_t due) {
  due_ = due;
  if (deadline_ != 0 && deadline_ <= due) return;
  engine_.loop.set_deadline(this, deadline_, due);
  deadline_ = due;
}

void Connection::on_deadline() {
  if (on_pump()) {
    pump_deadline_ = 0;
    if (state_ == State::kSending) leave_pump(false);  // a reader this slow holds the response's memory
    return;
  }
  deadline_ = 0;
  switch (state_) {
    case State::kBusy:
      // The worker sets due_ when it is done and does not wake the loop for it.
      return arm(engine_.loop.now() + engine_.options.idle_timeout.count());
    case State::kHandshake:
    case State::kHead:
    case State::kBody:
    case State::kLinger:
      if (due_ > engine_.loop.now()) return arm(due_);
      return expire();
    default:
      return;  // set again when the loop gets the connection back
  }
}

void Connection::expire() {
  if (state_ == State::kBody || (state_ == State::kHead && !in_.empty())) {
    return refuse(engine_.codec.refuse(HeadError{408, "408 Request Timeout"}));
  }
  close();
}

void Connection::close() {
  state_ = State::kClosed;
  if (deadline_ != 0) engine_.loop.set_deadline(this, std::exchange(deadline_, 0), 0);
  part();
}

void Connection::part() {
  if (being_modified()) return engine_.loop.post([self = self()] { self->part(); });
  transport_.close();
  engine_.forget(this);
}

void Connection::stop_gently() {
  switch (state_) {
    case State::kHandshake:
    case State::kLinger:
      return close();
    case State::kHead:
      if (in_.empty()) close();
      return;
    case State::kSending:
    case State::kStreaming:
      return pump_.load()->post([self = self()] {
        if (self->state_ == State::kStreaming) self->stream_->finish();
      });
    default:
      return;  // a request that is being received or handled gets its answer
  }
}

void Connection::stop_now() {
  switch (state_) {
    case State::kHandshake:
    case State::kHead:
    case State::kBody:
    case State::kLinger:
      return close();
    case State::kSending:
    case State::kStreaming:
      return pump_.load()->post([self = self()] {
        if (self->state_ == State::kSending || self->state_ == State::kStreaming) self->leave_pump(false);
      });
    default:
      return;
  }
}

}  // namespace orch::http
