#include "http/message.h"

#include "http/head.h"
#include "http/out_queue.h"
#include "http/port_owner.h"
#include "tests/catch.h"

namespace {

using namespace orch;
using namespace orch::http;

TEST_CASE("queries decode like Go's") {
  struct Row {
    std::string raw;
    std::vector<std::pair<std::string, std::string>> items;
  };
  const Row rows[] = {
      {"", {}},
      {"a=1&b=2", {{"a", "1"}, {"b", "2"}}},
      {"a&b=", {{"a", ""}, {"b", ""}}},
      {"a=x+y%20z", {{"a", "x y z"}}},
      {"labelSelector=app%3Dweb%2Cx%21%3Dy", {{"labelSelector", "app=web,x!=y"}}},
      {"a=1&&b=2&", {{"a", "1"}, {"b", "2"}}},
      {"a=%zz&b=2", {{"b", "2"}}},
      {"a=%2", {}},
      {"a=b=c", {{"a", "b=c"}}},
  };
  for (const auto& row : rows) {
    CAPTURE(row.raw);
    CHECK(Query::parse(row.raw).items() == row.items);
  }
  const Query query = Query::parse("command=sh&command=-c&x=1");
  CHECK(query.get("command") == "sh");
  CHECK(query.all("command") == std::vector<std::string_view>{"sh", "-c"});
  CHECK(query.has("x"));
  CHECK_FALSE(query.has("y"));
  CHECK(query.get("y").empty());
}

TEST_CASE("percent coding") {
  std::string out;
  CHECK(percent_decode("a%2Fb+c", false, out));
  CHECK(out == "a/b+c");
  CHECK(percent_decode("%E4%BD%A0%00", false, out));
  CHECK(out == std::string("\xE4\xBD\xA0\0", 4));
  for (const char* bad : {"%", "%1", "%g1", "a%"}) CHECK_FALSE(percent_decode(bad, false, out));
  CHECK(percent_encode("a/b c~1.\xE4") == "a%2Fb%20c~1.%E4");
}

TEST_CASE("headers and tokens are compared without case") {
  Request request;
  request.headers = {{"Accept", "a"}, {"ACCEPT", "b"}, {"X", ""}};
  CHECK(request.header("accept") == "a");
  CHECK(request.header_values("Accept") == std::vector<std::string_view>{"a", "b"});
  CHECK(request.has_header("x"));
  CHECK_FALSE(request.has_header("y"));
  CHECK(has_token("keep-alive, Upgrade", "upgrade"));
  CHECK(has_token(" close\t", "close"));
  CHECK_FALSE(has_token("closed", "close"));
  CHECK_FALSE(has_token("", "close"));
}

TEST_CASE("a status becomes a response") {
  base::StatusDetails details;
  details.retry_after_seconds = 7;
  const Response response =
      Response::from_status(base::Status(base::Code::kTooManyRequests, "slow down", details));
  CHECK(response.status == 429);
  CHECK(response.content_type == "application/json");
  CHECK(response.headers == std::vector<std::pair<std::string, std::string>>{{"Retry-After", "7"}});
}

TEST_CASE("the end of a head is found wherever it was cut") {
  const std::string head = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
  for (size_t cut = 0; cut <= head.size(); ++cut) {
    const size_t first = find_head_end(head.substr(0, cut));
    CHECK(first == (cut == head.size() ? cut : 0));
    CHECK(find_head_end(head + "body", cut) == head.size());
  }
  CHECK(find_head_end("a\n\nb") == 3);
  CHECK(find_head_end("a\n\r\nb") == 4);
}

TEST_CASE("response heads") {
  struct Row {
    std::string text;
    int status;  // 0: refused
    bool chunked, keep;
  };
  const Row rows[] = {
      {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 200, true, true},
      {"HTTP/1.1 101\r\n\r\n", 101, false, true},
      {"HTTP/1.0 404 Not Found\r\n\r\n", 404, false, false},
      {"HTTP/1.1 500 X\r\nConnection: close\r\n\r\n", 500, false, false},
      {"HTTP/2 200\r\n\r\n", 0, false, false},
      {"HTTP/1.1 20x OK\r\n\r\n", 0, false, false},
      {"HTTP/1.1 2000 OK\r\n\r\n", 0, false, false},
      {"\r\n\r\n", 0, false, false},
      {"HTTP/1.1 200 OK\r\nbroken\r\n\r\n", 0, false, false},
      {"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", 0, false, false},
  };
  for (const auto& row : rows) {
    CAPTURE(row.text);
    Head head;
    CHECK(parse_response_head(row.text, head).ok() == (row.status != 0));
    if (row.status == 0) continue;
    CHECK(head.status == row.status);
    CHECK(head.chunked == row.chunked);
    CHECK(head.keep_alive == row.keep);
  }
}

TEST_CASE("chunks decode in any cut, and are bounded") {
  const std::string raw = "5\r\nhello\r\n0A;x=y\r\n world....\r\n0\r\nT: 1\r\n\r\nnext";
  Head head;
  head.chunked = true;
  for (size_t step = 1; step < raw.size(); ++step) {
    BodyDecoder decoder(head, 100);
    std::string out;
    size_t at = 0;
    auto state = BodyDecoder::State::kMore;
    std::string kept;
    while (state == BodyDecoder::State::kMore && at < raw.size()) {
      kept += raw.substr(at, step);
      at += step;
      std::string_view view = kept;
      state = decoder.feed(view, out);
      kept = view;
    }
    CHECK(state == BodyDecoder::State::kDone);
    CHECK(out == "hello world....");
    CHECK(kept + raw.substr(std::min(at, raw.size())) == "next");
  }
  const auto feed = [&](std::string text, size_t limit) {
    BodyDecoder decoder(head, limit);
    std::string out;
    std::string_view view = text;
    return decoder.feed(view, out);
  };
  CHECK(feed(raw, 14) == BodyDecoder::State::kTooLarge);
  CHECK(feed("1;" + std::string(100'000, 'x'), 100) == BodyDecoder::State::kMalformed);
  CHECK(feed("0\r\n" + std::string(100'000, 'x'), 100) == BodyDecoder::State::kMalformed);
  CHECK(feed("fffffffffffffff\r\n", 100) == BodyDecoder::State::kTooLarge);
}

TEST_CASE("a queue gives the same bytes whatever the steps") {
  const std::string big(100, 'b');
  for (size_t step = 1; step < 40; ++step) {
    OutQueue queue;
    queue.push(std::string("head;"));
    queue.push_chunk({{"ab", {}}, {"cd", {}}});
    queue.push_chunk({});
    queue.push_chunk({{"", {}}, {big, {}}});
    queue.push_final_chunk();
    const std::string expected = "head;4\r\nabcd\r\n64\r\n" + big + "\r\n0\r\n\r\n";
    CHECK(queue.bytes() == expected.size());
    std::string out, scratch(step, '\0');
    while (!queue.empty()) {
      const std::string seen(queue.front(scratch.data(), step));
      REQUIRE_FALSE(seen.empty());
      CHECK(queue.front(scratch.data(), step) == seen);  // a retry sees the same
      const size_t sent = (seen.size() + 1) / 2;
      out += seen.substr(0, sent);
      queue.consume(sent);
    }
    CHECK(out == expected);
    CHECK(queue.bytes() == 0);
  }
}

TEST_CASE("a queue that is never empty does not grow") {
  OutQueue queue, more;
  std::string expected, out, scratch(7, '\0');
  for (int i = 0; i < 2000; ++i) {
    more.push(base::cat("piece ", i, ";"));
    expected += base::cat("piece ", i, ";");
    queue.append(more);
    CHECK(more.empty());
    const std::string_view bytes = queue.front(scratch.data(), 7);
    out += bytes;
    queue.consume(bytes.size());
  }
  while (!queue.empty()) {
    const std::string_view bytes = queue.front(scratch.data(), 7);
    out += bytes;
    queue.consume(bytes.size());
  }
  CHECK(out == expected);
}

TEST_CASE("listening sockets in the kernel's table") {
  const std::string table =
      "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
      "   0: 00000000:192B 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 11 1 0\n"
      "   1: 0100007F:192B 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 12 1 0\n"
      "   2: 0100007F:192B 0100007F:D431 01 00000000:00000000 00:00000000 00000000     0        0 13 1 0\n"
      "   3: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 14 1 0\n"
      "   4: junk\n"
      "   0: 00000000000000000000000000000000:192B 00000000000000000000000000000000:0000 0A 0:0 0:0 0 0 0 15 "
      "1\n";
  CHECK(listening_inodes(table, 6443) == std::set<uint64_t>{11, 12, 15});
  CHECK(listening_inodes(table, 22) == std::set<uint64_t>{14});
  CHECK(listening_inodes("", 22).empty());
}

}  // namespace
