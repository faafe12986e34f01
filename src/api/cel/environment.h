// What an Environment is made of, and the steps from a parsed expression to a program.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "api/cel/ast.h"
#include "api/cel/functions.h"

namespace orch::api::cel {

struct Environment::Rep {
  /// Variables, by name, and the identifiers of types.
  std::map<std::string, Type, std::less<>> idents;
  /// Object types by name.
  std::map<std::string, Type, std::less<>> objects;
  bool mutation = false, bindings = false;

  /// The type of a name, or null: a variable, a type, a message that can be made.
  Type find_ident(std::string_view name) const;
  /// Null if there is no such message.
  Type find_struct(std::string_view name) const;
  /// Null if it has no such field.
  Type find_field(std::string_view type, std::string_view field) const;
};

/// What the checker found out, by expression id.
struct Checked {
  struct Reference {
    /// Of an identifier; "" for functions.
    std::string name;
    /// Of a call: in the order they were found to fit.
    std::vector<const Overload*> overloads;
    const Function* function = nullptr;
  };
  std::vector<Type> types;
  std::map<int64_t, Reference> references;
  const Type& type(const Expr& e) const { return types[static_cast<size_t>(e.id)]; }
  const Reference* reference(const Expr& e) const {
    const auto found = references.find(e.id);
    return found == references.end() ? nullptr : &found->second;
  }
};

/// Types of all expressions; rewrites qualified names into identifiers and calls of namespaced functions into
/// global ones. Problems are added to ast.issues.
Checked check(Ast& ast, const Environment::Rep& env);

/// What Kubernetes demands besides: good literals of durations, timestamps and regular expressions,
/// homogeneous lists and maps, formats that fit their arguments.
void validate(Ast& ast, const Checked& checked);

/// The program, or null and why it cannot be prepared.
std::shared_ptr<const Program> make_program(std::shared_ptr<const Ast> ast, Checked checked,
                                            std::shared_ptr<const Environment::Rep> env, std::string& error);

/// Static cost of an expression.
CostEstimate estimate(const Ast& ast, const Checked& checked, const Type& root);

}  // namespace orch::api::cel
