// Conversions between types, and values as text and JSON.
#include <charconv>
#include <cmath>

#include "api/cel/schema_view.h"
#include "api/cel/time_text.h"
#include "api/cel/value.h"
#include "api/go_text.h"
#include "api/schema/scalars.h"
#include "base/json.h"

namespace orch::api::cel {

using Kind = Value::Kind;
using A = ValueAccess;

namespace {

constexpr int64_t kMinUnix = -62135596800;
constexpr int64_t kMaxUnix = 253402300799;

std::string type_text(const Value& v) { return value_type_name(v); }

Value conversion_error(const Value& value, const TypeNode& to) {
  return Value::error("type conversion error from '" + type_text(value) + "' to '" + to.name + "'");
}

template <typename T>
std::optional<T> whole_number(std::string_view text) {
  // strconv.ParseInt takes a plus sign, ParseUint none.
  if (std::is_signed_v<T> && text.starts_with('+')) {
    text.remove_prefix(1);
    if (text.starts_with('-')) return std::nullopt;
  }
  T out{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  if (error != std::errc() || end != text.data() + text.size() || text.empty()) return std::nullopt;
  return out;
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  return out;
}

/// strconv.ParseFloat, but for hexadecimal numbers and underscores.
std::optional<double> real_number(std::string_view text) {
  std::string_view digits = text;
  bool minus = false;
  if (digits.starts_with('+') || digits.starts_with('-')) {
    minus = digits[0] == '-';
    digits.remove_prefix(1);
  }
  const std::string word = lower(digits);
  double out = 0;
  if (word == "inf" || word == "infinity") {
    out = HUGE_VAL;
  } else if (word == "nan") {
    return std::nan("");
  } else {
    if (digits.empty() || (digits[0] != '.' && (digits[0] < '0' || digits[0] > '9'))) return std::nullopt;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), out);
    if (end != digits.data() + digits.size() || error == std::errc::invalid_argument) return std::nullopt;
    if (error == std::errc::result_out_of_range && std::abs(out) != 0.0) return std::nullopt;
  }
  return minus ? -out : out;
}

Value from_string(const Value& value, const TypeNode& to) {
  const std::string& text = text_of(value);
  switch (to.kind) {
    case TypeKind::kInt:
      if (const auto n = whole_number<int64_t>(text)) return Value::of(*n);
      break;
    case TypeKind::kUint:
      if (const auto n = whole_number<uint64_t>(text)) return Value::of(*n);
      break;
    case TypeKind::kDouble:
      if (const auto d = real_number(text)) return Value::of(*d);
      break;
    case TypeKind::kBool:
      for (const char* word : {"1", "t", "T", "TRUE", "true", "True"}) {
        if (text == word) return Value::of(true);
      }
      for (const char* word : {"0", "f", "F", "FALSE", "false", "False"}) {
        if (text == word) return Value::of(false);
      }
      break;
    case TypeKind::kBytes:
      return A::bytes(text);
    case TypeKind::kDuration:
      if (const auto nanos = parse_go_duration(text)) return A::duration(*nanos);
      break;
    case TypeKind::kTimestamp:
      if (const auto time = parse_rfc3339(text)) {
        if (time->seconds < kMinUnix || time->seconds > kMaxUnix) return Value::error("timestamp overflow");
        return A::timestamp(time->seconds, time->nanos, time->offset);
      }
      break;
    case TypeKind::kString:
      return value;
    default:
      break;
  }
  return conversion_error(value, to);
}

Value from_int(const Value& value, const TypeNode& to) {
  const int64_t n = A::integer(value);
  switch (to.kind) {
    case TypeKind::kInt:
      return value;
    case TypeKind::kUint:
      return n < 0 ? Value::error("unsigned integer overflow") : Value::of(static_cast<uint64_t>(n));
    case TypeKind::kDouble:
      return Value::of(static_cast<double>(n));
    case TypeKind::kString:
      return Value::of(std::to_string(n));
    case TypeKind::kTimestamp:
      if (n < kMinUnix || n > kMaxUnix) return Value::error("timestamp overflow");
      return A::timestamp(n, 0);
    default:
      return conversion_error(value, to);
  }
}

Value from_uint(const Value& value, const TypeNode& to) {
  const uint64_t n = A::unsigned_integer(value);
  switch (to.kind) {
    case TypeKind::kInt:
      return n > INT64_MAX ? Value::error("integer overflow") : Value::of(static_cast<int64_t>(n));
    case TypeKind::kUint:
      return value;
    case TypeKind::kDouble:
      return Value::of(static_cast<double>(n));
    case TypeKind::kString:
      return Value::of(std::to_string(n));
    default:
      return conversion_error(value, to);
  }
}

Value from_double(const Value& value, const TypeNode& to) {
  const double d = A::real(value);
  switch (to.kind) {
    case TypeKind::kInt:
      if (!std::isfinite(d) || d <= -9223372036854775808.0 || d >= 9223372036854775808.0) {
        return Value::error("integer overflow");
      }
      return Value::of(static_cast<int64_t>(d));
    case TypeKind::kUint:
      if (!std::isfinite(d) || d < 0 || d >= 18446744073709551616.0) {
        return Value::error("unsigned integer overflow");
      }
      return Value::of(static_cast<uint64_t>(d));
    case TypeKind::kDouble:
      return value;
    case TypeKind::kString:
      return Value::of(format_double_g(d));
    default:
      return conversion_error(value, to);
  }
}

Value to_string(const Value& value, const TypeNode& to) {
  switch (value.kind()) {
    case Kind::kBool:
      return Value::of(value.is_true() ? "true" : "false");
    case Kind::kNull:
      return Value::of("null");
    case Kind::kBytes:
      if (!is_utf8(text_of(value))) {
        return Value::error("invalid UTF-8 in bytes, cannot convert to string");
      }
      return Value::of(text_of(value));
    case Kind::kTimestamp:
      return Value::of(format_timestamp(value));
    case Kind::kDuration:
      return Value::of(format_seconds(A::integer(value)));
    case Kind::kType:
      return Value::of(A::type_of(value)->name);
    case Kind::kOpaque:
      if (value_type_name(value).starts_with("net.")) return Value::of(*A::opaque(value)->text());
      [[fallthrough]];
    default:
      return conversion_error(value, to);
  }
}

std::string fraction(int32_t nanos) {
  if (nanos == 0) return {};
  std::string digits = std::to_string(nanos);
  digits.insert(0, 9 - digits.size(), '0');
  while (digits.back() == '0') digits.pop_back();
  return "." + digits;
}

std::string two(int n) { return (n < 10 ? "0" : "") + std::to_string(n); }

/// "2006-01-02T15:04:05.9" in the value's own zone, with the letters between that are asked for.
std::string clock_text(const Value& value, std::string_view between) {
  const CivilTime t = civil_time(A::integer(value) + A::offset(value));
  std::string year = std::to_string(t.year);
  if (year.size() < 4) year.insert(0, 4 - year.size(), '0');
  return year + "-" + two(t.month) + "-" + two(t.day) + std::string(between) + two(t.hour) + ":" +
         two(t.minute) + ":" + two(t.second) + fraction(A::nanos(value));
}

std::string offset_text(int32_t offset, std::string_view colon) {
  const int minutes = std::abs(offset) / 60;
  return (offset < 0 ? "-" : "+") + two(minutes / 60) + std::string(colon) + two(minutes % 60);
}

}  // namespace

