#include "api/int_or_string.h"

#include <charconv>
#include <cmath>
#include <string>

#include "api/go_text.h"
#include "base/json.h"

namespace orch::api {
namespace {

base::Status bad(std::string_view why) {
  return {base::Code::kBadRequest, base::cat("invalid value for IntOrString: ", why)};
}

std::optional<int64_t> parse_int(std::string_view text) {
  if (text.starts_with('+')) text.remove_prefix(1);
  int64_t value = 0;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || result.ec != std::errc() || result.ptr != text.data() + text.size()) return {};
  return value;
}

}  // namespace

std::optional<int64_t> percent_of(const Json& int_or_percent) {
  if (!int_or_percent.is_string()) return {};
  const std::string_view text = int_or_percent.get_ref<const std::string&>();
  if (!text.ends_with('%')) return {};
  return parse_int(text.substr(0, text.size() - 1));
}

base::Result<int64_t> scaled_value(const Json& int_or_percent, int64_t total, Rounding rounding) {
  if (int_or_percent.is_number_integer()) return int_or_percent.get<int64_t>();
  if (!int_or_percent.is_string()) return bad("invalid type: neither int nor percentage");
  const std::string& text = int_or_percent.get_ref<const std::string&>();
  if (!text.ends_with('%')) return bad("invalid type: string is not a percentage");
  const auto percent = percent_of(int_or_percent);
  if (!percent) {
    const std::string_view number = std::string_view(text).substr(0, text.size() - 1);
    return bad(base::cat("invalid value ", go_quote(text), ": strconv.Atoi: parsing ", go_quote(number),
                         ": invalid syntax"));
  }
  const double share = static_cast<double>(*percent) * static_cast<double>(total) / 100;
  return static_cast<int64_t>(rounding == Rounding::kUp ? std::ceil(share) : std::floor(share));
}

}  // namespace orch::api
