// Quantities, semantic versions and named formats.
#include <algorithm>
#include <charconv>

#include "api/cel/functions.h"
#include "api/cel/time_text.h"
#include "api/go_text.h"
#include "api/names.h"
#include "api/quantity.h"

namespace orch::api::cel {

bool is_request_uri(const std::string& text, std::string& error);

namespace {

using Kind = Value::Kind;
using A = ValueAccess;

// --- Quantities -----------------------------------------------------------------------------------

struct QuantityRep final : OpaqueRep {
  Quantity quantity;
  /// The power of ten Kubernetes keeps it in: what it holds with a negative one is no integer to it, be it
  /// "1.0" or "1000m".
  int scale = 0;
  std::string_view type_name() const override { return "kubernetes.Quantity"; }
  bool equals(const OpaqueRep& other) const override {
    return quantity == static_cast<const QuantityRep&>(other).quantity;
  }
  std::optional<std::string> text() const override { return quantity.text(); }
};

const QuantityRep& quantity_of(const Value& v) { return *static_cast<const QuantityRep*>(A::opaque(v)); }

int scale_of(std::string_view text) {
  const size_t dot = text.find('.');
  size_t suffix = 0;
  while (suffix < text.size() &&
         std::string_view("+-.0123456789").find(text[suffix]) != std::string_view::npos) {
    ++suffix;
  }
  int scale = dot == std::string_view::npos ? 0 : -static_cast<int>(suffix - dot - 1);
  const std::string_view unit = text.substr(suffix);
  if (unit == "m") scale -= 3;
  if (unit == "u") scale -= 6;
  if (unit == "n") scale -= 9;
  if (unit == "k") scale += 3;
  if (unit == "M") scale += 6;
  if (unit == "G") scale += 9;
  if (unit == "T") scale += 12;
  if (unit == "P") scale += 15;
  if (unit == "E") scale += 18;
  if (unit.size() > 1 && (unit[0] == 'e' || unit[0] == 'E')) {
    int exponent = 0;
    const size_t start = unit[1] == '+' ? 2 : 1;
    std::from_chars(unit.data() + start, unit.data() + unit.size(), exponent);
    scale += exponent;
  }
  return scale;
}

std::optional<Quantity> parse_quantity(const std::string& text, std::string& error) {
  if (!text.empty() && (text.front() == ' ' || text.back() == ' ')) {
    error = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";
    return std::nullopt;
  }
  base::Result<Quantity> parsed = Quantity::parse(text);
  if (parsed.ok()) return std::move(*parsed);
  error = parsed.error().message();
  return std::nullopt;
}

Value to_quantity(const Value* a, size_t) {
  std::string error;
  auto parsed = parse_quantity(text_of(a[0]), error);
  if (!parsed) return Value::error(std::move(error));
  auto rep = std::make_shared<QuantityRep>();
  rep->quantity = std::move(*parsed);
  rep->scale = scale_of(text_of(a[0]));
  return A::opaque(std::move(rep));
}
Value is_quantity(const Value* a, size_t) {
  std::string error;
  return Value::of(parse_quantity(text_of(a[0]), error).has_value());
}

int order(const Value* a) {
  const Quantity& left = quantity_of(a[0]).quantity;
  const Quantity& right = quantity_of(a[1]).quantity;
  return left == right ? 0 : left < right ? -1 : 1;
}
Value quantity_compare(const Value* a, size_t) { return Value::of(int64_t{order(a)}); }
Value quantity_greater(const Value* a, size_t) { return Value::of(order(a) == 1); }
Value quantity_less(const Value* a, size_t) { return Value::of(order(a) == -1); }
Value quantity_sign(const Value* a, size_t) { return Value::of(int64_t{quantity_of(a[0]).quantity.sign()}); }
Value quantity_float(const Value* a, size_t) { return Value::of(quantity_of(a[0]).quantity.approximate()); }

std::optional<int64_t> whole(const QuantityRep& q) {
  if (q.scale < 0) return std::nullopt;
  const int64_t n = q.quantity.value();
  if (n == INT64_MAX || n == INT64_MIN) {
    if (Quantity::of(n) != q.quantity) return std::nullopt;
  }
  return n;
}
Value quantity_is_integer(const Value* a, size_t) { return Value::of(whole(quantity_of(a[0])).has_value()); }
Value quantity_integer(const Value* a, size_t) {
  const auto n = whole(quantity_of(a[0]));
  return n ? Value::of(*n) : Value::error("cannot convert value to integer");
}

Value calculate(const Value* a, bool minus) {
  auto rep = std::make_shared<QuantityRep>(quantity_of(a[0]));
  QuantityRep other;
  if (a[1].kind() == Kind::kInt) {
    other.quantity = Quantity::of(A::integer(a[1]), Quantity::Format::kExponent);
  } else {
    other = quantity_of(a[1]);
  }
  if (rep->quantity.is_zero()) {
    rep->scale = other.scale;
  } else if (!other.quantity.is_zero()) {
    rep->scale = std::min(rep->scale, other.scale);
  }
  if (minus) {
    rep->quantity -= other.quantity;
  } else {
    rep->quantity += other.quantity;
  }
  return A::opaque(std::move(rep));
}
Value quantity_add(const Value* a, size_t) { return calculate(a, false); }
Value quantity_sub(const Value* a, size_t) { return calculate(a, true); }

constexpr Binding kQuantities[] = {
    {"string_to_quantity", to_quantity},
    {"is_quantity_string", is_quantity},
    {"quantity_sign", quantity_sign},
    {"quantity_is_greater_than", quantity_greater},
    {"quantity_is_less_than", quantity_less},
    {"quantity_compare_to", quantity_compare},
    {"quantity_get_float", quantity_float},
    {"quantity_get_int", quantity_integer},
    {"quantity_is_integer", quantity_is_integer},
    {"quantity_add", quantity_add},
    {"quantity_add_int", quantity_add},
    {"quantity_sub", quantity_sub},
    {"quantity_sub_int", quantity_sub},
};

// --- Semantic versions ----------------------------------------------------------------------------

struct Version {
  uint64_t numbers[3] = {0, 0, 0};
  struct Prerelease {
    bool numeric = false;
    uint64_t number = 0;
    std::string text;
  };
  std::vector<Prerelease> prerelease;
};

struct SemverRep final : OpaqueRep {
  Version version;
  std::string source;
  std::string_view type_name() const override { return "kubernetes.Semver"; }
  bool equals(const OpaqueRep& other) const override;
  std::optional<std::string> text() const override { return source; }
};

int compare_numbers(uint64_t a, uint64_t b) { return a < b ? -1 : a > b ? 1 : 0; }

int compare_versions(const Version& a, const Version& b) {
  for (size_t i = 0; i < 3; ++i) {
    if (const int c = compare_numbers(a.numbers[i], b.numbers[i])) return c;
  }
  if (a.prerelease.empty() || b.prerelease.empty()) {
    return static_cast<int>(a.prerelease.empty()) - static_cast<int>(b.prerelease.empty());
  }
  for (size_t i = 0; i < a.prerelease.size() && i < b.prerelease.size(); ++i) {
    const Version::Prerelease& x = a.prerelease[i];
    const Version::Prerelease& y = b.prerelease[i];
    if (x.numeric != y.numeric) return x.numeric ? -1 : 1;
    const int c = x.numeric ? compare_numbers(x.number, y.number) : x.text.compare(y.text);
    if (c != 0) return c < 0 ? -1 : 1;
  }
  return compare_numbers(a.prerelease.size(), b.prerelease.size());
}

bool SemverRep::equals(const OpaqueRep& other) const {
  return compare_versions(version, static_cast<const SemverRep&>(other).version) == 0;
}

bool all_digits(std::string_view s) {
  return std::all_of(s.begin(), s.end(), [](char c) { return c >= '0' && c <= '9'; });
}
bool all_alphanumeric(std::string_view s) {
  return std::all_of(s.begin(), s.end(), [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-';
  });
}

std::vector<std::string> split(std::string_view text, char separator, size_t most = SIZE_MAX) {
  std::vector<std::string> out;
  while (out.size() + 1 < most) {
    const size_t at = text.find(separator);
    if (at == std::string_view::npos) break;
    out.emplace_back(text.substr(0, at));
    text.remove_prefix(at + 1);
  }
  out.emplace_back(text);
  return out;
}

bool read_number(const std::string& text, uint64_t& out, std::string& error) {
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), out);
  if (code == std::errc() && end == text.data() + text.size()) return true;
  error = "strconv.ParseUint: parsing " + go_quote(text) + ": " +
          (code == std::errc::result_out_of_range ? "value out of range" : "invalid syntax");
  return false;
}

