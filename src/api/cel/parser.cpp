// A recursive-descent parser. Its syntax errors are those of the ANTLR parser Kubernetes uses: which token is
// unwanted, missing or unexpected, what had been expected, and where parsing goes on after it.
#include "api/cel/lexer.h"

namespace orch::api::cel {

namespace {

using Mask = uint64_t;

constexpr Mask bit(Token t) { return Mask{1} << static_cast<unsigned>(t); }
template <typename... Tokens>
constexpr Mask bits(Tokens... t) {
  return (bit(t) | ...);
}

constexpr Mask kLiteralStart = bits(Token::kMinus, Token::kTrue, Token::kFalse, Token::kNull, Token::kFloat,
                                    Token::kInt, Token::kUint, Token::kString, Token::kBytes);
constexpr Mask kUnaryStart = kLiteralStart | bits(Token::kLeftBracket, Token::kLeftBrace, Token::kLeftParen,
                                                  Token::kDot, Token::kNot, Token::kIdent);
constexpr Mask kRelationOps = bits(Token::kEquals, Token::kNotEquals, Token::kIn, Token::kLess,
                                   Token::kLessEquals, Token::kGreaterEquals, Token::kGreater);
constexpr Mask kProductOps = bits(Token::kStar, Token::kSlash, Token::kPercent);
constexpr Mask kSumOps = bits(Token::kPlus, Token::kMinus);
constexpr Mask kOperators =
    kRelationOps | kProductOps | kSumOps | bits(Token::kAnd, Token::kOr, Token::kQuestion);

constexpr int kMaxDepth = 250;
constexpr size_t kMaxCodePoints = 100'000;
constexpr int kMaxRecoveries = 30;
constexpr size_t kMaxSyntaxErrors = 100;

bool reserved(std::string_view name) {
  for (std::string_view word :
       {"as",  "break", "const",   "continue",  "else", "false",  "for",  "function", "if",   "import", "in",
        "let", "loop",  "package", "namespace", "null", "return", "true", "var",      "void", "while"}) {
    if (name == word) return true;
  }
  return false;
}

std::string operator_name(const Lexeme& op) { return op.token == Token::kIn ? "@in" : "_" + op.text + "_"; }

std::string expected_text(Mask expected) {
  std::string out;
  int count = 0;
  for (unsigned t = 0; t < 38; ++t) {
    if ((expected >> t & 1) == 0) continue;
    if (count++ > 0) out += ", ";
    out += token_name(static_cast<Token>(t));
  }
  return count == 1 ? out : "{" + out + "}";
}

class Parser {
 public:
  explicit Parser(Ast& ast) : ast_(ast), tokens_(lex(ast)) {}

  void run() {
    follow_.push_back(bit(Token::kEof));
    ast_.root = expr();
    if (!stopped_) match(Token::kEof);
  }

 private:
  const Lexeme& look(size_t ahead = 0) const { return tokens_[std::min(at_ + ahead, tokens_.size() - 1)]; }
  Token token(size_t ahead = 0) const { return look(ahead).token; }
  bool is(Mask set) const { return (set >> static_cast<unsigned>(token()) & 1) != 0; }
  void advance() {
    recovering_ = false;
    if (at_ + 1 < tokens_.size()) ++at_;
  }

  // Errors. While recovering, further ones are not told until a token has been matched again.

  void report(std::string message) {
    if (recovering_ || stopped_) return;
    recovering_ = true;
    if (ast_.issues.size() >= kMaxSyntaxErrors) {
      stopped_ = true;
      message = "More than 100 syntax errors";
    }
    ast_.report_at(look().offset, "Syntax error: " + message);
  }

  void count_recovery() {
    if (++recoveries_ <= kMaxRecoveries || stopped_) return;
    stopped_ = true;
    ast_.report_at(look().offset, "Syntax error: error recovery attempt limit exceeded: 30");
    at_ = tokens_.size() - 1;
  }

  /// Skips to where one of the open rules can go on.
  void recover() {
    count_recovery();
    Mask set = kOperators;
    for (Mask m : follow_) set |= m;
    if (last_error_ == at_ && token() != Token::kEof) ++at_;
    last_error_ = at_;
    while (!is(set) && token() != Token::kEof) ++at_;
  }

