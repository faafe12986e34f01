// Steps that tracking and applying share; not for other folders.
#pragma once

#include <string_view>

#include "api/fieldmanager/managed_fields.h"

namespace orch::api {

ManagedEntry* find_owner(ManagedEntries& entries, const ManagedEntry& owner);
void drop_empty(ManagedEntries& entries);
/// At most ten owners by update; the oldest are put together.
void cap_update_managers(ManagedEntries& entries);

/// Takes from all but `writer` what the write changed or removed. kConflict is not an answer here: the owners
/// that lost fields they had, with those, are put into `conflicts`, and nothing is changed when there are any
/// and it is not forced. Owners in versions that are not served any more are dropped. `changes` is how
/// the trees differ in the context's version, what is reset left out.
base::Status take_ownership(const FieldContext& context, const Json& before, const Json& after,
                            const FieldChanges& changes, ManagedEntries& entries, const ManagedEntry* writer,
                            bool force, ManagedEntries& conflicts);

/// How the trees differ, what is reset left out.
base::Result<FieldChanges> changes_of(const FieldContext& context, const Json& before, const Json& after);
/// A write by an update, apart from its time and manager: what `entries` become, and what the write itself
/// owns, without the fields of metadata that nobody owns.
base::Result<FieldSet> track_changes(const FieldContext& context, const Json& before, const Json& after,
                                     ManagedEntries& entries);
/// apiVersion, kind and what the server keeps in metadata.
const FieldSet& never_owned();

/// track_update() without choosing: false if the fields cannot be told apart.
base::Status track(const FieldContext& context, const Json& before, const Json& after,
                   ManagedEntries& entries, std::string_view manager);

/// The tree in another version; the same where that is its own, nothing if it is not served.
std::optional<VersionedTree> in_version(const FieldContext& context, const Json& tree,
                                        std::string_view api_version);

}  // namespace orch::api