/// `what`: "major", "Major".
bool read_part(const std::string& text, const std::string& what, uint64_t& out, std::string& error) {
  if (!all_digits(text)) {
    error = "Invalid character(s) found in " + what + " number " + go_quote(text);
    return false;
  }
  if (text.size() > 1 && text[0] == '0') {
    error = what + " number must not contain leading zeroes " + go_quote(text);
    error[0] = static_cast<char>(error[0] - 32);
    return false;
  }
  return read_number(text, out, error);
}

std::optional<Version> parse_version(const std::string& text, std::string& error) {
  if (text.empty()) {
    error = "Version string empty";
    return std::nullopt;
  }
  std::vector<std::string> parts = split(text, '.', 3);
  if (parts.size() != 3) {
    error = "No Major.Minor.Patch elements found";
    return std::nullopt;
  }
  Version out;
  if (!read_part(parts[0], "major", out.numbers[0], error)) return std::nullopt;
  if (!read_part(parts[1], "minor", out.numbers[1], error)) return std::nullopt;
  std::string patch = parts[2];
  std::vector<std::string> build;
  std::vector<std::string> prerelease;
  if (const size_t plus = patch.find('+'); plus != std::string::npos) {
    build = split(patch.substr(plus + 1), '.');
    patch.resize(plus);
  }
  if (const size_t dash = patch.find('-'); dash != std::string::npos) {
    prerelease = split(patch.substr(dash + 1), '.');
    patch.resize(dash);
  }
  if (!read_part(patch, "patch", out.numbers[2], error)) return std::nullopt;
  for (const std::string& p : prerelease) {
    Version::Prerelease part;
    part.numeric = all_digits(p);
    part.text = p;
    if (p.empty()) {
      error = "Prerelease is empty";
    } else if (part.numeric && p.size() > 1 && p[0] == '0') {
      error = "Numeric PreRelease version must not contain leading zeroes " + go_quote(p);
    } else if (!all_alphanumeric(p)) {
      error = "Invalid character(s) found in prerelease " + go_quote(p);
    } else if (part.numeric) {
      read_number(p, part.number, error);
    }
    if (!error.empty()) return std::nullopt;
    out.prerelease.push_back(std::move(part));
  }
  for (const std::string& b : build) {
    if (b.empty()) error = "Build meta data is empty";
    if (!all_alphanumeric(b)) error = "Invalid character(s) found in build meta data " + go_quote(b);
    if (!error.empty()) return std::nullopt;
  }
  return out;
}

