// Server-side apply: a partial object merged into the live one by who owns what.
#include <algorithm>
#include <map>

#include "api/fieldmanager/ownership.h"
#include "api/go_text.h"
#include "api/object.h"
#include "base/json.h"

namespace orch::api {

using base::Code;
using base::Result;
using base::Status;

namespace {

constexpr std::string_view kBeforeFirstApply = "before-first-apply";
/// The one manager that client-side apply is taken over by, and that its annotation is kept right for.
constexpr std::string_view kKubectl = "kubectl";
constexpr const char* kLastApplied = "kubectl.kubernetes.io/last-applied-configuration";
constexpr size_t kMaxAnnotations = 256 * 1024;

std::string kind_text(std::string_view api_version, std::string_view kind) {
  const auto [group, version] = split_api_version(api_version);
  return base::cat(group, "/", version, ", Kind=", kind);
}

/// An object as errors name it.
std::string object_text(const Json& tree) {
  return base::cat(base::string_at(tree, {"metadata", "namespace"}), "/",
                   base::string_at(tree, {"metadata", "name"}), "; ",
                   kind_text(base::string_at(tree, {"apiVersion"}), base::string_at(tree, {"kind"})));
}

/// What the apply has made, before ownership is written down.
struct Merged {
  std::optional<Json> object;  // nothing: as it was
  ManagedEntries entries;
  /// Of owners that the apply would take fields from.
  ManagedEntries conflicts;
};

/// A tree that fields have to be given back to, in one version.
class Pruner {
 public:
  Pruner(const FieldContext& context, const Json& merged) : context_(context), merged_(merged) {}

  /// Takes away what `last` had and nobody of `entries`, who is of this or another version, has now.
  /// Nothing: the version of `last` is gone, so nothing is taken away.
  std::optional<Json> prune(const ManagedEntry& last, const ManagedEntries& entries) {
    auto merged = in_version(context_, merged_, last.api_version);
    if (!merged) return merged_;
    const TypeRef type = merged->type;
    const FieldSet last_named = with_named_fields(type, last.set);
    Json pruned = remove_fields(type, merged->tree, last_named);
    std::map<std::string, FieldSet> owned;
    for (const ManagedEntry& entry : entries) {
      FieldSet& set = owned[entry.api_version];
      set = set.united(entry.set);
    }
    // The version of the objects at hand comes first: what it lacks others may not be convertible without.
    const auto own = owned.find(last.api_version);
    if (own != owned.end()) {
      pruned = give_back(type, merged->tree, pruned, own->second);
      owned.erase(own);
    }
    for (const auto& [version, set] : owned) {
      auto whole = convert(merged->tree, last.api_version, version);
      auto less = convert(pruned, last.api_version, version);
      if (!whole || !less) continue;
      auto back = convert(give_back(whole->type, whole->tree, less->tree, set), version, last.api_version);
      if (back) pruned = std::move(back->tree);
    }
    const FieldSet pruned_fields = with_named_fields(type, field_set_of(type, pruned));
    const FieldSet merged_fields = with_named_fields(type, field_set_of(type, merged->tree));
    const FieldSet gone = merged_fields.without(pruned_fields).intersected(last_named);
    auto out = convert(remove_fields(type, merged->tree, gone), last.api_version, context_.api_version);
    return out ? std::move(out->tree) : std::optional<Json>();
  }

 private:
  std::optional<VersionedTree> convert(const Json& tree, std::string_view from, std::string_view to) const {
    if (from == to) return VersionedTree{in_version(context_, merged_, to)->type, tree};
    return context_.convert(tree, to);
  }

  /// The whole tree without what neither the lesser tree nor the owners have.
  static Json give_back(const TypeRef& type, const Json& whole, const Json& less, const FieldSet& owned) {
    const FieldSet all = with_named_fields(type, field_set_of(type, whole));
    const FieldSet kept = with_named_fields(type, field_set_of(type, less));
    return remove_fields(type, whole, all.without(kept.united(with_named_fields(type, owned))));
  }

