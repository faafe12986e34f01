// Trees of JSON text that this process has written itself.
#pragma once

#include <string_view>

#include "base/json_fwd.h"

namespace orch::base {

/// The tree that parse_json() would make of `text`, for less, because text that was written here needs no
/// checks. Null if it is not one JSON value: the reader stays within the text whatever that holds, but is no
/// judge of grammar, and goes as deep as the text does. Text from outside goes through parse_json().
///
/// `left_out`: a member that the tree does without, of the text's member `within`, as "managedFields" of
/// "metadata".
Json read_tree(std::string_view text, std::string_view within = {}, std::string_view left_out = {});

}  // namespace orch::base