/// "v1.2" made "1.2.0"
bool normalise_version(std::string& text, std::string& error) {
  if (text.starts_with('v')) text.erase(0, 1);
  std::vector<std::string> parts = split(text, '.', 3);
  for (std::string& p : parts) {
    if (p.size() <= 1) continue;
    p.erase(0, p.find_first_not_of('0'));
    if (p.empty() || p[0] < '0' || p[0] > '9') p.insert(0, "0");
  }
  if (parts.size() < 3 && parts.back().find_first_of("+-") != std::string::npos) {
    error = "short version cannot contain PreRelease/Build meta data";
    return false;
  }
  while (parts.size() < 3) parts.emplace_back("0");
  text = parts[0] + "." + parts[1] + "." + parts[2];
  return true;
}

std::optional<Version> read_version(const Value* a, size_t count, std::string& text, std::string& error) {
  text = text_of(a[0]);
  if (count == 2 && a[1].is_true() && !normalise_version(text, error)) return std::nullopt;
  return parse_version(text, error);
}

Value to_semver(const Value* a, size_t count) {
  std::string error;
  std::string text;
  auto version = read_version(a, count, text, error);
  if (!version) return Value::error(std::move(error));
  auto rep = std::make_shared<SemverRep>();
  rep->version = std::move(*version);
  rep->source = std::move(text);
  return A::opaque(std::move(rep));
}
Value is_semver(const Value* a, size_t count) {
  std::string error;
  std::string text;
  return Value::of(read_version(a, count, text, error).has_value());
}
const Version& version_of(const Value& v) { return static_cast<const SemverRep*>(A::opaque(v))->version; }
int version_order(const Value* a) { return compare_versions(version_of(a[0]), version_of(a[1])); }
Value semver_greater(const Value* a, size_t) { return Value::of(version_order(a) == 1); }
Value semver_less(const Value* a, size_t) { return Value::of(version_order(a) == -1); }
Value semver_compare(const Value* a, size_t) { return Value::of(int64_t{version_order(a)}); }
template <size_t Part>
Value semver_part(const Value* a, size_t) {
  return Value::of(static_cast<int64_t>(version_of(a[0]).numbers[Part]));
}

