#include "api/quantity.h"

#include <limits>

#include "base/json.h"
#include "tests/catch.h"

using namespace orch;
using namespace orch::api;

TEST_CASE("quantities have one canonical form") {
  const auto [text, canonical] = GENERATE(table<std::string, std::string>({
      {"0", "0"},
      {"0Gi", "0"},
      {"-", "0"},
      {"1", "1"},
      {"100m", "100m"},
      {"1000m", "1"},
      {"1500m", "1500m"},
      {"1.5", "1500m"},
      {"0.5", "500m"},
      {".5", "500m"},
      {"1Gi", "1Gi"},
      {"1024Mi", "1Gi"},
      {"1.5Gi", "1536Mi"},
      {"1025Ki", "1025Ki"},
      {"1000Ki", "1000Ki"},
      {"512", "512"},
      {"1000", "1k"},
      {"1000k", "1M"},
      {"12e3", "12e3"},
      {"12e2", "1200"},
      {"1E3", "1E3"},
      {"1e-3", "1e-3"},
      {"0.1Ki", "102400m"},
      {"0.0001Ki", "102400u"},
      {"-1Gi", "-1Gi"},
      {"-100m", "-100m"},
      {"1n", "1n"},
      {"0.1n", "1n"},
      {"123456789", "123456789"},
      {"1.25", "1250m"},
      {"9223372036854775807", "9223372036854775807"},
      {"10Ei", "9223372036854775807"},
      {"1E", "1E"},
      {"1Ei", "1Ei"},
      {"100u", "100u"},
      {"1.", "1."},
      {"1.500", "1.500"},
      {" 1Gi ", "1Gi"},
      {"100000000000000000000", "100E"},
      {"12345678901234567890123456789.123456789", "12345678901234567890123456789123456789n"},
      {"1e29", "100e27"},
      {"0663e383", "66300e381"},
      {"66300e381", "66300e381"},
      {"-1e2147483647", "-10e2147483646"},
      {"1234567890123456789012345678901234567890", "1234567890123456789012345678901234567890"},
  }));
  INFO(text);
  const auto out = canonical_quantity(text);
  REQUIRE(out.ok());
  CHECK(out.value() == canonical);
}

TEST_CASE("broken quantities are refused in Kubernetes' words") {
  const auto [text, message] = GENERATE(table<std::string, std::string>({
      {"", "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"},
      {"1.2.3",
       "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"},
      {"1 Gi", "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"},
      {"1x", "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"},
      {"1Mii", "unable to parse quantity's suffix"},
      {"1K", "unable to parse quantity's suffix"},
      {"1e", "unable to parse quantity's suffix"},
  }));
  INFO(text);
  const auto out = Quantity::parse(text);
  REQUIRE_FALSE(out.ok());
  CHECK(out.error().message() == message);
}

TEST_CASE("values round away from zero") {
  const auto [text, value, milli] = GENERATE(table<std::string, int64_t, int64_t>({
      {"100m", 1, 100},
      {"1", 1, 1000},
      {"1500m", 2, 1500},
      {"-1500m", -2, -1500},
      {"1u", 1, 1},
      {"1Ki", 1024, 1024000},
      {"1Gi", 1073741824, 1073741824000},
      {"8Ei", std::numeric_limits<int64_t>::max(), std::numeric_limits<int64_t>::max()},
      {"1e40", std::numeric_limits<int64_t>::max(), std::numeric_limits<int64_t>::max()},
      {"1e-40", 1, 1},
  }));
  INFO(text);
  const auto quantity = Quantity::parse(text);
  REQUIRE(quantity.ok());
  CHECK(quantity->value() == value);
  CHECK(quantity->milli_value() == milli);
}

TEST_CASE("quantities compare and add") {
  const auto q = [](const char* text) { return Quantity::parse(text).value(); };
  CHECK(q("1") == q("1000m"));
  CHECK(q("1Gi") > q("1G"));
  CHECK(q("-1") < q("0"));
  CHECK((q("1Gi") + q("512Mi")).text() == "1536Mi");
  CHECK((q("0") + q("1Gi")).text() == "1Gi");
  CHECK((q("1") - q("100m")).text() == "900m");
  CHECK((Quantity() += q("250m")).text() == "250m");
  Quantity three = q("1500m");
  three *= 2;
  CHECK(three.text() == "3");
  CHECK(Quantity::of(1073741824, Quantity::Format::kBinary).text() == "1Gi");
  CHECK(Quantity::of_milli(1500).text() == "1500m");
  CHECK(q("8Ei").approximate() > 9e18);
}

TEST_CASE("quantities come as JSON strings and numbers") {
  CHECK(Quantity::from_json(2)->text() == "2");
  CHECK(Quantity::from_json(0.5)->text() == "500m");
  CHECK(Quantity::from_json(nullptr)->is_zero());
  CHECK_FALSE(Quantity::from_json(Json::array()).ok());
  CHECK(Quantity::of(nullptr).is_zero());
}
