#include "server/registry/crd_plan.h"

#include <algorithm>
#include <optional>
#include <set>

#include "api/go_text.h"
#include "api/meta.h"
#include "api/resources/crd_structural.h"
#include "api/resources/crd_validation.h"
#include "base/json.h"

namespace orch::server {

namespace {

struct Taken {
  std::set<std::string> resources, kinds;
};

std::string text_at(const Json& object, const char* key) {
  return std::string(base::string_at(object, {key}));
}

Taken names_taken(const std::vector<const Json*>& definitions) {
  Taken out;
  for (const Json* crd : definitions) {
    const Json& names = base::object_at(*crd, {"status", "acceptedNames"});
    for (const char* key : {"plural", "singular"}) out.resources.insert(text_at(names, key));
    for (const Json& name : base::array_at(names, {"shortNames"}))
      out.resources.insert(name.get<std::string>());
    for (const char* key : {"kind", "listKind"}) out.kinds.insert(text_at(names, key));
  }
  return out;
}

struct Problem {
  std::string reason, message;
};

std::string in_use(const std::string& name) { return base::cat(api::go_quote(name), " is already in use"); }

/// Moves what can be had of the wanted names into the accepted ones; the last conflict, if any.
std::optional<Problem> accept_names(const Json& wanted, const Taken& taken, Json& accepted) {
  std::optional<Problem> problem;
  const auto one = [&](const char* key, const std::set<std::string>& used, const char* reason) {
    const std::string name = text_at(wanted, key);
    if (name != text_at(accepted, key) && used.contains(name)) {
      problem = Problem{reason, in_use(name)};
    } else {
      accepted[key] = name;
    }
  };
  one("plural", taken.resources, "PluralConflict");
  one("singular", taken.resources, "SingularConflict");
  const Json& own = base::array_at(accepted, {"shortNames"});
  std::vector<std::string> conflicts;
  for (const Json& name : base::array_at(wanted, {"shortNames"})) {
    const auto text = name.get<std::string>();
    if (std::find(own.begin(), own.end(), name) == own.end() && taken.resources.contains(text))
      conflicts.push_back(in_use(text));
  }
  const auto copy = [&](const char* key) {
    if (const Json& list = base::array_at(wanted, {key}); !list.empty()) {
      accepted[key] = list;
    } else {
      accepted.erase(key);
    }
  };
  if (conflicts.empty()) {
    copy("shortNames");
  } else {
    const std::string all = api::join(conflicts, ", ");
    problem = Problem{"ShortNamesConflict", conflicts.size() == 1 ? all : base::cat("[", all, "]")};
  }
  one("kind", taken.kinds, "KindConflict");
  one("listKind", taken.kinds, "ListKindConflict");
  copy("categories");
  return problem;
}

void set_names(Json& crd, const std::vector<const Json*>& others, base::WallTime now) {
  if (names_settled(crd)) return;
  const Json wanted = base::object_at(crd, {"spec", "names"});
  Json accepted = base::object_at(crd, {"status", "acceptedNames"});
  std::vector<const Json*> all = others;
  all.push_back(&crd);
  const auto problem = accept_names(wanted, names_taken(all), accepted);
  crd["status"]["acceptedNames"] = std::move(accepted);
  if (problem) {
    api::set_condition(crd, {"NamesAccepted", "False", problem->reason, problem->message}, now);
  } else {
    api::set_condition(crd, {"NamesAccepted", "True", "NoConflicts", "no conflicts found"}, now);
  }
  if (api::condition_is_true(crd, "Established")) return;
  if (problem && api::find_condition(crd, "Established") == nullptr)
    api::set_condition(crd, {"Established", "False", "NotAccepted", "not all names are accepted"}, now);
}

void establish(Json& crd, base::WallTime now) {
  if (!api::condition_is_true(crd, "NamesAccepted") || api::condition_is_true(crd, "Established")) return;
  api::set_condition(
      crd, {"Established", "True", "InitialNamesAccepted", "the initial names have been accepted"}, now);
}

void set_schema_condition(Json& crd, base::WallTime now) {
  api::FieldErrors errors;
  if (base::bool_at(crd, {"spec", "preserveUnknownFields"}))
    errors.invalid(api::FieldPath("spec.preserveUnknownFields"), true, "must be false");
  size_t i = 0;
  for (const Json& version : base::array_at(crd, {"spec", "versions"})) {
    const api::FieldPath path =
        api::FieldPath("spec.versions").index(i++).child("schema").child("openAPIV3Schema");
    const Json* schema = base::find_path(version, {"schema", "openAPIV3Schema"});
    if (schema == nullptr) continue;
    if (const std::string why = api::not_structural(*schema); !why.empty()) {
      api::set_condition(
          crd,
          {"NonStructuralSchema", "Unknown", "StructuralError",
           base::cat("failed to check validation schema for version ", text_at(version, "name"), ": ", why)},
          now);
      return;
    }
    api::validate_structural(*schema, path, errors);
  }
  if (errors.empty()) {
    api::remove_condition(crd, "NonStructuralSchema");
  } else {
    api::set_condition(crd, {"NonStructuralSchema", "True", "Violations", errors.text()}, now);
  }
}

void set_approval_condition(Json& crd, base::WallTime now) {
  constexpr const char* kType = "KubernetesAPIApprovalPolicyConformant";
  if (!api::is_protected_group(base::string_at(crd, {"spec", "group"}))) {
    api::remove_condition(crd, kType);
    return;
  }
  const auto [state, message] = api::crd_approval(crd);
  const char* reason = "InvalidAnnotation";
  if (state == api::CrdApproval::kMissing) reason = "MissingAnnotation";
  if (state == api::CrdApproval::kApproved) reason = "ApprovedAnnotation";
  if (state == api::CrdApproval::kBypassed) reason = "UnapprovedAnnotation";
  api::set_condition(crd, {kType, state == api::CrdApproval::kApproved ? "True" : "False", reason, message},
                     now);
}

bool has_cleanup_finalizer(const Json& crd) {
  return crd.contains("metadata") && crd["metadata"].contains("deletionTimestamp") &&
         api::has_finalizer(crd, kCleanupFinalizer);
}

}  // namespace

bool names_settled(const Json& crd) {
  return base::object_at(crd, {"spec", "names"}) == base::object_at(crd, {"status", "acceptedNames"}) &&
         api::find_condition(crd, "NamesAccepted") != nullptr;
}

Json plan_crd_status(const Json& crd, const std::vector<const Json*>& others, base::WallTime now,
                     bool schema_known) {
  Json next = crd;
  set_names(next, others, now);
  establish(next, now);
  if (!schema_known) set_schema_condition(next, now);
  set_approval_condition(next, now);
  return next;
}

CrdCleanup plan_crd_cleanup(const Json& crd, size_t instances) {
  if (!has_cleanup_finalizer(crd)) return CrdCleanup::kNone;
  return instances > 0 && api::condition_is_true(crd, "Established") ? CrdCleanup::kInstances
                                                                     : CrdCleanup::kFinalizer;
}

Json with_cleanup_condition(const Json& crd, CrdCleanup cleanup, base::WallTime now) {
  Json next = crd;
  if (cleanup == CrdCleanup::kInstances) {
    api::set_condition(
        next, {"Terminating", "True", "InstanceDeletionInProgress", "CustomResource deletion is in progress"},
        now);
  } else if (api::condition_is_true(crd, "Established")) {
    api::set_condition(next, {"Terminating", "False", "InstanceDeletionCompleted", "removed all instances"},
                       now);
  } else {
    api::set_condition(next, {"Terminating", "False", "NeverEstablished", "resource was never established"},
                       now);
  }
  return next;
}

}  // namespace orch::server
