#include "api/go_json.h"

#include <vector>

#include "api/go_text.h"
#include "base/status.h"

namespace orch::api {
namespace {

constexpr size_t kMaxDepth = 10000;
constexpr std::string_view kEnd = "unexpected end of JSON input";

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_hex(char c) { return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }

/// Reads values where encoding/json keeps states; complains at the same byte in the same words.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}

  std::string run() {
    bool after = false;  // a value just ended
    while (!after || !open_.empty()) {
      skip_spaces();
      if (!(after ? ended(after) : begun(after))) return error_;
    }
    skip_spaces();
    if (at_ < text_.size()) (void)wrong("after top-level value");
    return error_;
  }

 private:
  bool wrong(std::string_view where) {
    if (at_ >= text_.size()) {
      error_ = kEnd;
      return false;
    }
    const char c = text_[at_];
    std::string quoted;
    if (c == '\'' || c == '"') {
      quoted = c == '"' ? "'\"'" : "'\\''";
    } else {
      // The byte as a code point of its own.
      const auto u = static_cast<unsigned char>(c);
      const std::string rune =
          u < 0x80 ? std::string(1, c)
                   : std::string{static_cast<char>(0xC0 | (u >> 6)), static_cast<char>(0x80 | (u & 0x3F))};
      quoted = go_quote(rune);
      quoted.front() = quoted.back() = '\'';
    }
    error_ = base::cat("invalid character ", quoted, " ", where);
    return false;
  }

  void skip_spaces() {
    while (at_ < text_.size() && is_space(text_[at_])) ++at_;
  }

  bool is(char c) const { return at_ < text_.size() && text_[at_] == c; }

  bool open(char closing) {
    if (open_.size() >= kMaxDepth) return wrong("exceeded max depth");
    ++at_;
    open_.push_back(closing);
    return true;
  }

  /// A key and its colon.
  bool key() {
    skip_spaces();
    if (!is('"')) return wrong("looking for beginning of object key string");
    if (!string()) return false;
    skip_spaces();
    if (!is(':')) return wrong("after object key");
    ++at_;
    return true;
  }

  /// At the beginning of a value; `after` is set when it was read to its end.
  bool begun(bool& after) {
    if (is('{') || is('[')) {
      const bool object = is('{');
      if (!open(object ? '}' : ']')) return false;
      skip_spaces();
      if (is(open_.back())) {
        ++at_;
        open_.pop_back();
        after = true;
        return true;
      }
      return !object || key();
    }
    after = true;
    if (is('"')) return string();
    if (is('t')) return literal("true");
    if (is('f')) return literal("false");
    if (is('n')) return literal("null");
    if (is('-') || (at_ < text_.size() && is_digit(text_[at_]))) return number();
    return wrong("looking for beginning of value");
  }

  /// Behind a value within an object or a list; clears `after` when another one follows.
  bool ended(bool& after) {
    const bool object = open_.back() == '}';
    if (is(open_.back())) {
      ++at_;
      open_.pop_back();
      return true;
    }
    if (!is(',')) return wrong(object ? "after object key:value pair" : "after array element");
    ++at_;
    after = false;
    return !object || key();
  }

  bool string() {
    for (++at_; at_ < text_.size(); ++at_) {
      const char c = text_[at_];
      if (c == '"') {
        ++at_;
        return true;
      }
      if (static_cast<unsigned char>(c) < 0x20) return wrong("in string literal");
      if (c != '\\') continue;
      ++at_;
      if (is('u')) {
        for (int i = 0; i < 4; ++i) {
          ++at_;
          if (at_ >= text_.size() || !is_hex(text_[at_])) return wrong("in \\u hexadecimal character escape");
        }
      } else if (at_ >= text_.size() ||
                 std::string_view("bfnrt\\/\"").find(text_[at_]) == std::string_view::npos) {
        return wrong("in string escape code");
      }
    }
    return wrong({});
  }

  bool literal(std::string_view word) {
    for (size_t i = 1; i < word.size(); ++i) {
      ++at_;
      if (!is(word[i])) return wrong(base::cat("in literal ", word, " (expecting '", word[i], "')"));
    }
    ++at_;
    return true;
  }

  bool digits(std::string_view where) {
    if (at_ >= text_.size() || !is_digit(text_[at_])) return wrong(where);
    while (at_ < text_.size() && is_digit(text_[at_])) ++at_;
    return true;
  }

  bool number() {
    if (is('-')) ++at_;
    if (is('0')) {
      ++at_;
    } else if (!digits("in numeric literal")) {
      return false;
    }
    if (is('.')) {
      ++at_;
      if (!digits("after decimal point in numeric literal")) return false;
    }
    if (is('e') || is('E')) {
      ++at_;
      if (is('+') || is('-')) ++at_;
      return digits("in exponent of numeric literal");
    }
    return true;
  }

  std::string_view text_;
  size_t at_ = 0;
  std::vector<char> open_;  // what closes the objects and lists around
  std::string error_;
};

}  // namespace

std::string go_json_error(std::string_view text) { return Scanner(text).run(); }

}  // namespace orch::api