  const FieldContext& context_;
  const Json& merged_;
};

Result<Merged> merge_applied(const FieldContext& context, const Json& live, ManagedEntries entries,
                             const Json& patch, const ManagedEntry& applier, bool force) {
  auto merged = merge_fields(context.type, live, patch);
  if (!merged.ok()) return merged.error().with_context("failed to merge config");
  FieldSet set = field_set_of(context.type, patch);
  if (context.reset != nullptr) set.take_below(*context.reset);
  std::optional<ManagedEntry> last;
  if (ManagedEntry* known = find_owner(entries, applier)) {
    last = *known;
    known->api_version = context.api_version;
    known->set = std::move(set);
  } else {
    entries.push_back(applier);
    entries.back().set = std::move(set);
  }
  Json object = std::move(*merged);
  if (last && !last->set.empty()) {
    auto pruned = Pruner(context, object).prune(*last, entries);
    if (!pruned) return Status(Code::kUnknown, "failed to prune fields: the version cannot be converted");
    object = std::move(*pruned);
  }
  auto changes = changes_of(context, live, object);
  if (!changes.ok()) return changes.error();
  Merged out;
  ORCH_RETURN_IF_ERROR(
      take_ownership(context, live, object, *changes, entries, &applier, force, out.conflicts));
  if (!force && !out.conflicts.empty()) return out;
  out.conflicts.clear();
  drop_empty(entries);
  out.entries = std::move(entries);
  if (object != live) out.object = std::move(object);
  return out;
}

std::string owner_text(const ManagedEntry& owner) {
  std::string out = go_quote(owner.manager);
  if (!owner.subresource.empty()) out += base::cat(" with subresource ", go_quote(owner.subresource));
  if (!owner.applied) out += base::cat(" using ", owner.api_version);
  return out;
}

std::string path_text(const std::vector<std::string>& path) {
  std::string out;
  for (const std::string& element : path) out += element_text(element);
  return out;
}

Status conflict_status(ManagedEntries conflicts) {
  std::sort(conflicts.begin(), conflicts.end(),
            [](const ManagedEntry& a, const ManagedEntry& b) { return a.identifier() < b.identifier(); });
  base::StatusDetails details;
  std::string lines;
  for (const ManagedEntry& owner : conflicts) {
    const std::string who = owner_text(owner);
    lines += base::cat(lines.empty() ? "" : "\n", "conflicts with ", who, ":");
    for (const auto& path : owner.set.paths()) {
      const std::string field = path_text(path);
      lines += base::cat("\n- ", field);
      details.causes.push_back({"FieldManagerConflict", base::cat("conflict with ", who), field});
    }
  }
  const size_t count = details.causes.size();
  std::string message = count == 1 ? base::cat("Apply failed with 1 conflict: ", details.causes[0].message,
                                               ": ", details.causes[0].field)
                                   : base::cat("Apply failed with ", count, " conflicts: ", lines);
  return {Code::kConflict, std::move(message), std::move(details)};
}

std::string_view last_applied(const Json& object) {
  return base::string_at(object, {"metadata", "annotations", kLastApplied});
}

/// What client-side apply set and nobody changed since: kubectl may go on with it as its own.
std::optional<FieldSet> set_by_client_side_apply(const FieldContext& context, const Json& live) {
  const std::string_view text = last_applied(live);
  if (text.empty()) return std::nullopt;
  auto applied = base::parse_json(text);
  if (!applied.ok() || base::string_at(*applied, {"apiVersion"}) != context.api_version) return std::nullopt;
  if (!check_type(context.type, live, false).empty() || !check_type(context.type, *applied, false).empty())
    return std::nullopt;
  auto changes = compare_fields(context.type, *applied, live);
  if (!changes.ok()) return std::nullopt;
  return field_set_of(context.type, *applied)
      .without(changes->modified)
      .without(changes->added)
      .without(changes->removed);
}

/// Whether all that conflicts may be taken; otherwise `conflicts` are left with what may not.
bool may_take(const FieldContext& context, const Json& live, ManagedEntries& conflicts) {
  const auto allowed = set_by_client_side_apply(context, live);
  if (!allowed) return false;
  for (ManagedEntry& conflict : conflicts) conflict.set = conflict.set.without(*allowed);
  drop_empty(conflicts);
  return conflicts.empty();
}

/// Keeps the annotation of client-side apply, if there is one, at what is applied.
void update_last_applied(Json& object, Json patch) {
  if (last_applied(object).empty()) return;
  if (patch["metadata"].is_object() && patch["metadata"].contains("annotations"))
    patch["metadata"]["annotations"].erase(kLastApplied);
  Json& annotations = object["metadata"]["annotations"];
  annotations[kLastApplied] = go_json(patch) + "\n";
  size_t size = 0;
  for (const auto& [key, value] : annotations.items())
    size += key.size() + (value.is_string() ? value.get_ref<const std::string&>().size() : 0);
  if (size > kMaxAnnotations) annotations.erase(kLastApplied);
}

Status check_kind(const FieldContext& context, const Json& patch) {
  const std::string_view version = base::string_at(patch, {"apiVersion"});
  const std::string_view kind = base::string_at(patch, {"kind"});
  if (version == context.api_version && kind == context.kind) return {};
  return {Code::kBadRequest, base::cat("invalid object type: ", kind_text(version, kind))};
}

Status check_fields(const FieldContext& context, const Json& tree, bool live) {
  const auto wrong = check_type(context.type, tree, live);
  if (wrong.empty()) return {};
  return {Code::kUnknown, base::cat("failed to create typed ", live ? "live" : "patch", " object (",
                                    object_text(tree), "): ", join_type_errors(wrong))};
}

/// What is there already is somebody's.
Status own_existing(const FieldContext& context, const Json& live, ManagedEntries& entries) {
  if (const auto wrong = check_type(context.type, live, true); !wrong.empty()) {
    return {Code::kUnknown,
            base::cat("failed to create manager for existing fields: failed to convert new object (",
                      object_text(live), ") to smd typed: ", join_type_errors(wrong))};
  }
  Status status = track(context, *context.empty, live, entries, kBeforeFirstApply);
  return status.ok() ? status : status.with_context("failed to create manager for existing fields");
}

}  // namespace

Result<Applied> apply_fields(const FieldContext& context, const Json* current, std::string_view stored,
                             const Json& patch, std::string_view manager, bool force) {
  const Json& live = current == nullptr ? *context.empty : *current;
  auto entries = parse_managed_fields(stored);
  if (!entries.ok()) return entries.error().with_context("failed to decode managed fields");
  ORCH_RETURN_IF_ERROR(check_kind(context, patch));
  if (entries->empty()) ORCH_RETURN_IF_ERROR(own_existing(context, live, *entries));
  const Json* managed = base::find_path(patch, {"metadata", "managedFields"});
  if (managed != nullptr && managed->is_array())
    return Status(Code::kBadRequest, "metadata.managedFields must be nil");
  ORCH_RETURN_IF_ERROR(check_fields(context, patch, false));
  ORCH_RETURN_IF_ERROR(check_fields(context, live, true));
  ManagedEntry applier;
  applier.manager = manager;
  applier.applied = true;
  applier.api_version = context.api_version;
  applier.subresource = context.subresource;
  auto merged = merge_applied(context, live, *entries, patch, applier, force);
  if (merged.ok() && !merged->conflicts.empty()) {
    if (manager != kKubectl || !may_take(context, live, merged->conflicts))
      return conflict_status(std::move(merged->conflicts));
    merged = merge_applied(context, live, std::move(*entries), patch, applier, true);
  }
  if (!merged.ok()) return merged.error();
  if (ManagedEntry* own = find_owner(merged->entries, applier)) {
    own->set.take(never_owned());
    if (merged->object) own->time = context.now;
    drop_empty(merged->entries);
  }
  Applied out;
  if (merged->object) {
    out.object = std::move(*merged->object);
  } else {
    out.object = live;
  }
  if (manager == kKubectl) update_last_applied(out.object, patch);
  out.managed_fields = managed_fields_json(std::move(merged->entries));
  return out;
}

}  // namespace orch::api
