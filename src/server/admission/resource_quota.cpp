#include "server/admission/resource_quota.h"

#include <algorithm>
#include <map>
#include <mutex>
#include <optional>

#include "api/go_text.h"
#include "base/json.h"
#include "server/admission/quota_usage.h"
#include "server/admission/request.h"

namespace orch::server {
namespace {

constexpr int kMaxTries = 16;

/// One quota while a request is checked against it.
struct Account {
  Json tree;
  ResourceList hard, used;
};

/// What the request adds to one quota; nothing when the quota does not concern it.
using Charge = std::optional<ResourceList>;

ResourceList without_zeros(ResourceList list) {
  std::erase_if(list, [](const auto& entry) { return entry.second.is_zero(); });
  return list;
}

/// How much more `now` is than `before`, never less than nothing.
ResourceList growth(const ResourceList& now, const ResourceList& before) {
  ResourceList out;
  for (const auto& [name, quantity] : now) {
    const auto old = before.find(name);
    const api::Quantity delta = old == before.end() ? quantity : quantity - old->second;
    if (delta.sign() > 0) out[name] = delta;
  }
  return out;
}

class ResourceQuotaPlugin final : public AdmissionPlugin {
 public:
  ResourceQuotaPlugin(const Lookup& lookup, QuotaStatusWriter writer, const base::Clock& clock)
      : lookup_(lookup), writer_(std::move(writer)), clock_(clock) {}
  std::string_view name() const override { return "ResourceQuota"; }

  bool handles(const AdmissionRequest& r) const override {
    const bool create = r.operation == Operation::kCreate;
    if (r.ns.empty() || r.object == nullptr || (!create && r.operation != Operation::kUpdate)) return false;
    if (!r.resource->stored || r.resource->plural == "events" || is_resource(r, "", "namespaces"))
      return false;
    return quota::may_change_usage(kind_of(r), r.subresource, *r.object, create ? nullptr : r.old_object);
  }

  base::Status validate(const AdmissionRequest& r) override {
    if (lookup_.list("resourcequotas", r.ns).empty()) return {};
    const std::shared_ptr<Namespace> state = namespace_state(r.ns);
    const std::lock_guard lock(state->mutex);
    std::vector<std::string> pending;  // names of quotas not charged yet
    for (const api::ObjectPtr& q : current_quotas(r.ns, *state)) pending.emplace_back(q->name());
    base::Status last;
    for (int i = 0; i < kMaxTries && !pending.empty(); ++i) {
      std::vector<Account> accounts;
      for (const api::ObjectPtr& q : current_quotas(r.ns, *state)) {
        if (std::find(pending.begin(), pending.end(), q->name()) != pending.end())
          accounts.push_back(open(*q));
      }
      std::vector<Charge> charges;
      ORCH_RETURN_IF_ERROR(check(r, accounts, charges));
      if (r.dry_run) return {};
      pending.clear();
      for (size_t n = 0; n < accounts.size(); ++n) {
        if (!charges[n]) continue;
        base::Status status = write(accounts[n], *charges[n], *state);
        if (status.ok()) continue;
        if (status.code() != base::Code::kConflict) return status;
        last = std::move(status);
        pending.emplace_back(base::string_at(accounts[n].tree, {"metadata", "name"}));
      }
    }
    return pending.empty() ? base::Status() : last;
  }

 private:
  struct Namespace {
    std::mutex mutex;
    /// By name, what this plugin wrote last: the watch cache may be a moment behind. Under mutex.
    std::map<std::string, api::ObjectPtr, std::less<>> written;
  };

  static quota::Kind kind_of(const AdmissionRequest& r) { return {r.resource->group, r.resource->plural}; }

  std::shared_ptr<Namespace> namespace_state(const std::string& ns) {
    const std::lock_guard lock(mutex_);
    std::shared_ptr<Namespace>& state = namespaces_[ns];
    if (!state) state = std::make_shared<Namespace>();
    return state;
  }

  std::vector<api::ObjectPtr> current_quotas(std::string_view ns, Namespace& state) const {
    std::vector<api::ObjectPtr> quotas = lookup_.list("resourcequotas", ns);
    std::map<std::string, api::ObjectPtr, std::less<>> kept;
    for (api::ObjectPtr& q : quotas) {
      const auto own = state.written.find(q->name());
      if (own == state.written.end() || own->second->uid() != q->uid()) continue;
      if (own->second->revision() > q->revision()) {
        q = own->second;
        kept.emplace(q->name(), q);
      }
    }
    state.written = std::move(kept);
    return quotas;
  }

