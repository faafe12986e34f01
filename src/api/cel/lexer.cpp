#include "api/cel/lexer.h"

#include <array>

namespace orch::api::cel {

namespace {

bool digit(char32_t c) { return c >= U'0' && c <= U'9'; }
bool hex(char32_t c) { return digit(c) || (c >= U'a' && c <= U'f') || (c >= U'A' && c <= U'F'); }
bool letter(char32_t c) { return (c >= U'a' && c <= U'z') || (c >= U'A' && c <= U'Z') || c == U'_'; }

/// Finds the longest token at a place.
class Scanner {
 public:
  explicit Scanner(const std::u32string& text) : text_(text) {}

  /// The token's length; 0 and `failed` at the first character that fits nothing, if there is none.
  size_t scan(size_t at, Token& token, size_t& failed) const {
    const char32_t c = peek(at);
    failed = at;
    if (const size_t length = string_at(at, token, failed)) return length;
    if (letter(c)) return word(at, token);
    if (digit(c) || (c == U'.' && digit(peek(at + 1)))) return number(at, token);
    if (c == U'`') return escaped(at, token, failed);
    return symbol(at, token, failed);
  }

  char32_t peek(size_t at) const { return at < text_.size() ? text_[at] : U'\0'; }

 private:
  size_t word(size_t at, Token& token) const {
    size_t end = at;
    while (letter(peek(end)) || digit(peek(end))) ++end;
    const std::u32string_view name = std::u32string_view(text_).substr(at, end - at);
    token = name == U"in"      ? Token::kIn
            : name == U"true"  ? Token::kTrue
            : name == U"false" ? Token::kFalse
            : name == U"null"  ? Token::kNull
                               : Token::kIdent;
    return end - at;
  }

  size_t number(size_t at, Token& token) const {
    size_t end = at;
    if (peek(at) == U'0' && peek(at + 1) == U'x' && hex(peek(at + 2))) {
      end += 2;
      while (hex(peek(end))) ++end;
      return suffix(at, end, token);
    }
    while (digit(peek(end))) ++end;
    bool real = false;
    if (peek(end) == U'.' && digit(peek(end + 1))) {
      real = true;
      ++end;
      while (digit(peek(end))) ++end;
    }
    if (peek(end) == U'e' || peek(end) == U'E') {
      size_t exponent = end + 1;
      if (peek(exponent) == U'+' || peek(exponent) == U'-') ++exponent;
      if (digit(peek(exponent))) {
        real = true;
        end = exponent;
        while (digit(peek(end))) ++end;
      }
    }
    if (!real) return suffix(at, end, token);
    token = Token::kFloat;
    return end - at;
  }

  size_t suffix(size_t at, size_t end, Token& token) const {
    token = Token::kInt;
    if (peek(end) == U'u' || peek(end) == U'U') {
      token = Token::kUint;
      ++end;
    }
    return end - at;
  }

  size_t escaped(size_t at, Token& token, size_t& failed) const {
    size_t end = at + 1;
    while (letter(peek(end)) || digit(peek(end)) || peek(end) == U'.' || peek(end) == U'-' ||
           peek(end) == U'/' || peek(end) == U' ') {
      ++end;
    }
    failed = end;
    if (end == at + 1 || peek(end) != U'`') return 0;
    token = Token::kEscapedIdent;
    return end + 1 - at;
  }

  size_t symbol(size_t at, Token& token, size_t& failed) const {
    struct Symbol {
      char first, second;
      Token token;
    };
    static constexpr std::array<Symbol, 24> kSymbols = {{
        {'=', '=', Token::kEquals},     {'!', '=', Token::kNotEquals},
        {'<', '=', Token::kLessEquals}, {'>', '=', Token::kGreaterEquals},
        {'&', '&', Token::kAnd},        {'|', '|', Token::kOr},
        {'<', 0, Token::kLess},         {'>', 0, Token::kGreater},
        {'[', 0, Token::kLeftBracket},  {']', 0, Token::kRightBracket},
        {'{', 0, Token::kLeftBrace},    {'}', 0, Token::kRightBrace},
        {'(', 0, Token::kLeftParen},    {')', 0, Token::kRightParen},
        {'.', 0, Token::kDot},          {',', 0, Token::kComma},
        {'-', 0, Token::kMinus},        {'!', 0, Token::kNot},
        {'?', 0, Token::kQuestion},     {':', 0, Token::kColon},
        {'+', 0, Token::kPlus},         {'*', 0, Token::kStar},
        {'/', 0, Token::kSlash},        {'%', 0, Token::kPercent},
    }};
    for (const Symbol& s : kSymbols) {
      if (peek(at) != static_cast<char32_t>(s.first)) continue;
      if (s.second == 0 || peek(at + 1) == static_cast<char32_t>(s.second)) {
        token = s.token;
        return s.second == 0 ? 1 : 2;
      }
      failed = at + 1;
    }
    return 0;
  }

