#include "http/remote_command.h"

#include <future>
#include <thread>

#include "http/port_forward.h"
#include "http/tunnel.h"
#include "http/upgrade.h"
#include "http/websocket.h"
#include "tests/unit/http/fixture.h"
#include "tests/unit/http/pipe_stream.h"

namespace {

using namespace orch;
using namespace orch::http;
using namespace orch::http::testing;
using orch::testing::contains;

constexpr auto kLong = std::chrono::seconds(30);

std::string read_channel(CommandSession& session, CommandChannel channel) {
  std::string out;
  char buffer[4096];
  long n = 0;
  while ((n = session.read(channel, buffer, sizeof buffer)) > 0) out.append(buffer, static_cast<size_t>(n));
  return out;
}

/// A runtime's streaming server: "cat" that also says the first resize on stderr, or on stdout with a
/// terminal, and exits with the query's code.
Response runtime(const Request& request) {
  const Query query = Query::parse(request.query);
  if (request.path == "/missing") {
    return Response::from_status(base::Status(base::Code::kNotFound, "container not found"));
  }
  Response response;
  response.takeover = [request, query](const std::shared_ptr<Stream>& stream) {
    if (request.path == "/portforward") {
      serve_port_forward(request, stream, "web", [](uint16_t port) -> base::Result<std::shared_ptr<Stream>> {
        if (port == 81) return base::Status(base::Code::kInternal, "connection refused");
        auto [a, b] = make_stream_pair();
        std::thread([b = b, port] {
          b->write(base::cat("port ", port, ":"));
          b->write(read_all(*b));
          b->close_write();
        }).detach();
        return a;
      });
      return;
    }
    const auto streams = CommandStreams::from_runtime_query(query);
    auto session = accept_command(request, stream, *streams, kLong);
    if (!session.ok()) return;
    if (streams->tty) {
      char size[100];
      const long n = (*session)->read(CommandChannel::kResize, size, sizeof size);
      (*session)->write(CommandChannel::kStdout, {size, static_cast<size_t>(std::max(n, 0L))});
    }
    (*session)->write(CommandChannel::kStderr, "to stderr");
    std::string in;
    if (streams->in) in = read_channel(**session, CommandChannel::kStdin);
    (*session)->write(CommandChannel::kStdout, in);
    (*session)->end(CommandChannel::kStdout);
    (*session)->end(CommandChannel::kStderr);
    if (query.has("fail"))
      return finish_command(**session, base::Status(base::Code::kInternal, "no such command"));
    finish_command(**session, std::stoi("0" + std::string(query.get("exit"))));
  };
  return response;
}

/// What the API server does in front of `backend`.
Handler front(const Server& backend) {
  DialOptions dial_options = to(backend);
  return [dial_options](Request& request) {
    UpgradeBackend target;
    target.dial = dial_options;
    target.target = request.target;
    Response response;
    response.takeover = [request, target](const std::shared_ptr<Stream>& stream) {
      if (wants_command_translation(request)) {
        proxy_command(request, stream, target,
                      *CommandStreams::from_runtime_query(Query::parse(request.query)));
      } else if (wants_spdy_tunnel(request)) {
        proxy_spdy_tunnel(request, stream, target);
      } else {
        proxy_upgrade(request, stream, target);
      }
    };
    return response;
  };
}

TEST_CASE("queries say which streams a session has") {
  const auto api = [](const char* query) { return CommandStreams::from_api_query(Query::parse(query)); };
  CHECK(api("stdout=true&stderr=1")->out);
  CHECK(api("stdout=true&stderr=1")->err);
  CHECK_FALSE(api("stdout=true&stdin=false")->in);
  CHECK_FALSE(api("stdin=true&stdout=true&stderr=true&tty=true")->err);
  CHECK(api("stdin=true&stdout=true&tty=true")->has(CommandChannel::kResize));
  CHECK(api("tty=true").status().message() == "you must specify at least 1 of stdin, stdout, stderr");
  CHECK(CommandStreams::from_runtime_query(Query::parse("input=1&output=1"))->in);
}

TEST_CASE("the error channel's content is understood") {
  struct Row {
    std::string content;
    int code;  // -1: an error
    std::string message;
  };
  const Row rows[] = {
      {exit_status_json(0), 0, ""},
      {exit_status_json(42), 42, ""},
      {R"({"status":"Failure","reason":"NonZeroExitCode","details":{}})", -1, "no ExitCode cause"},
      {R"({"status":"Failure","reason":"NonZeroExitCode","details":{"causes":[{"reason":"ExitCode","message":"x"}]}})",
       -1, "invalid exit code"},
      {R"({"status":"Failure","message":"it broke","code":500})", -1, "it broke"},
      {"{}", -1, "unknown error"},
      {"junk", -1, "error stream protocol error"},
      {"", -1, "error stream protocol error"},
  };
  for (const auto& row : rows) {
    CAPTURE(row.content);
    const auto code = parse_exit_status(row.content);
    CHECK(code.ok() == (row.code >= 0));
    if (code.ok()) CHECK(*code == row.code);
    if (!code.ok()) CHECK_THAT(code.error().message(), contains(row.message));
  }
}

TEST_CASE("commands over SPDY, directly and through the proxy") {
  const auto backend = start(tls_options(), [](Request& request) { return runtime(request); });
  const auto proxy = start(tls_options(), front(*backend));
  for (const Server* server : {backend.get(), proxy.get()}) {
    CommandStreams streams{true, true, true, false};
    auto session = connect_command(to(*server), "/exec?input=1&output=1&error=1&exit=3", {}, streams, kLong);
    REQUIRE(session.ok());
    const std::string text(300'000, 'i');
    std::thread input([&] {
      (*session)->write(CommandChannel::kStdin, text);
      (*session)->end(CommandChannel::kStdin);
    });
    CHECK(read_channel(**session, CommandChannel::kStdout) == text);
    CHECK(read_channel(**session, CommandChannel::kStderr) == "to stderr");
    CHECK(*parse_exit_status(read_channel(**session, CommandChannel::kError)) == 3);
    input.join();

    streams = {false, true, false, true};
    session = connect_command(to(*server), "/exec?output=1&tty=1", {}, streams, kLong);
    REQUIRE(session.ok());
    (*session)->write(CommandChannel::kResize, R"({"Width":80,"Height":24})");
    CHECK(read_channel(**session, CommandChannel::kStdout) == R"({"Width":80,"Height":24})");
    CHECK(*parse_exit_status(read_channel(**session, CommandChannel::kError)) == 0);

    const auto missing = connect_command(to(*server), "/missing", {}, streams, kLong);
    CHECK(missing.status().code() == base::Code::kNotFound);
    CHECK(missing.status().message() == "container not found");
  }
}

TEST_CASE("commands over every WebSocket protocol") {
  const auto backend = start(tls_options(), [](Request& request) { return runtime(request); });
  const auto proxy = start(tls_options(), front(*backend));
  struct Row {
    std::string protocol;
    bool base64, json, close, proxied;
  };
  const Row rows[] = {
      {"v5.channel.k8s.io", false, true, true, true},
      {"v5.channel.k8s.io", false, true, true, false},
      {"v4.channel.k8s.io", false, true, false, true},
      {"v4.base64.channel.k8s.io", true, true, false, true},
      {"channel.k8s.io", false, false, false, true},
      {"base64.channel.k8s.io", true, false, false, true},
      {"", false, false, false, true},
  };
  for (const auto& row : rows) {
    CAPTURE(row.protocol, row.proxied);
    const Server& server = row.proxied ? *proxy : *backend;
    const std::string target =
        row.close ? "/exec?input=1&output=1&error=1&exit=7" : "/exec?output=1&error=1&exit=7";
    std::vector<std::string> offered;
    if (!row.protocol.empty()) offered = {"unknown", row.protocol};
    auto connection = websocket_connect(to(server), target, offered, {}, kLong);
    REQUIRE(connection.ok());
    CHECK(connection->protocol == row.protocol);
    WebSocket& socket = *connection->socket;
    if (row.close) {
      socket.write(std::string("\0typed", 6));
      socket.write(std::string("\xff\0", 2));
    }
    std::string channels[5];
    while (auto message = socket.read()) {
      REQUIRE_FALSE(message->data.empty());
      const size_t channel = static_cast<size_t>(message->data[0] - (row.base64 ? '0' : 0));
      REQUIRE(channel < 5);
      const std::string content = message->data.substr(1);
      channels[channel] += row.base64 ? *pki::base64_decode(content) : content;
    }
    CHECK(channels[1] == (row.close ? "typed" : ""));
    CHECK(channels[2] == "to stderr");
    if (row.json) {
      CHECK(*parse_exit_status(channels[3]) == 7);
    } else {
      CHECK(channels[3] == "command terminated with non-zero exit code: exit status 7");
    }
  }
}

TEST_CASE("what goes wrong behind the proxy reaches the client") {
  const auto backend = start(tls_options(), [](Request& request) { return runtime(request); });
  const auto proxy = start(tls_options(), front(*backend));
  const auto error_of = [&](const std::string& target) {
    auto connection = websocket_connect(to(*proxy), target, {"v5.channel.k8s.io"}, {}, kLong);
    REQUIRE(connection.ok());
    std::string error;
    while (auto message = connection->socket->read()) {
      if (message->data[0] == 3) error += message->data.substr(1);
    }
    return error;
  };
  CHECK_THAT(error_of("/exec?output=1&fail=1"), contains("no such command"));
  CHECK_THAT(error_of("/missing?output=1"), contains("container not found"));
  // Protocols that are not known.
  CHECK_FALSE(websocket_connect(to(*proxy), "/exec?output=1", {"v9.channel.k8s.io"}, {}, kLong).ok());
  const auto plain = connect_spdy(to(*proxy), "/exec?output=1", {}, {"v9.channel.k8s.io"}, kLong);
  CHECK_FALSE(plain.ok());
  CHECK_THAT(plain.error().message(),
             contains("unable to negotiate protocol: client supports [v9.channel.k8s.io]"));
  // Nobody there.
  uint16_t port = backend->port();
  const auto lost = start(tls_options(), [port](Request& request) {
    UpgradeBackend target;
    target.dial.host = "127.0.0.1";
    target.dial.port = port;
    target.dial.unix_path = "/nonexistent";
    Response response;
    response.takeover = [request, target](const std::shared_ptr<Stream>& stream) {
      proxy_upgrade(request, stream, target);
    };
    return response;
  });
  const auto dead = connect_spdy(to(*lost), "/exec?output=1", {}, {"v4.channel.k8s.io"}, kLong);
  CHECK_THAT(dead.error().message(), contains("error dialing backend: dial unix /nonexistent"));
}

TEST_CASE("an interrupted client ends the command's session") {
  std::promise<void> ended;
  const auto backend = start(tls_options(), [&](Request& request) {
    Response response;
    response.takeover = [&, request](const std::shared_ptr<Stream>& stream) {
      auto session = accept_command(request, stream, {true, true, false, false}, kLong);
      read_channel(**session, CommandChannel::kStdin);
      ended.set_value();
    };
    return response;
  });
  const auto proxy = start(tls_options(), front(*backend));
  auto connection = websocket_connect(to(*proxy), "/exec?input=1&output=1", {"v5.channel.k8s.io"}, {}, kLong);
  REQUIRE(connection.ok());
  connection->socket->close();
  ended.get_future().wait();
}

void check_forwarding(const std::shared_ptr<Stream>& transport) {
  const auto session = SpdySession::start(transport, SpdySession::Role::kClient, nullptr);
  auto first = open_forwarded_port(*session, 80, 0, kLong);
  auto second = open_forwarded_port(*session, 8080, 1, kLong);
  REQUIRE(first.ok());
  REQUIRE(second.ok());
  const std::string text = pki::random_bytes(100'000);
  second->data->write(text);
  second->data->close_write();
  CHECK(read_all(*second->data) == "port 8080:" + text);
  CHECK(read_all(*second->error).empty());
  first->data->write("hello");
  first->data->close_write();
  CHECK(read_all(*first->data) == "port 80:hello");
  auto refused = open_forwarded_port(*session, 81, 2, kLong);
  REQUIRE(refused.ok());
  CHECK(read_all(*refused->error) == "error forwarding port 81 to pod web: connection refused");
  CHECK(read_all(*refused->data).empty());
  CHECK_FALSE(session->open({{"port", "0"}, {"streamtype", "data"}}, kLong).ok());
  CHECK_FALSE(session->open({{"port", "80"}, {"streamtype", "other"}}, kLong).ok());
  auto open_end = open_forwarded_port(*session, 80, 3, kLong);  // left open: ends with the session
  CHECK(read_exactly(*open_end->data, 8) == "port 80:");
}

TEST_CASE("ports are forwarded over SPDY, through the proxy, and in a WebSocket") {
  const auto backend = start(tls_options(), [](Request& request) { return runtime(request); });
  const auto proxy = start(tls_options(), front(*backend));
  for (const Server* server : {backend.get(), proxy.get()}) {
    const auto upgraded = connect_spdy(to(*server), "/portforward", {}, {kPortForwardProtocol}, kLong);
    REQUIRE(upgraded.ok());
    CHECK(upgraded->protocol == kPortForwardProtocol);
    check_forwarding(upgraded->stream);
  }
  auto connection = websocket_connect(to(*proxy), "/portforward", {"SPDY/3.1+portforward.k8s.io"}, {}, kLong);
  REQUIRE(connection.ok());
  CHECK(connection->protocol == "SPDY/3.1+portforward.k8s.io");
  check_forwarding(
      std::make_shared<WebSocketStream>(std::shared_ptr<WebSocket>(std::move(connection->socket))));
}

TEST_CASE("a tunnel carries both ways and ends with either side") {
  auto [a, front_a] = make_stream_pair();
  auto [b, front_b] = make_stream_pair();
  auto done = std::async(std::launch::async, [a = a, b = b] { tunnel(*a, *b); });
  front_a->write("to b");
  CHECK(read_exactly(*front_b, 4) == "to b");
  front_b->write("to a");
  CHECK(read_exactly(*front_a, 4) == "to a");
  front_b->close();
  done.wait();
  CHECK(read_all(*front_a).empty());
}

}  // namespace
