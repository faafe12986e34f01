#include "api/cel/format_text.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include "api/go_text.h"

namespace orch::api::cel {

namespace {

using Kind = Value::Kind;
using A = ValueAccess;

constexpr int kDefaultPrecision = 6;

/// A clause of a format, "%.3f".
struct Clause {
  char letter = 's';
  int precision = kDefaultPrecision;
};

/// Text, or what went wrong.
struct Text {
  std::string text, error;
};

Text fail(std::string error) { return {{}, std::move(error)}; }

std::string complaint(char letter) {
  switch (letter) {
    case 'd':
      return "decimal clause can only be used on integers, was given ";
    case 'f':
      return "fixed-point clause can only be used on doubles, was given ";
    case 'e':
      return "scientific clause can only be used on doubles, was given ";
    case 'b':
      return "only integers and bools can be formatted as binary, was given ";
    case 'x':
    case 'X':
      return "only integers, byte buffers, and strings can be formatted as hex, was given ";
    case 'o':
      return "octal clause can only be used on integers, was given ";
    default:
      return "string clause can only be used on strings, bools, bytes, ints, doubles, maps, lists, types, "
             "durations, and timestamps, was given ";
  }
}

/// Walks a format; for each clause `clause(index, c)` gives the text.
Text walk(const std::string& format, size_t count, const std::function<Text(size_t, const Clause&)>& clause) {
  Text out;
  size_t index = 0;
  for (size_t i = 0; i < format.size();) {
    if (format[i] != '%') {
      out.text += format[i++];
      continue;
    }
    if (i + 1 < format.size() && format[i + 1] == '%') {
      out.text += '%';
      i += 2;
      continue;
    }
    if (index >= count) return fail("index " + std::to_string(index) + " out of range");
    if (i + 1 >= format.size()) return fail("unexpected end of string");
    ++i;
    Clause c;
    if (format[i] == '.') {
      const std::string context = "could not parse formatting clause: error while parsing precision: ";
      std::string digits;
      for (++i; i < format.size() && format[i] >= '0' && format[i] <= '9'; ++i) digits += format[i];
      if (i >= format.size()) return fail(base::cat(context, "could not find end of precision specifier"));
      if (digits.empty() || digits.size() > 9) {
        return fail(base::cat(context,
                              "error while converting precision to integer: strconv.Atoi: parsing \"", digits,
                              "\": ", digits.empty() ? "invalid syntax" : "value out of range"));
      }
      c.precision = std::stoi(digits);
    }
    c.letter = format[i++];
    if (std::string_view("sdfebxXo").find(c.letter) == std::string_view::npos) {
      return fail("could not parse formatting clause: unrecognized formatting clause \"" +
                  std::string(1, c.letter) + "\"");
    }
    Text part = clause(index++, c);
    if (!part.error.empty()) return fail("error during formatting: " + part.error);
    out.text += part.text;
  }
  out.error.clear();
  return out;
}

std::string special(double d, bool locale) {
  if (std::isnan(d)) return "NaN";
  if (locale) return d < 0 ? "-∞" : "∞";
  return d < 0 ? "-Inf" : "+Inf";
}

std::string fixed(double d, int precision) {
  std::string out(static_cast<size_t>(precision) + 330, '\0');
  const int length = std::snprintf(out.data(), out.size(), "%.*f", precision, d);
  out.resize(static_cast<size_t>(length));
  return out;
}

/// As the printer for en_US writes numbers: with commas between thousands.
std::string grouped(std::string digits) {
  const size_t start = digits[0] == '-' ? 1 : 0;
  const size_t dot = std::min(digits.find('.'), digits.size());
  for (size_t at = dot; at > start + 3; at -= 3) digits.insert(at - 3, ",");
  return digits;
}

/// "1.050000×10⁰³". What is called a precision there is a width: the clause is made "%2e", not "%.2e".
std::string scientific(double d, int width) {
  char buffer[64];
  std::snprintf(buffer, sizeof buffer, "%e", d);
  std::string text(buffer);
  const size_t e = text.find('e');
  std::string out = text.substr(0, e) + "×10";
  static constexpr const char* kRaised[] = {"⁰", "¹", "²", "³", "⁴", "⁵", "⁶", "⁷", "⁸", "⁹"};
  for (char c : text.substr(e + 1)) {
    if (c == '-') {
      out += "⁻";
    } else if (c >= '0' && c <= '9') {
      out += kRaised[c - '0'];
    }
  }
  const auto length = static_cast<int>(rune_count(out));
  if (length < width) out.insert(0, static_cast<size_t>(width - length), ' ');
  return out;
}

std::string in_base(uint64_t n, unsigned base, bool upper) {
  std::string out;
  do {
    const unsigned digit = static_cast<unsigned>(n % base);
    out += static_cast<char>(digit < 10 ? '0' + digit : (upper ? 'A' : 'a') + digit - 10);
    n /= base;
  } while (n > 0);
  std::reverse(out.begin(), out.end());
  return out;
}

std::string hex_bytes(const std::string& bytes, bool upper) {
  const char* digits = upper ? "0123456789ABCDEF" : "0123456789abcdef";
  std::string out;
  for (unsigned char c : bytes) {
    out += digits[c >> 4];
    out += digits[c & 15];
  }
  return out;
}

Text as_string(const Value& value);

/// A value within a list or map.
Text nested(const Value& value) {
  switch (value.kind()) {
    case Kind::kString:
      return {go_quote(text_of(value)), {}};
    case Kind::kBytes: {
      Text text = as_string(value);
      text.text = "b" + go_quote(text.text);
      return text;
    }
    case Kind::kTimestamp:
    case Kind::kDuration: {
      const std::string name = value.kind() == Kind::kTimestamp ? "timestamp(" : "duration(";
      return {name + go_quote(as_string(value).text) + ")", {}};
    }
    case Kind::kDouble: {
      const double d = A::real(value);
      if (!std::isfinite(d)) return {"\"" + special(d, false) + "\"", {}};
      return {fixed(d, kDefaultPrecision), {}};
    }
    case Kind::kOptional:
    case Kind::kOpaque:
    case Kind::kError:
      return fail("no formatting function for " + value_type_name(value));
    default:
      return as_string(value);
  }
}

Text list_text(const Value& value) {
  Text out;
  out.text = "[";
  for (size_t i = 0; i < static_cast<size_t>(*size_of(value)); ++i) {
    Text item = nested(list_item(value, i));
    if (!item.error.empty()) return item;
    if (i > 0) out.text += ", ";
    out.text += item.text;
  }
  out.text += "]";
  return out;
}

Text map_text(const Value& value) {
  std::vector<std::pair<std::string, std::string>> pairs;
  for (const Value& key : map_keys(value)) {
    if (key.kind() != Kind::kString && key.kind() != Kind::kBool && key.kind() != Kind::kInt &&
        key.kind() != Kind::kUint) {
      return fail("no formatting function for map key of type " + value_type_name(key));
    }
    Text key_text = nested(key);
    Text item = nested(map_get(value, key));
    if (!item.error.empty()) return item;
    pairs.emplace_back(std::move(key_text.text), std::move(item.text));
  }
  std::stable_sort(pairs.begin(), pairs.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  Text out;
  out.text = "{";
  for (size_t i = 0; i < pairs.size(); ++i) {
    if (i > 0) out.text += ", ";
    out.text += pairs[i].first + ":" + pairs[i].second;
  }
  out.text += "}";
  return out;
}

Text as_string(const Value& value) {
  switch (value.kind()) {
    case Kind::kList:
      return list_text(value);
    case Kind::kMap:
      return map_text(value);
    case Kind::kNull:
      return {"null", {}};
    case Kind::kOptional:
    case Kind::kOpaque:
    case Kind::kError:
      return fail(complaint('s') + value_type_name(value));
    default: {
      const Value text = convert(value, *string_type());
      if (text.is_error()) {
        return fail("could not convert argument " + go_quote(text.error_message()) + " to string");
      }
      return {text_of(text), {}};
    }
  }
}

/// A double, or one of the strings that stand for what JSON has no number for.
std::optional<double> real_argument(const Value& value) {
  if (value.kind() == Kind::kDouble) return A::real(value);
  if (value.kind() != Kind::kString) return std::nullopt;
  const std::string& text = text_of(value);
  if (text == "NaN") return std::nan("");
  if (text == "Infinity") return HUGE_VAL;
  if (text == "-Infinity") return -HUGE_VAL;
  return std::nullopt;
}

Text whole(const Value& value, const Clause& c) {
  const unsigned base = c.letter == 'b' ? 2 : c.letter == 'o' ? 8 : c.letter == 'd' ? 10 : 16;
  const bool upper = c.letter == 'X';
  if (value.kind() == Kind::kUint) return {in_base(A::unsigned_integer(value), base, upper), {}};
  if (value.kind() == Kind::kInt) {
    const int64_t n = A::integer(value);
    const uint64_t size = n < 0 ? ~static_cast<uint64_t>(n) + 1 : static_cast<uint64_t>(n);
    return {(n < 0 ? "-" : "") + in_base(size, base, upper), {}};
  }
  if (c.letter == 'b' && value.kind() == Kind::kBool) return {value.is_true() ? "1" : "0", {}};
  if (base == 16 && (value.kind() == Kind::kString || value.kind() == Kind::kBytes)) {
    return {hex_bytes(text_of(value), upper), {}};
  }
  return fail(complaint(c.letter) + value_type_name(value));
}

Text apply(const Value& value, const Clause& c) {
  if (c.letter == 's') return as_string(value);
  if (c.letter != 'f' && c.letter != 'e') return whole(value, c);
  const std::optional<double> d = real_argument(value);
  if (!d) return fail(complaint(c.letter) + value_type_name(value));
  if (!std::isfinite(*d)) return {special(*d, true), {}};
  return {c.letter == 'f' ? grouped(fixed(*d, c.precision)) : scientific(*d, c.precision), {}};
}

/// Which static types a clause takes.
bool takes(char letter, TypeKind kind) {
  if (kind == TypeKind::kDyn) return true;
  const bool is_whole = kind == TypeKind::kInt || kind == TypeKind::kUint;
  switch (letter) {
    case 'd':
    case 'o':
      return is_whole;
    case 'f':
    case 'e':
      return kind == TypeKind::kDouble || kind == TypeKind::kString;
    case 'b':
      return is_whole || kind == TypeKind::kBool;
    case 'x':
    case 'X':
      return is_whole || kind == TypeKind::kString || kind == TypeKind::kBytes;
    default:
      return kind != TypeKind::kStruct && kind != TypeKind::kOpaque && kind != TypeKind::kError &&
             kind != TypeKind::kTypeParam && kind != TypeKind::kAny;
  }
}

/// The first expression in an argument of %s that cannot be text, or null.
const Expr* not_text(const Checked& checked, const Expr& e) {
  if (!takes('s', checked.type(e)->kind)) return &e;
  if (e.kind == ExprKind::kList) {
    for (const Expr* item : e.args) {
      if (const Expr* bad = not_text(checked, *item)) return bad;
    }
  }
  for (const Expr::Entry& entry : e.entries) {
    if (entry.key == nullptr) continue;
    if (const Expr* bad = not_text(checked, *entry.key)) return bad;
    if (const Expr* bad = not_text(checked, *entry.value)) return bad;
  }
  return nullptr;
}

}  // namespace

Value format_values(const std::string& format, const Value& list) {
  const Text out = walk(format, static_cast<size_t>(*size_of(list)),
                        [&](size_t i, const Clause& c) { return apply(list_item(list, i), c); });
  return out.error.empty() ? Value::of(out.text) : Value::error(out.error);
}

void check_format(Ast& ast, const Checked& checked, const Expr& call) {
  const std::vector<Expr*>& args = call.args[0]->args;
  size_t seen = 0;
  const Expr* at = &call;
  const Text out = walk(text_of(call.target->literal), args.size(), [&](size_t i, const Clause& c) -> Text {
    seen = i + 1;
    const Expr* bad = c.letter == 's'                                 ? not_text(checked, *args[i])
                      : takes(c.letter, checked.type(*args[i])->kind) ? nullptr
                                                                      : args[i];
    if (bad == nullptr) return {};
    at = bad;
    return fail(complaint(c.letter) + checked.type(*bad)->name);
  });
  if (!out.error.empty()) {
    ast.report(at->id, out.error);
  } else if (args.size() > seen) {
    ast.report(call.id, "too many arguments supplied to string.format (expected " + std::to_string(seen) +
                            ", got " + std::to_string(args.size()) + ")");
  }
}

}  // namespace orch::api::cel