  /// `offset`: where the broken expression starts.
  Expr* fail(const std::string& message, int32_t offset = -1) {
    report(message);
    recover();
    return ast_.add(ast_.new_id(offset), ExprKind::kUnspecified);
  }

  /// Before a choice: true if it can be made, perhaps after leaving one token out.
  bool sync(Mask expected) {
    if (is(expected)) return true;
    count_recovery();
    if ((expected >> static_cast<unsigned>(token(1)) & 1) != 0 && token() != Token::kEof) {
      report("extraneous input '" + look().text + "' expecting " + expected_text(expected));
      ++at_;
      return true;
    }
    return false;
  }

  std::string mismatch(Mask expected) const {
    return "mismatched input '" + look().text + "' expecting " + expected_text(expected);
  }

  /// Takes the token, also when it is missing or preceded by one too many. `after`: what may follow it.
  bool match(Token wanted, Mask after = 0) {
    if (token() == wanted) {
      advance();
      return true;
    }
    count_recovery();
    if (token(1) == wanted && token() != Token::kEof) {
      report("extraneous input '" + look().text + "' expecting " + expected_text(bit(wanted)));
      ++at_;
      advance();
      return true;
    }
    if (is(after)) {
      report(std::string("missing ") + token_name(wanted) + " at '" + look().text + "'");
      return true;
    }
    report(mismatch(bit(wanted)));
    recover();
    return false;
  }

  /// What may come after the bracket that closes the innermost rule.
  Mask after_operand() const {
    Mask set = kOperators | bits(Token::kDot, Token::kLeftBracket);
    for (size_t i = 0; i + 1 < follow_.size(); ++i) set |= follow_[i];
    return set;
  }

  // Making nodes.

  Expr* deeper(Expr* e, std::initializer_list<Expr*> below) {
    for (const Expr* b : below) e->depth = std::max(e->depth, b->depth + 1);
    if (e->depth >= kMaxDepth) too_deep("max recursion depth exceeded");
    return e;
  }
  void too_deep(const char* message) {
    if (!stopped_) ast_.report_at(-1, message);
    stopped_ = true;
    at_ = tokens_.size() - 1;
  }
  Expr* call(int64_t id, std::string function, std::vector<Expr*> args, Expr* target = nullptr) {
    if (Expr* expanded = expand_macro(ast_, id, function, target, args)) return expanded;
    Expr* e = ast_.add(id, ExprKind::kCall);
    e->name = std::move(function);
    e->args = std::move(args);
    e->target = target;
    e->member = target != nullptr;
    return e;
  }
  Expr* literal(int32_t offset, Value value) {
    Expr* e = ast_.add(ast_.new_id(offset), ExprKind::kLiteral);
    e->literal = std::move(value);
    return e;
  }
  Expr* bad(int32_t offset, std::string message) {
    Expr* e = ast_.add(ast_.new_id(offset), ExprKind::kUnspecified);
    ast_.report(e->id, std::move(message));
    return e;
  }

  // Rules.

  struct Follow {
    Follow(Parser& p, Mask set) : parser(p) { p.follow_.push_back(set); }
    ~Follow() { parser.follow_.pop_back(); }
    Parser& parser;
  };

  Expr* expr() {
    if (++nesting_ > kMaxDepth) too_deep("expression recursion limit exceeded: 250");
    Expr* result = conditional();
    --nesting_;
    return result;
  }

  Expr* conditional() {
    Expr* condition = logical(Token::kOr);
    if (token() != Token::kQuestion || stopped_) return condition;
    const int32_t offset = look().offset;
    advance();
    Expr* yes = nullptr;
    {
      const Follow follow(*this, bit(Token::kColon));
      yes = logical(Token::kOr);
    }
    const int64_t id = ast_.new_id(offset);
    if (!match(Token::kColon, kUnaryStart)) return ast_.add(id, ExprKind::kUnspecified);
    Expr* no = expr();
    return deeper(call(id, "_?_:_", {condition, yes, no}), {condition, yes, no});
  }

  /// Terms joined by || or &&, made a balanced tree.
  Expr* logical(Token op) {
    std::vector<Expr*> terms = {op == Token::kOr ? logical(Token::kAnd) : relation()};
    std::vector<int64_t> ids;
    while (token() == op && !stopped_) {
      const int32_t offset = look().offset;
      advance();
      terms.push_back(op == Token::kOr ? logical(Token::kAnd) : relation());
      ids.push_back(ast_.new_id(offset));
    }
    if (ids.empty()) return terms[0];
    return balance(op == Token::kOr ? "_||_" : "_&&_", terms, ids, 0, ids.size() - 1);
  }

