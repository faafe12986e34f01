#include "http/deferred.h"

#include <atomic>
#include <mutex>
#include <thread>

#include "http/server.h"
#include "tests/unit/http/fixture.h"

namespace {

using namespace orch;
using namespace orch::http;
using namespace orch::http::testing;
using orch::testing::contains;

TEST_CASE("an answer may come later, and no worker waits for it") {
  std::mutex mutex;
  std::vector<std::function<void()>> waiting;
  auto options = plain_options();
  options.max_workers = 1;
  const auto server = start(options, [&](Request& request) {
    if (request.path != "/later") return Response::text("now\n");
    auto kept = std::make_shared<Request>(std::move(request));
    auto deferred = std::make_shared<Deferred>();
    deferred->wait = [&](std::function<void()> ready) {
      const std::lock_guard lock(mutex);
      waiting.push_back(std::move(ready));
    };
    deferred->answer = [kept] { return Response::text("later " + kept->body, 201); };
    defer(std::move(deferred));
    return Response();
  });
  std::vector<std::thread> clients;
  std::vector<std::string> answers(3);
  for (std::string& answer : answers) {
    clients.emplace_back([&] {
      answer = talk(*server,
                    "POST /later HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi");
    });
  }
  for (size_t n = 0; n < 3;) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    const std::lock_guard lock(mutex);
    n = waiting.size();
  }
  CHECK_THAT(talk(*server, "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"), contains("now"));
  for (auto& ready : waiting) ready();
  for (auto& client : clients) client.join();
  for (const std::string& answer : answers) {
    CHECK_THAT(answer, contains("HTTP/1.1 201 Created\r\n"));
    CHECK_THAT(answer, contains("Content-Length: 8\r\n"));
    CHECK_THAT(answer, contains("later hi"));
  }
}

/// How many patient answers were made at once, at most, to clients that ask for twelve.
int patient_at_once(std::chrono::milliseconds others_stay) {
  auto options = plain_options();
  options.patient_workers = 2;
  options.others_stay = others_stay;
  std::atomic<int> working{0}, most{0};
  const auto server = start(options, [&](Request&) {
    auto deferred = std::make_shared<Deferred>();
    deferred->patient = true;
    deferred->wait = [](const std::function<void()>& ready) { ready(); };
    deferred->answer = [&] {
      const int now = ++working;
      int before = most;
      while (now > before && !most.compare_exchange_weak(before, now)) {
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
      --working;
      auto again = std::make_shared<Deferred>();
      again->wait = [](const std::function<void()>& ready) { ready(); };
      again->answer = [] { return Response::text("at last\n"); };
      defer(std::move(again));
      return Response();
    };
    defer(std::move(deferred));
    return Response();
  });
  std::vector<std::thread> clients;
  std::vector<std::string> answers(12);
  for (std::string& answer : answers) {
    clients.emplace_back(
        [&] { answer = talk(*server, "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"); });
  }
  for (auto& client : clients) client.join();
  for (const std::string& answer : answers) CHECK_THAT(answer, contains("at last"));
  return most;
}

TEST_CASE("patient answers are made a few at a time, and may wait again") {
  using std::chrono::milliseconds;
  CHECK(patient_at_once(milliseconds(0)) <= 2);
  // Each request's first and last part is not patient.
  CHECK(patient_at_once(std::chrono::hours(1)) == 1);
}

TEST_CASE("a connection is as patient as the handler said of its last request") {
  std::vector<bool> seen;  // one connection: one request after the other
  const auto server = start(plain_options(), [&](Request& request) {
    seen.push_back(request.patient);
    request.patient = request.path != "/ends";
    if (request.path != "/begins") return Response::text(request.path + "\n");
    auto deferred = std::make_shared<Deferred>();
    deferred->patient = true;
    deferred->wait = [](const std::function<void()>& ready) { ready(); };
    // More than a socket takes at once: the patient pump has something to do.
    deferred->answer = [] { return Response::text(std::string(8U << 20, 'x')); };
    defer(std::move(deferred));
    return Response();
  });
  std::string requests;
  for (const char* path : {"/ends", "/begins", "/goes-on", "/ends", "/ends"}) {
    requests += base::cat("GET ", path, " HTTP/1.1\r\nHost: h\r\n\r\n");
  }
  requests.insert(requests.size() - 2, "Connection: close\r\n");
  const std::string answers = talk(*server, requests);
  CHECK(answers.size() > 8U << 20);
  CHECK(seen == std::vector<bool>{false, false, true, true, false});
}

}  // namespace
