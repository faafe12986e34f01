#include "api/quantity.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <optional>
#include <utility>

#include "base/json.h"

namespace orch::api {
namespace {

__extension__ using Int128 = __int128;
using Format = Quantity::Format;

constexpr Int128 kNano = 1000000000;
constexpr Int128 kMaxInt64 = std::numeric_limits<int64_t>::max();
constexpr int kMaxDigits = 38;  // all numbers of that many fit into Int128

constexpr Int128 power_of_ten(int power) { return power == 0 ? 1 : 10 * power_of_ten(power - 1); }
/// What is larger counts as this: the first number with more than kMaxDigits digits.
constexpr Int128 kLimit = power_of_ten(kMaxDigits);

base::Status bad(std::string_view message) { return {base::Code::kBadRequest, std::string(message)}; }

Int128 add(Int128 a, Int128 b) {
  Int128 out = 0;
  if (!__builtin_add_overflow(a, b, &out)) return std::clamp(out, -kLimit, kLimit);
  return a > 0 ? kLimit : -kLimit;
}

Int128 multiply(Int128 a, Int128 b) {
  Int128 out = 0;
  if (!__builtin_mul_overflow(a, b, &out)) return std::clamp(out, -kLimit, kLimit);
  return (a > 0) == (b > 0) ? kLimit : -kLimit;
}

/// value * 10^power; what falls below the last digit is rounded away from zero.
Int128 shift10(Int128 value, int64_t power) {
  for (; power > 0 && value != 0 && value != kLimit && value != -kLimit; --power) value = multiply(value, 10);
  bool inexact = false;
  for (; power < 0 && value != 0; ++power) {
    inexact = inexact || value % 10 != 0;
    const bool positive = value > 0;
    value /= 10;
    if (value == 0 && inexact) return positive ? 1 : -1;
  }
  if (inexact) value += value > 0 ? 1 : -1;
  return value;
}

struct Suffix {
  std::string_view text;
  int exponent;
};
constexpr std::array<Suffix, 10> kDecimalSuffixes = {{{"n", -9},
                                                      {"u", -6},
                                                      {"m", -3},
                                                      {"", 0},
                                                      {"k", 3},
                                                      {"M", 6},
                                                      {"G", 9},
                                                      {"T", 12},
                                                      {"P", 15},
                                                      {"E", 18}}};
constexpr std::array<Suffix, 6> kBinarySuffixes = {
    {{"Ki", 10}, {"Mi", 20}, {"Gi", 30}, {"Ti", 40}, {"Pi", 50}, {"Ei", 60}}};

struct Parts {
  bool positive = true;
  std::string_view whole, fraction;  // digits, without leading zeros
  Format format = Format::kDecimal;
  int64_t exponent = 0;  // of ten, or of two for kBinary
};

size_t digits(std::string_view text) {
  const auto end = std::find_if(text.begin(), text.end(), [](char c) { return c < '0' || c > '9'; });
  return static_cast<size_t>(end - text.begin());
}

bool read_suffix(std::string_view suffix, Parts& parts) {
  for (const Suffix& known : kDecimalSuffixes) {
    if (known.text != suffix) continue;
    parts.exponent = known.exponent;
    return true;
  }
  for (const Suffix& known : kBinarySuffixes) {
    if (known.text != suffix) continue;
    parts.exponent = known.exponent;
    parts.format = Format::kBinary;
    return true;
  }
  if (suffix.size() < 2 || (suffix[0] != 'e' && suffix[0] != 'E')) return false;
  suffix.remove_prefix(suffix[1] == '+' ? 2 : 1);
  int32_t exponent = 0;
  const auto result = std::from_chars(suffix.data(), suffix.data() + suffix.size(), exponent);
  if (suffix.empty() || result.ec != std::errc() || result.ptr != suffix.data() + suffix.size()) return false;
  parts.exponent = exponent;
  parts.format = Format::kExponent;
  return true;
}

base::Result<Parts> split(std::string_view text) {
  constexpr std::string_view kFormatWrong =
      "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";
  if (text.empty()) return bad(kFormatWrong);
  Parts parts;
  if (text[0] == '-' || text[0] == '+') {
    parts.positive = text[0] == '+';
    text.remove_prefix(1);
  }
  text.remove_prefix(std::min(text.find_first_not_of('0'), text.size()));
  parts.whole = text.substr(0, digits(text));
  text.remove_prefix(parts.whole.size());
  if (text.starts_with('.')) {
    text.remove_prefix(1);
    parts.fraction = text.substr(0, digits(text));
    text.remove_prefix(parts.fraction.size());
  }
  size_t end = std::min(text.find_first_not_of("eEinumkKMGTP"), text.size());
  if (end < text.size() && (text[end] == '-' || text[end] == '+')) ++end;
  end += digits(text.substr(end));
  if (end != text.size()) return bad(kFormatWrong);
  if (!read_suffix(text, parts)) return bad("unable to parse quantity's suffix");
  return parts;
}

/// The digits as a number; more than fit are cut off (`dropped` counts them) and any lost non-zero digit is
/// remembered.
Int128 number(std::string_view whole, std::string_view fraction, int64_t& dropped, bool& lost) {
  Int128 value = 0;
  int taken = 0;
  dropped = 0;
  for (const std::string_view part : {whole, fraction}) {
    for (const char c : part) {
      if (taken == kMaxDigits) {
        ++dropped;
        lost = lost || c != '0';
        continue;
      }
      value = value * 10 + (c - '0');
      if (value != 0) ++taken;
    }
  }
  return value;
}

/// Magnitude in nano-units, rounded up.
Int128 magnitude(const Parts& parts) {
  int64_t dropped = 0;
  bool lost = false;
  if (parts.format != Format::kBinary) {
    const Int128 value = number(parts.whole, parts.fraction, dropped, lost);
    const auto places = static_cast<int64_t>(parts.fraction.size());
    const Int128 nano = shift10(value, parts.exponent + 9 - places + dropped);
    return nano == 0 && lost ? 1 : nano;
  }
  const Int128 factor = static_cast<Int128>(1) << parts.exponent;
  const Int128 whole = number(parts.whole, {}, dropped, lost);
  if (dropped > 0 || multiply(whole, factor) > kMaxInt64) return kMaxInt64 * kNano;
  constexpr size_t kPlaces = 18;  // 10^18 * 2^60 still fits
  const std::string_view places = parts.fraction.substr(0, kPlaces);
  const Int128 fraction = number({}, places, dropped, lost) * factor;
  const Int128 unit = shift10(1, static_cast<int64_t>(places.size()));
  Int128 nano = (whole * factor + fraction / unit) * kNano;
  const Int128 rest = fraction % unit * kNano;
  nano += rest / unit;
  const bool more =
      rest % unit != 0 || parts.fraction.find_first_not_of('0', kPlaces) != std::string_view::npos;
  return std::min(nano + (more ? 1 : 0), kMaxInt64 * kNano);
}

/// Kubernetes answers some texts as they came although others of the same value are rewritten: those whose
/// digits fit its fast path and need no shifting.
bool keeps_text(const Parts& parts) {
  const std::string shifted = base::cat(parts.whole.empty() ? "0" : parts.whole, parts.fraction);
  const auto length = static_cast<int64_t>(shifted.size());
  if (parts.format == Format::kBinary) {
    if (!parts.fraction.empty() || 15 - length - parts.exponent * 3 / 10 - 1 < 0) return false;
    return !shifted.empty() && shifted.size() < 19 && (std::stoll(shifted) & 7) != 0;
  }
  const int64_t scale = parts.exponent - static_cast<int64_t>(parts.fraction.size());
  return length <= 18 && scale >= -9 && scale % 3 == 0 && !shifted.ends_with("000") && shifted[0] != '0';
}

std::string digits_of(Int128 value) {
  if (value < 0) return "-" + digits_of(-value);
  std::string out;
  do {
    out += static_cast<char>('0' + static_cast<int>(value % 10));
    value /= 10;
  } while (value != 0);
  std::reverse(out.begin(), out.end());
  return out;
}

/// Digits * 10^exponent, not zero, with the largest suffix or exponent that leaves no fraction.
std::string decimal_text(std::string digits, int64_t exponent, bool exponent_form) {
  for (; digits.ends_with('0'); digits.pop_back()) ++exponent;
  constexpr int64_t kLargest = 18;
  if (!exponent_form && exponent > kLargest) {
    digits.append(static_cast<size_t>(exponent - kLargest), '0');
    exponent = kLargest;
  }
  for (; exponent % 3 != 0; --exponent) digits += '0';
  if (exponent_form) return digits + (exponent == 0 ? "" : base::cat("e", exponent));
  const auto suffix = std::find_if(kDecimalSuffixes.begin(), kDecimalSuffixes.end(),
                                   [&](const Suffix& known) { return known.exponent == exponent; });
  return digits + std::string(suffix == kDecimalSuffixes.end() ? "" : suffix->text);
}

/// The text of a number that is too large to be calculated with.
std::string large_text(const Parts& parts) {
  return base::cat(parts.positive ? "" : "-",
                   decimal_text(base::cat(parts.whole, parts.fraction),
                                parts.exponent - static_cast<int64_t>(parts.fraction.size()),
                                parts.format == Format::kExponent));
}

}  // namespace

base::Result<Quantity> Quantity::parse(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t\r\n");
  if (first != std::string_view::npos)
    text = text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1);
  auto parts = split(text);
  if (!parts.ok()) return parts.error();
  Quantity quantity;
  quantity.format_ = parts->format;
  quantity.nano_ = magnitude(*parts);
  if (parts->format == Format::kBinary && quantity.nano_ > 0 && quantity.nano_ < kNano) {
    quantity.format_ = Format::kDecimal;
  }
  if (!parts->positive) quantity.nano_ = -quantity.nano_;
  if (keeps_text(*parts)) {
    quantity.text_ = text;
  } else if (quantity.nano_ == kLimit || quantity.nano_ == -kLimit) {
    quantity.text_ = large_text(*parts);
  }
  return quantity;
}

