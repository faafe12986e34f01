// FieldTracking: metadata.managedFields of what the registry writes. Finds types, versions and what each
// subresource resets; who owns what then is api/fieldmanager's business.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "api/fieldmanager/managed_fields.h"
#include "api/resources/resource.h"
#include "base/clock.h"
#include "base/json_fwd.h"
#include "base/status.h"

namespace orch::server {

/// The tree of an object with its managedFields.
Json whole_tree(const api::Object& object);
/// Takes metadata.managedFields out of a tree; null if there are none.
Json take_managed_fields(Json& tree);
/// The stored form with `managed_fields`, a JSON text or "", put into metadata.
std::string with_managed_fields(std::string stored, std::string_view managed_fields);
/// Whether two texts of managedFields say the same, times aside.
bool same_managed_fields(std::string_view a, std::string_view b);

/// Thread-safe.
class FieldTracking {
 public:
  FieldTracking(const api::Schema& schema, const api::ResourceTable& table, const base::Clock& clock)
      : schema_(schema), table_(table), clock_(clock) {}

  /// Which row a write came through, and which it is stored as.
  struct Place {
    const api::Resource& storage;
    const api::Resource& asked;
    std::string_view subresource = {};
  };

  /// The text of the managedFields after a create (`before` is null) or update of a stored tree, of which
  /// `after` has its defaults and is not normalised yet. `sent`: what the client said they are, or null.
  std::string update(const Place& place, const Json* before, const Json& after, const Json& sent,
                     std::string_view stored, std::string_view manager) const;

  struct Patch {
    const Json& tree;
    std::string_view manager;
    bool force = false;
  };
  /// Server-side apply: the stored tree that `patch` makes of `live` (null: of nothing), which has its
  /// managedFields, with its own. Errors as api::apply_fields.
  base::Result<Json> apply(const Place& place, const Json* live, const Patch& patch) const;

 private:
  struct Context;
  api::TypeRef type_of(const api::Resource& row) const;
  void fill(const Place& place, Context& out) const;
  const Json& empty_of(const api::Resource& row) const;

  const api::Schema& schema_;
  const api::ResourceTable& table_;
  const base::Clock& clock_;
  mutable std::mutex mutex_;
  /// By kind, of built-in rows: what Go has for an object that nobody wrote to.
  mutable std::map<std::string, std::unique_ptr<const Json>> empty_;  // under mutex_; entries stay
};

}  // namespace orch::server
