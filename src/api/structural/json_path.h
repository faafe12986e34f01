// JSONPath as printer columns and selectable fields use it (k8s.io/client-go/util/jsonpath): fields, quoted
// keys, indices and slices, unions, wildcards, recursive descent and filters. Missing keys find nothing.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/json_fwd.h"
#include "base/status.h"

namespace orch::api::structural {

/// Immutable.
class JsonPath {
 public:
  /// ".spec.replicas", without braces. kBadRequest if it is none.
  static base::Result<std::shared_ptr<const JsonPath>> parse(std::string_view text);
  ~JsonPath();
  /// What the path leads to within the tree; none if a step fails (an index out of bounds).
  std::vector<const Json*> find(const Json& tree) const;

 private:
  JsonPath();
  struct Rep;
  friend class JsonPathParser;
  std::unique_ptr<Rep> rep_;
};

}  // namespace orch::api::structural
