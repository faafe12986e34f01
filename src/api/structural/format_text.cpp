#include "api/structural/format_text.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <string>
#include <vector>

#include "api/duration.h"

namespace orch::api::structural {

namespace {

bool digit(char c) { return c >= '0' && c <= '9'; }
bool letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool hex(char c) { return digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }

bool is_ipv4(std::string_view text) {
  int octets = 0;
  while (true) {
    const size_t dot = text.find('.');
    const std::string_view octet = text.substr(0, dot);
    int value = 0;
    const auto [end, error] = std::from_chars(octet.data(), octet.data() + octet.size(), value);
    constexpr int kLargest = 255;
    if (octet.empty() || error != std::errc() || end != octet.data() + octet.size() || value > kLargest ||
        !digit(octet.front())) {
      return false;
    }
    ++octets;
    if (dot == std::string_view::npos) return octets == 4;
    text.remove_prefix(dot + 1);
  }
}

/// Percent signs are followed by two hex digits.
bool good_escapes(std::string_view text) {
  for (size_t at = text.find('%'); at != std::string_view::npos; at = text.find('%', at + 1)) {
    if (at + 2 >= text.size() || !hex(text[at + 1]) || !hex(text[at + 2])) return false;
  }
  return true;
}

bool good_host(std::string_view authority) {
  if (const size_t user = authority.rfind('@'); user != std::string_view::npos)
    authority.remove_prefix(user + 1);
  std::string_view port;
  if (!authority.empty() && authority.front() == '[') {
    const size_t close = authority.find(']');
    if (close == std::string_view::npos) return false;
    port = authority.substr(close + 1);
  } else if (const size_t colon = authority.rfind(':'); colon != std::string_view::npos) {
    port = authority.substr(colon);
  }
  if (!port.empty() && (port.front() != ':' || !std::all_of(port.begin() + 1, port.end(), digit)))
    return false;
  constexpr std::string_view kBad = " <>\"\\^`{}|";
  return authority.find_first_of(kBad) == std::string_view::npos;
}

bool atom_char(char c) {
  return letter(c) || digit(c) || static_cast<unsigned char>(c) >= 0x80 ||
         std::string_view("!#$%&'*+-/=?^_`{|}~").find(c) != std::string_view::npos;
}

bool dot_atom(std::string_view text) {
  if (text.empty() || text.front() == '.' || text.back() == '.' || text.find("..") != std::string_view::npos)
    return false;
  return std::all_of(text.begin(), text.end(), [](char c) { return c == '.' || atom_char(c); });
}

}  // namespace

bool is_request_uri(std::string_view text, bool has_host) {
  if (text.empty()) return false;
  for (const char c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) return false;
  }
  if (text.front() == '/' && !has_host) {
    const std::string_view path = text.substr(0, text.find('?'));
    return good_escapes(path);
  }
  const size_t colon = text.find(':');
  if (colon == std::string_view::npos || colon == 0 || !letter(text.front())) return text == "*" && !has_host;
  const std::string_view scheme = text.substr(0, colon);
  const bool good = std::all_of(scheme.begin(), scheme.end(), [](char c) {
    return letter(c) || digit(c) || c == '+' || c == '-' || c == '.';
  });
  if (!good) return false;
  std::string_view rest = text.substr(colon + 1);
  rest = rest.substr(0, rest.find('?'));
  if (rest.substr(0, 2) != "//") {
    // What is no path is opaque, which a request cannot have but with a scheme.
    return !has_host && !rest.empty();
  }
  rest.remove_prefix(2);
  const std::string_view authority = rest.substr(0, rest.find('/'));
  if (has_host && authority.empty()) return false;
  return good_host(authority) && good_escapes(rest.substr(authority.size()));
}

bool is_email(std::string_view text) {
  // "Name <address>" is an address too.
  const auto trim = [](std::string_view t) {
    while (!t.empty() && (t.front() == ' ' || t.front() == '\t')) t.remove_prefix(1);
    while (!t.empty() && (t.back() == ' ' || t.back() == '\t')) t.remove_suffix(1);
    return t;
  };
  text = trim(text);
  if (text.ends_with(">")) {
    const size_t open = text.rfind('<');
    if (open == std::string_view::npos) return false;
    const std::string_view name = trim(text.substr(0, open));
    const bool quoted = name.size() >= 2 && name.front() == '"' && name.back() == '"';
    if (!quoted &&
        !std::all_of(name.begin(), name.end(), [](char c) { return c == ' ' || c == '.' || atom_char(c); }))
      return false;
    text = text.substr(open + 1, text.size() - open - 2);
  }
  const size_t at = text.rfind('@');
  if (at == std::string_view::npos) return false;
  const std::string_view local = text.substr(0, at), domain = text.substr(at + 1);
  const bool quoted = local.size() > 2 && local.front() == '"' && local.back() == '"' &&
                      local.substr(1, local.size() - 2).find('"') == std::string_view::npos;
  const bool literal = domain.size() > 2 && domain.front() == '[' && domain.back() == ']' &&
                       is_ip(domain.substr(1, domain.size() - 2));
  return (quoted || dot_atom(local)) && (literal || dot_atom(domain));
}

