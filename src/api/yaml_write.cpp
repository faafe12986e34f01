#include <algorithm>

#include "api/yaml.h"
#include "api/yaml_scalar.h"
#include "base/json.h"

namespace orch::api {
namespace {

/// How a string can stand in block context.
struct Styles {
  bool plain = true, single = true, literal = true;
};

/// A byte that only double quotes can carry: controls, and the C1 controls and special breaks of Unicode.
bool needs_escape(std::string_view text, size_t i) {
  const auto byte = [&](size_t k) {
    return i + k < text.size() ? static_cast<unsigned char>(text[i + k]) : 0U;
  };
  const unsigned first = byte(0);
  if (first < 0x20) return first != '\n';
  if (first == 0x7F) return true;
  if (first == 0xC2) return byte(1) < 0xA0;                                           // C1 controls
  if (first == 0xE2) return byte(1) == 0x80 && (byte(2) == 0xA8 || byte(2) == 0xA9);  // line separators
  if (first == 0xEF) return byte(1) == 0xBB && byte(2) == 0xBF;                       // byte order mark
  return false;
}

bool starts_like_syntax(std::string_view text) {
  if (text.starts_with("---") || text.starts_with("...")) return true;
  if (std::string_view("#,[]{}&*!|>'\"%@`").find(text[0]) != std::string_view::npos) return true;
  const bool indicator = text[0] == '?' || text[0] == ':' || text[0] == '-';
  return indicator && (text.size() == 1 || text[1] == ' ' || text[1] == '\n');
}

Styles styles_of(std::string_view text) {
  Styles styles;
  if (text.empty()) return {false, true, false};
  if (starts_like_syntax(text) || text.front() == ' ' || text.back() == ' ') styles.plain = false;
  if (text.back() == ' ' || text.front() == ' ' || text.front() == '\n') styles.literal = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char next = i + 1 < text.size() ? text[i + 1] : ' ';
    if (text[i] == ':' && (next == ' ' || next == '\n')) styles.plain = false;
    if (text[i] == '#' && i > 0 && (text[i - 1] == ' ' || text[i - 1] == '\n')) styles.plain = false;
    if (text[i] == '\n') styles.plain = styles.single = false;
    if (text[i] == ' ' && next == '\n') styles.literal = false;
    if (needs_escape(text, i)) return {false, false, false};
  }
  return styles;
}

void append_double_quoted(std::string& out, std::string_view text) {
  constexpr char kHex[] = "0123456789ABCDEF";
  out += '"';
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else if (c == '\r') {
      out += "\\r";
    } else if (byte < 0x20 || byte == 0x7F) {
      out += "\\x";
      out += kHex[byte >> 4];
      out += kHex[byte & 0xF];
    } else if (byte == 0xC2 && needs_escape(text, i)) {
      const auto code = static_cast<unsigned char>(text[++i]);
      out += "\\x";
      out += kHex[code >> 4];
      out += kHex[code & 0xF];
    } else if (byte == 0xE2 && needs_escape(text, i)) {
      out += static_cast<unsigned char>(text[i + 2]) == 0xA8 ? "\\L" : "\\P";
      i += 2;
    } else if (byte == 0xEF && needs_escape(text, i)) {
      out += "\\uFEFF";
      i += 2;
    } else {
      out += c;
    }
  }
  out += '"';
}

void append_literal(std::string& out, std::string_view text, size_t indent) {
  const size_t last = text.find_last_not_of('\n');
  const size_t breaks = last == std::string_view::npos ? text.size() : text.size() - last - 1;
  out += breaks == 0 ? "|-" : breaks == 1 ? "|" : "|+";
  if (breaks > 0) text.remove_suffix(1);
  for (;;) {
    const size_t end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    out += '\n';
    if (!line.empty()) out.append(indent, ' ').append(line);
    if (end == std::string_view::npos) return;
    text.remove_prefix(end + 1);
  }
}

void append_string(std::string& out, std::string_view text, size_t indent, bool is_key) {
  const Styles styles = styles_of(text);
  const bool multiline = text.find('\n') != std::string_view::npos;
  if (multiline && styles.literal && !is_key) return append_literal(out, text, indent);
  if (!multiline && (yaml::resolve(text) || yaml::is_base60(text) || text == "<<" || text == "=")) {
    return append_double_quoted(out, text);
  }
  if (styles.plain) {
    out += text;
  } else if (styles.single) {
    out += '\'';
    for (const char c : text) {
      if (c == '\'') out += '\'';
      out += c;
    }
    out += '\'';
  } else {
    append_double_quoted(out, text);
  }
}

void append_scalar(std::string& out, const Json& value, size_t indent) {
  if (value.is_string()) return append_string(out, value.get_ref<const std::string&>(), indent, false);
  out += base::dump_json(value);
}

/// The lines of a list or map that has members; the first one continues the current line when `inline_first`.
void append_block(std::string& out, const Json& value, size_t indent, bool inline_first) {
  for (auto it = value.begin(); it != value.end(); ++it) {
    if (inline_first && it == value.begin()) {
      // "- " or the start of the text stands before it.
    } else {
      out.append(indent, ' ');
    }
    const bool block = it->is_structured() && !it->empty();
    if (value.is_array()) {
      out += '-';
      if (block) {
        out += ' ';
        append_block(out, *it, indent + 2, true);
        continue;
      }
    } else {
      append_string(out, it.key(), indent + 2, true);
      out += ':';
      if (block) {
        out += '\n';
        append_block(out, *it, it->is_array() ? indent : indent + 2, false);
        continue;
      }
    }
    out += ' ';
    append_scalar(out, *it, indent + 2);
    out += '\n';
  }
}

}  // namespace

std::string to_yaml(const Json& tree) {
  std::string out;
  if (tree.is_structured() && !tree.empty()) {
    append_block(out, tree, 0, true);
  } else {
    append_scalar(out, tree, 2);
    out += '\n';
  }
  return out;
}

}  // namespace orch::api
