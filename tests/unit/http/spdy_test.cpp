#include "http/spdy.h"

#include <future>

#include "pki/pki.h"
#include "tests/catch.h"
#include "tests/unit/http/pipe_stream.h"

namespace {

using namespace orch;
using namespace orch::http;
using namespace orch::http::testing;

constexpr auto kLong = std::chrono::seconds(30);

/// A server session that keeps the streams it gets.
struct Server {
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<std::shared_ptr<SpdyStream>> streams;
  std::shared_ptr<SpdySession> session;

  explicit Server(std::shared_ptr<Stream> transport) {
    session = SpdySession::start(std::move(transport), SpdySession::Role::kServer,
                                 [this](const std::shared_ptr<SpdyStream>& stream) {
                                   if (stream->header("streamtype") == "unwanted") return false;
                                   if (stream->header("streamtype") == "hasty") stream->reset();
                                   const std::lock_guard lock(mutex);
                                   streams.push_back(stream);
                                   changed.notify_all();
                                   return true;
                                 });
  }
  std::shared_ptr<SpdyStream> get(size_t index) {
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return streams.size() > index; });
    return streams[index];
  }
};

TEST_CASE("SPDY streams carry headers and bytes both ways at once") {
  auto [a, b] = make_stream_pair();
  Server server(a);
  const auto client = SpdySession::start(b, SpdySession::Role::kClient, nullptr);
  for (size_t i = 0; i < 10; ++i) {
    const auto stream = client->open({{"streamType", "stdin"}, {"Number", std::to_string(i)}}, kLong);
    REQUIRE(stream.ok());
    CHECK((*stream)->id() == 2 * i + 1);
    const auto other = server.get(i);
    CHECK(other->headers() == Headers{{"streamtype", "stdin"}, {"number", std::to_string(i)}});
    const std::string text = pki::random_bytes(200'000);
    auto echo = std::async(std::launch::async, [&] {
      const std::string got = read_all(*other);
      other->write(got);
      other->close_write();
      return got;
    });
    CHECK((*stream)->write(text));
    (*stream)->close_write();
    CHECK_FALSE((*stream)->write("after the end"));
    CHECK(read_all(**stream) == text);
    CHECK(echo.get() == text);
  }
}

TEST_CASE("refused, reset and orphaned SPDY streams end") {
  auto [a, b] = make_stream_pair();
  auto server = std::make_unique<Server>(a);
  auto client = SpdySession::start(b, SpdySession::Role::kClient, nullptr);
  CHECK(client->open({{"streamtype", "unwanted"}}, kLong).status().code() == base::Code::kServiceUnavailable);
  const auto one = *client->open({{"streamtype", "a"}}, kLong);
  server->get(0)->reset();
  CHECK(read_all(*one).empty());
  CHECK_FALSE(one->write("x"));
  const auto two = *client->open({{"streamtype", "b"}}, kLong);
  CHECK(server->get(1)->write("last words"));
  server->session->close();
  CHECK(read_all(*two) == "last words");
  client->wait();
  CHECK(client->closed());
  CHECK_FALSE(two->write("x"));
  CHECK(client->open({}, kLong).status().code() == base::Code::kServiceUnavailable);
  client.reset();
  CHECK_FALSE(two->write("x"));
  two->close();
}

TEST_CASE("a SPDY stream reset before it was answered is opened, then ends") {
  auto [a, b] = make_stream_pair();
  Server server(a);
  const auto client = SpdySession::start(b, SpdySession::Role::kClient, nullptr);
  const auto stream = client->open({{"streamtype", "hasty"}}, kLong);
  REQUIRE(stream.ok());
  CHECK(read_all(**stream).empty());
  CHECK_FALSE((*stream)->write("x"));
}

TEST_CASE("a full SPDY stream holds back the sender and comes free on close") {
  auto [a, b] = make_stream_pair();
  Server server(a);
  auto client = SpdySession::start(b, SpdySession::Role::kClient, nullptr);
  const auto stream = *client->open({{"streamtype", "a"}}, kLong);
  const auto other = server.get(0);
  auto writing = std::async(std::launch::async, [&] {
    size_t sent = 0;
    while (stream->write(std::string(100'000, 'x'))) sent += 100'000;
    return sent;
  });
  CHECK(read_exactly(*other, 10'000'000).size() == 10'000'000);  // it flows as it is read
  server.session->close();
  client->close();
  CHECK(writing.get() < 20'000'000);
}

std::string u32(uint32_t value) {
  return {static_cast<char>(value >> 24), static_cast<char>(value >> 16), static_cast<char>(value >> 8),
          static_cast<char>(value)};
}

TEST_CASE("SPDY pings are answered, noise is skipped, violations end the session") {
  struct Row {
    std::string bytes, answer;
  };
  const std::string ping = u32(0x80030006) + u32(4) + u32(7);
  const Row rows[] = {
      {ping, ping},
      {u32(0x80030006) + u32(4) + u32(8), ""},                              // an answer to no ping of ours
      {u32(0x80030004) + u32(12) + u32(1) + u32(7) + u32(9) + ping, ping},  // settings
      {u32(0x80030009) + u32(8) + u32(1) + u32(9) + ping, ping},            // window update
      {u32(5) + u32(3) + "abc" + ping, ping},                               // data of an unknown stream
      {u32(0x80030003) + u32(8) + u32(1) + u32(5) + ping, ping},            // reset of an unknown stream
      {u32(0x80030001) + u32(0xffffff), ""},
      {u32(0x80030001) + u32(4) + u32(1) + ping, ""},
      {u32(0x80030001) + u32(14) + u32(1) + u32(0) + std::string(2, '\0') + "junk" + ping, ""},
      {u32(0x80040006) + u32(4) + u32(7) + ping, ""},  // another version
      {u32(0x80030003) + u32(2) + "ab" + ping, ""},
      {u32(0x80030007) + u32(8) + u32(0) + u32(0) + ping, ""},  // go away
      {"short", ""},
  };
  for (const auto& row : rows) {
    CAPTURE(row.bytes);
    auto [a, b] = make_stream_pair();
    const auto session = SpdySession::start(a, SpdySession::Role::kServer, nullptr);
    b->write(row.bytes);
    if (!row.answer.empty()) CHECK(read_exactly(*b, row.answer.size()) == row.answer);
    b->close_write();
    session->wait();
    CHECK(read_all(*b).empty());
  }
  uint32_t seed = 11;
  for (int i = 0; i < 300; ++i) {
    auto [a, b] = make_stream_pair();
    const auto session = SpdySession::start(a, SpdySession::Role::kServer, nullptr);
    std::string bytes = ping + u32(0x80030001) + u32(40) + std::string(40, 'h') + ping;
    for (int k = 0; k < 4; ++k) {
      seed = seed * 1664525 + 1013904223;
      bytes[(seed >> 8) % bytes.size()] = static_cast<char>(seed >> 24);
    }
    b->write(bytes);
    b->close_write();
    session->wait();
  }
}

TEST_CASE("a SPDY session may be let go of in its own callback") {
  auto [a, b] = make_stream_pair();
  std::promise<void> gone;
  auto holder = std::make_shared<std::shared_ptr<SpdySession>>();
  {
    auto session = SpdySession::start(a, SpdySession::Role::kServer, nullptr, [holder, &gone] {
      holder->reset();
      gone.set_value();
    });
    *holder = std::move(session);
  }
  b->close();
  gone.get_future().wait();
}

}  // namespace
