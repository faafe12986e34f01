#include "api/resources/image_reference.h"

#include <algorithm>

namespace orch::api {
namespace {

bool is_lower_or_digit(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }
bool is_alnum(char c) { return is_lower_or_digit(c) || (c >= 'A' && c <= 'Z'); }
bool is_hex(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

template <typename F>
bool all_of(std::string_view s, F f) {
  return std::all_of(s.begin(), s.end(), f);
}

/// Lower-case letters and digits with single '.', '_', '__' or any run of '-' between them.
bool valid_path_component(std::string_view s) {
  if (s.empty() || !is_lower_or_digit(s.front()) || !is_lower_or_digit(s.back())) return false;
  for (size_t i = 0; i < s.size();) {
    if (is_lower_or_digit(s[i])) {
      ++i;
      continue;
    }
    size_t end = i;
    while (end < s.size() && s[end] == s[i]) ++end;
    const size_t run = end - i;
    const bool ok = s[i] == '-' || (s[i] == '.' && run == 1) || (s[i] == '_' && run <= 2);
    if (!ok || !is_lower_or_digit(s[end])) return false;
    i = end;
  }
  return true;
}

bool valid_domain(std::string_view s) {
  if (s.empty()) return false;
  const size_t colon = s.rfind(':');
  if (s.front() == '[') {
    const size_t close = s.find(']');
    if (close == std::string_view::npos || close < 2) return false;
    const auto part_ok = [](char c) { return is_hex(c) || c == ':'; };
    if (!all_of(s.substr(1, close - 1), part_ok)) return false;
    const std::string_view rest = s.substr(close + 1);
    return rest.empty() || (rest.size() > 1 && rest[0] == ':' && all_of(rest.substr(1), is_digit));
  }
  if (colon != std::string_view::npos) {
    if (colon + 1 == s.size() || !all_of(s.substr(colon + 1), is_digit)) return false;
    s = s.substr(0, colon);
  }
  while (true) {
    const size_t dot = s.find('.');
    const std::string_view label = s.substr(0, dot);
    if (label.empty() || !is_alnum(label.front()) || !is_alnum(label.back())) return false;
    if (!all_of(label, [](char c) { return is_alnum(c) || c == '-'; })) return false;
    if (dot == std::string_view::npos) return true;
    s = s.substr(dot + 1);
  }
}

bool valid_name(std::string_view name) {
  const size_t slash = name.find('/');
  if (slash != std::string_view::npos) {
    const std::string_view first = name.substr(0, slash);
    const bool domain = first.find_first_of(".:") != std::string_view::npos || first == "localhost" ||
                        std::any_of(first.begin(), first.end(), [](char c) { return c >= 'A' && c <= 'Z'; });
    if (domain) {
      if (!valid_domain(first)) return false;
      name = name.substr(slash + 1);
    }
  }
  constexpr size_t kLongestPath = 255;
  constexpr size_t kImplied = 8;  // library/, which names without a slash are below
  if (name.size() + (slash == std::string_view::npos ? kImplied : 0) > kLongestPath) return false;
  while (true) {
    const size_t next = name.find('/');
    if (!valid_path_component(name.substr(0, next))) return false;
    if (next == std::string_view::npos) return true;
    name = name.substr(next + 1);
  }
}

bool valid_tag(std::string_view tag) {
  if (tag.empty() || tag.size() > 128) return false;
  if (!is_alnum(tag[0]) && tag[0] != '_') return false;
  return all_of(tag, [](char c) { return is_alnum(c) || c == '_' || c == '.' || c == '-'; });
}

bool valid_digest(std::string_view digest) {
  const size_t colon = digest.find(':');
  if (colon == std::string_view::npos || colon == 0) return false;
  const std::string_view hex = digest.substr(colon + 1);
  const auto algorithm_ok = [](char c) {
    return is_alnum(c) || c == '-' || c == '_' || c == '+' || c == '.';
  };
  return all_of(digest.substr(0, colon), algorithm_ok) && hex.size() >= 32 && all_of(hex, is_hex);
}

}  // namespace

std::string_view image_tag(std::string_view image) {
  // A bare image id is ambiguous and therefore no reference.
  if (image.size() == 64 && all_of(image, [](char c) { return is_digit(c) || (c >= 'a' && c <= 'f'); }))
    return {};
  std::string_view digest;
  const size_t at = image.find('@');
  if (at != std::string_view::npos) {
    digest = image.substr(at + 1);
    if (!valid_digest(digest)) return {};
    image = image.substr(0, at);
  }
  std::string_view tag;
  const size_t colon = image.rfind(':');
  const size_t slash = image.rfind('/');
  const bool tagged = colon != std::string_view::npos && (slash == std::string_view::npos || colon > slash);
  if (tagged) {
    tag = image.substr(colon + 1);
    if (!valid_tag(tag)) return {};
    image = image.substr(0, colon);
  }
  if (!valid_name(image)) return {};
  if (!tagged && digest.empty()) return "latest";
  return tag;
}

}  // namespace orch::api
