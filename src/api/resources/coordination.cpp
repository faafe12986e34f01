// coordination.k8s.io/v1 Lease.
#include "api/resources/common_validation.h"
#include "api/resources/kinds.h"
#include "api/resources/printers.h"
#include "api/resources/tree.h"
#include "base/json.h"

namespace orch::api {
namespace {

void validate_lease_strategy(std::string_view strategy, const FieldPath& path, FieldErrors& errors) {
  if (strategy.find('/') != std::string_view::npos) return validate_qualified_name(strategy, path, errors);
  if (strategy != "OldestEmulationVersion") errors.not_supported(path, strategy, {"OldestEmulationVersion"});
}

void validate_lease(const Json& lease, FieldErrors& errors) {
  const Json& spec = map_of(lease, "spec");
  const FieldPath path("spec");
  if (has(spec, "leaseDurationSeconds") && number_of(spec, "leaseDurationSeconds") <= 0) {
    errors.invalid(path.child("leaseDurationSeconds"), member_of(spec, "leaseDurationSeconds"),
                   "must be greater than 0");
  }
  validate_nonnegative(number_of(spec, "leaseTransitions"), path.child("leaseTransitions"), errors);
  if (has(spec, "strategy")) {
    validate_lease_strategy(text_of(spec, "strategy"), path.child("strategy").child("strategy"), errors);
  }
  if (has_items(spec, "preferredHolder") && !has_items(spec, "strategy")) {
    errors.forbidden(path.child("preferredHolder"), "may only be specified if `strategy` is defined");
  }
}

/// Coordinated leader election is off in v1.35.
void drop_coordination(Json& lease, const Json* old) {
  Json* spec = object_in(lease, "spec");
  if (!spec) return;
  for (const char* key : {"strategy", "preferredHolder"}) {
    if (!old || !has(map_of(*old, "spec"), key)) drop(*spec, key);
  }
}

}  // namespace

Strategy lease_strategy() {
  Strategy s;
  s.allow_create_on_update = true;
  s.allow_unconditional_update = false;
  s.prepare_create = [](Json& lease, const StrategyContext&) { drop_coordination(lease, nullptr); };
  s.prepare_update = [](Json& lease, const Json& old, const StrategyContext&) {
    drop_coordination(lease, &old);
  };
  s.validate = validate_lease;
  s.validate_update = [](const Json& lease, const Json&, FieldErrors& errors) {
    validate_lease(lease, errors);
  };
  s.cells = lease_cells;
  return s;
}

}  // namespace orch::api