Value convert(const Value& value, const TypeNode& to) {
  if (value.is_error()) return value;
  switch (value.kind()) {
    case Kind::kString:
      return from_string(value, to);
    case Kind::kInt:
      return from_int(value, to);
    case Kind::kUint:
      return from_uint(value, to);
    case Kind::kDouble:
      return from_double(value, to);
    default:
      break;
  }
  if (to.kind == TypeKind::kString) return to_string(value, to);
  if (value.kind() == Kind::kTimestamp && to.kind == TypeKind::kInt) return Value::of(A::integer(value));
  if (value.kind() == Kind::kDuration && to.kind == TypeKind::kInt) return Value::of(A::integer(value));
  if (value_type(value)->kind == to.kind && to.kind != TypeKind::kOpaque) return value;
  return conversion_error(value, to);
}

std::string format_double_g(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value < 0 ? "-Inf" : "+Inf";
  char buffer[32];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::scientific).ptr;
  std::string text(buffer, end);
  const size_t e = text.find('e');
  const int exponent = std::atoi(text.c_str() + e + 1);
  if (exponent >= -4 && exponent < 6) {
    const auto fixed_end = std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::fixed).ptr;
    return std::string(buffer, fixed_end);
  }
  return text;
}

std::string format_double_f(double value) {
  std::string buffer(400, '\0');
  const auto end =
      std::to_chars(buffer.data(), buffer.data() + buffer.size(), value, std::chars_format::fixed).ptr;
  buffer.resize(static_cast<size_t>(end - buffer.data()));
  return buffer;
}