  /// A string or bytes; 0 if none starts here or it is broken, then `failed` says where.
  size_t string_at(size_t at, Token& token, size_t& failed) const {
    size_t i = at;
    token = Token::kString;
    if (peek(i) == U'b' || peek(i) == U'B') {
      token = Token::kBytes;
      ++i;
    }
    const bool raw = peek(i) == U'r' || peek(i) == U'R';
    if (raw) ++i;
    const char32_t quote = peek(i);
    if (quote != U'"' && quote != U'\'') return 0;
    const bool triple = peek(i + 1) == quote && peek(i + 2) == quote;
    if (triple) {
      const size_t length = body(i + 3, quote, true, raw, failed);
      if (length > 0) return length - at;
    }
    // Without a closing '''…''' the first two quotes are an empty string.
    size_t single_failed = i;
    const size_t length = body(i + 1, quote, false, raw, single_failed);
    if (!triple) failed = single_failed;
    return length > 0 ? length - at : 0;
  }

  /// The end of a string from its first character on.
  size_t body(size_t i, char32_t quote, bool triple, bool raw, size_t& failed) const {
    for (;;) {
      failed = i;
      if (i >= text_.size()) return 0;
      const char32_t c = text_[i];
      if (c == quote && (!triple || (peek(i + 1) == quote && peek(i + 2) == quote)))
        return i + (triple ? 3 : 1);
      if (!triple && (c == U'\n' || c == U'\r')) return 0;
      if (c != U'\\' || raw) {
        ++i;
        continue;
      }
      const size_t length = escape(i + 1, failed);
      if (length == 0) return 0;
      i += 1 + length;
    }
  }

  size_t escape(size_t at, size_t& failed) const {
    const char32_t c = peek(at);
    failed = at;
    if (at >= text_.size()) return 0;
    if (std::u32string_view(U"abfnrtv\"'\\?`").find(c) != std::u32string_view::npos) return 1;
    size_t digits = c == U'x' || c == U'X' ? 2 : c == U'u' ? 4 : c == U'U' ? 8 : 0;
    const bool octal = c >= U'0' && c <= U'3';
    if (octal) digits = 2;
    if (digits == 0) return 0;
    for (size_t k = 1; k <= digits; ++k) {
      const char32_t d = peek(at + k);
      failed = at + k;
      if (octal ? d < U'0' || d > U'7' : !hex(d)) return 0;
    }
    return 1 + digits;
  }

  const std::u32string& text_;
};

bool space(char32_t c) { return c == U' ' || c == U'\t' || c == U'\r' || c == U'\n' || c == U'\f'; }

/// As ANTLR prints text in messages.
std::string visible(std::u32string_view text) {
  std::u32string out;
  for (char32_t c : text) {
    if (c == U'\n') {
      out += U"\\n";
    } else if (c == U'\t') {
      out += U"\\t";
    } else if (c == U'\r') {
      out += U"\\r";
    } else {
      out += c;
    }
  }
  return utf8_of(out);
}

}  // namespace

const char* token_name(Token token) {
  static constexpr std::array<const char*, 38> kNames = {
      "<EOF>",   "'=='",     "'!='",   "'in'",    "'<'",        "'<='",          "'>='",    "'>'",
      "'&&'",    "'||'",     "'['",    "']'",     "'{'",        "'}'",           "'('",     "')'",
      "'.'",     "','",      "'-'",    "'!'",     "'?'",        "':'",           "'+'",     "'*'",
      "'/'",     "'%'",      "'true'", "'false'", "'null'",     "WHITESPACE",    "COMMENT", "NUM_FLOAT",
      "NUM_INT", "NUM_UINT", "STRING", "BYTES",   "IDENTIFIER", "ESC_IDENTIFIER"};
  return kNames[static_cast<size_t>(token)];
}

std::vector<Lexeme> lex(Ast& ast) {
  const std::u32string& text = ast.source.runes();
  const Scanner scanner(text);
  std::vector<Lexeme> out;
  size_t at = 0;
  while (at < text.size()) {
    if (space(text[at])) {
      ++at;
      continue;
    }
    if (text[at] == U'/' && scanner.peek(at + 1) == U'/') {
      while (at < text.size() && text[at] != U'\n') ++at;
      continue;
    }
    Token token = Token::kEof;
    size_t failed = at;
    const size_t length = scanner.scan(at, token, failed);
    if (length == 0) {
      const size_t end = std::min(failed + 1, text.size());
      ast.report_at(static_cast<int32_t>(at), "Syntax error: token recognition error at: '" +
                                                  visible(std::u32string_view(text).substr(at, end - at)) +
                                                  "'");
      at = end;
      continue;
    }
    out.push_back({token, static_cast<int32_t>(at), utf8_of(std::u32string_view(text).substr(at, length))});
    at += length;
  }
  out.push_back({Token::kEof, static_cast<int32_t>(text.size()), "<EOF>"});
  return out;
}

}  // namespace orch::api::cel
