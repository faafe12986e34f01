// Small values: int-or-percent, durations, hashes.
#include "api/duration.h"
#include "api/hash.h"
#include "api/int_or_string.h"
#include "api/names.h"
#include "base/json.h"
#include "tests/catch.h"

using namespace orch;
using namespace orch::api;
using namespace std::chrono_literals;

TEST_CASE("percentages scale and round") {
  const auto [value, total, up, down] = GENERATE(table<Json, int64_t, int64_t, int64_t>({
      {5, 100, 5, 5},
      {"25%", 10, 3, 2},
      {"0%", 10, 0, 0},
      {"100%", 7, 7, 7},
      {"150%", 3, 5, 4},
  }));
  CHECK(scaled_value(value, total, Rounding::kUp).value() == up);
  CHECK(scaled_value(value, total, Rounding::kDown).value() == down);
}

TEST_CASE("what is neither int nor percentage is refused") {
  const auto [value, message] = GENERATE(table<Json, const char*>({
      {"5", "invalid value for IntOrString: invalid type: string is not a percentage"},
      {true, "invalid value for IntOrString: invalid type: neither int nor percentage"},
      {"a%",
       "invalid value for IntOrString: invalid value \"a%\": strconv.Atoi: parsing \"a\": invalid syntax"},
  }));
  CHECK(scaled_value(value, 10, Rounding::kUp).error().message() == message);
}

TEST_CASE("ages read like kubectl's") {
  const auto [duration, text] = GENERATE(table<base::Duration, const char*>({
      {-3s, "<invalid>"}, {-1500ms, "0s"},     {0s, "0s"},        {119s, "119s"},       {120s, "2m"},
      {200s, "3m20s"},    {599s, "9m59s"},     {600s, "10m"},     {179min, "179m"},     {180min, "3h"},
      {200min, "3h20m"},  {8h, "8h"},          {47h, "47h"},      {48h, "2d"},          {51h, "2d3h"},
      {192h, "8d"},       {729 * 24h, "729d"}, {730 * 24h, "2y"}, {760 * 24h, "2y30d"}, {8 * 365 * 24h, "8y"},
  }));
  CHECK(human_duration(duration) == text);
}

TEST_CASE("an age is counted from a timestamp") {
  const base::WallTime now = base::parse_time("2026-01-01T01:00:00Z").value();
  CHECK(age_text("2026-01-01T00:00:00Z", now) == "60m");
  CHECK(age_text("", now) == "<unknown>");
  CHECK(age_text("nonsense", now) == "<unknown>");
}

TEST_CASE("durations parse and print as Go's") {
  const auto [text, value, printed] = GENERATE(table<const char*, base::Duration, const char*>({
      {"0", 0s, "0s"},
      {"1h30m", 90min, "1h30m0s"},
      {"1.5s", 1500ms, "1.5s"},
      {"-10s", -10s, "-10s"},
      {"100ms", 100ms, "100ms"},
      {"2us", 2us, "2\xC2\xB5s"},
      {"15ns", 15ns, "15ns"},
      {"1m0.001s", 60001ms, "1m0.001s"},
  }));
  INFO(text);
  REQUIRE(parse_duration(text).ok());
  CHECK(parse_duration(text).value() == value);
  CHECK(format_duration(value) == printed);
}

TEST_CASE("broken durations are refused in Go's words") {
  const auto [text, message] = GENERATE(table<const char*, const char*>({
      {"", "time: invalid duration \"\""},
      {"10", "time: missing unit in duration \"10\""},
      {"5x", "time: unknown unit \"x\" in duration \"5x\""},
      {"h", "time: invalid duration \"h\""},
      {"9999999999h", "time: invalid duration \"9999999999h\""},
  }));
  CHECK(parse_duration(text).error().message() == message);
}

TEST_CASE("template hashes are stable and see every change") {
  const Json pod = Json::parse(R"({"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c"}]}})");
  Json other = pod;
  other["spec"]["containers"][0]["image"] = "x";
  const std::string hash = template_hash(pod, {});
  CHECK(hash == template_hash(pod, {}));
  CHECK(hash != template_hash(other, {}));
  CHECK(hash != template_hash(pod, 1));
  CHECK(template_hash(pod, 1) != template_hash(pod, 2));
  CHECK(check_label_value(hash).empty());
  CHECK(fnv1a32("") == 2166136261U);
  CHECK(fnv1a32("foobar") == 0xbf9cf968U);
  CHECK(fnv1a64("foobar") == 0x85944171f73967e8ULL);
}