  Expr* balance(const char* function, const std::vector<Expr*>& terms, const std::vector<int64_t>& ids,
                size_t low, size_t high) {
    const size_t middle = (low + high + 1) / 2;
    Expr* left = middle == low ? terms[middle] : balance(function, terms, ids, low, middle - 1);
    Expr* right = middle == high ? terms[middle + 1] : balance(function, terms, ids, middle + 1, high);
    Expr* e = ast_.add(ids[middle], ExprKind::kCall);
    e->name = function;
    e->args = {left, right};
    e->depth = std::max(left->depth, right->depth);
    return e;
  }

  Expr* relation() {
    return chain(kRelationOps, [this] { return sum(); });
  }
  Expr* sum() {
    return chain(kSumOps, [this] { return chain(kProductOps, [this] { return unary(); }); });
  }

  template <typename Next>
  Expr* chain(Mask ops, Next next) {
    Expr* left = next();
    while (is(ops) && !stopped_) {
      const Lexeme op = look();
      advance();
      Expr* right = next();
      left = deeper(call(ast_.new_id(op.offset), operator_name(op), {left, right}), {left, right});
    }
    return left;
  }

  bool signed_number(size_t ahead = 0) const {
    return token(ahead) == Token::kMinus &&
           (token(ahead + 1) == Token::kInt || token(ahead + 1) == Token::kFloat);
  }

  Expr* unary() {
    if (!sync(kUnaryStart)) return fail(mismatch(kUnaryStart));
    if (token() != Token::kNot && (token() != Token::kMinus || signed_number())) return member();
    const Token op = token();
    const int32_t offset = look().offset;
    size_t count = 0;
    while (token() == op) {
      if (op == Token::kMinus && token(1) == Token::kEof) {
        ++at_;
        report("no viable alternative at input '-'");
        recovering_ = false;
        return fail(mismatch(kUnaryStart));
      }
      advance();
      ++count;
    }
    if (op == Token::kNot && !is(kUnaryStart)) {
      report("extraneous input '" + look().text + "' expecting " + expected_text(kUnaryStart));
      recover();
      return ast_.add(ast_.new_id(-1), ExprKind::kUnspecified);
    }
    if (count % 2 == 0) return member();
    const int64_t id = ast_.new_id(offset);
    Expr* operand = member();
    Expr* e = call(id, op == Token::kNot ? "!_" : "-_", {operand});
    e->depth = operand->depth;
    return e;
  }

  Expr* member() {
    Expr* e = primary();
    while (!stopped_) {
      if (token() == Token::kDot) {
        e = select(e);
      } else if (token() == Token::kLeftBracket) {
        e = index(e);
      } else {
        break;
      }
    }
    return e;
  }

  Expr* select(Expr* operand) {
    const int32_t dot = look().offset;
    const bool optional = token(1) == Token::kQuestion;
    const size_t name_at = optional ? 2 : 1;
    const Token next = token(name_at);
    if (next != Token::kIdent && next != Token::kEscapedIdent) {
      const int32_t start = ast_.offset(operand->id);
      ++at_;
      if (optional) {
        ++at_;
        report(mismatch(bits(Token::kIdent, Token::kEscapedIdent)));
        bad(look().offset, "unsupported ident kind");
        recover();
        return ast_.add(ast_.new_id(start), ExprKind::kUnspecified);
      }
      std::string text = ".";
      if (next != Token::kEof) text += look(name_at - 1).text;
      if (next == Token::kTrue || next == Token::kFalse || next == Token::kNull) {
        return fail("mismatched input '" + look(name_at - 1).text + "' expecting IDENTIFIER", start);
      }
      return fail("no viable alternative at input '" + text + "'", start);
    }
    advance();
    if (optional) advance();
    const Lexeme name = look();
    advance();
    if (name.token == Token::kEscapedIdent) bad(name.offset, "unsupported syntax: '`'");
    if (optional) {
      Expr* e = ast_.add(ast_.new_id(dot), ExprKind::kCall);
      e->name = "_?._";
      e->args = {operand, literal(name.offset, Value::of(name.text))};
      return deeper(e, {operand});
    }
    if (token() == Token::kLeftParen && name.token == Token::kIdent) {
      const int64_t id = ast_.new_id(look().offset);
      advance();
      std::vector<Expr*> args = arguments();
      Expr* e = call(id, name.text, std::move(args), operand);
      return deeper(e, {operand});
    }
    Expr* e = ast_.add(ast_.new_id(dot), ExprKind::kSelect);
    e->target = operand;
    e->name = name.text;
    return deeper(e, {operand});
  }