constexpr Binding kSemvers[] = {
    {"string_to_semver", to_semver},
    {"string_bool_to_semver", to_semver},
    {"is_semver_string", is_semver},
    {"is_semver_string_bool", is_semver},
    {"semver_is_greater_than", semver_greater},
    {"semver_is_less_than", semver_less},
    {"semver_compare_to", semver_compare},
    {"semver_major", semver_part<0>},
    {"semver_minor", semver_part<1>},
    {"semver_patch", semver_part<2>},
};

// --- Named formats --------------------------------------------------------------------------------

Problems check_uri(std::string_view text) {
  std::string error;
  if (is_request_uri(std::string(text), error)) return {};
  return {error};
}

Problems check_uuid(std::string_view text) {
  std::string digits;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const bool hexadecimal = (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f');
    if (hexadecimal) {
      digits += c;
    } else if (c != '-' || (i > 0 && text[i - 1] == '-') ||
               (digits.size() != 8 && digits.size() != 12 && digits.size() != 16 && digits.size() != 20)) {
      return {"does not match the UUID format"};
    }
  }
  if (digits.size() != 32 || text.ends_with('-')) return {"does not match the UUID format"};
  return {};
}

Problems check_byte(std::string_view text) {
  const size_t padding = text.ends_with("==") ? 2 : text.ends_with("=") ? 1 : 0;
  const bool good = !text.empty() && text.size() % 4 == 0 &&
                    std::all_of(text.begin(), text.end() - static_cast<long>(padding), [](char c) {
                      return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                             c == '+' || c == '/';
                    });
  if (good) return {};
  return {"invalid base64"};
}

Problems check_date(std::string_view text) {
  if (parse_date(text)) return {};
  return {"invalid date"};
}

bool is_clock(std::string_view t) {
  auto digits = [&](size_t at) {
    return at + 2 <= t.size() && all_digits(t.substr(at, 2)) ? (t[at] - '0') * 10 + t[at + 1] - '0' : 99;
  };
  if (t.size() < 9 || digits(0) > 23 || t[2] != ':' || digits(3) > 59 || t[5] != ':' || digits(6) > 59) {
    return false;
  }
  t.remove_prefix(8);
  // A fraction is any character and digits, as the pattern there has it.
  if (t.size() >= 3 && t[0] != 'z' && t[1] >= '0' && t[1] <= '9' && (t[0] != '+' || t.size() != 6) &&
      (t[0] != '-' || t.size() != 6)) {
    t.remove_prefix(1);
    while (!t.empty() && t[0] >= '0' && t[0] <= '9') t.remove_prefix(1);
  }
  if (t == "z") return true;
  return t.size() == 6 && (t[0] == '+' || t[0] == '-') && all_digits(t.substr(1, 2)) && t[3] == ':' &&
         all_digits(t.substr(4, 2));
}

