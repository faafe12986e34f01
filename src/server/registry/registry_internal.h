// Steps shared by the registry's create, update and delete; not for other folders.
#pragma once

#include <string_view>

#include "api/resources/resource.h"
#include "api/schema/defaults.h"
#include "base/json_fwd.h"
#include "base/status.h"
#include "datastore/store.h"
#include "server/registry/registry.h"

namespace orch::server {

/// One try of an optimistic write: whether it lost the race and may be tried again on fresh state.
struct Registry::Attempt {
  bool lost_race = false;
};

/// What a hook assigns in one write; given back unless the write is kept. `old` is null for a create; the
/// trees outlive it.
class Allocation {
 public:
  Allocation(const Registry::Hook* hook, const Json* old, Json& next) : hook_(hook), old_(old), next_(next) {}
  ~Allocation() {
    if (begun_) hook_->settle(kept_ ? &next_ : old_, kept_ ? old_ : &next_);
  }
  Allocation(const Allocation&) = delete;
  Allocation& operator=(const Allocation&) = delete;

  base::Status begin(bool dry_run) {
    if (hook_ == nullptr) return {};
    base::Status done = hook_->allocate(next_, old_, dry_run);
    begun_ = done.ok();
    return done;
  }
  /// The store has it.
  void keep() { kept_ = true; }

 private:
  const Registry::Hook* hook_;
  const Json* old_;
  Json& next_;
  bool begun_ = false, kept_ = false;
};

/// What validates: the same objects have stricter rules in another group (events.k8s.io).
const api::Strategy& demands_of(const api::Resource& r, const WriteContext& context);
/// Schema defaults, then the strategy's.
void apply_defaults(const api::Schema& schema, const api::Resource& r, Json& object);
/// Brings the tree to the shape Go's encoder would give it, or the one it has in Go's memory.
void normalise(const api::Schema& schema, const api::Resource& r, Json& object,
               api::schema::Empty empty = api::schema::Empty::kNull);
/// What a strategy cannot see: devices with admin access are only for namespaces that say so. `old` is null
/// for a create.
void validate_namespace_grants(const Registry& registry, const api::Resource& r, const Json& object,
                               const Json* old, std::string_view subresource, api::FieldErrors& errors);
/// Removes empty metadata maps and lists.
void finish_tree(Json& object);
void collect_warnings(const api::Strategy& strategy, const Json& object, const Json* old,
                      const WriteContext& context);
base::Status conflict_status(const api::Resource& r, std::string_view name, std::string_view why);
base::Status already_exists(const api::Resource& r, std::string_view name);
base::Status write_failure(const datastore::WriteResult& result);

inline constexpr std::string_view kModifiedMessage =
    "the object has been modified; please apply your changes to the latest version and try again";

}  // namespace orch::server
