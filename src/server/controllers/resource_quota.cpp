#include "server/controllers/resource_quota.h"

#include <algorithm>
#include <map>
#include <memory>
#include <mutex>

#include "api/meta.h"
#include "api/scan.h"
#include "base/json.h"
#include "server/admission/quota_usage.h"
#include "server/controllers/pods.h"

namespace orch::server {
namespace {

const client::ResourceRef kQuotas{"", "v1", "resourcequotas"};
constexpr std::chrono::seconds kQuiet{1};
/// Kinds without an informer of ours are counted again after this long; only quotas that name one need it.
constexpr std::chrono::seconds kRecountOthers{30};

const std::vector<client::ResourceRef>& watched() {
  static const std::vector<client::ResourceRef> watched_kinds = {kPods, kServices, kClaims, kConfigMaps,
                                                                 kSecrets};
  return watched_kinds;
}

std::string group_resource(const client::ResourceRef& r) {
  return r.group.empty() ? r.plural : base::cat(r.plural, ".", r.group);
}

Keys quotas_of(std::string_view ns, const View& view) {
  Keys keys;
  for (const api::ObjectPtr& quota : view.list(kQuotas, ns)) {
    keys.push_back({std::string(ns), std::string(quota->name())});
  }
  return keys;
}

bool ended(const api::Object& pod) {
  const std::string_view bytes = pod.bytes();
  return api::mentions(bytes, "\"phase\":\"Succeeded\"") || api::mentions(bytes, "\"phase\":\"Failed\"");
}

/// Something was given back: an object is gone, or a pod ended.
Keys given_back(const api::ObjectPtr& before, const api::ObjectPtr& after, const View& view) {
  if (!before) return {};
  if (after && (ended(*before) || !ended(*after))) return {};
  return quotas_of(before->ns(), view);
}

/// Services change type, claims are granted sizes.
Keys changed(const api::ObjectPtr& before, const api::ObjectPtr&, const View& view) {
  return before ? quotas_of(before->ns(), view) : Keys();
}

/// Also after a charge: should its write have failed, counting takes the charge back.
Keys any_change(const api::ObjectPtr&, const api::ObjectPtr& after, const View&) {
  if (!after) return {};
  return {Key{std::string(after->ns()), std::string(after->name())}};
}

/// Reads through informers where there is one, else through the client.
class ClientLookup final : public Lookup {
 public:
  ClientLookup(client::Client& client, const View& view, const std::vector<client::ResourceRef>& kinds)
      : client_(client), view_(view), kinds_(kinds) {}
  api::ObjectPtr get(std::string_view, std::string_view, std::string_view) const override { return nullptr; }
  std::vector<api::ObjectPtr> list(std::string_view resource, std::string_view ns) const override {
    for (const client::ResourceRef& r : watched()) {
      if (r.plural == resource) return view_.list(r, ns);
    }
    for (const client::ResourceRef& r : kinds_) {
      if (group_resource(r) != resource) continue;
      used_client_ = true;
      base::Result<client::List> list = client_.list(r, {std::string(ns), "", ""});
      if (list.ok()) return std::move(list->items);
      error_ = list.error();
    }
    return {};
  }
  bool used_client() const { return used_client_; }
  const base::Status& error() const { return error_; }

 private:
  client::Client& client_;
  const View& view_;
  const std::vector<client::ResourceRef>& kinds_;
  mutable bool used_client_ = false;
  mutable base::Status error_;
};

/// Since when a quota has had its revision.
class Stillness {
 public:
  base::Duration since(const api::Object& quota, base::WallTime now) {
    const std::lock_guard lock(mutex_);
    Seen& seen = seen_[std::string(quota.uid())];
    if (seen.revision != quota.revision() || seen.at > now) seen = {quota.revision(), now};
    return now - seen.at;
  }
  void forget(std::string_view uid) {
    const std::lock_guard lock(mutex_);
    seen_.erase(std::string(uid));
  }

 private:
  struct Seen {
    int64_t revision = -1;
    base::WallTime at;
  };
  std::mutex mutex_;
  std::map<std::string, Seen> seen_;  // under mutex_
};

base::Result<Plan> recount(client::Client& client, const View& view, const Key& key, base::WallTime now,
                           const std::vector<client::ResourceRef>& kinds, Stillness& stillness) {
  Plan plan;
  const api::ObjectPtr object = view.get(kQuotas, key.ns, key.name);
  if (!object || object->deleting()) return plan;
  Json quota = object->tree();
  const Json& status = base::object_at(quota, {"status"});
  const bool counted = resource_list(base::object_at(status, {"hard"})) ==
                           resource_list(base::object_at(quota, {"spec", "hard"})) &&
                       !base::object_at(status, {"used"}).empty();
  if (counted) {
    const base::Duration still = stillness.since(*object, now);
    if (still < kQuiet) return plan.again_after(kQuiet - still);
  }
  stillness.forget(object->uid());
  const ClientLookup lookup(client, view, kinds);
  Json fresh = quota::recount(quota, lookup, now);
  if (!lookup.error().ok()) return lookup.error();
  if (lookup.used_client()) plan.again_after(kRecountOthers);
  if (counted && resource_list(fresh["used"]) == resource_list(base::object_at(status, {"used"})))
    return plan;
  quota["status"] = std::move(fresh);
  plan.update(kQuotas, std::move(quota), "status");
  return plan;
}

}  // namespace

Controller make_resource_quota_controller(KindList namespaced) {
  Controller c;
  c.name = "resourcequota-controller";
  c.queue = "resourcequota_primary";
  c.sources = {{kQuotas, any_change, {}}};
  for (const client::ResourceRef& r : watched()) {
    const bool by_content = r == kServices || r == kClaims;
    c.sources.push_back({r, by_content ? changed : given_back, {}});
  }
  c.observe_and_plan = [namespaced = std::move(namespaced), stillness = std::make_shared<Stillness>()](
                           client::Client& client, const View& view, const Key& key, base::WallTime now) {
    return recount(client, view, key, now, namespaced(), *stillness);
  };
  return c;
}

}  // namespace orch::server
