#include <unistd.h>

#include <fstream>
#include <mutex>
#include <thread>

#include "agent/api/log_line.h"
#include "agent/api/log_reader.h"
#include "agent/api/tunnel.h"
#include "base/file.h"
#include "tests/catch.h"

namespace orch::agent {
namespace {

using std::chrono::seconds;

const base::WallTime kNow{seconds(1'800'000'000)};  // 2027-01-15T08:00:00Z

constexpr const char* kLog =
    "2027-01-15T07:59:50.000000001Z stdout F one\n"
    "2027-01-15T07:59:55.5Z stderr P par\n"
    "2027-01-15T07:59:55.6Z stderr F tial\n"
    "not a line\n"
    "2027-01-15T07:59:59Z stdout F \n"
    "2027-01-15T08:00:00Z stdout F last\n";

/// A folder with a log in it.
struct LogFile {
  explicit LogFile(const std::string& text) : folder("/tmp/orch-log-" + std::to_string(::getpid())) {
    (void)base::make_dirs(folder);
    std::ofstream(path()) << text;
  }
  ~LogFile() { (void)base::remove_all(folder); }
  std::string path() const { return folder + "/0.log"; }
  std::string folder;
};

std::string read_all(const std::string& path, const std::string& query) {
  LogOptions options;
  REQUIRE(log_options(query, kNow, options).empty());
  LogStop stop;
  std::string out;
  const base::Status status = read_log(
      path, options, stop, [] { return false; },
      [&](std::string piece) {
        out += piece;
        return true;
      });
  REQUIRE(status.ok());
  return out;
}

TEST_CASE("lines of logs") {
  LogLine line;
  REQUIRE(parse_log_line("2027-01-15T08:00:00Z stderr P:x hello there", line));
  CHECK(line.err);
  CHECK(line.partial);
  CHECK(line.text == "hello there");
  CHECK(line.at == kNow);
  CHECK_FALSE(parse_log_line("", line));
  CHECK_FALSE(parse_log_line("2027-01-15T08:00:00Z stdlog F x", line));
  CHECK_FALSE(parse_log_line("yesterday stdout F x", line));
}

TEST_CASE("options of a log request") {
  LogOptions o;
  CHECK(log_options("follow=true&timestamps=true&tailLines=0&limitBytes=7&sinceSeconds=60", kNow, o).empty());
  CHECK(o.follow);
  CHECK(o.tail == 0);
  CHECK(o.limit == 7);
  CHECK(o.since == kNow - seconds(60));
  CHECK_FALSE(log_options("tailLines=-1", kNow, o).empty());
  CHECK_FALSE(log_options("limitBytes=0", kNow, o).empty());
  CHECK_FALSE(log_options("sinceTime=never", kNow, o).empty());
}

TEST_CASE("logs are read as the container wrote them") {
  const LogFile file(kLog);
  CHECK(read_all(file.path(), "") == "one\npartial\n\nlast\n");
  CHECK(read_all(file.path(), "tailLines=1") == "last\n");
  CHECK(read_all(file.path(), "tailLines=0").empty());
  CHECK(read_all(file.path(), "tailLines=100") == "one\npartial\n\nlast\n");
  CHECK(read_all(file.path(), "sinceSeconds=2") == "\nlast\n");
  CHECK(read_all(file.path(), "limitBytes=6") == "one\npa");
  CHECK(read_all(file.path(), "timestamps=true&limitBytes=35") == "2027-01-15T07:59:50.000000001Z one\n");
  CHECK(read_all(file.path(), "timestamps=true&tailLines=1") == "2027-01-15T08:00:00Z last\n");
  const LogFile cut("2027-01-15T08:00:00Z stdout F no line feed");
  CHECK(read_all(cut.path(), "") == "no line feed\n");
  LogStop stop;
  CHECK(read_log(
            "/no/such/log", {}, stop, [] { return false; }, [](std::string) { return true; })
            .code() == base::Code::kNotFound);
}

TEST_CASE("a followed log goes on through rotation, until its container ends") {
  LogFile file("2027-01-15T08:00:00Z stdout F first\n");
  LogOptions options;
  options.follow = true;
  LogStop stop;
  std::mutex mutex;
  std::string out;
  std::atomic<bool> running{true};
  std::thread reader([&] {
    (void)read_log(
        file.path(), options, stop, [&] { return running.load(); },
        [&](std::string piece) {
          std::lock_guard lock(mutex);
          out += piece;
          return true;
        });
  });
  const auto wait_for = [&](const std::string& text) {
    for (int i = 0; i < 2000; ++i) {
      {
        std::lock_guard lock(mutex);
        if (out == text) return true;
      }
      std::this_thread::yield();
      ::usleep(1000);
    }
    return false;
  };
  CHECK(wait_for("first\n"));
  std::ofstream(file.path(), std::ios::app) << "2027-01-15T08:00:01Z stdout F second\n";
  CHECK(wait_for("first\nsecond\n"));
  REQUIRE(::rename(file.path().c_str(), (file.path() + ".old").c_str()) == 0);
  std::ofstream(file.path()) << "2027-01-15T08:00:02Z stdout F third\n";
  CHECK(wait_for("first\nsecond\nthird\n"));
  running = false;
  std::ofstream(file.path(), std::ios::app) << "2027-01-15T08:00:03Z stdout F end\n";
  reader.join();
  CHECK(out == "first\nsecond\nthird\nend\n");
}

TEST_CASE("URLs of streaming servers") {
  const auto url = parse_stream_url("http://127.0.0.1:4242/exec/a?b=c");
  REQUIRE(url.ok());
  CHECK(url->host == "127.0.0.1");
  CHECK(url->port == 4242);
  CHECK(url->target == "/exec/a?b=c");
  CHECK(parse_stream_url("https://[::1]:1/x")->host == "::1");
  for (const char* bad : {"", "ftp://a:1/", "http://a/", "http://a:x/"})
    CHECK_FALSE(parse_stream_url(bad).ok());
}

}  // namespace
}  // namespace orch::agent
