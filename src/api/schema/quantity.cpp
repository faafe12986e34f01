// The canonical form of a quantity: parse number and suffix, then write the value with the largest suffix
// that needs no fraction.
#include <array>
#include <charconv>
#include <optional>
#include <vector>

#include "api/schema/scalars.h"

namespace orch::api {
namespace {

enum class Format : uint8_t { kDecimalSi, kBinarySi, kDecimalExponent };

constexpr std::string_view kFormatWrong =
    "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";
constexpr std::string_view kNumeric = "unable to parse numeric part of quantity";
constexpr std::string_view kSuffix = "unable to parse quantity's suffix";
/// No quantity of use is longer; bounds the work that one text can cause.
constexpr size_t kMaxDigits = 400;
constexpr int kMaxExponent = 1000;
constexpr int kNano = -9;

struct Suffix {
  std::string_view text;
  Format format;
  int exponent;  // of 10 or of 2
};
constexpr std::array<Suffix, 16> kSuffixes = {{
    {"", Format::kDecimalSi, 0},
    {"n", Format::kDecimalSi, -9},
    {"u", Format::kDecimalSi, -6},
    {"m", Format::kDecimalSi, -3},
    {"k", Format::kDecimalSi, 3},
    {"M", Format::kDecimalSi, 6},
    {"G", Format::kDecimalSi, 9},
    {"T", Format::kDecimalSi, 12},
    {"P", Format::kDecimalSi, 15},
    {"E", Format::kDecimalSi, 18},
    {"Ki", Format::kBinarySi, 10},
    {"Mi", Format::kBinarySi, 20},
    {"Gi", Format::kBinarySi, 30},
    {"Ti", Format::kBinarySi, 40},
    {"Pi", Format::kBinarySi, 50},
    {"Ei", Format::kBinarySi, 60},
}};

std::string_view suffix_text(Format format, int exponent) {
  for (const Suffix& s : kSuffixes) {
    if (s.format == format && s.exponent == exponent) return s.text;
  }
  return {};
}

std::optional<Suffix> interpret(std::string_view text) {
  for (const Suffix& s : kSuffixes) {
    if (s.text == text) return s;
  }
  if (text.size() < 2 || (text[0] != 'e' && text[0] != 'E')) return std::nullopt;
  text.remove_prefix(text[1] == '+' ? 2 : 1);
  int exponent = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), exponent);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return Suffix{{}, Format::kDecimalExponent, exponent};
}

/// A natural number of any size, in limbs of nine decimal digits, lowest first, no leading zero limbs.
class Natural {
 public:
  /// `digits` are decimal digits only.
  explicit Natural(std::string_view digits) {
    while (!digits.empty()) {
      size_t take = std::min<size_t>(digits.size(), 9);
      uint32_t limb = 0;
      for (char c : digits.substr(digits.size() - take)) limb = limb * 10 + static_cast<uint32_t>(c - '0');
      limbs_.push_back(limb);
      digits.remove_suffix(take);
    }
    trim();
  }
  bool is_zero() const { return limbs_.empty(); }
  void multiply(uint32_t factor) {
    uint64_t carry = 0;
    for (uint32_t& limb : limbs_) {
      carry += uint64_t{limb} * factor;
      limb = static_cast<uint32_t>(carry % kBase);
      carry /= kBase;
    }
    while (carry != 0) {
      limbs_.push_back(static_cast<uint32_t>(carry % kBase));
      carry /= kBase;
    }
  }
  void add_one() {
    for (uint32_t& limb : limbs_) {
      if (++limb < kBase) return;
      limb = 0;
    }
    limbs_.push_back(1);
  }
  /// Divides and returns the remainder.
  uint32_t divide(uint32_t divisor) {
    uint64_t rest = 0;
    for (size_t i = limbs_.size(); i-- > 0;) {
      rest = rest * kBase + limbs_[i];
      limbs_[i] = static_cast<uint32_t>(rest / divisor);
      rest %= divisor;
    }
    trim();
    return static_cast<uint32_t>(rest);
  }
  bool divisible_by(uint32_t divisor) const {
    uint64_t rest = 0;
    for (size_t i = limbs_.size(); i-- > 0;) rest = (rest * kBase + limbs_[i]) % divisor;
    return rest == 0;
  }
  int compare(const Natural& other) const {
    if (limbs_.size() != other.limbs_.size()) return limbs_.size() < other.limbs_.size() ? -1 : 1;
    for (size_t i = limbs_.size(); i-- > 0;) {
      if (limbs_[i] != other.limbs_[i]) return limbs_[i] < other.limbs_[i] ? -1 : 1;
    }
    return 0;
  }
  std::string text() const {
    if (limbs_.empty()) return "0";
    std::string out = std::to_string(limbs_.back());
    for (size_t i = limbs_.size() - 1; i-- > 0;) {
      std::string limb = std::to_string(limbs_[i]);
      out.append(9 - limb.size(), '0').append(limb);
    }
    return out;
  }

 private:
  static constexpr uint64_t kBase = 1'000'000'000;
  void trim() {
    while (!limbs_.empty() && limbs_.back() == 0) limbs_.pop_back();
  }
  std::vector<uint32_t> limbs_;
};

/// `amount` times 10 to the `scale`, with a sign.
struct Amount {
  Natural amount;
  int scale;
  bool negative;

