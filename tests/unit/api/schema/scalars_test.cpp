#include "api/schema/scalars.h"

#include "api/duration.h"
#include "api/quantity.h"
#include "base/json.h"
#include "tests/catch.h"
#include "tests/unit/api/schema/testdata.h"

namespace orch::api::schema {
namespace {

struct Outcome {
  std::string output, error;
};

template <typename T, typename Format>
Outcome outcome(const base::Result<T>& result, const Format& format) {
  if (!result.ok()) return {"", result.error().message()};
  return {format(*result), ""};
}

Outcome convert(std::string_view kind, std::string_view input) {
  if (kind == "quantity") return outcome(canonical_quantity(input), [](const std::string& q) { return q; });
  if (kind == "duration") return outcome(parse_duration(input), format_duration);
  if (kind == "bytes") return outcome(decode_base64(input), encode_base64);
  bool micro = kind == "microtime";
  return outcome(micro ? parse_micro_time(input) : parse_time(input), [&](Instant time) {
    if (time.is_zero()) return std::string();  // null in JSON
    return micro ? format_micro_time(time) : format_time(time);
  });
}

TEST_CASE("scalars are read and written as Kubernetes' library does") {
  int count = 0;
  for (const Json& record : testdata_lines("scalars.jsonl")) {
    std::string kind = record.at("kind"), input = record.at("input");
    INFO(kind << " " << input);
    Outcome got = convert(kind, input);
    CHECK(got.output == record.value("output", ""));
    CHECK(got.error == record.value("error", ""));
    ++count;
  }
  CHECK(count > 250);
}

}  // namespace
}  // namespace orch::api::schema