Problems check_datetime(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  const std::vector<std::string> parts = split(lower, 't');
  if (text.size() >= 4 && parts.size() >= 2 && parse_date(parts[0]) && is_clock(parts[1])) return {};
  return {"invalid datetime"};
}

struct Format {
  std::string_view name, shown;
  Problems (*check)(std::string_view);
  int64_t regex_size;
};

constexpr Format kFormats[] = {
    {"dns1123Label", "DNS1123Label", [](std::string_view s) { return check_name_is_label(s, false); }, 30},
    {"dns1123Subdomain", "DNS1123Subdomain",
     [](std::string_view s) { return check_name_is_subdomain(s, false); }, 60},
    {"dns1035Label", "DNS1035Label", [](std::string_view s) { return check_name_is_dns1035_label(s, false); },
     30},
    {"qualifiedName", "QualifiedName", check_qualified_name, 60},
    {"dns1123LabelPrefix", "DNS1123LabelPrefix",
     [](std::string_view s) { return check_name_is_label(s, true); }, 30},
    {"dns1123SubdomainPrefix", "DNS1123SubdomainPrefix",
     [](std::string_view s) { return check_name_is_subdomain(s, true); }, 60},
    {"dns1035LabelPrefix", "DNS1035LabelPrefix",
     [](std::string_view s) { return check_name_is_dns1035_label(s, true); }, 30},
    {"labelValue", "LabelValue", check_label_value, 40},
    {"uri", "URI", check_uri, 1103},
    {"uuid", "uuid", check_uuid, 70},
    {"byte", "byte", check_byte, 84},
    {"date", "date", check_date, 71},
    {"datetime", "datetime", check_datetime, 71},
};

struct FormatRep final : OpaqueRep {
  explicit FormatRep(const Format& f) : format(f) {}
  const Format& format;
  std::string_view type_name() const override { return "kubernetes.NamedFormat"; }
  bool equals(const OpaqueRep& other) const override {
    return format.shown == static_cast<const FormatRep&>(other).format.shown;
  }
  int64_t weight() const override { return format.regex_size; }
};

template <size_t Index>
Value named_format(const Value*, size_t) {
  return A::opaque(std::make_shared<FormatRep>(kFormats[Index]));
}
Value find_format(const Value* a, size_t) {
  for (const Format& format : kFormats) {
    if (format.name == text_of(a[0])) {
      return Value::optional_of(A::opaque(std::make_shared<FormatRep>(format)));
    }
  }
  return Value::optional_none();
}
Value validate_format(const Value* a, size_t) {
  const Problems problems = static_cast<const FormatRep*>(A::opaque(a[0]))->format.check(text_of(a[1]));
  if (problems.empty()) return Value::optional_none();
  std::vector<Value> texts;
  for (const std::string& p : problems) texts.push_back(Value::of(p));
  return Value::optional_of(Value::list(std::move(texts)));
}

constexpr Binding kFormatBindings[] = {
    {"format-named", find_format},
    {"format-validate", validate_format},
    {"format.dns1123Label", named_format<0>},
    {"format.dns1123Subdomain", named_format<1>},
    {"format.dns1035Label", named_format<2>},
    {"format.qualifiedName", named_format<3>},
    {"format.dns1123LabelPrefix", named_format<4>},
    {"format.dns1123SubdomainPrefix", named_format<5>},
    {"format.dns1035LabelPrefix", named_format<6>},
    {"format.labelValue", named_format<7>},
    {"format.uri", named_format<8>},
    {"format.uuid", named_format<9>},
    {"format.byte", named_format<10>},
    {"format.date", named_format<11>},
    {"format.datetime", named_format<12>},
};

}  // namespace

std::span<const Binding> quantity_bindings() { return kQuantities; }
std::span<const Binding> semver_bindings() { return kSemvers; }
std::span<const Binding> format_bindings() { return kFormatBindings; }

Value quantity_value(const std::string& text) {
  const Value argument = Value::of(text);
  return to_quantity(&argument, 1);
}
Value semver_value(const std::string& text) {
  const Value argument = Value::of(text);
  return to_semver(&argument, 1);
}

}  // namespace orch::api::cel
