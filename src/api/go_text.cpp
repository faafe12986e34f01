#include "api/go_text.h"

#include <array>
#include <cmath>
#include <cstdint>
#include <cstdio>

#include "base/json.h"

namespace orch::api {
namespace {

constexpr char kHex[] = "0123456789abcdef";

/// Length of the UTF-8 sequence at text[i] and its code point; length 0 if it is not one.
size_t decode_utf8(std::string_view text, size_t i, uint32_t& code) {
  const auto byte = [&](size_t at) { return static_cast<unsigned char>(text[at]); };
  const unsigned char first = byte(i);
  size_t length = 0;
  if (first < 0x80) {
    code = first;
    return 1;
  }
  if (first >= 0xC2 && first <= 0xDF) {
    length = 2;
    code = first & 0x1FU;
  } else if (first >= 0xE0 && first <= 0xEF) {
    length = 3;
    code = first & 0x0FU;
  } else if (first >= 0xF0 && first <= 0xF4) {
    length = 4;
    code = first & 0x07U;
  } else {
    return 0;
  }
  if (i + length > text.size()) return 0;
  for (size_t k = 1; k < length; ++k) {
    if ((byte(i + k) & 0xC0) != 0x80) return 0;
    code = (code << 6) | (byte(i + k) & 0x3FU);
  }
  const bool overlong = (length == 3 && code < 0x800) || (length == 4 && code < 0x10000);
  if (overlong || code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF)) return 0;
  return length;
}

/// Close to Go's unicode.IsPrint: leaves out controls, format characters, separators and private use.
bool is_printable(uint32_t code) {
  if (code < 0x80) return code >= 0x20 && code != 0x7F;
  struct Range {
    uint32_t from, to;
  };
  static constexpr std::array<Range, 12> kUnprintable = {{{0x80, 0xA0},
                                                          {0xAD, 0xAD},
                                                          {0x600, 0x605},
                                                          {0x61C, 0x61C},
                                                          {0x1680, 0x1680},
                                                          {0x2000, 0x200F},
                                                          {0x2028, 0x202F},
                                                          {0x205F, 0x206F},
                                                          {0x3000, 0x3000},
                                                          {0xD800, 0xF8FF},
                                                          {0xFEFF, 0xFEFF},
                                                          {0xFFF0, 0xFFFB}}};
  if (code >= 0xE0000) return false;
  for (const Range& range : kUnprintable) {
    if (code >= range.from && code <= range.to) return false;
  }
  return true;
}

void append_hex(std::string& out, uint32_t value, int digits) {
  for (int shift = (digits - 1) * 4; shift >= 0; shift -= 4) out += kHex[(value >> shift) & 0xF];
}

void append_escaped(std::string& out, uint32_t code) {
  switch (code) {
    case '\a':
      out += "\\a";
      return;
    case '\b':
      out += "\\b";
      return;
    case '\f':
      out += "\\f";
      return;
    case '\n':
      out += "\\n";
      return;
    case '\r':
      out += "\\r";
      return;
    case '\t':
      out += "\\t";
      return;
    case '\v':
      out += "\\v";
      return;
    default:
      break;
  }
  if (code < 0x80) {
    out += "\\x";
    append_hex(out, code, 2);
  } else if (code < 0x10000) {
    out += "\\u";
    append_hex(out, code, 4);
  } else {
    out += "\\U";
    append_hex(out, code, 8);
  }
}

/// A float as Go's %v: shortest digits that read back the same, exponent from 21 digits on.
std::string go_float(double value) {
  std::array<char, 40> buffer{};
  const double magnitude = std::fabs(value);
  for (int precision = 1; precision <= 17; ++precision) {
    std::snprintf(buffer.data(), buffer.size(), "%.*g", precision, value);
    double back = 0;
    if (std::sscanf(buffer.data(), "%lf", &back) == 1 && back == value) break;
  }
  if (magnitude >= 1e21 || (magnitude < 1e-4 && magnitude > 0)) return buffer.data();
  if (std::string_view(buffer.data()).find('e') == std::string_view::npos) return buffer.data();
  std::array<char, 64> plain{};
  std::snprintf(plain.data(), plain.size(), "%.0f", value);
  return plain.data();
}

}  // namespace

std::string go_quote(std::string_view text) {
  std::string out = "\"";
  for (size_t i = 0; i < text.size();) {
    uint32_t code = 0;
    const size_t length = decode_utf8(text, i, code);
    if (length == 0) {
      out += "\\x";
      append_hex(out, static_cast<unsigned char>(text[i]), 2);
      ++i;
      continue;
    }
    if (code == '"' || code == '\\') {
      out += '\\';
      out += static_cast<char>(code);
    } else if (is_printable(code)) {
      out += text.substr(i, length);
    } else {
      append_escaped(out, code);
    }
    i += length;
  }
  out += '"';
  return out;
}

std::string go_json(const Json& value) {
  std::string out;
  for (const char c : base::dump_json(value)) {
    if (c == '<' || c == '>' || c == '&') {
      out += "\\u00";
      append_hex(out, static_cast<unsigned char>(c), 2);
    } else {
      out += c;
    }
  }
  return out;
}

std::string go_value(const Json& value) {
  if (value.is_string()) return go_quote(value.get_ref<const std::string&>());
  if (value.is_number_float()) return go_float(value.get<double>());
  return go_json(value);
}

std::string go_plain(const Json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_null()) return "<nil>";
  if (!value.is_structured()) return go_value(value);
  std::string out = value.is_object() ? "map[" : "[";
  for (auto it = value.begin(); it != value.end(); ++it) {
    if (it != value.begin()) out += ' ';
    if (value.is_object()) out += it.key() + ":";
    out += go_plain(*it);
  }
  return out + "]";
}

bool is_utf8(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    uint32_t code = 0;
    const size_t length = decode_utf8(text, i, code);
    if (length == 0) return false;
    i += length;
  }
  return true;
}

std::string join(const std::vector<std::string>& parts, std::string_view separator) {
  std::string out;
  for (const std::string& part : parts) {
    if (&part != &parts.front()) out += separator;
    out += part;
  }
  return out;
}

}  // namespace orch::api