  Expr* index(Expr* operand) {
    const int64_t id = ast_.new_id(look().offset);
    advance();
    const Follow follow(*this, bit(Token::kRightBracket));
    if (!sync(kUnaryStart | bit(Token::kQuestion))) {
      return fail(mismatch(kUnaryStart | bit(Token::kQuestion)));
    }
    const bool optional = token() == Token::kQuestion;
    if (optional) advance();
    Expr* at = expr();
    match(Token::kRightBracket, after_operand());
    return deeper(call(id, optional ? "_[?_]" : "_[_]", {operand, at}), {operand, at});
  }

  /// Arguments of a call behind its parenthesis, with the closing one.
  std::vector<Expr*> arguments() {
    std::vector<Expr*> args;
    const Follow follow(*this, bits(Token::kRightParen, Token::kComma));
    if (!sync(kUnaryStart | bit(Token::kRightParen))) {
      fail(mismatch(kUnaryStart | bit(Token::kRightParen)));
      return args;
    }
    if (is(kUnaryStart)) {
      args.push_back(expr());
      while (token() == Token::kComma && !stopped_) {
        advance();
        args.push_back(expr());
      }
    }
    match(Token::kRightParen, after_operand());
    return args;
  }

  Expr* primary() {
    if (!sync(kUnaryStart)) return fail(mismatch(kUnaryStart));
    switch (token()) {
      case Token::kLeftParen: {
        advance();
        const Follow follow(*this, bit(Token::kRightParen));
        Expr* e = expr();
        match(Token::kRightParen, after_operand());
        return e;
      }
      case Token::kLeftBracket:
        return list();
      case Token::kLeftBrace:
        return map();
      case Token::kDot:
      case Token::kIdent:
        return name();
      case Token::kNot:
        return fail("no viable alternative at input '!'");
      default:
        return scalar();
    }
  }

  Expr* list() {
    Expr* e = ast_.add(ast_.new_id(look().offset), ExprKind::kList);
    advance();
    const Follow follow(*this, bits(Token::kRightBracket, Token::kComma));
    const Mask start = kUnaryStart | bit(Token::kQuestion);
    const Mask first = start | bits(Token::kRightBracket, Token::kComma);
    if (!sync(first)) return fail(mismatch(first));
    while (is(start) && !stopped_) {
      const bool optional = token() == Token::kQuestion;
      if (optional) advance();
      e->args.push_back(expr());
      e->optional_args.push_back(optional);
      deeper(e, {e->args.back()});
      const bool more = token() == Token::kComma && (start >> static_cast<unsigned>(token(1)) & 1) != 0;
      if (!more) break;
      advance();
    }
    return close(e, Token::kRightBracket);
  }

  /// A last comma, and the bracket.
  Expr* close(Expr* e, Token bracket) {
    const Mask last = bit(bracket) | bit(Token::kComma);
    if (!sync(last)) {
      fail(mismatch(last));
      return e;
    }
    if (token() == Token::kComma) advance();
    match(bracket, after_operand());
    return e;
  }

  Expr* map() {
    Expr* e = ast_.add(ast_.new_id(look().offset), ExprKind::kMap);
    advance();
    const Follow follow(*this, bits(Token::kRightBrace, Token::kComma));
    const Mask start = kUnaryStart | bit(Token::kQuestion);
    const Mask first = start | bits(Token::kRightBrace, Token::kComma);
    if (!sync(first)) return fail(mismatch(first));
    while (is(start) && !stopped_) {
      Expr::Entry entry;
      entry.optional = token() == Token::kQuestion;
      if (entry.optional) advance();
      {
        const Follow colon(*this, bit(Token::kColon));
        entry.key = expr();
      }
      entry.id = ast_.new_id(look().offset);
      if (!match(Token::kColon, kUnaryStart)) return e;
      entry.value = expr();
      deeper(e, {entry.key, entry.value});
      e->entries.push_back(std::move(entry));
      const bool more = token() == Token::kComma && (start >> static_cast<unsigned>(token(1)) & 1) != 0;
      if (!more) break;
      advance();
    }
    return close(e, Token::kRightBrace);
  }

