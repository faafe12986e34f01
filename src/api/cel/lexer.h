// The tokens of CEL, numbered as in its grammar: sets of expected tokens are printed in that order.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "api/cel/ast.h"

namespace orch::api::cel {

enum class Token : uint8_t {
  kEof = 0,
  kEquals,
  kNotEquals,
  kIn,
  kLess,
  kLessEquals,
  kGreaterEquals,
  kGreater,
  kAnd,
  kOr,
  kLeftBracket,
  kRightBracket,
  kLeftBrace,
  kRightBrace,
  kLeftParen,
  kRightParen,
  kDot,
  kComma,
  kMinus,
  kNot,
  kQuestion,
  kColon,
  kPlus,
  kStar,
  kSlash,
  kPercent,
  kTrue,
  kFalse,
  kNull,
  kFloat = 31,
  kInt,
  kUint,
  kString,
  kBytes,
  kIdent,
  kEscapedIdent,
};

/// As the parser's messages name it: "'['", "IDENTIFIER".
const char* token_name(Token token);

struct Lexeme {
  Token token = Token::kEof;
  int32_t offset = 0;
  std::string text;  // "<EOF>" at the end
};

/// Ends with one of kEof. What is no token is reported as a syntax error.
std::vector<Lexeme> lex(Ast& ast);

/// The value of a number, string or bytes; nothing and what is wrong with it.
std::optional<Value> read_literal(const Lexeme& token, bool minus, std::string& error);

}  // namespace orch::api::cel
