// Numbers, strings and bytes as they are written in expressions.
#include <charconv>

#include "api/cel/lexer.h"

namespace orch::api::cel {

namespace {

/// Escapes of a literal without its quotes; nothing and `error` set if one is bad.
std::optional<std::string> unescape(std::string_view text, bool bytes, std::string& error) {
  std::string out;
  for (size_t i = 0; i < text.size();) {
    if (text[i] != '\\') {
      out += text[i++];
      continue;
    }
    const char c = text[i + 1];
    i += 2;
    static constexpr std::string_view kNames = "abfnrtv\\'\"`?";
    static constexpr std::string_view kValues = "\a\b\f\n\r\t\v\\'\"`?";
    const size_t simple = kNames.find(c);
    if (simple != std::string_view::npos) {
      out += kValues[simple];
      continue;
    }
    const bool octal = c >= '0' && c <= '3';
    const size_t digits = octal ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 2;
    if (bytes && (c == 'u' || c == 'U')) {
      error = "unable to unescape string";
      return std::nullopt;
    }
    uint32_t rune = 0;
    std::from_chars(text.data() + i, text.data() + i + digits, rune, octal ? 8 : 16);
    if (octal) rune += static_cast<uint32_t>(c - '0') * 64;
    i += digits;
    if (bytes) {
      out += static_cast<char>(rune);
    } else if (rune > 0x10FFFF || (rune >= 0xD800 && rune < 0xE000)) {
      error = "invalid unicode code point";
      return std::nullopt;
    } else {
      out += utf8_of(std::u32string(1, static_cast<char32_t>(rune)));
    }
  }
  return out;
}

template <typename T>
std::optional<Value> whole_number(const std::string& digits, bool hexadecimal) {
  T value{};
  const char* end = digits.data() + digits.size();
  const auto result = std::from_chars(digits.data(), end, value, hexadecimal ? 16 : 10);
  if (result.ec != std::errc()) return std::nullopt;
  return Value::of(value);
}

std::optional<Value> real_number(std::string digits) {
  if (digits.starts_with('.')) digits.insert(0, "0");
  if (digits.starts_with("-.")) digits.insert(1, "0");
  double value = 0;
  const auto result = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (result.ec == std::errc()) return Value::of(value);
  // Too small to be told from nothing is no error.
  if (digits.find("e-") != std::string::npos || digits.find("E-") != std::string::npos) return Value::of(0.0);
  return std::nullopt;
}

std::optional<Value> number(const Lexeme& t, bool minus, std::string& error) {
  std::string digits = t.text;
  const bool hexadecimal = digits.starts_with("0x");
  if (hexadecimal) digits.erase(0, 2);
  if (t.token == Token::kUint) digits.pop_back();
  if (minus) digits.insert(0, "-");
  std::optional<Value> value = t.token == Token::kFloat  ? real_number(std::move(digits))
                               : t.token == Token::kUint ? whole_number<uint64_t>(digits, hexadecimal)
                                                         : whole_number<int64_t>(digits, hexadecimal);
  if (!value) {
    error = t.token == Token::kFloat  ? "invalid double literal"
            : t.token == Token::kUint ? "invalid uint literal"
                                      : "invalid int literal";
  }
  return value;
}

/// With \n for all line ends.
std::string normal_lines(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\r') {
      out += text[i];
    } else if (i + 1 >= text.size() || text[i + 1] != '\n') {
      out += '\n';
    }
  }
  return out;
}

}  // namespace

std::optional<Value> read_literal(const Lexeme& token, bool minus, std::string& error) {
  if (token.token != Token::kString && token.token != Token::kBytes) return number(token, minus, error);
  std::string_view body = token.text;
  const bool bytes = token.token == Token::kBytes;
  if (bytes) body.remove_prefix(1);
  const bool raw = body[0] == 'r' || body[0] == 'R';
  if (raw) body.remove_prefix(1);
  const size_t quotes = body.size() >= 6 && body[1] == body[0] && body[2] == body[0] ? 3 : 1;
  std::string text = normal_lines(body.substr(quotes, body.size() - 2 * quotes));
  std::optional<std::string> value = raw ? std::move(text) : unescape(text, bytes, error);
  if (!value) return std::nullopt;
  return bytes ? ValueAccess::bytes(std::move(*value)) : Value::of(std::move(*value));
}

}  // namespace orch::api::cel
