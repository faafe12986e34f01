// Registry::update: optimistic read-change-write.
#include "api/go_text.h"
#include "api/resources/object_meta.h"
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

/// Tries of an unconditional change before the client is told of the conflict.
constexpr int kMaxTries = 16;

constexpr auto kSent = api::schema::Empty::kSent;

void copy_member(const Json& from, Json& to, const char* key) {
  auto it = from.find(key);
  if (it == from.end()) {
    to.erase(key);
  } else {
    to[key] = *it;
  }
}

/// Keeps in `next` what no update may change.
void keep_system_metadata(const Json& old, Json& next) {
  Json& meta = next["metadata"];
  const Json& before = old["metadata"];
  for (const char* key : {"creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds",
                          "generation", "generateName", "selfLink"}) {
    copy_member(before, meta, key);
  }
  for (const char* key : {"name", "namespace", "uid"}) {
    if (base::string_at(meta, {key}).empty()) copy_member(before, meta, key);
  }
}

constexpr const char* kOwnMetadata[] = {"labels", "annotations", "finalizers", "ownerReferences"};

/// What a status write sends of the rest is not looked at. Metadata that belongs to whoever writes it is
/// taken of kinds that are not custom, as most of Kubernetes' strategies have it.
void keep_all_but_status(const Resource& r, const Json& old, Json& next) {
  Json kept = old;
  copy_member(next, kept, "status");
  if (!r.custom) {
    for (const char* key : kOwnMetadata) copy_member(next["metadata"], kept["metadata"], key);
  }
  copy_member(next["metadata"], kept["metadata"], "resourceVersion");
  next = std::move(kept);
}

bool spec_changed(const Json& old, const Json& next) {
  for (const auto& [key, value] : next.items()) {
    if (key == "metadata" || key == "status") continue;
    auto it = old.find(key);
    if (it == old.end() || *it != value) return true;
  }
  for (const auto& [key, value] : old.items()) {
    if (key != "metadata" && key != "status" && !next.contains(key)) return true;
  }
  return false;
}

/// Whether two objects have the same members, but for `left_out`; `same(key, a, b)` compares values.
template <typename Same>
bool equal_members(const Json& a, const Json& b, std::string_view left_out, const Same& same) {
  const auto& ours = a.get_ref<const Json::object_t&>();
  const auto& others = b.get_ref<const Json::object_t&>();
  auto other = others.begin();
  const auto pass = [&](auto& it, const auto& members) {
    if (!left_out.empty() && it != members.end() && it->first == left_out) ++it;
  };
  for (auto own = ours.begin();; ++own, ++other) {
    pass(own, ours);
    pass(other, others);
    if (own == ours.end() || other == others.end()) return own == ours.end() && other == others.end();
    if (own->first != other->first || !same(own->first, own->second, other->second)) return false;
  }
}

bool equal_but_revision(const Json& a, const Json& b) {
  const auto equal = [](const std::string&, const Json& x, const Json& y) { return x == y; };
  return equal_members(a, b, {}, [&](const std::string& key, const Json& x, const Json& y) {
    if (key != "metadata" || !x.is_object() || !y.is_object()) return x == y;
    return equal_members(x, y, "resourceVersion", equal);
  });
}

}  // namespace

Result<ObjectPtr> Registry::update(const Resource& r, std::string_view ns, std::string_view name,
                                   std::string_view subresource, const Change& change,
                                   const WriteContext& context) {
  for (int i = 0;; ++i) {
    const WatchCachePtr c = cache(r);
    ObjectPtr current = c != nullptr ? c->get(ns, name) : nullptr;
    if (current == nullptr) return not_found(r, name);
    Attempt attempt;
    auto result = update_once(r, subresource, current, change, context, attempt);
    if (!attempt.lost_race || i == kMaxTries) return result;
  }
}

