// YAML for request bodies, manifests and answers, with the meaning sigs.k8s.io/yaml gives it: YAML 1.1
// scalars (yes, on and y are booleans, 0644 is octal), keys become strings, merge keys (<<) work, times stay
// text.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/json_fwd.h"
#include "base/status.h"

namespace orch::api {

/// The first document as a JSON tree; null when there is none. kBadRequest, "yaml: line 3: …", for broken
/// YAML, nesting deeper than base::parse_json allows, and aliases that would grow the document beyond reason.
/// Repeated keys: the last one wins; their dotted paths are appended to `duplicates` when given, and the
/// lines they stand in, from 1, to `lines`.
base::Result<Json> parse_yaml(std::string_view text, std::vector<std::string>* duplicates = nullptr,
                              std::vector<size_t>* lines = nullptr);

/// All documents of a manifest in order, empty ones left out.
base::Result<std::vector<Json>> parse_yaml_documents(std::string_view text);

/// Block style, keys sorted, strings quoted where they would be read as something else.
std::string to_yaml(const Json& tree);

}  // namespace orch::api
