#include <sys/socket.h>

#include <atomic>
#include <map>
#include <thread>

#include "http/stream_body.h"
#include "tests/unit/http/fixture.h"

namespace {

using namespace orch;
using namespace orch::http;
using namespace orch::http::testing;
using orch::testing::contains;

/// The streams a test server gave out, by path; `closed` counts on_close calls.
struct Watches {
  std::mutex mutex;
  std::condition_variable changed;
  std::map<std::string, std::shared_ptr<StreamBody>> bodies;
  int started = 0, closed = 0;

  Response make(const Request& request) {
    Response response;
    response.stream = std::make_shared<StreamBody>(
        [this](StreamBody& body) {
          body.write(std::string("first;"));
          const std::lock_guard lock(mutex);
          ++started;
          changed.notify_all();
        },
        [this] {
          const std::lock_guard lock(mutex);
          ++closed;
          changed.notify_all();
        });
    const std::lock_guard lock(mutex);
    bodies[request.path] = response.stream;
    return response;
  }
  std::shared_ptr<StreamBody> wait_started(const std::string& path, int count) {
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return started >= count; });
    return bodies[path];
  }
  void wait_closed(int count) {
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return closed >= count; });
  }
};

/// The content of chunks until it ends with `text`.
std::string read_chunks_until(Stream& stream, const std::string& text) {
  std::string out;
  while (!out.ends_with(text)) {
    const std::string line = read_until(stream, "\r\n");
    const size_t size = line.empty() ? 0 : std::stoul(line, nullptr, 16);
    const size_t end = out.size() + size;
    while (out.size() < end) {
      char buffer[16384];
      const long n = stream.read(buffer, std::min(sizeof buffer, end - out.size()));
      if (n <= 0) return out;
      out.append(buffer, static_cast<size_t>(n));
    }
    read_until(stream, "\r\n");
    if (size == 0) break;
  }
  return out;
}

const std::string kGet = "GET /w HTTP/1.1\r\nHost: h\r\n\r\n";

TEST_CASE("frames arrive in order as chunks, and the connection is kept after the end") {
  for (const bool tls : {false, true}) {
    Watches watches;
    const auto server = start(tls ? tls_options() : plain_options(), [&](Request& request) {
      return request.path == "/w" ? watches.make(request) : Response::text("plain");
    });
    const auto stream = connect(to(*server, tls));
    for (int round = 1; round <= 2; ++round) {
      stream->write(kGet);
      const std::string head = read_until(*stream, "\r\n\r\n");
      CHECK_THAT(head, contains("Transfer-Encoding: chunked\r\n"));
      CHECK(head.find("Content-Length") == std::string::npos);
      const auto body = watches.wait_started("/w", round);
      std::string expected = "first;";
      const auto shared = std::make_shared<const std::string>("shared,");
      for (int i = 0; i < 2000; ++i) {
        const std::string number = base::cat(i, ";");
        auto owner = std::make_shared<const std::string>(number);
        CHECK(body->write(std::vector<BodyPiece>{{*shared, shared}, {*owner, owner}}));
        expected += "shared," + number;
      }
      CHECK(body->write(std::string()));  // no frame: it would be the end
      CHECK(body->write(std::string("last!")));
      CHECK(read_chunks_until(*stream, "last!") == expected + "last!");
      body->finish();
      CHECK(read_until(*stream, "\r\n\r\n") == "0\r\n\r\n");
      watches.wait_closed(round);
      CHECK_FALSE(body->write(std::string("late")));
    }
    stream->write("GET /after HTTP/1.1\r\nHost: h\r\n\r\n");
    CHECK_THAT(read_response(*stream), contains("plain"));
  }
}

TEST_CASE("a request sent during a stream is answered after it") {
  Watches watches;
  const auto server = start(tls_options(), [&](Request& request) {
    return request.path == "/w" ? watches.make(request) : Response::text("plain");
  });
  const auto stream = connect(to(*server));
  stream->write(kGet + "GET /next HTTP/1.1\r\nHost: h\r\n\r\n");
  watches.wait_started("/w", 1)->finish();
  CHECK_THAT(read_until(*stream, "0\r\n\r\n"), contains("first;"));
  CHECK_THAT(read_response(*stream), contains("plain"));
}

TEST_CASE("a client that leaves ends its stream") {
  for (const bool tls : {false, true}) {
    Watches watches;
    const auto server =
        start(tls ? tls_options() : plain_options(), [&](Request& request) { return watches.make(request); });
    {
      const auto stream = connect(to(*server, tls));
      stream->write(kGet);
      read_until(*stream, "first;");
    }
    watches.wait_closed(1);
    CHECK_FALSE(watches.bodies["/w"]->write(std::string("x")));
  }
}