Result<ObjectPtr> Registry::update_once(const Resource& r, std::string_view subresource,
                                        const ObjectPtr& current, const Change& change,
                                        const WriteContext& context, Attempt& attempt) {
  const api::Strategy& strategy = *r.strategy;
  const std::string ns(current->ns()), name(current->name());
  auto stored_tree = tree_of(r, *current, context.with_owners);
  if (!stored_tree.ok()) return stored_tree.error();
  Json old = std::move(*stored_tree);
  auto wanted = change(old);
  if (!wanted.ok()) return wanted.error();
  Json next = std::move(*wanted);
  // From here on owners travel apart from what they own.
  const Json old_owners = take_managed_fields(old);
  const std::string_view known_owners = api::raw_value(current->bytes(), {"metadata", "managedFields"});
  Json sent_owners = take_managed_fields(next);
  if (!context.applied && sent_owners == old_owners) sent_owners = Json();  // nothing new is said
  if (!next.is_object()) return Status(Code::kBadRequest, "the object is not a JSON object");
  if (!next["metadata"].is_object()) next["metadata"] = Json::object();

  const std::string version(base::string_at(next, {"metadata", "resourceVersion"}));
  const bool insisted = !version.empty() && version != "0";
  if (insisted && version.find_first_not_of("0123456789") != std::string::npos) {
    return Status(Code::kUnknown,
                  base::cat("strconv.ParseUint: parsing ", api::go_quote(version), ": invalid syntax"));
  }
  if (insisted && version != std::to_string(current->revision())) {
    return conflict_status(r, name, kModifiedMessage);
  }
  const std::string uid(base::string_at(next, {"metadata", "uid"}));
  if (!uid.empty() && uid != current->uid()) {
    return conflict_status(r, name,
                           base::cat("Precondition failed: UID in precondition: ", uid,
                                     ", UID in object meta: ", current->uid()));
  }
  keep_system_metadata(old, next);
  api::StrategyContext sc{clock_.now(), context.user != nullptr ? context.user->name : std::string_view(),
                          nullptr};
  const bool status_write = subresource == "status";
  const auto own = strategy.subresource_updates.find(subresource);
  const bool has_own = !status_write && own != strategy.subresource_updates.end();
  if (status_write) {
    keep_all_but_status(r, old, next);
  } else if (!has_own && !context.skip_validation && r.subresource("status") != nullptr) {
    copy_member(old, next, "status");  // the others know themselves what of it they may change
  }
  apply_defaults(schema_, r, next);
  std::string owners(known_owners);
  if (context.applied) {
    owners = sent_owners.is_null() ? std::string() : base::dump_json(sent_owners);
  } else if (context.manager) {
    const FieldTracking::Place place{r, context.asked != nullptr ? *context.asked : r, subresource};
    owners = tracking().update(place, &old, next, sent_owners, known_owners, *context.manager);
  }
  AdmissionRequest request =
      admission_request({r, subresource, AdmissionRequest::Operation::kUpdate, ns, name}, context);
  request.object = &next;
  request.old_object = &old;
  request.owners = &owners;
  request.old_owners = known_owners;
  ORCH_RETURN_IF_ERROR(mutate(request, context));
  if (request.changed_outside) {
    // Webhooks may change no more than clients.
    keep_system_metadata(old, next);
    if (status_write) {
      keep_all_but_status(r, old, next);
    } else if (!context.skip_validation && r.subresource("status") != nullptr) {
      copy_member(old, next, "status");
    }
  }
  if (!context.skip_admission) apply_defaults(schema_, r, next);  // else they are all there
  if (status_write) {
    // Now, after admission and after it was written down whose the sent metadata is.
    if (strategy.prepare_status_update) strategy.prepare_status_update(next, old, sc);
  } else if (has_own) {
    if (own->second.prepare) own->second.prepare(next, old, sc);
  } else if (subresource.empty() && strategy.prepare_update) {
    normalise(schema_, r, next, kSent);  // strategies compare it with what is stored
    strategy.prepare_update(next, old, sc);
  }
  Allocation allocation(subresource.empty() ? hook(r) : nullptr, &old, next);
  ORCH_RETURN_IF_ERROR(allocation.begin(context.dry_run));
  // What is stored is in normal form: so must be what is compared with it, or an empty string that a client
  // spells out would be a change. Of an empty list that is up to those who compare.
  normalise(schema_, r, next, kSent);
  finish_tree(next);

  api::FieldErrors errors;
  validate_namespace_grants(*this, r, next, &old, subresource, errors);
  api::validate_object_meta_update(next, old, r, errors);
  if (status_write) {
    if (strategy.validate_status_update) strategy.validate_status_update(next, old, errors);
  } else if (has_own) {
    if (own->second.validate) own->second.validate(next, old, errors);
  } else if (!context.skip_validation) {
    const api::Strategy& demands = demands_of(r, context);
    if (demands.validate_update) {
      demands.validate_update(next, old, errors);
    } else if (demands.validate) {
      demands.validate(next, errors);
    }
  }
  ORCH_RETURN_IF_ERROR(errors.to_status(r.group, r.kind, name));
  if (subresource.empty()) collect_warnings(strategy, next, &old, context);
  const bool counted = !status_write && strategy.has_generation;
  bool changed = counted && strategy.generation_changed && strategy.generation_changed(next, old);
  normalise(schema_, r, next);
  ORCH_RETURN_IF_ERROR(validate(request, context));

  if (counted && !strategy.generation_changed) changed = spec_changed(old, next);
  if (changed) next["metadata"]["generation"] = base::int_at(old, {"metadata", "generation"}) + 1;
  // That only the time of an owner's write changed is no change.
  if (equal_but_revision(next, old) && same_managed_fields(owners, known_owners) &&
      !(stale_ && stale_(r.key(ns, name)))) {
    return current;
  }
  const auto text = stored_text(r, next, owners);
  if (!text.ok()) return text.error();
  const std::string& stored = *text;
  if (context.dry_run) return api::Object::from_stored(stored, current->revision(), r.selectable_fields);
  // The last finalizer of an object under deletion was taken off: it goes now.
  const bool goes =
      current->deleting() && base::array_at(next, {"metadata", "finalizers"}).empty() &&
      base::int_at(next, {"metadata", "deletionGracePeriodSeconds"}) == 0 &&
      !(strategy.held && strategy.held(next)) &&
      (!base::array_at(old, {"metadata", "finalizers"}).empty() || (strategy.held && strategy.held(old)));
  datastore::Write write{goes ? datastore::Write::Type::kDelete : datastore::Write::Type::kPut,
                         r.key(ns, name), goes ? std::string() : stored, current->revision()};
  datastore::WriteResult written = store_.write_sync(std::move(write));
  if (written.outcome != datastore::Outcome::kOk) {
    if (written.outcome != datastore::Outcome::kConflict) return write_failure(written);
    attempt.lost_race = !insisted;
    if (written.current == 0) return not_found(r, name);
    return conflict_status(r, name, kModifiedMessage);
  }
  allocation.keep();
  if (goes) {
    if (const Hook* main = hook(r)) main->settle(nullptr, &old);
    return api::Object::from_stored(stored, written.revision, r.selectable_fields);
  }
  return committed(r, ns, name, stored, written.revision);
}

}  // namespace orch::server