  /// An identifier, a call, or a message's type with its fields.
  Expr* name() {
    std::string prefix;
    if (token() == Token::kDot) {
      if (token(1) != Token::kIdent) {
        ++at_;
        return fail("no viable alternative at input '." + (token() == Token::kEof ? "" : look().text) + "'");
      }
      prefix = ".";
      advance();
    }
    size_t end = 1;
    while (token(end) == Token::kDot && token(end + 1) == Token::kIdent) end += 2;
    if (token(end) == Token::kLeftBrace) return message(prefix, end);
    const Lexeme id = look();
    advance();
    const bool is_call = token() == Token::kLeftParen;
    if (reserved(id.text)) {
      Expr* e = bad(id.offset, "reserved identifier: " + id.text);
      if (is_call) {
        advance();
        arguments();
      }
      return e;
    }
    if (is_call) {
      const int64_t call_id = ast_.new_id(look().offset);
      advance();
      return call(call_id, prefix + id.text, arguments());
    }
    Expr* e = ast_.add(ast_.new_id(id.offset), ExprKind::kIdent);
    e->name = prefix + id.text;
    return e;
  }

  Expr* message(std::string name, size_t tokens) {
    for (size_t i = 0; i < tokens; ++i) {
      name += look().text;
      advance();
    }
    Expr* e = ast_.add(ast_.new_id(look().offset), ExprKind::kStruct);
    e->name = std::move(name);
    advance();
    const Follow follow(*this, bits(Token::kRightBrace, Token::kComma));
    const Mask start = bits(Token::kQuestion, Token::kIdent, Token::kEscapedIdent);
    const Mask first = start | bits(Token::kRightBrace, Token::kComma);
    if (!sync(first)) return fail(mismatch(first));
    while (is(start) && !stopped_) {
      Expr::Entry entry;
      entry.optional = token() == Token::kQuestion;
      if (entry.optional) advance();
      const Lexeme field = look();
      if (field.token != Token::kIdent && field.token != Token::kEscapedIdent) {
        return fail(mismatch(bits(Token::kIdent, Token::kEscapedIdent)));
      }
      advance();
      if (field.token == Token::kEscapedIdent) bad(field.offset, "unsupported syntax: '`'");
      entry.field = field.text;
      entry.id = ast_.new_id(look().offset);
      if (!match(Token::kColon, kUnaryStart)) return e;
      entry.value = expr();
      deeper(e, {entry.value});
      e->entries.push_back(std::move(entry));
      const bool more = token() == Token::kComma && (start >> static_cast<unsigned>(token(1)) & 1) != 0;
      if (!more) break;
      advance();
    }
    return close(e, Token::kRightBrace);
  }

  Expr* scalar() {
    const int32_t offset = look().offset;
    const bool minus = token() == Token::kMinus;
    if (minus && !signed_number()) {
      ++at_;
      return fail("no viable alternative at input '-" + (token() == Token::kEof ? "" : look().text) + "'");
    }
    if (minus) advance();
    const Lexeme t = look();
    advance();
    switch (t.token) {
      case Token::kTrue:
        return literal(offset, Value::of(true));
      case Token::kFalse:
        return literal(offset, Value::of(false));
      case Token::kNull:
        return literal(offset, Value());
      default: {
        std::string error;
        std::optional<Value> value = read_literal(t, minus, error);
        return value ? literal(offset, std::move(*value)) : bad(offset, error);
      }
    }
  }

  Ast& ast_;
  std::vector<Lexeme> tokens_;
  size_t at_ = 0;
  std::vector<Mask> follow_;
  int nesting_ = 0;
  int recoveries_ = 0;
  size_t last_error_ = SIZE_MAX;
  bool recovering_ = false, stopped_ = false;
};

}  // namespace

void parse(Ast& ast) {
  const size_t size = ast.source.runes().size();
  if (size > kMaxCodePoints) {
    ast.report_at(
        -1, "expression code point size exceeds limit: size: " + std::to_string(size) + ", limit 100000");
    return;
  }
  Parser(ast).run();
}

}  // namespace orch::api::cel
