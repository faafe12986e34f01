// Registry::remove: preconditions, grace periods, finalizers and propagation.
#include <algorithm>

#include "api/go_text.h"
#include "api/resources/traits.h"
#include "api/scan.h"
#include "base/json.h"
#include "server/registry/field_tracking.h"
#include "server/registry/registry.h"
#include "server/registry/registry_internal.h"

namespace orch::server {

using api::ObjectPtr;
using api::Resource;
using base::Code;
using base::Result;
using base::Status;

namespace {

constexpr int kMaxTries = 16;

/// Adds or removes the garbage collector's finalizers as the propagation policy says, or as the object or
/// its kind has it when nobody says. True if changed.
bool set_propagation_finalizers(Json& meta, const std::string& propagation, bool kind_orphans) {
  Json list = base::array_at(meta, {"finalizers"});
  auto has = [&](const char* f) { return std::find(list.begin(), list.end(), f) != list.end(); };
  bool orphan = propagation == "Orphan" ||
                (propagation.empty() && (has("orphan") || (kind_orphans && !has("foregroundDeletion"))));
  bool foreground =
      propagation == "Foreground" || (propagation.empty() && has("foregroundDeletion") && !orphan);
  bool changed = false;
  auto want = [&](const char* f, bool wanted) {
    auto it = std::find(list.begin(), list.end(), f);
    if (wanted && it == list.end()) list.push_back(f), changed = true;
    if (!wanted && it != list.end()) list.erase(it), changed = true;
  };
  want("orphan", orphan);
  want("foregroundDeletion", foreground);
  if (list.empty()) {
    meta.erase("finalizers");
  } else {
    meta["finalizers"] = list;
  }
  return changed;
}

/// Namespaces and CustomResourceDefinitions mark themselves as going, in stores of their own in
/// kube-apiserver.
bool deletes_by_update(const Resource& r) { return r.strategy->prepare_delete != nullptr; }

/// A collection is deleted object by object, and a lost race is run again.
void warn_once(const WriteContext& context, std::string_view text) {
  if (text.empty() || context.warnings == nullptr) return;
  auto& list = *context.warnings;
  if (std::find(list.begin(), list.end(), text) == list.end()) list.emplace_back(text);
}

Status check_preconditions(const Resource& r, const api::Object& o, const DeleteParams& p) {
  const bool other_uid = !p.uid.empty() && p.uid != o.uid();
  const bool other_version =
      !p.resource_version.empty() && p.resource_version != std::to_string(o.revision());
  if (deletes_by_update(r)) {
    if (other_uid) {
      return conflict_status(
          r, o.name(),
          base::cat("Precondition failed: UID in precondition: ", p.uid, ", UID in object meta: ", o.uid()));
    }
    if (other_version) {
      return conflict_status(
          r, o.name(),
          base::cat("Precondition failed: ResourceVersion in precondition: ", p.resource_version,
                    ", ResourceVersion in object meta: ", o.revision()));
    }
    return {};
  }
  const auto conflict = [&](std::string_view why) {
    // Here, and only here, Kubernetes says the kind where it says the resource otherwise.
    base::StatusDetails details;
    details.name = o.name();
    details.group = r.group;
    details.kind = r.kind;
    return Status(Code::kConflict,
                  base::cat("Operation cannot be fulfilled on ", r.kind, r.group.empty() ? "" : ".", r.group,
                            " ", api::go_quote(o.name()), ": ", why),
                  details);
  };
  if (other_uid) {
    return conflict(base::cat("the UID in the precondition (", p.uid, ") does not match the UID in record (",
                              o.uid(), "). The object might have been deleted and then recreated"));
  }
  if (other_version) {
    return conflict(base::cat("the ResourceVersion in the precondition (", p.resource_version,
                              ") does not match the ResourceVersion in record (", o.revision(),
                              "). The object might have been modified"));
  }
  return {};
}

}  // namespace

Result<DeleteOutcome> Registry::remove(const Resource& r, std::string_view ns, std::string_view name,
                                       const DeleteParams& params, const WriteContext& context) {
  for (int i = 0;; ++i) {
    const WatchCachePtr c = cache(r);
    ObjectPtr current = c != nullptr ? c->get(ns, name) : nullptr;
    if (current == nullptr) return not_found(r, name);
    Attempt attempt;
    auto result = remove_once(r, current, params, context, attempt);
    if (!attempt.lost_race || i == kMaxTries) return result;
  }
}

Result<DeleteOutcome> Registry::remove_once(const Resource& r, const ObjectPtr& current,
                                            const DeleteParams& params, const WriteContext& context,
                                            Attempt& attempt) {
  const api::Strategy& strategy = *r.strategy;
  const std::string ns(current->ns()), name(current->name());
  const api::OrphaningByDefault orphaning = api::orphaning_of(r.group, r.kind);
  if (params.propagation.empty()) warn_once(context, orphaning.warning);
  ORCH_RETURN_IF_ERROR(check_preconditions(r, *current, params));
  const Json old = current->tree();
  const std::string_view owners = api::raw_value(current->bytes(), {"metadata", "managedFields"});
  AdmissionRequest request =
      admission_request({r, "", AdmissionRequest::Operation::kDelete, ns, name}, context);
  const auto asked_tree = tree_of(r, *current, false);
  if (!asked_tree.ok()) return asked_tree.error();
  request.old_object = &*asked_tree;
  request.old_owners = owners;
  ORCH_RETURN_IF_ERROR(mutate(request, context));
  ORCH_RETURN_IF_ERROR(validate(request, context));

  Json next = old;
  Json& meta = next["metadata"];
  const bool other_finalizers = set_propagation_finalizers(meta, params.propagation, orphaning.orphans);
  const int64_t* asked = params.grace_seconds ? &*params.grace_seconds : nullptr;
  int64_t grace = 0;
  if (current->deleting()) {
    // A second delete may only shorten the wait.
    const int64_t left = base::int_at(old, {"metadata", "deletionGracePeriodSeconds"});
    const bool shorten = asked != nullptr && *asked < left;
    grace = shorten ? std::max<int64_t>(0, *asked) : left;
    if (shorten) {
      auto began = base::parse_time(base::string_at(old, {"metadata", "deletionTimestamp"}));
      if (began.ok()) {
        meta["deletionTimestamp"] = base::format_time(*began - std::chrono::seconds(left - grace));
      }
      meta["deletionGracePeriodSeconds"] = grace;
    }
  } else {
    if (strategy.grace_seconds) grace = strategy.grace_seconds(old);
    // Less than 0: none of its own, but what is asked for is given.
    if (grace != 0 && asked != nullptr) grace = *asked;
    grace = std::max<int64_t>(0, grace);
    meta["deletionTimestamp"] = base::format_time(clock_.now() + std::chrono::seconds(grace));
    if (!deletes_by_update(r)) meta["deletionGracePeriodSeconds"] = grace;
    if (strategy.has_generation && !deletes_by_update(r))
      meta["generation"] = base::int_at(old, {"metadata", "generation"}) + 1;
    if (strategy.prepare_delete) {
      strategy.prepare_delete(
          next, {clock_.now(), context.user != nullptr ? context.user->name : std::string_view(), nullptr,
                 nullptr});
    }
  }
  const bool held =
      !base::array_at(next, {"metadata", "finalizers"}).empty() || (strategy.held && strategy.held(next));
  const bool goes = !held && grace == 0;
  if (!goes && next == old) return DeleteOutcome{false, current};
  if (context.dry_run) {
    // Kinds with grace periods, and objects that something holds, are written before they go.
    if (!held && !other_finalizers && !strategy.grace_seconds) return DeleteOutcome{goes, current};
    auto marked = api::Object::from_stored(with_managed_fields(api::to_stored(next), owners),
                                           current->revision(), r.selectable_fields);
    if (!marked.ok()) return marked.error();
    return DeleteOutcome{goes, std::move(*marked)};
  }

  std::string stored = goes ? std::string() : with_managed_fields(api::to_stored(next), owners);
  datastore::WriteResult written =
      store_.write_sync({goes ? datastore::Write::Type::kDelete : datastore::Write::Type::kPut,
                         r.key(ns, name), stored, current->revision()});
  if (written.outcome != datastore::Outcome::kOk) {
    if (written.outcome != datastore::Outcome::kConflict) return write_failure(written);
    if (written.current == 0) return not_found(r, name);
    attempt.lost_race = params.resource_version.empty();
    return conflict_status(r, name, kModifiedMessage);
  }
  if (goes) {
    if (const Hook* h = hook(r)) h->settle(nullptr, &old);
    ObjectPtr last = with_revision(*current, written.revision, r.selectable_fields);
    return DeleteOutcome{true, last != nullptr ? last : current};
  }
  auto object = committed(r, ns, name, stored, written.revision);
  if (!object.ok()) return object.error();
  return DeleteOutcome{false, *object};
}

}  // namespace orch::server
