// The order in which strict decoding reports fields: as they appear in the text.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace orch::api {

/// Sorts problems of the form `unknown field "spec.a[0].b"` and `duplicate field "spec.c"` by where `json`, a
/// valid document, has what they are about: a field's first appearance, a duplicate's second. Others stay in
/// their order, behind them.
void sort_by_appearance(std::string_view json, std::vector<std::string>& problems);

}  // namespace orch::api
