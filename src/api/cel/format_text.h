// "%s has %d".format([…]): what a format asks for and what comes out.
#pragma once

#include "api/cel/environment.h"

namespace orch::api::cel {

/// The formatted text, or an error value.
Value format_values(const std::string& format, const Value& list);
/// Checks a call with constant format and literal list before it runs; problems are added to ast.issues.
void check_format(Ast& ast, const Checked& checked, const Expr& call);

}  // namespace orch::api::cel
