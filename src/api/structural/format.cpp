#include "api/structural/format.h"

#include <re2/re2.h>

#include <algorithm>
#include <string>
#include <vector>

#include "api/structural/format_text.h"

namespace orch::api::structural {

namespace {

struct Named {
  std::string_view name;
  Format format;
};

constexpr Named kNames[] = {{"bsonobjectid", Format::kBsonObjectId},
                            {"uri", Format::kUri},
                            {"email", Format::kEmail},
                            {"hostname", Format::kHostname},
                            {"ipv4", Format::kIpv4},
                            {"ipv6", Format::kIpv6},
                            {"cidr", Format::kCidr},
                            {"mac", Format::kMac},
                            {"uuid", Format::kUuid},
                            {"uuid3", Format::kUuid3},
                            {"uuid4", Format::kUuid4},
                            {"uuid5", Format::kUuid5},
                            {"isbn", Format::kIsbn},
                            {"isbn10", Format::kIsbn10},
                            {"isbn13", Format::kIsbn13},
                            {"creditcard", Format::kCreditCard},
                            {"ssn", Format::kSsn},
                            {"hexcolor", Format::kHexColor},
                            {"rgbcolor", Format::kRgbColor},
                            {"byte", Format::kByte},
                            {"password", Format::kPassword},
                            {"date", Format::kDate},
                            {"duration", Format::kDuration},
                            {"datetime", Format::kDateTime},
                            {"k8sshortname", Format::kShortName},
                            {"k8slongname", Format::kLongName}};

bool digit(char c) { return c >= '0' && c <= '9'; }
bool hex(char c) { return digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }
bool all_hex(std::string_view text) { return std::all_of(text.begin(), text.end(), hex); }

bool is_uuid(std::string_view text, char version) {
  // Dashes between the groups may be missing, each by itself.
  constexpr size_t kGroups[] = {8, 4, 4, 4, 12};
  std::string digits;
  for (size_t g = 0; g < 5; ++g) {
    if (g > 0 && !text.empty() && text.front() == '-') text.remove_prefix(1);
    if (text.size() < kGroups[g] || !all_hex(text.substr(0, kGroups[g]))) return false;
    digits += text.substr(0, kGroups[g]);
    text.remove_prefix(kGroups[g]);
  }
  if (!text.empty()) return false;
  constexpr size_t kVersion = 12, kVariant = 16;
  if (version == 0) return true;
  const bool variant = std::string_view("89abAB").find(digits[kVariant]) != std::string_view::npos;
  return digits[kVersion] == version && (version == '3' || variant);
}

bool is_isbn(std::string_view text, size_t length) {
  std::string d;
  for (const char c : text) {
    if (c != '-' && c != ' ' && c != '\t' && c != '\n' && c != '\r' && c != '\f') d += c;
  }
  if (d.size() != length) return false;
  int sum = 0;
  for (size_t i = 0; i < length; ++i) {
    const bool x = length == 10 && i == 9 && d[i] == 'X';
    if (!digit(d[i]) && !x) return false;
    const int value = x ? 10 : d[i] - '0';
    if (length == 10) {
      sum += static_cast<int>(i + 1) * value;
    } else if (i < 12) {
      sum += (i % 2 == 0 ? 1 : 3) * value;
    }
  }
  return length == 10 ? sum % 11 == 0 : d[12] - '0' == (10 - sum % 10) % 10;
}

bool is_credit_card(std::string_view text) {
  std::string d;
  std::copy_if(text.begin(), text.end(), std::back_inserter(d), digit);
  static const re2::RE2 known(
      "(?:4[0-9]{12}(?:[0-9]{3})?|5[1-5][0-9]{14}|6(?:011|5[0-9][0-9])[0-9]{12}|3[47][0-9]{13}|"
      "3(?:0[0-5]|[68][0-9])[0-9]{11}|(?:2131|1800|35\\d{3})\\d{11})");
  if (!re2::RE2::FullMatch(d, known)) return false;
  int sum = 0;
  bool twice = false;
  for (auto it = d.rbegin(); it != d.rend(); ++it, twice = !twice) {
    const int value = (*it - '0') * (twice ? 2 : 1);
    sum += value >= 10 ? value % 10 + 1 : value;
  }
  return sum % 10 == 0;
}

/// A character of a host name: letters, digits and symbols of any script. `letters`: the former alone.
bool host_rune(std::string_view rune, bool letters) {
  static const re2::RE2 any(R"([a-zA-Z0-9\p{S}\p{L}])"), letter(R"([a-zA-Z\p{L}])");
  return re2::RE2::FullMatch({rune.data(), rune.size()}, letters ? letter : any);
}

std::vector<std::string_view> runes(std::string_view text) {
  std::vector<std::string_view> out;
  for (size_t at = 0; at < text.size();) {
    size_t end = at + 1;
    while (end < text.size() && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) ++end;
    out.push_back(text.substr(at, end - at));
    at = end;
  }
  return out;
}

bool is_host_label(std::string_view text, bool last) {
  const auto all = runes(text);
  constexpr size_t kLongest = 63, kShortestTop = 2;
  if (all.empty() || all.size() > kLongest || (last && all.size() < kShortestTop)) return false;
  if (!last && (all.front() == "-" || all.back() == "-")) return false;
  return std::all_of(all.begin(), all.end(), [last](std::string_view rune) {
    return (!last && rune == "-") || host_rune(rune, last);
  });
}

/// One label alone may have a dash after its first character only, as the library's pattern says.
bool is_lone_host(std::string_view text) {
  auto all = runes(text);
  constexpr size_t kLongest = 63;
  if (all.empty()) return false;
  if (all.size() > 1 && all[1] == "-") all.erase(all.begin() + 1);
  return all.size() <= kLongest &&
         std::all_of(all.begin(), all.end(), [](std::string_view rune) { return host_rune(rune, false); });
}

bool is_hostname(std::string_view text) {
  constexpr size_t kLongest = 255, kLongestLabel = 63;
  if (text.empty() || text.size() > kLongest) return false;
  if (text.find('.') == std::string_view::npos) return text.size() <= kLongestLabel && is_lone_host(text);
  for (size_t at = 0;;) {
    const size_t dot = text.find('.', at);
    const std::string_view label = text.substr(at, dot == std::string_view::npos ? dot : dot - at);
    if (label.size() > kLongestLabel || !is_host_label(label, dot == std::string_view::npos)) return false;
    if (dot == std::string_view::npos) return true;
    at = dot + 1;
  }
}

bool is_base64(std::string_view text) {
  if (text.empty() || text.size() % 4 != 0) return false;
  const size_t padding = text.ends_with("==") ? 2 : text.ends_with("=") ? 1 : 0;
  text.remove_suffix(padding);
  return std::all_of(text.begin(), text.end(), [](char c) {
    return digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '+' || c == '/';
  });
}

bool is_ssn(std::string_view text) {
  static const re2::RE2 shape(R"(\d{3}[- ]?\d{2}[- ]?\d{4})");
  constexpr size_t kLength = 11;
  return text.size() == kLength && re2::RE2::FullMatch({text.data(), text.size()}, shape);
}

bool is_hex_color(std::string_view text) {
  if (!text.empty() && text.front() == '#') text.remove_prefix(1);
  return (text.size() == 3 || text.size() == 6) && all_hex(text);
}

bool is_rgb_color(const std::string& text) {
  static const re2::RE2 shape([] {
    const std::string part = R"((?:0|[1-9]\d?|1\d\d?|2[0-4]\d|25[0-5]))";
    return R"(rgb\(\s*)" + part + R"(\s*,\s*)" + part + R"(\s*,\s*)" + part + R"(\s*\))";
  }());
  return re2::RE2::FullMatch(text, shape);
}

bool is_name(std::string_view text, bool dots) {
  constexpr size_t kShort = 63, kLong = 253;
  if (text.size() > (dots ? kLong : kShort)) return false;
  const auto good = [](std::string_view label) {
    const auto edge = [](char c) { return digit(c) || (c >= 'a' && c <= 'z'); };
    return !label.empty() && edge(label.front()) && edge(label.back()) &&
           std::all_of(label.begin(), label.end(), [&](char c) { return edge(c) || c == '-'; });
  };
  if (!dots) return good(text);
  while (true) {
    const size_t dot = text.find('.');
    if (!good(text.substr(0, dot))) return false;
    if (dot == std::string_view::npos) return true;
    text.remove_prefix(dot + 1);
  }
}

}  // namespace

Format format_of(std::string_view name) {
  std::string plain;
  std::copy_if(name.begin(), name.end(), std::back_inserter(plain), [](char c) { return c != '-'; });
  const auto* it =
      std::find_if(std::begin(kNames), std::end(kNames), [&](const Named& n) { return n.name == plain; });
  return it == std::end(kNames) ? Format::kNone : it->format;
}

bool has_format(Format format, std::string_view value) {
  switch (format) {
    case Format::kNone:
    case Format::kPassword:
      return true;
    case Format::kBsonObjectId:
      return value.size() == 24 && all_hex(value);
    case Format::kUri:
      return is_request_uri(value);
    case Format::kEmail:
      return is_email(value);
    case Format::kHostname:
      return is_hostname(value);
    case Format::kIpv4:
      return is_ip(value) && value.find('.') != std::string_view::npos;
    case Format::kIpv6:
      return is_ip(value) && value.find(':') != std::string_view::npos;
    case Format::kCidr:
      return is_cidr(value);
    case Format::kMac:
      return is_mac(value);
    case Format::kUuid:
      return is_uuid(value, 0);
    case Format::kUuid3:
      return is_uuid(value, '3');
    case Format::kUuid4:
      return is_uuid(value, '4');
    case Format::kUuid5:
      return is_uuid(value, '5');
    case Format::kIsbn:
      return is_isbn(value, 10) || is_isbn(value, 13);
    case Format::kIsbn10:
      return is_isbn(value, 10);
    case Format::kIsbn13:
      return is_isbn(value, 13);
    case Format::kCreditCard:
      return is_credit_card(value);
    case Format::kSsn:
      return is_ssn(value);
    case Format::kHexColor:
      return is_hex_color(value);
    case Format::kRgbColor:
      return is_rgb_color(std::string(value));
    case Format::kByte:
      return is_base64(value);
    case Format::kDate:
      return is_date(value);
    case Format::kDuration:
      return is_duration(value);
    case Format::kDateTime:
      return is_date_time(value);
    case Format::kShortName:
      return is_name(value, false);
    case Format::kLongName:
      return is_name(value, true);
  }
  return true;
}

}  // namespace orch::api::structural
