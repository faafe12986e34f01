#include "api/resources/crd_rules.h"

#include "api/resources/crd_structural.h"
#include "base/json.h"

namespace orch::api {

void validate_rules(const Json& schema, const Json* /*old*/, const FieldPath& path, FieldErrors& errors) {
  const bool any = schema_has(schema, [](const Json& s) {
    return !base::array_at(s, {"x-kubernetes-validations"}).empty();
  });
  if (any) errors.forbidden(path, "x-kubernetes-validations is not supported by this server");
}

void validate_default_by_rules(const Json&, const Json&, bool, const FieldPath&, FieldErrors&) {}

std::shared_ptr<const RuleSet> RuleSet::compile(std::shared_ptr<const Json>) { return nullptr; }

}  // namespace orch::api
