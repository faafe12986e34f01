// The tree of an expression. Nodes live in their Ast and are told apart by ids, to which places in the
// source, types and references belong; macros are expanded while parsing.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "api/cel/value.h"

namespace orch::api::cel {

enum class ExprKind : uint8_t {
  kUnspecified,
  kLiteral,
  kIdent,
  kSelect,
  kCall,
  kList,
  kMap,
  kStruct,
  kComprehension,
};

struct Expr {
  struct Entry {  // of a map: key and value; of a struct: field and value
    int64_t id = 0;
    Expr* key = nullptr;
    std::string field;
    Expr* value = nullptr;
    bool optional = false;
  };
  struct Loop {  // of a comprehension
    Expr *range = nullptr, *init = nullptr, *condition = nullptr, *step = nullptr, *result = nullptr;
    std::string variable, variable2, accumulator;
  };

  int64_t id = 0;
  ExprKind kind = ExprKind::kUnspecified;
  /// kSelect: a presence test, has(x.y). kCall: it has a target.
  bool test_only = false, member = false;
  /// Nesting of operators, selections and calls, for the limit.
  int depth = 0;
  Value literal;
  /// Identifier, selected field, function or type.
  std::string name;
  /// kSelect: the operand. kCall: the target, or null.
  Expr* target = nullptr;
  /// Arguments or elements.
  std::vector<Expr*> args;
  /// kList: which elements have a question mark.
  std::vector<bool> optional_args;
  std::vector<Entry> entries;
  Loop loop;
};

/// A problem found in an expression.
struct Issue {
  int32_t line = -1, column = -1;  // from 1, from 0
  std::string message;
};

/// The text of an expression, by code points.
class Source {
 public:
  explicit Source(std::string_view text);
  const std::u32string& runes() const { return runes_; }
  /// Line from 1 and column from 0 of an offset.
  void location(int32_t offset, int32_t& line, int32_t& column) const;
  /// "ERROR: <input>:1:2: message\n | source\n | .^", one for each, by place.
  std::string describe(std::vector<Issue> issues) const;

 private:
  std::u32string runes_;
  std::vector<int32_t> line_starts_;
};

class Ast {
 public:
  explicit Ast(std::string_view text) : source(text), offsets_(1, -1) {}

  Expr* add(int64_t id, ExprKind kind) {
    Expr& e = nodes_.emplace_back();
    e.id = id;
    e.kind = kind;
    return &e;
  }
  int64_t new_id(int32_t offset) {
    offsets_.push_back(offset);
    return static_cast<int64_t>(offsets_.size()) - 1;
  }
  int32_t offset(int64_t id) const { return offsets_[static_cast<size_t>(id)]; }
  size_t id_count() const { return offsets_.size(); }
  void report(int64_t id, std::string message) { report_at(offset(id), std::move(message)); }
  void report_at(int32_t offset, std::string message) {
    Issue issue;
    issue.message = std::move(message);
    if (offset >= 0) source.location(offset, issue.line, issue.column);
    issues.push_back(std::move(issue));
  }

  Source source;
  Expr* root = nullptr;
  std::vector<Issue> issues;
  bool bindings = false;  // the macro cel.bind is known

 private:
  std::deque<Expr> nodes_;
  std::vector<int32_t> offsets_;
};

/// Parses ast.source into ast.root; what is wrong is added to ast.issues.
void parse(Ast& ast);

/// A macro's call made a tree: null if the call is none, or none of these arguments. `id` is the call's.
Expr* expand_macro(Ast& ast, int64_t id, const std::string& function, Expr* target,
                   const std::vector<Expr*>& args);

inline constexpr std::string_view kAccumulator = "@result";

}  // namespace orch::api::cel
