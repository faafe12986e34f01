// Writes that say what the object is to be: create, update, patch.
#include <map>

#include "api/fieldmanager/ownership.h"
#include "base/json.h"

namespace orch::api {

using base::Result;
using base::Status;

std::optional<VersionedTree> in_version(const FieldContext& context, const Json& tree,
                                        std::string_view api_version) {
  if (api_version == context.api_version) return VersionedTree{context.type, tree};
  return context.convert ? context.convert(tree, api_version) : std::nullopt;
}

Result<FieldChanges> changes_of(const FieldContext& context, const Json& before, const Json& after) {
  auto changes = compare_fields(context.type, before, after);
  if (!changes.ok() || context.reset == nullptr) return changes;
  changes->added.take_below(*context.reset);
  changes->modified.take_below(*context.reset);
  changes->removed.take_below(*context.reset);
  return changes;
}

namespace {

/// The changes as the versions of the owners see them; nothing: that version is gone.
class Changes {
 public:
  Changes(const FieldContext& context, const Json& before, const Json& after, const FieldChanges& own)
      : context_(context), before_(before), after_(after), own_(own) {}

  Status status;
  const FieldChanges* in(const std::string& api_version) {
    if (api_version == context_.api_version) return &own_;
    auto [at, added] = others_.try_emplace(api_version);
    if (added) at->second = make(api_version);
    return at->second ? &*at->second : nullptr;
  }

 private:
  std::optional<FieldChanges> make(const std::string& api_version) {
    auto before = in_version(context_, before_, api_version);
    auto after = in_version(context_, after_, api_version);
    if (!before || !after) return std::nullopt;
    FieldContext other;
    other.type = before->type;
    other.reset = context_.reset;
    auto changes = changes_of(other, before->tree, after->tree);
    if (!changes.ok()) {
      status = changes.error();
      return std::nullopt;
    }
    return std::move(*changes);
  }

  const FieldContext& context_;
  const Json& before_;
  const Json& after_;
  const FieldChanges& own_;
  std::map<std::string, std::optional<FieldChanges>> others_;
};

}  // namespace

Status take_ownership(const FieldContext& context, const Json& before, const Json& after,
                      const FieldChanges& changes, ManagedEntries& entries, const ManagedEntry* writer,
                      bool force, ManagedEntries& conflicts) {
  Changes versions(context, before, after, changes);
  struct Loss {
    bool gone = false;  // its version is not served any more
    FieldSet changed;
    const FieldSet* removed = nullptr;
  };
  std::vector<Loss> losses(entries.size());
  for (size_t i = 0; i < entries.size(); ++i) {
    const ManagedEntry& entry = entries[i];
    if (writer != nullptr && entry.same_owner(*writer)) continue;
    const FieldChanges* seen = versions.in(entry.api_version);
    if (!versions.status.ok()) return versions.status;
    Loss& loss = losses[i];
    loss.gone = seen == nullptr;
    if (seen == nullptr) continue;
    loss.removed = &seen->removed;
    if (seen->modified.empty() && seen->added.empty()) continue;
    loss.changed = entry.set.intersected(seen->modified.united(seen->added));
    if (loss.changed.empty()) continue;
    conflicts.push_back(
        {entry.manager, entry.applied, entry.api_version, entry.subresource, entry.time, loss.changed});
  }
  if (!force && !conflicts.empty()) return {};
  for (size_t i = 0; i < entries.size(); ++i) {
    if (losses[i].gone) entries[i].set = FieldSet();
    entries[i].set.take(losses[i].changed);
    if (losses[i].removed != nullptr) entries[i].set.take(*losses[i].removed);
  }
  drop_empty(entries);
  return {};
}

const FieldSet& never_owned() {
  static const FieldSet never = [] {
    FieldSet set;
    set.insert({"f:apiVersion"});
    set.insert({"f:kind"});
    set.insert({"f:metadata"});
    for (const char* member : {"f:name", "f:namespace", "f:creationTimestamp", "f:selfLink", "f:uid",
                               "f:clusterName", "f:generation", "f:managedFields", "f:resourceVersion"}) {
      set.insert({"f:metadata", member});
    }
    return set;
  }();
  return never;
}

Result<FieldSet> track_changes(const FieldContext& context, const Json& before, const Json& after,
                               ManagedEntries& entries) {
  auto changes = changes_of(context, before, after);
  if (!changes.ok()) return changes.error();
  if (changes->none()) return FieldSet();
  ManagedEntries conflicts;
  ORCH_RETURN_IF_ERROR(take_ownership(context, before, after, *changes, entries, nullptr, true, conflicts));
  FieldSet own =
      changes->modified.empty() ? std::move(changes->added) : changes->modified.united(changes->added);
  own.take(never_owned());
  return own;
}

Status track(const FieldContext& context, const Json& before, const Json& after, ManagedEntries& entries,
             std::string_view manager) {
  auto own = track_changes(context, before, after, entries);
  if (!own.ok()) return own.error();
  if (!own->empty()) {
    ManagedEntry writer;
    writer.manager = manager.empty() ? "unknown" : manager;
    writer.api_version = context.api_version;
    writer.subresource = context.subresource;
    ManagedEntry* known = find_owner(entries, writer);
    if (known == nullptr) {
      entries.push_back(std::move(writer));
      known = &entries.back();
    }
    known->set = known->set.empty() ? std::move(*own) : own->united(known->set);
    known->time = context.now;
  }
  cap_update_managers(entries);
  return {};
}

std::string track_update(const FieldContext& context, const Json* before, const Json& after,
                         ManagedEntries known, std::string_view manager) {
  if (known.empty() && before != nullptr) return {};
  // Where fields cannot be told apart, Kubernetes rather has no owners than wrong ones.
  if (!track(context, before == nullptr ? *context.empty : *before, after, known, manager).ok()) return {};
  return managed_fields_json(std::move(known));
}

}  // namespace orch::api
