#include "cli/renewal.h"

#include <mutex>
#include <thread>
#include <vector>

#include "pki/pki.h"
#include "tests/catch.h"

namespace orch::cli {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;

const base::WallTime kNow{seconds(1'800'000'000)};

TEST_CASE("attempts come when they are due, and rarer after failures") {
  struct Row {
    seconds due_in;
    int failures;
    base::Duration wait;
  };
  const std::vector<Row> rows{{seconds(40), 0, seconds(40)}, {hours(5000), 0, hours(1)},
                              {-hours(2), 0, seconds(0)},    {-seconds(1), 1, seconds(10)},
                              {-seconds(1), 2, seconds(20)}, {-seconds(1), 6, seconds(320)},
                              {-seconds(1), 7, minutes(10)}, {-seconds(1), 100, minutes(10)}};
  for (const Row& row : rows) {
    INFO(row.due_in.count() << " " << row.failures);
    CHECK(until_next_attempt(kNow + row.due_in, kNow, row.failures) == row.wait);
  }
}

TEST_CASE("a certificate is due when two thirds of its life are over") {
  const auto ca = pki::make_ca("ca", kNow);
  REQUIRE(ca.ok());
  for (const seconds life : {seconds(90), seconds(hours(24 * 365))}) {
    pki::CertificateRequest request;
    request.common_name = "a";
    request.client = true;
    request.lifetime = life;
    const auto made = pki::issue(*ca, request, kNow);
    REQUIRE(made.ok());
    const auto info = pki::parse_certificate(made->certificate_pem);
    REQUIRE(info.ok());
    CHECK(pki::renewal_time(*info) == kNow + life * 2 / 3);
  }
}

TEST_CASE("certificates are renewed again and again") {
  base::FakeClock clock(kNow);
  base::FakeTimers timers(clock);
  std::mutex mutex;
  int calls = 0;
  const auto counted = [&] {
    std::lock_guard lock(mutex);
    return calls;
  };
  Renewal renewal(
      kNow + minutes(90),
      [&]() -> base::Result<base::WallTime> {
        std::lock_guard lock(mutex);
        // The second attempt fails.
        if (++calls == 2) return base::Status(base::Code::kServiceUnavailable, "away");
        return clock.now() + minutes(30);
      },
      clock, timers);
  timers.advance(minutes(89));
  CHECK(counted() == 0);
  // Time passes while another thread works: however late that is, it comes to every attempt.
  for (int i = 0; i < 5000 && counted() < 4; ++i) {
    timers.advance(seconds(5));
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  CHECK(counted() >= 4);
}

}  // namespace
}  // namespace orch::cli