  /// Less than this whole number (which is positive), sign aside.
  bool below(std::string_view whole) const {
    Natural other(whole), mine = amount;
    for (int i = 0; i < scale; ++i) mine.multiply(10);
    for (int i = 0; i < -scale; ++i) other.multiply(10);
    return mine.compare(other) < 0;
  }
  /// Cuts off what is finer than `to`, away from zero. False if something was cut off.
  bool round_up(int to) {
    bool exact = true;
    for (; scale < to; ++scale) exact = (amount.divide(10) == 0) && exact;
    if (!exact) amount.add_one();
    return exact;
  }
};

std::string write_decimal(Amount value, Format format) {
  while (!value.amount.is_zero() && value.amount.divisible_by(10)) {
    value.amount.divide(10);
    ++value.scale;
  }
  while (value.scale % 3 != 0) {
    value.amount.multiply(10);
    --value.scale;
  }
  std::string out = (value.negative ? "-" : "") + value.amount.text();
  std::string_view suffix = suffix_text(Format::kDecimalSi, value.scale);
  if (format == Format::kDecimalSi && (value.scale == 0 || !suffix.empty())) return out.append(suffix);
  return value.scale == 0 ? out : out + "e" + std::to_string(value.scale);
}

std::string write(Amount value, Format format) {
  if (value.amount.is_zero()) return "0";
  if (format != Format::kBinarySi || value.below("1024")) {
    return write_decimal(std::move(value), format == Format::kBinarySi ? Format::kDecimalSi : format);
  }
  Amount whole = value;
  if (!whole.round_up(0)) return write_decimal(std::move(value), Format::kDecimalSi);
  for (; whole.scale > 0; --whole.scale) whole.amount.multiply(10);
  int exponent = 0;
  while (exponent < 60 && whole.amount.divisible_by(1024)) {
    whole.amount.divide(1024);
    exponent += 10;
  }
  return base::cat(whole.negative ? "-" : "", whole.amount.text(), suffix_text(Format::kBinarySi, exponent));
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

struct Parts {
  bool negative = false;
  std::string digits;  // all digits, no leading zeros of the whole part
  int fraction = 0;    // how many of them stand after the point
  std::string_view suffix;
};

/// Cuts the text into its parts; false if it is not of the form of a quantity at all.
bool cut(std::string_view text, Parts& parts) {
  size_t at = 0;
  if (text[0] == '-' || text[0] == '+') {
    parts.negative = text[0] == '-';
    ++at;
  }
  size_t begin = at;
  while (at < text.size() && text[at] == '0') ++at;
  if (at == text.size() && at == begin) return true;  // a sign alone is zero, as in Kubernetes
  begin = at;
  while (at < text.size() && is_digit(text[at])) ++at;
  parts.digits = text.substr(begin, at - begin);
  if (at < text.size() && text[at] == '.') {
    begin = ++at;
    while (at < text.size() && is_digit(text[at])) ++at;
    parts.digits += text.substr(begin, at - begin);
    parts.fraction = static_cast<int>(at - begin);
  }
  begin = at;
  while (at < text.size() && std::string_view("eEinumkKMGTP").find(text[at]) != std::string_view::npos) ++at;
  if (at < text.size() && (text[at] == '-' || text[at] == '+')) ++at;
  while (at < text.size() && is_digit(text[at])) ++at;
  parts.suffix = text.substr(begin, at - begin);
  return at == text.size();
}

/// The form that most quantities come in: up to three digits, no leading zero, and a common suffix.
bool already_canonical(std::string_view text) {
  size_t digits = 0;
  while (digits < text.size() && is_digit(text[digits])) ++digits;
  if (digits == 0 || digits > 3 || text[0] == '0') return false;
  for (const Suffix& s : kSuffixes) {
    if (s.text == text.substr(digits)) return s.exponent < 60;  // the largest may be over the cap
  }
  return false;
}

std::string_view trim_spaces(std::string_view text) {
  constexpr std::string_view kSpaces = " \t\n\v\f\r";
  size_t first = text.find_first_not_of(kSpaces);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kSpaces) - first + 1);
}

base::Status bad(std::string_view message) { return {base::Code::kBadRequest, std::string(message)}; }

}  // namespace

base::Result<std::string> canonical_quantity(std::string_view text) {
  text = trim_spaces(text);
  if (already_canonical(text)) return std::string(text);
  Parts parts;
  if (text.empty() || !cut(text, parts)) return bad(kFormatWrong);
  std::optional<Suffix> suffix = interpret(parts.suffix);
  if (!suffix) return bad(kSuffix);
  bool huge =
      parts.digits.size() > kMaxDigits || suffix->exponent > kMaxExponent || suffix->exponent < -kMaxExponent;
  if (huge) return bad(kNumeric);

  Amount value{Natural(parts.digits), -parts.fraction, parts.negative};
  bool binary = suffix->format == Format::kBinarySi;
  if (binary) {
    for (int i = 0; i < suffix->exponent; i += 10) value.amount.multiply(1024);
  } else {
    value.scale += suffix->exponent;
  }
  value.round_up(kNano);
  constexpr std::string_view kLargest = "9223372036854775807";
  if (binary && !value.below(kLargest)) value = Amount{Natural(kLargest), 0, value.negative};
  return write(std::move(value), suffix->format);
}

}  // namespace orch::api