bool is_ip(std::string_view text) {
  if (text.find(':') == std::string_view::npos) return is_ipv4(text);
  std::string plain(text);
  // Leading zeros in an embedded IPv4 address are no reason to refuse it here.
  if (const size_t dot = plain.find('.'); dot != std::string::npos) {
    const size_t colon = plain.rfind(':');
    if (colon > dot || !is_ipv4(std::string_view(plain).substr(colon + 1))) return false;
    plain = plain.substr(0, colon + 1) + "1.2.3.4";
  }
  in6_addr address{};
  return inet_pton(AF_INET6, plain.c_str(), &address) == 1;
}

bool is_cidr(std::string_view text) {
  const size_t slash = text.find('/');
  if (slash == std::string_view::npos) return false;
  const std::string_view address = text.substr(0, slash), length = text.substr(slash + 1);
  int bits = 0;
  const auto [end, error] = std::from_chars(length.data(), length.data() + length.size(), bits);
  const int most = address.find(':') == std::string_view::npos ? 32 : 128;
  return is_ip(address) && error == std::errc() && end == length.data() + length.size() && !length.empty() &&
         digit(length.front()) && bits <= most;
}

bool is_mac(std::string_view text) {
  if (text.size() < 14) return false;
  const bool dots = text[4] == '.';
  const char separator = dots ? '.' : text[2];
  if (separator != ':' && separator != '-' && separator != '.') return false;
  const size_t group = dots ? 4 : 2;
  size_t digits = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool at_separator = i % (group + 1) == group;
    if (at_separator ? text[i] != separator : !hex(text[i])) return false;
    if (!at_separator) ++digits;
  }
  return (text.size() + 1) % (group + 1) == 0 && (digits == 12 || digits == 16 || digits == 40);
}

bool is_date(std::string_view text) {
  if (text.size() != 10 || text[4] != '-' || text[7] != '-') return false;
  for (const size_t i : {0, 1, 2, 3, 5, 6, 8, 9}) {
    if (!digit(text[i])) return false;
  }
  const auto number = [&](size_t at, size_t n) {
    int value = 0;
    std::from_chars(text.data() + at, text.data() + at + n, value);
    return value;
  };
  const int year = number(0, 4), month = number(5, 2), day = number(8, 2);
  if (month < 1 || month > 12 || day < 1) return false;
  constexpr int kDays[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  const bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
  return day <= kDays[month - 1] + (month == 2 && leap ? 1 : 0);
}

bool is_date_time(std::string_view text) {
  if (text.size() < 19 || !is_date(text.substr(0, 10)) || (text[10] | 0x20) != 't') return false;
  std::string_view time = text.substr(11);
  if (time[2] != ':' || time[5] != ':') return false;
  for (const size_t i : {0, 1, 3, 4, 6, 7}) {
    if (!digit(time[i])) return false;
  }
  if (time.substr(0, 2) > "23" || time.substr(3, 2) > "59" || time.substr(6, 2) > "59") return false;
  time.remove_prefix(8);
  // The fraction's point may be any character, as the pattern of the library has it.
  if (time.size() > 1 && digit(time[1]) &&
      !(time.size() == 6 && (time[0] == '+' || time[0] == '-') && time[3] == ':')) {
    size_t end = 1;
    while (end < time.size() && digit(time[end])) ++end;
    time.remove_prefix(end);
  }
  if (time.size() == 1) return (time[0] | 0x20) == 'z';
  return time.size() == 6 && (time[0] == '+' || time[0] == '-') && digit(time[1]) && digit(time[2]) &&
         time[3] == ':' && digit(time[4]) && digit(time[5]);
}

bool is_duration(std::string_view text) {
  if (parse_duration(text).ok()) return true;
  static constexpr std::string_view kExact[] = {"ns", "us", "\u00b5s", "ms", "s", "m",
                                                "h",  "hr", "d",       "w",  "wk"};
  static constexpr std::string_view kPrefixes[] = {"nano", "micro", "milli", "sec",
                                                   "min",  "hour",  "day",   "week"};
  for (size_t at = 0; at < text.size();) {
    if (!digit(text[at])) {
      ++at;
      continue;
    }
    while (at < text.size() && digit(text[at])) ++at;
    while (at < text.size() && (text[at] == ' ' || text[at] == '\t' || text[at] == '\n')) ++at;
    std::string unit;
    while (at < text.size() && (letter(text[at]) || text[at] == '\xc2' || text[at] == '\xb5')) {
      unit += letter(text[at]) ? static_cast<char>(text[at] | 0x20) : text[at];
      ++at;
    }
    if (unit.empty()) continue;
    if (std::find(std::begin(kExact), std::end(kExact), unit) != std::end(kExact)) return true;
    for (const std::string_view prefix : kPrefixes) {
      if (unit.substr(0, prefix.size()) == prefix) return true;
    }
  }
  return false;
}

}  // namespace orch::api::structural
