// FakeApi: a client::Client over objects in memory, for tests of what informers feed. Thread-safe.
#pragma once

#include <algorithm>
#include <map>
#include <mutex>
#include <string>
#include <tuple>
#include <vector>

#include "base/json.h"
#include "client/client.h"

namespace orch::tests {

class FakeApi : public client::Client {
 public:
  /// Creates or replaces; watchers hear of it before this returns.
  void put(const client::ResourceRef& r, Json object) {
    std::lock_guard lock(mutex_);
    object["metadata"]["resourceVersion"] = std::to_string(++revision_);
    auto made = api::Object::from_tree(object);
    if (!made.ok()) throw std::runtime_error(made.error().message());
    auto& slot = objects_[key(r, (*made)->ns(), (*made)->name())];
    const auto type = slot ? client::WatchEvent::Type::kModified : client::WatchEvent::Type::kAdded;
    slot = *made;
    tell(r, {type, *made, revision_});
  }
  void erase(const client::ResourceRef& r, std::string_view ns, std::string_view name) {
    std::lock_guard lock(mutex_);
    const auto it = objects_.find(key(r, ns, name));
    if (it == objects_.end()) return;
    const auto object = it->second;
    objects_.erase(it);
    tell(r, {client::WatchEvent::Type::kDeleted, object, ++revision_});
  }

  base::Result<api::ObjectPtr> get(const client::ResourceRef& r, std::string_view ns,
                                   std::string_view name) override {
    std::lock_guard lock(mutex_);
    const auto it = objects_.find(key(r, ns, name));
    if (it == objects_.end()) return base::Status(base::Code::kNotFound, "not found");
    return it->second;
  }
  base::Result<client::List> list(const client::ResourceRef& r, const client::ListOptions& options) override {
    std::lock_guard lock(mutex_);
    client::List out;
    out.revision = revision_;
    for (const auto& [k, object] : objects_) {
      if (std::get<0>(k) != r.plural || (!options.ns.empty() && std::get<1>(k) != options.ns)) continue;
      out.items.push_back(object);
    }
    return out;
  }
  base::Result<std::unique_ptr<client::Watch>> watch(const client::ResourceRef& r,
                                                     const client::ListOptions& /*o*/, int64_t /*revision*/,
                                                     client::WatchHandler handler) override {
    std::lock_guard lock(mutex_);
    watchers_.push_back({++last_id_, r, std::move(handler)});
    return std::unique_ptr<client::Watch>(std::make_unique<Ended>(*this, last_id_));
  }
  base::Result<api::ObjectPtr> create(const client::ResourceRef& /*r*/, std::string_view /*ns*/,
                                      const Json& /*object*/) override {
    return refused();
  }
  base::Result<api::ObjectPtr> update(const client::ResourceRef& /*r*/, std::string_view /*ns*/,
                                      const Json& /*object*/, std::string_view /*subresource*/) override {
    return refused();
  }
  base::Result<api::ObjectPtr> patch(const client::ResourceRef& /*r*/, std::string_view /*ns*/,
                                     std::string_view /*name*/, client::PatchType /*type*/,
                                     const Json& /*patch*/, std::string_view /*subresource*/) override {
    return refused();
  }
  /// At once, whatever finalizers there are.
  base::Status remove(const client::ResourceRef& r, std::string_view ns, std::string_view name,
                      const client::DeleteOptions& options) override {
    auto object = get(r, ns, name);
    if (!object.ok()) return object.error();
    const bool same = (options.uid.empty() || options.uid == (*object)->uid()) &&
                      (options.resource_version.empty() ||
                       options.resource_version == std::to_string((*object)->revision()));
    if (!same) return {base::Code::kConflict, "Precondition failed"};
    erase(r, ns, name);
    return {};
  }
  base::Result<Json> post(const client::ResourceRef& /*r*/, std::string_view /*ns*/,
                          std::string_view /*name*/, std::string_view /*subresource*/,
                          const Json& /*body*/) override {
    return refused();
  }

 private:
  using Key = std::tuple<std::string, std::string, std::string>;
  struct Watcher {
    int id;
    client::ResourceRef resource;
    client::WatchHandler handler;
  };
  class Ended final : public client::Watch {
   public:
    Ended(FakeApi& api, int id) : api_(api), id_(id) {}
    ~Ended() override {
      std::lock_guard lock(api_.mutex_);
      auto& all = api_.watchers_;
      all.erase(std::remove_if(all.begin(), all.end(), [this](const Watcher& w) { return w.id == id_; }),
                all.end());
    }

   private:
    FakeApi& api_;
    const int id_;
  };
  static base::Status refused() { return {base::Code::kMethodNotAllowed, "the fake only reads and deletes"}; }
  static Key key(const client::ResourceRef& r, std::string_view ns, std::string_view name) {
    return {r.plural, std::string(ns), std::string(name)};
  }
  void tell(const client::ResourceRef& r, const client::WatchEvent& event) {
    for (const auto& w : watchers_) {
      if (w.resource == r) w.handler.on_events({event});
    }
  }

  std::mutex mutex_;
  std::map<Key, api::ObjectPtr> objects_;
  std::vector<Watcher> watchers_;
  int64_t revision_ = 1;
  int last_id_ = 0;
};

}  // namespace orch::tests
