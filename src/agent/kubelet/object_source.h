// ObjectSource: the config maps and secrets a node's pods name.
#pragma once

#include <string_view>

#include "api/object.h"
#include "base/status.h"

namespace orch::agent {

/// Thread-safe. Errors: kNotFound `configmap "x" not found` as the API words it; others when the API cannot
/// be reached and nothing is cached.
class ObjectSource {
 public:
  virtual ~ObjectSource() = default;
  virtual base::Result<api::ObjectPtr> config_map(std::string_view ns, std::string_view name) = 0;
  virtual base::Result<api::ObjectPtr> secret(std::string_view ns, std::string_view name) = 0;
};

}  // namespace orch::agent
