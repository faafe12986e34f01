#include "api/scan.h"

#include <array>
#include <cstdint>
#include <cstring>

#include "base/json_text.h"

namespace orch::api {
namespace {

enum Structure : uint8_t { kOther, kQuote, kOpen, kClose };

/// What each byte means outside of strings.
constexpr std::array<Structure, 256> kStructure = [] {
  std::array<Structure, 256> table{};
  table['"'] = kQuote;
  table['{'] = table['['] = kOpen;
  table['}'] = table[']'] = kClose;
  return table;
}();

bool is_space(char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; }

void append_utf8(std::string& out, uint32_t code) {
  if (code < 0x80) {
    out += static_cast<char>(code);
  } else if (code < 0x800) {
    out += static_cast<char>(0xC0 | (code >> 6));
    out += static_cast<char>(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    out += static_cast<char>(0xE0 | (code >> 12));
    out += static_cast<char>(0x80 | ((code >> 6) & 0x3F));
    out += static_cast<char>(0x80 | (code & 0x3F));
  } else {
    out += static_cast<char>(0xF0 | (code >> 18));
    out += static_cast<char>(0x80 | ((code >> 12) & 0x3F));
    out += static_cast<char>(0x80 | ((code >> 6) & 0x3F));
    out += static_cast<char>(0x80 | (code & 0x3F));
  }
}

/// The four hex digits at `at`, or -1.
int hex4(std::string_view text, size_t at) {
  if (at + 4 > text.size()) return -1;
  int value = 0;
  for (size_t i = at; i < at + 4; ++i) {
    const char c = text[i];
    int digit = 0;
    if (c >= '0' && c <= '9') {
      digit = c - '0';
    } else if (c >= 'a' && c <= 'f') {
      digit = c - 'a' + 10;
    } else if (c >= 'A' && c <= 'F') {
      digit = c - 'A' + 10;
    } else {
      return -1;
    }
    value = value * 16 + digit;
  }
  return value;
}

/// Resolves \uXXXX (and the pair of a high surrogate) whose backslash is at `i`; moves `i` past it.
void unescape_unicode(std::string_view content, size_t& i, std::string& out) {
  constexpr uint32_t kReplacement = 0xFFFD;
  const int high = hex4(content, i + 2);
  i += 2 + (high >= 0 ? 4 : 0);
  if (high < 0 || (high >= 0xDC00 && high <= 0xDFFF)) return append_utf8(out, kReplacement);
  if (high < 0xD800 || high > 0xDBFF) return append_utf8(out, static_cast<uint32_t>(high));
  if (i + 1 < content.size() && content[i] == '\\' && content[i + 1] == 'u') {
    const int low = hex4(content, i + 2);
    if (low >= 0xDC00 && low <= 0xDFFF) {
      i += 6;
      return append_utf8(out, 0x10000U + ((static_cast<uint32_t>(high) - 0xD800U) << 10) +
                                  (static_cast<uint32_t>(low) - 0xDC00U));
    }
  }
  append_utf8(out, kReplacement);
}

}  // namespace

char JsonScanner::peek() {
  while (at_ != end_ && is_space(*at_)) ++at_;
  return at_ == end_ ? '\0' : *at_;
}

bool JsonScanner::consume(char c) {
  if (peek() != c || at_ == end_) return false;
  ++at_;
  return true;
}

bool JsonScanner::skip_string() {
  ++at_;  // the opening quote
  for (;;) {
    at_ = base::find_quote_or_backslash(at_, end_);
    if (at_ == end_) return false;
    if (*at_ == '"') {
      ++at_;
      return true;
    }
    if (end_ - at_ < 2) return false;
    at_ += 2;
  }
}

bool JsonScanner::string(std::string_view& raw) {
  if (peek() != '"') return false;
  const char* start = at_ + 1;
  if (!skip_string()) return false;
  raw = {start, static_cast<size_t>(at_ - start - 1)};
  return true;
}

bool JsonScanner::skip_container() {
  int64_t depth = 0;
  const char* at = at_;
  while (at != end_) {
    switch (kStructure[static_cast<unsigned char>(*at)]) {
      case kOther:
        ++at;
        continue;
      case kQuote:
        at_ = at;
        if (!skip_string()) return false;
        at = at_;
        continue;
      case kOpen:
        ++depth;
        break;
      case kClose:
        if (--depth == 0) {
          at_ = at + 1;
          return true;
        }
        break;
    }
    ++at;
  }
  at_ = at;
  return false;
}

bool JsonScanner::skip_scalar() {
  const char* start = at_;
  while (at_ != end_ && *at_ != ',' && *at_ != '}' && *at_ != ']' && *at_ != ':' && *at_ != '"' &&
         !is_space(*at_)) {
    ++at_;
  }
  return at_ != start;
}

bool JsonScanner::skip_value() {
  switch (peek()) {
    case '"':
      return skip_string();
    case '{':
    case '[':
      return skip_container();
    default:
      return skip_scalar();
  }
}

bool JsonScanner::value(std::string_view& raw) {
  peek();
  const char* start = at_;
  if (!skip_value()) return false;
  raw = {start, static_cast<size_t>(at_ - start)};
  return true;
}

std::string_view raw_value(std::string_view json, std::initializer_list<std::string_view> path) {
  std::string_view current = json;
  for (const std::string_view step : path) {
    JsonScanner scanner(current);
    std::string_view found;
    scan_object(scanner, [&](std::string_view key) {
      if (key != step) return scanner.skip_value();
      scanner.value(found);
      return false;
    });
    if (found.data() == nullptr) return {};
    current = found;
  }
  return current;
}

bool mentions(std::string_view json, std::string_view part) {
  // string_view::find stops at every first byte of `part`, which is a quote as a rule.
  if (json.empty()) return part.empty();  // of no object: no pointer that memmem() may have
  return memmem(json.data(), json.size(), part.data(), part.size()) != nullptr;
}

std::string unescape_json(std::string_view content) {
  std::string out;
  out.reserve(content.size());
  size_t i = 0;
  while (i < content.size()) {
    if (content[i] != '\\' || i + 1 == content.size()) {
      out += content[i++];
      continue;
    }
    const char c = content[i + 1];
    if (c == 'u') {
      unescape_unicode(content, i, out);
      continue;
    }
    i += 2;
    switch (c) {
      case 'n':
        out += '\n';
        break;
      case 't':
        out += '\t';
        break;
      case 'r':
        out += '\r';
        break;
      case 'b':
        out += '\b';
        break;
      case 'f':
        out += '\f';
        break;
      default:
        out += c;
        break;
    }
  }
  return out;
}

std::string scalar_text(std::string_view raw) {
  if (raw.empty() || raw.front() == '{' || raw.front() == '[' || raw == "null") return {};
  if (raw.front() != '"') return std::string(raw);
  return unescape_json(raw.substr(1, raw.size() - 2));
}

void append_json_string(std::string& out, std::string_view text) {
  constexpr char kHex[] = "0123456789abcdef";
  out += '"';
  for (const char c : text) {
    switch (c) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      case '\b':
        out += "\\b";
        break;
      case '\f':
        out += "\\f";
        break;
      default:
        if (static_cast<unsigned char>(c) < 0x20) {
          out += "\\u00";
          out += kHex[static_cast<unsigned char>(c) >> 4];
          out += kHex[static_cast<unsigned char>(c) & 0xF];
        } else {
          out += c;
        }
    }
  }
  out += '"';
}

}  // namespace orch::api