std::string format_timestamp(const Value& value) {
  const int32_t offset = A::offset(value);
  return clock_text(value, "T") + (offset == 0 ? "Z" : offset_text(offset, ":"));
}

std::string format_seconds(int64_t nanos) {
  const int64_t whole = nanos / 1'000'000'000;
  const int64_t rest = nanos % 1'000'000'000;
  return format_double_f(static_cast<double>(whole) + static_cast<double>(rest) / 1e9) + "s";
}

std::string plain_text(const Value& value) {
  switch (value.kind()) {
    case Kind::kNull:
      return "0";
    case Kind::kBool:
      return value.is_true() ? "true" : "false";
    case Kind::kInt:
      return std::to_string(A::integer(value));
    case Kind::kUint:
      return std::to_string(A::unsigned_integer(value));
    case Kind::kDouble:
      return format_double_g(A::real(value));
    case Kind::kString:
      return text_of(value);
    case Kind::kError:
      return std::string(value.error_message());
    case Kind::kBytes: {
      std::string out = "[";
      for (unsigned char c : text_of(value)) out += (out.size() > 1 ? " " : "") + std::to_string(c);
      return out + "]";
    }
    case Kind::kList: {
      std::string out = "[";
      for (size_t i = 0; i < static_cast<size_t>(*size_of(value)); ++i) {
        if (i > 0) out += ", ";
        out += plain_text(list_item(value, i));
      }
      return out + "]";
    }
    case Kind::kMap: {
      std::string out = "{";
      for (const Value& key : map_keys(value)) {
        if (out.size() > 1) out += ", ";
        out += plain_text(key) + ": " + plain_text(map_get(value, key));
      }
      return out + "}";
    }
    case Kind::kTimestamp: {
      const int32_t offset = A::offset(value);
      const std::string zone = offset_text(offset, "");
      return clock_text(value, " ") + " " + zone + " " + (offset == 0 ? "UTC" : zone);
    }
    case Kind::kDuration:
      return go_duration_text(A::integer(value));
    case Kind::kType:
      return format_type(*A::type_of(value));
    case Kind::kOptional:
      if (const Value* held = A::optional(value)) return "optional(" + plain_text(*held) + ")";
      return "optional.none()";
    case Kind::kOpaque:
      return A::opaque(value)->text().value_or(value_type_name(value));
  }
  return {};
}