  Account open(const api::Object& object) const {
    Account a;
    a.tree = object.tree();
    // A quota just made or changed: count now instead of refusing until somebody else has.
    if (resource_list(base::object_at(a.tree, {"status", "hard"})) !=
            resource_list(base::object_at(a.tree, {"spec", "hard"})) ||
        base::object_at(a.tree, {"status", "used"}).empty()) {
      a.tree["status"] = quota::recount(a.tree, lookup_, clock_.now());
    }
    a.hard = resource_list(base::object_at(a.tree, {"status", "hard"}));
    a.used = resource_list(base::object_at(a.tree, {"status", "used"}));
    return a;
  }

  /// Refuses, or says what to add to each account.
  base::Status check(const AdmissionRequest& r, const std::vector<Account>& accounts,
                     std::vector<Charge>& charges) const {
    const quota::Kind kind = kind_of(r);
    const base::WallTime now = clock_.now();
    const ResourceList usage = quota::usage(kind, *r.object, now);
    std::vector<std::string> negative;
    for (const auto& [name, quantity] : usage) {
      if (quantity.sign() < 0) negative.push_back(name);
    }
    charges.assign(accounts.size(), std::nullopt);
    for (size_t i = 0; i < accounts.size(); ++i) {
      const Account& a = accounts[i];
      const std::string_view name = base::string_at(a.tree, {"metadata", "name"});
      const std::vector<std::string> names = quota::matching(kind, a.hard);
      if (names.empty() || !quota::in_scopes(kind, a.tree, *r.object)) continue;
      if (const std::string text = quota::missing_requirements(kind, names, *r.object); !text.empty()) {
        return refuse(r, base::cat("failed quota: ", name, ": ", text));
      }
      const bool counted =
          std::all_of(names.begin(), names.end(), [&](const auto& n) { return a.used.contains(n); });
      if (!counted) {
        return refuse(r,
                      base::cat("status unknown for quota: ", name, ", resources: ", api::join(names, ",")));
      }
      if (!negative.empty()) {
        return refuse(r, base::cat("quota usage is negative for resource(s): ", api::join(negative, ",")));
      }
      ResourceList delta = usage;
      if (r.old_object != nullptr && quota::in_scopes(kind, a.tree, *r.old_object)) {
        delta = growth(usage, quota::usage(kind, *r.old_object, now));
      }
      delta = without_zeros(std::move(delta));
      std::erase_if(delta, [&](const auto& entry) { return !a.hard.contains(entry.first); });
      if (delta.empty()) continue;
      ORCH_RETURN_IF_ERROR(check_limits(r, a, name, delta));
      charges[i] = std::move(delta);
    }
    return {};
  }

  static base::Status check_limits(const AdmissionRequest& r, const Account& a, std::string_view name,
                                   const ResourceList& delta) {
    if (r.subresource == "status") return {};  // already granted
    ResourceList requested, used, limited;
    for (const auto& [resource, quantity] : delta) {
      const auto old = a.used.find(resource);
      const api::Quantity before = old == a.used.end() ? api::Quantity() : old->second;
      const api::Quantity& limit = a.hard.at(resource);
      if (before + quantity <= limit) continue;
      requested[resource] = quantity;
      used[resource] = before;
      limited[resource] = limit;
    }
    if (requested.empty()) return {};
    return refuse(r, base::cat("exceeded quota: ", name, ", requested: ", quota::text(requested),
                               ", used: ", quota::text(used), ", limited: ", quota::text(limited)));
  }

  base::Status write(Account& a, const ResourceList& charge, Namespace& state) const {
    add_resources(a.used, charge);
    for (const auto& [name, quantity] : a.used) a.tree["status"]["used"][name] = quantity.text();
    base::Result<api::ObjectPtr> stored = writer_(a.tree);
    if (!stored.ok()) {
      // Deleted meanwhile: nothing limits any more.
      return stored.error().code() == base::Code::kNotFound ? base::Status() : stored.error();
    }
    state.written[std::string((*stored)->name())] = *stored;
    return {};
  }

  const Lookup& lookup_;
  const QuotaStatusWriter writer_;
  const base::Clock& clock_;
  std::mutex mutex_;
  std::map<std::string, std::shared_ptr<Namespace>> namespaces_;  // under mutex_
};

}  // namespace

std::unique_ptr<AdmissionPlugin> make_resource_quota(const Lookup& lookup, QuotaStatusWriter writer,
                                                     const base::Clock& clock) {
  return std::make_unique<ResourceQuotaPlugin>(lookup, std::move(writer), clock);
}

}  // namespace orch::server
