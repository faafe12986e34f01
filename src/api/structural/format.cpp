#include "api/structural/format.h"

#include <re2/re2.h>

#include <algorithm>
#include <string>

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

bool is_hostname(const std::string& text) {
  static const re2::RE2 shape(
      R"(^([a-zA-Z0-9\p{S}\p{L}]((-?[a-zA-Z0-9\p{S}\p{L}]{0,62})?)|([a-zA-Z0-9\p{S}\p{L}](([a-zA-Z0-9-\p{S}\p{L}]{0,61}[a-zA-Z0-9\p{S}\p{L}])?)(\.)){1,}([a-zA-Z\p{L}]){2,63})$)");
  constexpr size_t kLongest = 255, kLongestLabel = 63;
  if (!re2::RE2::PartialMatch(text, shape) || text.size() > kLongest) return false;
  for (size_t at = 0; at <= text.size();) {
    const size_t dot = std::min(text.find('.', at), text.size());
    if (dot - at > kLongestLabel) return false;
    at = dot + 1;
  }
  return true;
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
      return is_hostname(std::string(value));
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
