// Conversions, times, optional values and regular expressions.
#include <re2/re2.h>

#include "api/cel/program.h"
#include "api/cel/time_text.h"

namespace orch::api::cel {

namespace {

using Kind = Value::Kind;
using A = ValueAccess;

template <Type (*Target)()>
Value to(const Value* a, size_t) {
  return convert(a[0], *Target());
}
Value to_duration(const Value* a, size_t) {
  if (a[0].kind() == Kind::kInt) return A::duration(A::integer(a[0]));
  return convert(a[0], *duration_type());
}

constexpr Binding kConversions[] = {
    {"bool_to_bool", to<bool_type>},
    {"string_to_bool", to<bool_type>},
    {"bytes_to_bytes", to<bytes_type>},
    {"string_to_bytes", to<bytes_type>},
    {"double_to_double", to<double_type>},
    {"int64_to_double", to<double_type>},
    {"string_to_double", to<double_type>},
    {"uint64_to_double", to<double_type>},
    {"duration_to_duration", to_duration},
    {"int64_to_duration", to_duration},
    {"string_to_duration", to_duration},
    {"int64_to_int64", to<int_type>},
    {"double_to_int64", to<int_type>},
    {"duration_to_int64", to<int_type>},
    {"string_to_int64", to<int_type>},
    {"timestamp_to_int64", to<int_type>},
    {"uint64_to_int64", to<int_type>},
    {"string_to_string", to<string_type>},
    {"bool_to_string", to<string_type>},
    {"bytes_to_string", to<string_type>},
    {"double_to_string", to<string_type>},
    {"duration_to_string", to<string_type>},
    {"int64_to_string", to<string_type>},
    {"timestamp_to_string", to<string_type>},
    {"uint64_to_string", to<string_type>},
    {"ip_to_string", to<string_type>},
    {"cidr_to_string", to<string_type>},
    {"timestamp_to_timestamp", to<timestamp_type>},
    {"int64_to_timestamp", to<timestamp_type>},
    {"string_to_timestamp", to<timestamp_type>},
    {"uint64_to_uint64", to<uint_type>},
    {"double_to_uint64", to<uint_type>},
    {"int64_to_uint64", to<uint_type>},
    {"string_to_uint64", to<uint_type>},
};

// --- Times ----------------------------------------------------------------------------------------

/// A part of a moment, in UTC or the zone that is named.
template <int64_t (*Part)(const CivilTime&, int32_t nanos)>
Value part(const Value* a, size_t count) {
  int32_t offset = 0;
  if (count == 2) {
    std::string error;
    const auto zone = zone_offset(text_of(a[1]), A::integer(a[0]), error);
    if (!zone) return Value::error(std::move(error));
    offset = *zone;
  }
  return Value::of(Part(civil_time(A::integer(a[0]) + offset), A::nanos(a[0])));
}

int64_t year(const CivilTime& t, int32_t) { return t.year; }
int64_t month(const CivilTime& t, int32_t) { return t.month - 1; }
int64_t date(const CivilTime& t, int32_t) { return t.day; }
int64_t day_of_month(const CivilTime& t, int32_t) { return t.day - 1; }
int64_t day_of_week(const CivilTime& t, int32_t) { return t.weekday; }
int64_t day_of_year(const CivilTime& t, int32_t) { return t.year_day; }
int64_t hours(const CivilTime& t, int32_t) { return t.hour; }
int64_t minutes(const CivilTime& t, int32_t) { return t.minute; }
int64_t seconds(const CivilTime& t, int32_t) { return t.second; }
int64_t milliseconds(const CivilTime&, int32_t nanos) { return nanos / 1'000'000; }

template <int64_t Unit>
Value whole_units(const Value* a, size_t) {
  return Value::of(A::integer(a[0]) / Unit);
}

constexpr Binding kTimes[] = {
    {"timestamp_to_year", part<year>},
    {"timestamp_to_year_with_tz", part<year>},
    {"timestamp_to_month", part<month>},
    {"timestamp_to_month_with_tz", part<month>},
    {"timestamp_to_day_of_month_1_based", part<date>},
    {"timestamp_to_day_of_month_1_based_with_tz", part<date>},
    {"timestamp_to_day_of_month", part<day_of_month>},
    {"timestamp_to_day_of_month_with_tz", part<day_of_month>},
    {"timestamp_to_day_of_week", part<day_of_week>},
    {"timestamp_to_day_of_week_with_tz", part<day_of_week>},
    {"timestamp_to_day_of_year", part<day_of_year>},
    {"timestamp_to_day_of_year_with_tz", part<day_of_year>},
    {"timestamp_to_hours", part<hours>},
    {"timestamp_to_hours_with_tz", part<hours>},
    {"timestamp_to_minutes", part<minutes>},
    {"timestamp_to_minutes_with_tz", part<minutes>},
    {"timestamp_to_seconds", part<seconds>},
    {"timestamp_to_seconds_tz", part<seconds>},
    {"timestamp_to_milliseconds", part<milliseconds>},
    {"timestamp_to_milliseconds_with_tz", part<milliseconds>},
    {"duration_to_hours", whole_units<3'600'000'000'000>},
    {"duration_to_minutes", whole_units<60'000'000'000>},
    {"duration_to_seconds", whole_units<1'000'000'000>},
    {"duration_to_milliseconds", whole_units<1'000'000>},
};

// --- Optional values ------------------------------------------------------------------------------

bool is_zero(const Value& v) {
  switch (v.kind()) {
    case Kind::kNull:
      return true;
    case Kind::kBool:
      return !v.is_true();
    case Kind::kInt:
    case Kind::kDuration:
      return A::integer(v) == 0;
    case Kind::kUint:
      return A::unsigned_integer(v) == 0;
    case Kind::kDouble:
      return A::real(v) == 0;
    case Kind::kTimestamp:
      return A::integer(v) == -62135596800 && A::nanos(v) == 0;
    case Kind::kString:
    case Kind::kBytes:
      return text_of(v).empty();
    case Kind::kList:
    case Kind::kMap:
      return A::schema(v) == nullptr && *size_of(v) == 0;
    case Kind::kOpaque: {
      const auto* object = dynamic_cast<const ObjectRep*>(A::opaque(v));
      return object != nullptr && object->name != "JSONPatch" && object->fields.empty();
    }
    default:
      return false;
  }
}

Value of(const Value* a, size_t) { return Value::optional_of(a[0]); }
Value of_non_zero(const Value* a, size_t) {
  return is_zero(a[0]) ? Value::optional_none() : Value::optional_of(a[0]);
}
Value none(const Value*, size_t) { return Value::optional_none(); }
Value has_value(const Value* a, size_t) { return Value::of(A::optional(a[0]) != nullptr); }
Value value(const Value* a, size_t) {
  const Value* held = A::optional(a[0]);
  return held != nullptr ? *held : Value::error("optional.none() dereference");
}
Value first(const Value* a, size_t) {
  return *size_of(a[0]) == 0 ? Value::optional_none() : Value::optional_of(list_item(a[0], 0));
}
Value last(const Value* a, size_t) {
  const auto size = static_cast<size_t>(*size_of(a[0]));
  return size == 0 ? Value::optional_none() : Value::optional_of(list_item(a[0], size - 1));
}
Value unwrap(const Value* a, size_t) {
  std::vector<Value> out;
  for (size_t i = 0; i < static_cast<size_t>(*size_of(a[0])); ++i) {
    const Value item = list_item(a[0], i);
    if (item.kind() != Kind::kOptional) {
      return Value::error("value " + plain_text(item) + " is not optional");
    }
    if (const Value* held = A::optional(item)) out.push_back(*held);
  }
  return Value::list(std::move(out));
}

constexpr Binding kOptionals[] = {
    {"optional_of", of},
    {"optional_ofNonZeroValue", of_non_zero},
    {"optional_none", none},
    {"optional_value", value},
    {"optional_hasValue", has_value},
    {"list_first", first},
    {"list_last", last},
    {"optional_unwrap", unwrap},
    {"optional_unwrapOpt", unwrap},
};

// --- Regular expressions --------------------------------------------------------------------------

Value matches(const Value* a, size_t count) {
  if (a[1].kind() != Kind::kString) return maybe_no_such_overload(a[1]);
  std::string error;
  const auto pattern = compile_pattern(text_of(a[1]), error);
  return pattern ? regex_call("matches", *pattern, a, count) : Value::error(std::move(error));
}

Value find_with(std::string_view function, const Value* a, size_t count) {
  std::string error;
  const auto pattern = compile_pattern(text_of(a[1]), error);
  return pattern ? regex_call(function, *pattern, a, count) : Value::error("Illegal regex: " + error);
}
Value find(const Value* a, size_t count) { return find_with("find", a, count); }
Value find_all(const Value* a, size_t count) { return find_with("findAll", a, count); }

constexpr Binding kRegexes[] = {
    {"matches", matches},
    {"string_find_string", find},
    {"string_find_all_string", find_all},
    {"string_find_all_string_int", find_all},
};

/// What Go's regexp says where RE2 finds that.
const char* go_words(re2::RE2::ErrorCode code) {
  switch (code) {
    case re2::RE2::ErrorBadEscape:
      return "invalid escape sequence";
    case re2::RE2::ErrorBadCharClass:
      return "invalid character class";
    case re2::RE2::ErrorBadCharRange:
      return "invalid character class range";
    case re2::RE2::ErrorMissingBracket:
      return "missing closing ]";
    case re2::RE2::ErrorMissingParen:
      return "missing closing )";
    case re2::RE2::ErrorTrailingBackslash:
      return "trailing backslash at end of expression";
    case re2::RE2::ErrorRepeatArgument:
      return "missing argument to repetition operator";
    case re2::RE2::ErrorRepeatSize:
      return "invalid repeat count";
    case re2::RE2::ErrorRepeatOp:
      return "invalid nested repetition operator";
    case re2::RE2::ErrorBadPerlOp:
      return "invalid or unsupported Perl syntax";
    case re2::RE2::ErrorBadUTF8:
      return "invalid UTF-8";
    case re2::RE2::ErrorBadNamedCapture:
      return "invalid named capture";
    default:
      return "unexpected )";
  }
}

}  // namespace

std::shared_ptr<const re2::RE2> compile_pattern(const std::string& pattern, std::string& error) {
  re2::RE2::Options options;
  options.set_log_errors(false);
  auto compiled = std::make_shared<const re2::RE2>(pattern, options);
  if (compiled->ok()) return compiled;
  const std::string& argument = compiled->error_arg();
  error = std::string("error parsing regexp: ") + go_words(compiled->error_code()) +
          (compiled->error_code() == re2::RE2::ErrorTrailingBackslash ? ": ``" : ": `" + argument + "`");
  return nullptr;
}

Value regex_call(std::string_view function, const re2::RE2& pattern, const Value* a, size_t count) {
  if (a[0].kind() != Kind::kString) return maybe_no_such_overload(a[0]);
  const std::string& text = text_of(a[0]);
  const re2::StringPiece input(text);
  if (function == "matches") return Value::of(re2::RE2::PartialMatch(input, pattern));
  re2::StringPiece found;
  if (function == "find") {
    const bool any = pattern.Match(input, 0, text.size(), re2::RE2::UNANCHORED, &found, 1);
    return Value::of(any ? std::string(found.data(), found.size()) : std::string());
  }
  int64_t left = count == 3 ? A::integer(a[2]) : -1;
  std::vector<Value> out;
  size_t at = 0;
  const char* last_end = nullptr;
  while (left != 0 && at <= text.size()) {
    if (!pattern.Match(input, at, text.size(), re2::RE2::UNANCHORED, &found, 1)) break;
    const auto begin = static_cast<size_t>(found.data() - text.data());
    const bool repeated = found.empty() && found.data() == last_end;  // next to the match before
    if (!repeated) {
      out.push_back(Value::of(std::string(found.data(), found.size())));
      if (left > 0) --left;
    }
    last_end = found.data() + found.size();
    at = begin + found.size();
    if (!found.empty()) continue;
    ++at;
    while (at < text.size() && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80) ++at;
  }
  return Value::list(std::move(out));
}

std::span<const Binding> conversion_bindings() { return kConversions; }
std::span<const Binding> time_bindings() { return kTimes; }
std::span<const Binding> optional_bindings() { return kOptionals; }
std::span<const Binding> regex_bindings() { return kRegexes; }

}  // namespace orch::api::cel
