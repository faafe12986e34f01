#include "http/websocket.h"

#include <thread>

#include "tests/unit/http/fixture.h"
#include "tests/unit/http/pipe_stream.h"

namespace {

using namespace orch;
using namespace orch::http;
using namespace orch::http::testing;

Request upgrade_request(const std::string& protocols) {
  Request request;
  request.method = "GET";
  request.headers = {{"Upgrade", "WebSocket"},
                     {"Connection", "keep-alive, Upgrade"},
                     {"Sec-WebSocket-Version", "13"},
                     {"Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="}};
  if (!protocols.empty()) request.headers.emplace_back("Sec-WebSocket-Protocol", protocols);
  return request;
}

TEST_CASE("the WebSocket handshake is RFC 6455's") {
  const Request request = upgrade_request("v5.channel.k8s.io , v4.channel.k8s.io");
  CHECK(is_websocket_request(request));
  CHECK(websocket_protocols(request) == std::vector<std::string>{"v5.channel.k8s.io", "v4.channel.k8s.io"});
  CHECK(*websocket_accept(request, "v5.channel.k8s.io") ==
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: "
        "v5.channel.k8s.io\r\n\r\n");
  for (size_t i = 0; i < 4; ++i) {
    Request broken = request;
    broken.headers[i].second = "x";
    CHECK_FALSE(websocket_accept(broken, "").ok());
  }
}

TEST_CASE("WebSocket messages of every size round-trip, pings are answered, closing ends both sides") {
  const auto [a, b] = make_stream_pair();
  WebSocket server(a, WebSocket::Role::kServer), client(b, WebSocket::Role::kClient);
  const size_t sizes[] = {0, 1, 125, 126, 127, 65535, 65536, 3'000'000};
  std::thread sender([&, &client = client] {
    for (const size_t size : sizes) {
      client.ping("are you there");
      client.write(std::string(size, 'c'), size % 2 == 0);
    }
    // The server's pongs are read on the way to its message.
    const auto last = client.read();
    CHECK(last->data == "done");
    CHECK_FALSE(client.read());
    CHECK_FALSE(client.write("late"));
  });
  for (const size_t size : sizes) {
    const auto message = server.read();
    REQUIRE(message);
    CHECK(message->data == std::string(size, 'c'));
    CHECK(message->binary == (size % 2 == 0));
  }
  server.write("done", false);
  server.close();
  sender.join();
  CHECK_FALSE(server.read());
}

/// A masked client frame with an all-zero mask.
std::string frame(uint8_t first, const std::string& payload, bool masked = true) {
  std::string out{static_cast<char>(first), static_cast<char>((masked ? 0x80 : 0) | payload.size())};
  if (masked) out += std::string(4, '\0');
  return out + payload;
}

TEST_CASE("WebSocket frames a server must refuse end with the right code") {
  struct Row {
    std::string bytes;
    int code;  // 0: a message arrives; -1: it ends without a close
    std::string message;
  };
  const Row rows[] = {
      {frame(0x82, "abc"), 0, "abc"},
      {frame(0x02, "ab") + frame(0x89, "ping") + frame(0x00, "cd") + frame(0x80, "ef"), 0, "abcdef"},
      {frame(0x82, "abc", false), 1002, ""},                // not masked
      {frame(0xc2, "abc"), 1002, ""},                       // reserved bit
      {frame(0x80, "abc"), 1002, ""},                       // continues nothing
      {frame(0x02, "a") + frame(0x02, "b"), 1002, ""},      // a message within a message
      {frame(0x09, "ping"), 1002, ""},                      // fragmented control frame
      {frame(0x83, "x"), 1002, ""},                         // unknown opcode
      {frame(0x8b, "x"), 1002, ""},                         // unknown control opcode
      {frame(0x88, std::string("\x03\xe9", 2)), 1001, ""},  // a close is echoed
      {frame(0x88, ""), 1000, ""},
      {frame(0x02, std::string(100, 'x')) + frame(0x80, "y"), 1009, ""},  // together too big
      {std::string("\x82\xff\xff\xff\xff\xff\xff\xff\xff\xff", 10), 1009, ""},
      {std::string("\x82\xfe", 2), -1, ""},
      {"", -1, ""},
  };
  for (const auto& row : rows) {
    CAPTURE(row.bytes);
    const auto [a, b] = make_stream_pair();
    WebSocket server(a, WebSocket::Role::kServer, 100);
    b->write(row.bytes);
    b->close_write();
    const auto message = server.read();
    if (row.code == 0) {
      REQUIRE(message);
      CHECK(message->data == row.message);
      continue;
    }
    CHECK_FALSE(message);
    a->close();
    const std::string answer = read_all(*b);
    if (row.code < 0) {
      CHECK(answer.empty());
      continue;
    }
    REQUIRE(answer.size() >= 4);
    CHECK(static_cast<uint8_t>(answer[0]) == 0x88);
    CHECK((static_cast<uint8_t>(answer[2]) << 8 | static_cast<uint8_t>(answer[3])) == row.code);
  }
}

TEST_CASE("a WebSocket over a real connection, and as a byte stream") {
  const auto server = start(tls_options(), [](Request& request) {
    Response response;
    if (!is_websocket_request(request))
      return Response::from_status(base::Status(base::Code::kNotFound, "no"));
    response.takeover = [request](const std::shared_ptr<Stream>& stream) {
      stream->write(*websocket_accept(request, "two"));
      WebSocketStream bytes(std::make_shared<WebSocket>(stream, WebSocket::Role::kServer));
      char buffer[777];
      long n = 0;
      while ((n = bytes.read(buffer, sizeof buffer)) > 0) bytes.write({buffer, static_cast<size_t>(n)});
    };
    return response;
  });
  auto connection = websocket_connect(to(*server), "/ws", {"one", "two"}, {}, std::chrono::seconds(30));
  REQUIRE(connection.ok());
  CHECK(connection->protocol == "two");
  WebSocketStream bytes(std::shared_ptr<WebSocket>(std::move(connection->socket)));
  const std::string text = pki::random_bytes(500'000);
  std::thread sender([&] { bytes.write(text); });
  CHECK(read_exactly(bytes, text.size()) == text);
  sender.join();
  bytes.close();
  ClientRequest plain;
  const auto refused = ClientExchange::start(to(*server), plain, std::chrono::seconds(30));
  CHECK((*refused)->status() == 404);
}

}  // namespace
