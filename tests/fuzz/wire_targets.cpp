#include <memory>
#include <string>

#include "agent/network/dns_message.h"
#include "http/head.h"
#include "http/message.h"
#include "http/spdy.h"
#include "http/websocket.h"
#include "tests/fuzz/targets.h"

namespace orch::fuzz {
namespace {

/// A connection on which the peer says `bytes` and then hangs up; what is sent to it is dropped.
class Script final : public http::Stream {
 public:
  explicit Script(std::string_view bytes) : bytes_(bytes) {}
  long read(char* buffer, size_t size) override {
    const size_t n = std::min(size, bytes_.size() - at_);
    bytes_.copy(buffer, n, at_);
    at_ += n;
    return static_cast<long>(n);
  }
  bool write(std::string_view) override { return true; }
  void close() override {}

 private:
  const std::string bytes_;
  size_t at_ = 0;
};

/// A request's head and body; the body must come out the same however its bytes arrive.
void request(std::string_view bytes) {
  constexpr size_t kLimit = 1U << 16;
  const size_t end = http::find_head_end(bytes);
  http::Head head;
  if (end == std::string_view::npos || end == 0 || end > bytes.size()) {
    (void)http::parse_request_head(bytes, head);
    return;
  }
  if (http::parse_request_head(bytes.substr(0, end), head)) return;
  using State = http::BodyDecoder::State;
  std::string whole, pieces;
  std::string_view in = bytes.substr(end);
  const State state = http::BodyDecoder(head, kLimit).feed(in, whole);
  http::BodyDecoder decoder(head, kLimit);
  State other = State::kMore;
  for (size_t at = end; at < bytes.size() && other == State::kMore; ++at) {
    std::string_view one = bytes.substr(at, 1);
    other = decoder.feed(one, pieces);
  }
  if (end < bytes.size()) require(state == other, "a body ends the same way in one piece and byte by byte");
  if (state == State::kDone && end < bytes.size())
    require(whole == pieces, "a body is the same in any pieces");
  (void)http::Query::parse(head.target);
}

void response(std::string_view bytes) {
  http::Head head;
  if (!http::parse_response_head(bytes, head).ok()) return;
  (void)head.header("content-type");
}

void websocket(std::string_view bytes) {
  for (const auto role : {http::WebSocket::Role::kServer, http::WebSocket::Role::kClient}) {
    http::WebSocket socket(std::make_shared<Script>(bytes), role, 1U << 16);
    while (const auto message = socket.read())
      require(message->data.size() <= 1U << 16, "messages are bounded");
  }
}

void spdy(std::string_view bytes) {
  auto session = http::SpdySession::start(
      std::make_shared<Script>(bytes), http::SpdySession::Role::kServer,
      [](const std::shared_ptr<http::SpdyStream>& stream) { return !stream->header("streamtype").empty(); });
  session->wait();
}

void query(std::string_view bytes) {
  const auto query = http::Query::parse(bytes);
  (void)query.get("watch");
  std::string decoded;
  if (http::percent_decode(bytes, false, decoded)) {
    std::string again;
    require(http::percent_decode(http::percent_encode(decoded), false, again) && again == decoded,
            "what is encoded can be decoded");
  }
}

void dns(std::string_view bytes) {
  if (const auto question = agent::read_question(bytes)) {
    (void)agent::write_answer(bytes, {}, 5, agent::kDnsUdpPayload);
  }
  (void)agent::error_answer(bytes, 2);
  (void)agent::cache_seconds(bytes);
  (void)agent::aged_answer(bytes, 3, 7);
  (void)agent::is_answer_to(bytes, bytes);
  (void)agent::is_truncated(bytes);
  (void)agent::address_records(bytes);
}

}  // namespace

std::vector<Target> wire_targets() {
  return {{"request", request}, {"response", response}, {"websocket", websocket},
          {"spdy", spdy},       {"query", query},       {"dns", dns}};
}

}  // namespace orch::fuzz
