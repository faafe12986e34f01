// The functions of the environment: their overloads as Kubernetes declares them (functions.table, written by
// tools/celvectors) and the code of each.
#pragma once

#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "api/cel/value.h"

namespace orch::api::cel {

/// Takes as many values as the overload has arguments (the target first), none of them an error.
using Native = Value (*)(const Value* args, size_t count);

struct Binding {
  std::string_view overload;
  Native code;
};

struct Overload {
  std::string id;
  bool member = false;
  std::vector<Type> args;
  Type result;
  bool generic = false;  // has type parameters
  Native code = nullptr;
};

struct Function {
  std::string name;
  std::vector<Overload> overloads;
  /// One code for all overloads, whatever the types: operators, size, matches, type, dyn. It decides itself.
  Native any = nullptr;
  /// With `any`: what the first argument must be able to do; else "no such overload: name".
  bool (*accepts)(const Value& first) = nullptr;
};

class FunctionTable {
 public:
  /// Immutable; made at first use.
  static const FunctionTable& builtin();
  /// Null if there is none.
  const Function* find(std::string_view name) const;

 private:
  FunctionTable();
  std::map<std::string, Function, std::less<>> functions_;
};

// One for each library.
std::span<const Binding> string_bindings();
std::span<const Binding> list_bindings();
std::span<const Binding> conversion_bindings();
std::span<const Binding> time_bindings();
std::span<const Binding> optional_bindings();
std::span<const Binding> net_bindings();
std::span<const Binding> url_bindings();
std::span<const Binding> quantity_bindings();
std::span<const Binding> semver_bindings();
std::span<const Binding> format_bindings();
std::span<const Binding> authorizer_bindings();
std::span<const Binding> regex_bindings();

/// What quantity() and semver() make of a text; an error value if it is none.
Value quantity_value(const std::string& text);
Value semver_value(const std::string& text);

/// Does the value fit the declared type, as far as its first element shows?
bool fits(const TypeNode& type, const Value& value);
/// "no such overload: name(string, int)"
Value no_overload_for(std::string_view function, const Value* args, size_t count);

}  // namespace orch::api::cel