bool Value::to_json(Json& out) const {
  switch (kind_) {
    case Kind::kNull:
      out = nullptr;
      return true;
    case Kind::kBool:
      out = bool_;
      return true;
    case Kind::kInt:
      out = int_;
      return true;
    case Kind::kUint:
      out = uint_;
      return true;
    case Kind::kDouble:
      out = double_;
      return std::isfinite(double_);
    case Kind::kString:
      out = text_of(*this);
      return true;
    case Kind::kBytes:
      out = schema::encode_base64(text_of(*this));
      return true;
    case Kind::kTimestamp:
      out = format_timestamp(*this);
      return true;
    case Kind::kDuration:
      out = format_seconds(int_);
      return true;
    case Kind::kOptional:
      if (const Value* held = ValueAccess::optional(*this)) return held->to_json(out);
      return false;
    case Kind::kList: {
      if (const Json* tree = ValueAccess::tree(*this)) {
        out = *tree;
        return true;
      }
      out = Json::array();
      for (const Value& item : ValueAccess::list(*this)->items) {
        if (!item.to_json(out.emplace_back())) return false;
      }
      return true;
    }
    case Kind::kMap: {
      if (const Json* tree = ValueAccess::tree(*this)) {
        out = *tree;
        return true;
      }
      out = Json::object();
      const MapRep* map = ValueAccess::map(*this);
      if (map == nullptr) return false;
      for (const auto& [key, value] : map->items) {
        if (key.kind() != Kind::kString || !value.to_json(out[text_of(key)])) return false;
      }
      return true;
    }
    case Kind::kOpaque: {
      if (const auto* object = dynamic_cast<const ObjectRep*>(ValueAccess::opaque(*this))) {
        out = Json::object();
        for (const auto& [name, value] : object->fields) {
          if (!value.to_json(out[name])) return false;
        }
        return true;
      }
      const std::optional<std::string> text = ValueAccess::opaque(*this)->text();
      if (!text) return false;
      out = *text;
      return true;
    }
    default:
      return false;
  }
}

// --- Runes ----------------------------------------------------------------------------------------

std::u32string runes_of(std::string_view text) {
  std::u32string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size();) {
    const auto c = static_cast<unsigned char>(text[i]);
    size_t length = c < 0x80                ? 1
                    : c >= 0xC2 && c < 0xE0 ? 2
                    : c >= 0xE0 && c < 0xF0 ? 3
                    : c >= 0xF0 && c < 0xF5 ? 4
                                            : 0;
    char32_t rune = length == 1 ? c : length == 2 ? c & 0x1F : length == 3 ? c & 0x0F : c & 0x07;
    bool good = length > 0 && i + length <= text.size();
    for (size_t k = 1; good && k < length; ++k) {
      const auto next = static_cast<unsigned char>(text[i + k]);
      good = (next & 0xC0) == 0x80;
      rune = rune << 6 | (next & 0x3F);
    }
    if (good && ((length == 3 && (rune < 0x800 || (rune >= 0xD800 && rune < 0xE000))) ||
                 (length == 4 && (rune < 0x10000 || rune > 0x10FFFF)))) {
      good = false;
    }
    out += good ? rune : U'\uFFFD';
    i += good ? length : 1;
  }
  return out;
}

std::string utf8_of(std::u32string_view runes) {
  std::string out;
  out.reserve(runes.size());
  for (char32_t r : runes) {
    if (r > 0x10FFFF || (r >= 0xD800 && r < 0xE000)) r = U'\uFFFD';
    if (r < 0x80) {
      out += static_cast<char>(r);
    } else if (r < 0x800) {
      out += static_cast<char>(0xC0 | r >> 6);
      out += static_cast<char>(0x80 | (r & 0x3F));
    } else if (r < 0x10000) {
      out += static_cast<char>(0xE0 | r >> 12);
      out += static_cast<char>(0x80 | (r >> 6 & 0x3F));
      out += static_cast<char>(0x80 | (r & 0x3F));
    } else {
      out += static_cast<char>(0xF0 | r >> 18);
      out += static_cast<char>(0x80 | (r >> 12 & 0x3F));
      out += static_cast<char>(0x80 | (r >> 6 & 0x3F));
      out += static_cast<char>(0x80 | (r & 0x3F));
    }
  }
  return out;
}

int64_t rune_count(std::string_view text) {
  int64_t plain = 0;
  for (unsigned char c : text) {
    if (c >= 0x80) return static_cast<int64_t>(runes_of(text).size());
    ++plain;
  }
  return plain;
}

}  // namespace orch::api::cel