TEST_CASE("a slow watcher is cut, without harm to the others") {
  Watches watches;
  const auto server = start(tls_options(), [&](Request& request) { return watches.make(request); });
  const auto slow = connect(to(*server));
  slow->write("GET /slow HTTP/1.1\r\nHost: h\r\n\r\n");
  const auto slow_body = watches.wait_started("/slow", 1);
  const auto quick = connect(to(*server));
  quick->write("GET /quick HTTP/1.1\r\nHost: h\r\n\r\n");
  const auto quick_body = watches.wait_started("/quick", 2);
  slow_body->set_limit(1U << 20);
  quick_body->set_limit(1U << 30);
  const auto event = std::make_shared<const std::string>(100'000, 'e');
  int sent = 0;
  while (slow_body->write(std::vector<BodyPiece>{{*event, event}})) {
    CHECK(quick_body->write(std::vector<BodyPiece>{{*event, event}}));
    ++sent;
  }
  watches.wait_closed(1);
  quick_body->write(std::string("last!"));
  read_until(*quick, "\r\n\r\n");
  CHECK(read_chunks_until(*quick, "last!").size() == 6 + 5 + event->size() * static_cast<size_t>(sent));
  const std::string rest = read_to_end(*slow);
  CHECK(rest.find("\r\n0\r\n\r\n") == std::string::npos);  // cut, not ended
}

TEST_CASE("what is written at the start does not count against the limit") {
  const auto big = std::make_shared<const std::string>(16U << 20, 'i');
  std::atomic<bool> good{false};
  std::promise<void> closed;
  const auto server = start(plain_options(), [&](Request&) {
    Response response;
    response.stream = std::make_shared<StreamBody>(
        [&](StreamBody& body) {
          body.set_limit(1000);
          for (int i = 0; i < 4; ++i) body.write(std::vector<BodyPiece>{{*big, big}});
          good = body.write(std::string("end"));
          body.finish();
        },
        [&] { closed.set_value(); });
    return response;
  });
  const auto stream = connect(to(*server, false));
  stream->write(kGet);
  read_until(*stream, "\r\n\r\n");
  CHECK(read_chunks_until(*stream, "end").size() == 4 * big->size() + 3);
  closed.get_future().wait();
  CHECK(good);
}

TEST_CASE("a producer that waits is held back, not cut") {
  Watches watches;
  const auto server = start(tls_options(), [&](Request& request) { return watches.make(request); });
  const auto stream = connect(to(*server));
  stream->write(kGet);
  const auto body = watches.wait_started("/w", 1);
  body->set_limit(64U << 10);
  std::thread producer([&] {
    for (int i = 0; i < 2000; ++i) body->write_waiting(std::string(10'000, 'w'));
    body->finish();
  });
  read_until(*stream, "\r\n\r\n");
  CHECK(read_chunks_until(*stream, "never").size() == 6 + 20'000'000);
  producer.join();
  // One that waits when the client leaves is let go.
  stream->write(kGet);
  const auto again = watches.wait_started("/w", 2);
  again->set_limit(1000);
  std::thread stuck([&] {
    while (again->write_waiting(std::string(100'000, 'w'))) {
    }
  });
  read_until(*stream, "first;");
  stream->close();
  stuck.join();
}

TEST_CASE("an aborted stream ends without its final chunk") {
  Watches watches;
  const auto server = start(plain_options(), [&](Request& request) { return watches.make(request); });
  const auto stream = connect(to(*server, false));
  stream->write(kGet);
  read_until(*stream, "first;\r\n");
  watches.wait_started("/w", 1)->abort();
  CHECK(read_to_end(*stream).empty());
  watches.wait_closed(1);
}

TEST_CASE("HEAD and HTTP/1.0 get streams without chunks") {
  Watches watches;
  const auto server = start(plain_options(), [&](Request& request) { return watches.make(request); });
  CHECK_THAT(talk(*server, "HEAD /w HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"), contains("chunked"));
  watches.wait_closed(1);
  CHECK(watches.started == 0);
  const auto stream = connect(to(*server, false));
  stream->write("GET /w HTTP/1.0\r\n\r\n");
  watches.wait_started("/w", 1)->finish();
  const std::string answer = read_to_end(*stream);
  CHECK(answer.substr(answer.find("\r\n\r\n")) == "\r\n\r\nfirst;");
}

TEST_CASE("stopping ends streams cleanly") {
  Watches watches;
  auto server = start(tls_options(), [&](Request& request) { return watches.make(request); });
  const auto stream = connect(to(*server));
  stream->write(kGet);
  read_until(*stream, "first;\r\n");
  watches.wait_started("/w", 1);
  server->stop(std::chrono::seconds(10));
  CHECK(read_to_end(*stream) == "0\r\n\r\n");
  CHECK(watches.closed == 1);
}

TEST_CASE("a stream nobody took is closed with its response") {
  int closed = 0;
  {
    const StreamBody body([](StreamBody&) { FAIL("started"); }, [&] { ++closed; });
    CHECK_FALSE(body.closed());
  }
  CHECK(closed == 1);
}

TEST_CASE("a takeover has the connection, both ways at once") {
  for (const bool tls : {false, true}) {
    const auto server = start(tls ? tls_options() : plain_options(), [](Request&) {
      Response response;
      response.takeover = [](const std::shared_ptr<Stream>& stream) {
        stream->write("HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n");
        // The reader echoes while a second thread writes on its own.
        std::thread writer([&] {
          for (int i = 0; i < 200; ++i) stream->write("tick;");
        });
        char buffer[1000];
        long n = 0;
        while ((n = stream->read(buffer, sizeof buffer)) > 0) {
          for (long i = 0; i < n; ++i) buffer[i] = static_cast<char>(std::toupper(buffer[i]));
          stream->write({buffer, static_cast<size_t>(n)});
        }
        writer.join();
      };
      return response;
    });
    ClientRequest request;
    request.method = "POST";
    request.target = "/exec";
    request.headers = {{"Upgrade", "echo"}, {"Connection", "Upgrade"}};
    auto exchange = ClientExchange::start(to(*server, tls), request, std::chrono::seconds(30));
    REQUIRE(exchange.ok());
    CHECK((*exchange)->status() == 101);
    CHECK((*exchange)->header("upgrade") == "echo");
    const auto stream = (*exchange)->upgraded();
    REQUIRE(stream);
    std::thread sender([&] {
      for (int i = 0; i < 3000; ++i) stream->write(std::string(1000, 'a'));
      stream->close_write();
    });
    const std::string all = read_to_end(*stream);
    sender.join();
    CHECK(std::count(all.begin(), all.end(), 'A') == 3'000'000);
    CHECK(std::count(all.begin(), all.end(), ';') == 200);
  }
}

TEST_CASE("a takeover gets what was sent with the request, and is closed when the server stops") {
  std::promise<void> ended;
  auto server = start(tls_options(), [&](Request&) {
    Response response;
    response.takeover = [&](const std::shared_ptr<Stream>& stream) {
      char buffer[100];
      const long n = stream->read(buffer, sizeof buffer);
      stream->write({buffer, static_cast<size_t>(n)});
      while (stream->read(buffer, sizeof buffer) > 0) {
      }
      ended.set_value();
    };
    return response;
  });
  const auto stream = connect(to(*server));
  stream->write("GET / HTTP/1.1\r\nHost: h\r\n\r\nearly");
  CHECK(read_until(*stream, "early") == "early");
  server->stop(std::chrono::milliseconds(0));
  ended.get_future().wait();
  CHECK(read_to_end(*stream).empty());
  CHECK(server->connections() == 0);
}

TEST_CASE("the client reads bodies of every framing") {
  const auto server = start(tls_options(), [](Request& request) {
    if (request.path == "/length") return Response::text("with length");
    Response response;
    if (request.path == "/raw" || request.path == "/cut") {
      const bool cut = request.path == "/cut";
      response.takeover = [cut](const std::shared_ptr<Stream>& stream) {
        stream->write(format_response_head(200, {{cut ? "Content-Length" : "X", "20"}}) + "until the end");
      };
      return response;
    }
    response.stream = std::make_shared<StreamBody>(
        [](StreamBody& body) {
          body.write(std::string("chunk one,"));
          body.write(std::string("chunk two"));
          body.finish();
        },
        [] {});
    return response;
  });
  const std::pair<const char*, const char*> rows[] = {
      {"/length", "with length"}, {"/chunks", "chunk one,chunk two"}, {"/raw", "until the end"}};
  for (const auto& [target, expected] : rows) {
    ClientRequest request;
    request.target = target;
    auto exchange = ClientExchange::start(to(*server), request, std::chrono::seconds(30));
    REQUIRE(exchange.ok());
    CHECK((*exchange)->status() == 200);
    CHECK(*(*exchange)->read_all(1000) == expected);
    CHECK((*exchange)->upgraded() == nullptr);
  }
  ClientRequest request;
  request.target = "/cut";
  auto exchange = ClientExchange::start(to(*server), request, std::chrono::seconds(30));
  CHECK((*exchange)->read_all(1000).status().message() == "unexpected EOF");
}

TEST_CASE("dialling nobody says who did not answer") {
  uint16_t port = 0;
  {
    const auto server = start(plain_options(), [](Request&) { return Response::text(""); });
    port = server->port();
  }
  DialOptions options;
  options.host = "127.0.0.1";
  options.port = port;
  CHECK(dial(options).error().message() ==
        base::cat("dial tcp 127.0.0.1:", port, ": connect: connection refused"));
  options.host = "no.such.name";
  CHECK_THAT(dial(options).error().message(), contains("no such host"));
  options.unix_path = "/nonexistent/socket";
  CHECK(dial(options).error().message() ==
        "dial unix /nonexistent/socket: connect: no such file or directory");
}

TEST_CASE("a response that never comes is a time-out") {
  std::promise<void> leave;
  auto left = leave.get_future().share();
  const auto server = start(plain_options(), [&](Request&) {
    left.wait();
    return Response::text("late");
  });
  const auto exchange = ClientExchange::start(to(*server, false), {}, std::chrono::milliseconds(30));
  CHECK_FALSE(exchange.ok());
  leave.set_value();
}

}  // namespace
