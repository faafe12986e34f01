#include "http/server.h"

#include <openssl/ssl.h>

#include <unistd.h>

#include <thread>

#include "base/file.h"
#include "base/metrics.h"
#include "http/transport.h"
#include "tests/unit/http/fixture.h"

namespace {

using namespace orch;
using namespace orch::http;
using namespace orch::http::testing;
using orch::testing::contains;

/// Says what it was asked.
Response echo(Request& request) {
  std::string out = base::cat(request.method, " ", request.path, "?", request.query, "\n");
  for (const auto& [name, value] : request.headers) out += base::cat(name, "=", value, "\n");
  out += base::cat("cn=", request.peer.common_name, " error=", request.peer.error, "\n");
  for (const auto& organization : request.peer.organizations) out += base::cat("o=", organization, "\n");
  out += request.body;
  return Response::text(out);
}

TEST_CASE("requests reach the handler as sent") {
  const auto server = start(plain_options(), echo);
  struct Row {
    std::string request, expected;
  };
  const Row rows[] = {
      {"GET /a%2Fb/c?x=%41&y HTTP/1.1\r\nHost: h\r\nX-Value: a%2Fb\r\nConnection: close\r\n\r\n",
       "GET /a%2Fb/c?x=%41&y\nHost=h\nX-Value=a%2Fb\n"},
      {"POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello", "\nhello"},
      {"DELETE /p HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
       "3;ext=1\r\nabc\r\n2\r\nde\r\n0\r\nTrailer: x\r\n\r\n",
       "\nabcde"},
      {"GET / HTTP/1.1\nHost: h\nConnection: close\n\n", "GET /?\n"},
      {"\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", "GET /?\n"},
      {"GET / HTTP/1.0\r\n\r\n", "GET /?\n"},
      {"GET / HTTP/1.1\r\nHost: h\r\nRange: bytes=1-2\r\nConnection: close\r\n\r\n", "Range=bytes=1-2\n"},
      {"GET / HTTP/1.1\r\nHost: h\r\nRange: nonsense\r\nConnection: close\r\n\r\n", "Range=nonsense\n"},
      {"PATCH / HTTP/1.1\r\nHost: h\r\nX-A: 1\r\nX-A: 2\r\nConnection: close\r\n\r\n", "X-A=1\nX-A=2\n"},
  };
  for (const auto& row : rows) {
    CAPTURE(row.request);
    const std::string answer = talk(*server, row.request);
    CHECK_THAT(answer, contains("HTTP/1.1 200 OK\r\n"));
    CHECK_THAT(answer, contains("Connection: close\r\n"));
    CHECK_THAT(answer, contains("Date: "));
    CHECK_THAT(answer, contains(row.expected));
    CHECK(answer.find("Keep-Alive:") == std::string::npos);
  }
}

TEST_CASE("malformed input is refused in Go's words and never harms") {
  const auto server = start(plain_options(), echo);
  const std::string host = "Host: h\r\n";
  struct Row {
    std::string request, status;
  };
  const Row rows[] = {
      {"nonsense\r\n\r\n", "400 Bad Request"},
      {"GET\r\n\r\n", "400 Bad Request"},
      {" / HTTP/1.1\r\n\r\n", "400 Bad Request"},
      {"GET / HTTP/1.1\r\n\r\n", "400 Bad Request: missing required Host header"},
      {"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "400 Bad Request: too many Host headers"},
      {"GET / HTTP/2.0\r\nHost: h\r\n\r\n", "505 HTTP Version Not Supported"},
      {"GET / FTP/1.1\r\nHost: h\r\n\r\n", "400 Bad Request: malformed HTTP version"},
      {"G\x01T / HTTP/1.1\r\nHost: h\r\n\r\n", "400 Bad Request"},
      {std::string("GET /") + std::string(1, 0) + "x HTTP/1.1\r\nHost: h\r\n\r\n", "400 Bad Request"},
      {"GET / HTTP/1.1\r\n" + host + "no colon\r\n\r\n", "400 Bad Request"},
      {"GET / HTTP/1.1\r\n" + host + ": empty name\r\n\r\n", "400 Bad Request"},
      {"GET / HTTP/1.1\r\n" + host + "Spaced Name: x\r\n\r\n", "400 Bad Request"},
      {"GET / HTTP/1.1\r\n" + host + "X: a\r\n folded\r\n\r\n", "400 Bad Request"},
      {"GET / HTTP/1.1\r\n" + host + "X: a\x01z\r\n\r\n", "400 Bad Request"},
      {"POST / HTTP/1.1\r\n" + host + "Content-Length: -1\r\n\r\n", "400 Bad Request"},
      {"POST / HTTP/1.1\r\n" + host + "Content-Length: 5x\r\n\r\nhello", "400 Bad Request"},
      {"POST / HTTP/1.1\r\n" + host + "Content-Length: 99999999999999999999\r\n\r\n", "400 Bad Request"},
      {"POST / HTTP/1.1\r\n" + host + "Content-Length: 1\r\nContent-Length: 2\r\n\r\nab", "400 Bad Request"},
      {"POST / HTTP/1.1\r\n" + host + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
       "400 Bad Request"},
      {"POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: gzip\r\n\r\n", "501 Not Implemented"},
      {"POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\nzz\r\n", "400 Bad Request"},
      {"POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n\r\n", "400 Bad Request"},
      {"POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
       "400 Bad Request"},
      {"POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n1\r\nabc", "400 Bad Request"},
      {"GET / HTTP/1.1\r\nX: " + std::string(70000, 'a'), "431 Request Header Fields Too Large"},
      {"GET /" + std::string(100000, 'a') + " HTTP/1.1\r\nHost: h\r\n\r\n",
       "431 Request Header Fields Too Large"},
      {"POST / HTTP/1.1\r\n" + host + "Content-Length: 3145729\r\n\r\n",
       R"("message":"Request entity too large: limit is 3145728","reason":"RequestEntityTooLarge")"},
      {"POST / HTTP/1.1\r\n" + host + "Content-Length: 3145729\r\nExpect: 100-continue\r\n\r\n",
       R"("message":"Request entity too large: limit is 3145728")"},
      {"POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n300001\r\n" +
           std::string(100000, 'x'),
       "413 Payload Too Large"},
  };
  for (const auto& row : rows) {
    CAPTURE(row.request.substr(0, 200));
    const std::string answer = talk(*server, row.request);
    CHECK_THAT(answer, contains(row.status));
    CHECK_THAT(answer, contains("Connection: close\r\n"));
  }
  // Random bytes, and every prefix of a good request: answered or closed, and the server still stands.
  uint32_t seed = 7;
  for (int i = 0; i < 200; ++i) {
    std::string bytes =
        "POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    for (int k = 0; k < 3; ++k) {
      seed = seed * 1664525 + 1013904223;
      bytes[(seed >> 8) % bytes.size()] = static_cast<char>(seed >> 24);
    }
    const auto stream = connect(to(*server, false));
    stream->write(bytes);
    stream->close_write();
    read_to_end(*stream);
  }
  CHECK_THAT(talk(*server, "GET /still HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"),
             contains("GET /still"));
}

TEST_CASE("bodies up to the limit arrive whole, in any chunking") {
  const auto server = start(tls_options(), [](Request& request) {
    return Response::text(base::cat(request.body.size(), " ", pki::sha256_hex(request.body)));
  });
  const std::string body = pki::random_bytes(3U << 20);
  const auto stream = connect(to(*server));
  stream->write(base::cat("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: ", body.size(), "\r\n\r\n"));
  stream->write(body);
  CHECK_THAT(read_response(*stream), contains(base::cat(body.size(), " ", pki::sha256_hex(body))));
  std::string chunked = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (size_t at = 0, size = 1; at < body.size(); at += size, size = size * 7 % 5003 + 1) {
    char line[16];
    const std::string part = body.substr(at, size);
    snprintf(line, sizeof line, "%zX\r\n", part.size());
    chunked += line + part + "\r\n";
  }
  stream->write(chunked + "0\r\n\r\n");
  CHECK_THAT(read_response(*stream), contains(base::cat(body.size(), " ", pki::sha256_hex(body))));
}

TEST_CASE("an expected 100-continue is sent, then the body is taken") {
  const auto server = start(plain_options(), echo);
  const auto stream = connect(to(*server, false));
  stream->write("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n");
  CHECK(read_until(*stream, "\r\n\r\n") == "HTTP/1.1 100 Continue\r\n\r\n");
  stream->write("body");
  CHECK_THAT(read_response(*stream), contains("\nbody"));
}

TEST_CASE("connections are kept, and pipelined requests answered in order") {
  for (const bool tls : {false, true}) {
    const auto server = start(tls ? tls_options() : plain_options(), echo);
    const auto stream = connect(to(*server, tls));
    std::string all;
    for (int i = 0; i < 50; ++i) {
      all += base::cat("POST /", i, " HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi");
    }
    stream->write(all);
    for (int i = 0; i < 50; ++i) CHECK_THAT(read_response(*stream), contains(base::cat("POST /", i, "?")));
    CHECK(server->connections() == 1);
    stream->write("HEAD /h HTTP/1.1\r\nHost: h\r\n\r\nGET /after HTTP/1.1\r\nHost: h\r\n\r\n");
    const std::string head = read_until(*stream, "\r\n\r\n");
    CHECK_THAT(head, contains("Content-Length: "));
    CHECK(head.find("Accept-Ranges") == std::string::npos);
    CHECK_THAT(read_response(*stream), contains("GET /after"));
  }
}

TEST_CASE("large shared bodies are sent whole, also to a slow reader") {
  const auto big = std::make_shared<const std::string>(pki::random_bytes(20U << 20));
  const auto server = start(tls_options(), [&](Request&) {
    Response response = Response::text("start:");
    response.pieces.push_back({*big, big});
    response.pieces.push_back({std::string_view(*big).substr(0, 1000), big});
    return response;
  });
  const auto stream = connect(to(*server));
  stream->write("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
  const auto other = connect(to(*server));
  other->write("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
  for (const auto& one : {other, stream}) {
    const std::string answer = read_response(*one);
    CHECK(answer.substr(answer.find("\r\n\r\n") + 4) == "start:" + *big + big->substr(0, 1000));
  }
  // The pump gave the connection back.
  stream->write("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
  CHECK(read_to_end(*stream).size() > big->size());
}

TEST_CASE("client certificates are verified, and a bad one does not cut the connection") {
  const auto server = start(tls_options(), echo);
  const auto& certificates = Certificates::get();
  struct Row {
    const pki::KeyPair* pair;
    std::string expected;
  };
  const Row rows[] = {
      {nullptr, "cn= error=\n"},
      {&certificates.client, "cn=jane error=\no=developers\no=system:masters\n"},
      {&certificates.stranger, "cn= error=x509: certificate signed by unknown authority\n"},
      {&certificates.server, "cn= error=x509: certificate specifies an incompatible key usage\n"},
  };
  for (const auto& row : rows) {
    DialOptions options = to(*server);
    if (row.pair != nullptr) {
      options.tls_config.certificate_pem = row.pair->certificate_pem;
      options.tls_config.key_pem = row.pair->key_pem;
    }
    const auto stream = connect(options);
    stream->write("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    CHECK_THAT(read_response(*stream), contains(row.expected));
  }
}

TEST_CASE("the client checks the server") {
  const auto server = start(tls_options(), echo);
  DialOptions options = to(*server);
  options.tls_config.ca_pem = Certificates::get().stranger_ca.certificate_pem;
  CHECK_THAT(dial(options).error().message(), contains("failed to verify certificate"));
  options = to(*server);
  options.tls_config.server_name = "other.example";
  CHECK_THAT(dial(options).error().message(), contains("failed to verify certificate"));
  options.tls_config.server_name = "localhost";
  CHECK(dial(options).ok());
  options.tls_config.server_name = "other.example";
  options.tls_config.insecure = true;
  CHECK(dial(options).ok());
}

TEST_CASE("TLS 1.2 and 1.3 are spoken, 1.1 is not") {
  const auto server = start(tls_options(), echo);
  for (const auto& [version, good] :
       {std::pair{TLS1_1_VERSION, false}, std::pair{TLS1_2_VERSION, true}, std::pair{TLS1_3_VERSION, true}}) {
    ClientTls config;
    config.insecure = true;
    const auto context = make_client_context(config);
    SSL_CTX_set_min_proto_version(context->get(), version);
    SSL_CTX_set_max_proto_version(context->get(), version);
    SSL_CTX_set_security_level(context->get(), 0);
    SSL_CTX_set_cipher_list(context->get(), "ALL");
    const auto plain = dial(to(*server, false));
    REQUIRE(plain.ok());
    // A TLS client on a blocking pair of memory BIOs over the plain stream.
    SSL* ssl = SSL_new(context->get());
    BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
    SSL_set_bio(ssl, in, out);
    SSL_set_connect_state(ssl);
    bool done = false, lost = false;
    while (!done && !lost) {
      const int result = SSL_do_handshake(ssl);
      char* data = nullptr;
      const long size = BIO_get_mem_data(out, &data);
      if (size > 0) (*plain)->write({data, static_cast<size_t>(size)});
      (void)BIO_reset(out);
      done = result == 1;
      if (done || SSL_get_error(ssl, result) != SSL_ERROR_WANT_READ) break;
      char buffer[8192];
      const long n = (*plain)->read(buffer, sizeof buffer);
      lost = n <= 0;
      if (n > 0) BIO_write(in, buffer, static_cast<int>(n));
    }
    CHECK(done == good);
    SSL_free(ssl);
  }
}

TEST_CASE("plain HTTP on the TLS port is told so") {
  const auto server = start(tls_options(), echo);
  CHECK(talk(*server, "GET / HTTP/1.1\r\nHost: h\r\n\r\n") ==
        "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n");
  CHECK(talk(*server, "\x80nonsense").find("HTTP") == std::string::npos);
}

TEST_CASE("slow senders are cut off, at every stage") {
  ServerOptions options = plain_options();
  options.request_timeout = std::chrono::milliseconds(50);
  options.idle_timeout = std::chrono::milliseconds(80);
  const auto server = start(options, echo);
  CHECK(talk(*server, "").empty());
  CHECK_THAT(talk(*server, "GET / HT"), contains("408 Request Timeout"));
  CHECK_THAT(talk(*server, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nhal"),
             contains("408 Request Timeout"));
  // After a request, only the idle time-out counts.
  const std::string idle = talk(*server, "GET /one HTTP/1.1\r\nHost: h\r\n\r\n");
  CHECK_THAT(idle, contains("GET /one"));
  CHECK(idle.find("408") == std::string::npos);
  options = tls_options();
  options.request_timeout = std::chrono::milliseconds(50);
  const auto secure = start(options, echo);
  CHECK(talk(*secure, "\x16\x03\x01").empty());  // a handshake that never ends
}

TEST_CASE("a reader that takes nothing is given up, and frees what it held") {
  ServerOptions options = plain_options();
  options.write_timeout = std::chrono::milliseconds(50);
  auto big = std::make_shared<const std::string>(64U << 20, 'x');
  const std::weak_ptr<const std::string> seen = big;
  std::promise<void> closed;
  const auto server = start(options, [&](Request&) {
    Response response;
    const std::shared_ptr<const std::string> guard(big.get(), [&, keep = big](const std::string*) mutable {
      keep.reset();
      closed.set_value();
    });
    response.pieces.push_back({*big, guard});
    return response;
  });
  const auto stream = connect(to(*server, false));
  stream->write("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
  closed.get_future().wait();
  big.reset();
  CHECK(read_to_end(*stream).size() < (64U << 20));
}

TEST_CASE("connections over the cap are closed, and room is made again") {
  ServerOptions options = plain_options();
  options.max_connections = 3;
  const auto server = start(options, echo);
  std::vector<std::shared_ptr<Stream>> open;
  for (int i = 0; i < 3; ++i) {
    open.push_back(connect(to(*server, false)));
    open.back()->write("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    read_response(*open.back());
  }
  CHECK(read_to_end(*connect(to(*server, false))).empty());
  open[0]->write("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
  read_to_end(*open[0]);
  std::string answer;
  while (answer.empty()) answer = talk(*server, "GET /in HTTP/1.0\r\n\r\n");
  CHECK_THAT(answer, contains("GET /in"));
}

TEST_CASE("the memory for requests being received is bounded") {
  ServerOptions options = plain_options();
  options.max_buffered_bytes = 256U << 10;
  const auto server = start(options, echo);
  const auto post = [&](size_t size) {
    return talk(*server, base::cat("POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: ",
                                   size, "\r\n\r\n", std::string(size, 'x')));
  };
  const std::string answer = post(1'000'000);
  CHECK_THAT(answer, contains("429 Too Many Requests"));
  CHECK_THAT(answer, contains("Retry-After: 1\r\n"));
  CHECK_THAT(post(60'000), contains("200 OK"));
  CHECK_THAT(post(200'000), contains("200 OK"));  // what the refused one held is free again
}

TEST_CASE("a taken port is refused naming the process") {
  const auto server = start(plain_options(), echo);
  ServerOptions options = plain_options();
  options.port = server->port();
  const auto second = Server::listen(options, echo);
  REQUIRE_FALSE(second.ok());
  CHECK(second.error().code() == base::Code::kConflict);
  // As the kernel knows this program, which may run under an emulator.
  std::string name = *base::read_file(base::cat("/proc/", getpid(), "/comm"));
  name.pop_back();
  CHECK(second.error().message() ==
        base::cat("port ", server->port(), " is already in use by process ", getpid(), " (", name, ")"));
}

TEST_CASE("a handler that throws answers 500, and its connection lives on") {
  const auto server = start(plain_options(), [](Request& request) {
    if (request.path == "/throw") throw std::runtime_error("boom");
    return echo(request);
  });
  const auto stream = connect(to(*server, false));
  stream->write("GET /throw HTTP/1.1\r\nHost: h\r\n\r\n");
  CHECK_THAT(read_response(*stream), contains("500 Internal Server Error"));
  stream->write("GET /fine HTTP/1.1\r\nHost: h\r\n\r\n");
  CHECK_THAT(read_response(*stream), contains("GET /fine"));
}

TEST_CASE("headers a handler sets cannot break the framing") {
  const auto server = start(plain_options(), [](Request&) {
    Response response = Response::text("body");
    response.headers = {{"Warning", "299 - \"one\""},     {"Warning", "299 - \"two\""},
                        {"Content-Length", "999"},        {"Transfer-Encoding", "chunked"},
                        {"X-Evil", "a\r\nInjected: yes"}, {"Connection", "x"}};
    return response;
  });
  const std::string answer = talk(*server, "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
  CHECK_THAT(answer, contains("Content-Length: 4\r\n"));
  CHECK_THAT(answer, contains("299 - \"one\""));
  CHECK_THAT(answer, contains("299 - \"two\""));
  CHECK(answer.find("Injected") == std::string::npos);
  CHECK(answer.find("chunked") == std::string::npos);
  CHECK(answer.find("999") == std::string::npos);
}

TEST_CASE("headers of one name keep their order") {
  const auto server = start(plain_options(), [](Request&) {
    Response response = Response::text("x");
    for (const char* text : {"first", "second", "third", "fourth"})
      response.headers.emplace_back("Warning", text);
    response.headers.emplace_back("Other", "fifth");
    return response;
  });
  const std::string answer = talk(*server, "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
  size_t last = 0;
  for (const char* text : {"first", "second", "third", "fourth"}) {
    const size_t at = answer.find(base::cat("Warning: ", text));
    REQUIRE(at != std::string::npos);
    CHECK(at > last);
    last = at;
  }
  CHECK(answer.find("Other: fifth") != std::string::npos);
}

TEST_CASE("certificates are exchanged while running") {
  const auto& certificates = Certificates::get();
  const auto server = start(tls_options(), echo);
  const auto old = connect(to(*server));
  CHECK_FALSE(server->reload({"junk", "junk", ""}).ok());
  pki::CertificateRequest request;
  request.common_name = "server";
  request.ip_addresses = {"127.0.0.1"};
  request.server = true;
  const auto fresh = *pki::issue(certificates.stranger_ca, request, base::SystemClock().now());
  REQUIRE(server->reload({fresh.certificate_pem, fresh.key_pem, certificates.ca.certificate_pem}).ok());
  CHECK_FALSE(dial(to(*server)).ok());
  DialOptions options = to(*server);
  options.tls_config.ca_pem = certificates.stranger_ca.certificate_pem;
  CHECK(dial(options).ok());
  old->write("GET /old HTTP/1.1\r\nHost: h\r\n\r\n");
  CHECK_THAT(read_response(*old), contains("GET /old"));
  CHECK_FALSE(Server::listen(
                  [] {
                    ServerOptions bad = tls_options();
                    bad.tls_config.key_pem = pki::generate_key();
                    return bad;
                  }(),
                  echo)
                  .ok());
}

TEST_CASE("idle connections hold no threads") {
  base::Metrics metrics;
  ServerOptions options = tls_options();
  options.metrics = &metrics;
  options.request_timeout = std::chrono::minutes(10);  // most of them never ask for anything
  const auto server = start(options, echo);
  std::vector<std::shared_ptr<Stream>> open;
  for (int i = 0; i < 1000; ++i) {
    open.push_back(connect(to(*server)));
    if (i % 10 == 0) {
      open.back()->write("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
      read_response(*open.back());
    }
  }
  CHECK(server->connections() == 1000);
  CHECK_THAT(metrics.expose(), contains("orch_http_connections 1000"));
  size_t threads = 0;
  for (const auto& line : {*base::read_file("/proc/self/status")}) {
    threads = std::stoul(line.substr(line.find("Threads:") + 8));
  }
  CHECK(threads <= 1 + 2 + 2);  // this one, loop and pump, and few workers
}

TEST_CASE("stop answers what is running, then closes") {
  std::promise<void> entered, leave;
  auto left = leave.get_future().share();
  auto server = start(plain_options(), [&](Request& request) {
    if (request.path == "/slow") {
      entered.set_value();
      left.wait();
    }
    return echo(request);
  });
  const auto idle = connect(to(*server, false));
  const auto busy = connect(to(*server, false));
  busy->write("GET /slow HTTP/1.1\r\nHost: h\r\n\r\n");
  entered.get_future().wait();
  std::thread stopper([&] { server->stop(std::chrono::seconds(10)); });
  CHECK(read_to_end(*idle).empty());
  leave.set_value();
  CHECK_THAT(read_to_end(*busy), contains("GET /slow"));
  stopper.join();
  CHECK_FALSE(dial(to(*server, false)).ok());
}

}  // namespace