base::Result<Quantity> Quantity::from_json(const Json& value) {
  if (value.is_null()) return Quantity();
  if (value.is_string()) return parse(value.get_ref<const std::string&>());
  return parse(base::dump_json(value));
}

Quantity Quantity::of(const Json* value) {
  if (value == nullptr) return {};
  auto quantity = from_json(*value);
  return quantity.ok() ? std::move(quantity.value()) : Quantity();
}

Quantity Quantity::of(int64_t value, Format format) {
  Quantity quantity;
  quantity.nano_ = value * kNano;
  quantity.format_ = format;
  return quantity;
}

Quantity Quantity::of_milli(int64_t milli, Format format) {
  constexpr Int128 kMicro = 1000000;
  Quantity quantity;
  quantity.nano_ = milli * kMicro;
  quantity.format_ = format;
  return quantity;
}

int64_t Quantity::scaled(int scale) const {
  const Int128 value = shift10(nano_, -9 - scale);
  return static_cast<int64_t>(std::clamp<Int128>(value, std::numeric_limits<int64_t>::min(), kMaxInt64));
}

double Quantity::approximate() const { return static_cast<double>(nano_) / 1e9; }

std::string Quantity::text() const {
  if (!text_.empty()) return text_;
  if (nano_ == 0) return "0";
  constexpr Int128 kKibi = 1024;
  const bool binary =
      format_ == Format::kBinary && nano_ % kNano == 0 && (nano_ <= -kKibi * kNano || nano_ >= kKibi * kNano);
  if (!binary) return decimal_text(digits_of(nano_), -9, format_ == Format::kExponent);
  Int128 value = nano_ / kNano;
  size_t suffix = 0;
  for (; value % kKibi == 0 && suffix < kBinarySuffixes.size(); ++suffix) value /= kKibi;
  return digits_of(value) + std::string(suffix == 0 ? "" : kBinarySuffixes[suffix - 1].text);
}

Quantity& Quantity::operator+=(const Quantity& other) {
  if (nano_ == 0) format_ = other.format_;
  nano_ = add(nano_, other.nano_);
  text_.clear();
  return *this;
}

Quantity& Quantity::operator-=(const Quantity& other) {
  if (nano_ == 0) format_ = other.format_;
  nano_ = add(nano_, -other.nano_);
  text_.clear();
  return *this;
}

Quantity& Quantity::operator*=(int64_t factor) {
  nano_ = multiply(nano_, factor);
  text_.clear();
  return *this;
}

base::Result<std::string> canonical_quantity(std::string_view text) {
  auto quantity = Quantity::parse(text);
  if (!quantity.ok()) return quantity.error();
  return quantity->text();
}

}  // namespace orch::api
