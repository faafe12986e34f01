// A client over objects in memory: enough of an API for a node. Watches deliver on the writer's thread.
#pragma once

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/json.h"
#include "client/client.h"

namespace orch::testing {

using client::ResourceRef;

class FakeClient final : public client::Client {
 public:
  /// Set before use: what post() answers in place of a token that never ends.
  std::function<base::Result<Json>(std::string_view name, std::string_view subresource, const Json& body)>
      answer_post;

  base::Result<api::ObjectPtr> get(const ResourceRef& r, std::string_view ns,
                                   std::string_view name) override {
    std::lock_guard lock(mutex_);
    if (away_) return unreachable();
    const auto it = objects_.find(key(r.plural, ns, name));
    if (it == objects_.end()) return missing(r, name);
    return it->second;
  }

  base::Result<client::List> list(const ResourceRef& r, const client::ListOptions& o) override {
    std::lock_guard lock(mutex_);
    if (away_) return unreachable();
    client::List out;
    out.revision = revision_;
    for (const auto& [k, object] : objects_) {
      if (k.rfind(r.plural + "|", 0) == 0 && selected(*object, o)) out.items.push_back(object);
    }
    return out;
  }

  base::Result<api::ObjectPtr> create(const ResourceRef& r, std::string_view ns,
                                      const Json& object) override {
    Json tree = object;
    tree["metadata"]["namespace"] = ns;
    if (ns.empty()) tree["metadata"].erase("namespace");
    std::unique_lock lock(mutex_);
    if (!tree["metadata"].contains("uid")) tree["metadata"]["uid"] = "uid-" + std::to_string(++uids_);
    if (away_) return unreachable();
    const std::string k = key(r.plural, ns, tree["metadata"]["name"].get<std::string>());
    if (objects_.count(k) != 0) return base::Status(base::Code::kAlreadyExists, "already exists");
    return store(r, k, std::move(tree), client::WatchEvent::Type::kAdded);
  }

  base::Result<api::ObjectPtr> update(const ResourceRef& r, std::string_view ns, const Json& object,
                                      std::string_view) override {
    std::unique_lock lock(mutex_);
    if (away_) return unreachable();
    const std::string k = key(r.plural, ns, base::string_at(object, {"metadata", "name"}));
    if (objects_.count(k) == 0) return missing(r, base::string_at(object, {"metadata", "name"}));
    return store(r, k, object, client::WatchEvent::Type::kModified);
  }

  base::Result<api::ObjectPtr> patch(const ResourceRef& r, std::string_view ns, std::string_view name,
                                     client::PatchType, const Json& patch, std::string_view) override {
    std::unique_lock lock(mutex_);
    ++patches_;
    if (away_) return unreachable();
    const std::string k = key(r.plural, ns, name);
    const auto it = objects_.find(k);
    if (it == objects_.end()) return missing(r, name);
    Json tree = it->second->tree();
    const Json before = tree;
    merge(tree, patch);
    if (tree == before) return it->second;
    return store(r, k, std::move(tree), client::WatchEvent::Type::kModified);
  }

  base::Status remove(const ResourceRef& r, std::string_view ns, std::string_view name,
                      const client::DeleteOptions& o) override {
    std::unique_lock lock(mutex_);
    if (away_) return unreachable();
    const std::string k = key(r.plural, ns, name);
    const auto it = objects_.find(k);
    if (it == objects_.end()) return missing(r, name);
    if (r.plural == "pods" && o.grace_seconds != 0) {
      Json tree = it->second->tree();
      const int64_t grace = o.grace_seconds > 0
                                ? o.grace_seconds
                                : base::int_at(tree, {"spec", "terminationGracePeriodSeconds"}, 30);
      tree["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z";
      tree["metadata"]["deletionGracePeriodSeconds"] = grace;
      return store(r, k, std::move(tree), client::WatchEvent::Type::kModified).status();
    }
    const api::ObjectPtr gone = it->second;
    objects_.erase(it);
    deliver(r, gone, client::WatchEvent::Type::kDeleted);
    return {};
  }

  base::Result<Json> post(const ResourceRef&, std::string_view, std::string_view name,
                          std::string_view subresource, const Json& body) override {
    if (answer_post) return answer_post(name, subresource, body);
    if (subresource == "token") {
      return Json{
          {"status",
           {{"token", "token-of-" + std::string(name)}, {"expirationTimestamp", "2099-01-01T00:00:00Z"}}}};
    }
    return base::Status(base::Code::kNotFound, "no such subresource");
  }

  base::Result<std::unique_ptr<client::Watch>> watch(const ResourceRef& r, const client::ListOptions& o,
                                                     int64_t, client::WatchHandler handler) override {
    std::lock_guard lock(mutex_);
    if (away_) return unreachable();
    const uint64_t id = ++watches_;
    watchers_[id] = {r.plural, o, std::move(handler)};
    return std::unique_ptr<client::Watch>(new Handle(*this, id));
  }

  /// Whether every call fails as if the server could not be reached.
  void set_away(bool away) {
    std::lock_guard lock(mutex_);
    away_ = away;
  }
  int patches() const { return patches_; }
  Json tree(const std::string& plural, std::string_view ns, std::string_view name) {
    std::lock_guard lock(mutex_);
    const auto it = objects_.find(key(plural, ns, name));
    return it == objects_.end() ? Json() : it->second->tree();
  }
  std::vector<Json> all(const std::string& plural) {
    std::lock_guard lock(mutex_);
    std::vector<Json> out;
    for (const auto& [k, object] : objects_) {
      if (k.rfind(plural + "|", 0) == 0) out.push_back(object->tree());
    }
    return out;
  }

 private:
  struct Watcher {
    std::string plural;
    client::ListOptions options;
    client::WatchHandler handler;
  };
  struct Handle final : client::Watch {
    Handle(FakeClient& c, uint64_t i) : owner(c), id(i) {}
    ~Handle() override {
      std::lock_guard lock(owner.mutex_);
      owner.watchers_.erase(id);
    }
    FakeClient& owner;
    uint64_t id;
  };

  static std::string key(std::string_view plural, std::string_view ns, std::string_view name) {
    return base::cat(plural, "|", ns, "|", name);
  }
  static base::Status unreachable() { return {base::Code::kServiceUnavailable, "connection refused"}; }
  static base::Status missing(const ResourceRef& r, std::string_view name) {
    return {base::Code::kNotFound, base::cat(r.plural, " \"", name, "\" not found")};
  }
  static bool selected(const api::Object& object, const client::ListOptions& o) {
    if (!o.ns.empty() && object.ns() != o.ns) return false;
    const std::string& f = o.field_selector;
    if (f.rfind("metadata.name=", 0) == 0) return object.name() == f.substr(14);
    if (f.rfind("spec.nodeName=", 0) == 0) {
      return base::string_at(object.tree(), {"spec", "nodeName"}) == f.substr(14);
    }
    return true;
  }
  static void merge(Json& into, const Json& patch) {
    for (const auto& [name, value] : patch.items()) {
      if (value.is_null()) {
        into.erase(name);
      } else if (name == "conditions" && into.contains(name)) {
        for (const Json& c : value) {
          if (base::string_at(c, {"$patch"}) == "delete") {
            Json& list = into[name];
            list.erase(std::remove_if(list.begin(), list.end(),
                                      [&](const Json& old) { return old["type"] == c["type"]; }),
                       list.end());
            continue;
          }
          bool found = false;
          for (Json& old : into[name]) {
            if (old["type"] == c["type"]) merge(old, c), found = true;
          }
          if (!found) into[name].push_back(c);
        }
      } else if (value.is_object()) {
        if (!into.contains(name) || !into[name].is_object()) into[name] = Json::object();
        if (value.empty()) into[name] = Json::object();
        merge(into[name], value);
      } else if (value.is_array() && !value.empty() && value[0].contains("$patch")) {
        into[name] = Json::array();
        for (size_t i = 1; i < value.size(); ++i) into[name].push_back(value[i]);
      } else {
        into[name] = value;
      }
    }
  }
  /// Under mutex_.
  base::Result<api::ObjectPtr> store(const ResourceRef& r, const std::string& k, Json tree,
                                     client::WatchEvent::Type type) {
    tree["metadata"]["resourceVersion"] = std::to_string(++revision_);
    auto object = api::Object::from_tree(tree);
    if (!object.ok()) return object;
    objects_[k] = *object;
    deliver(r, *object, type);
    return object;
  }
  /// Under mutex_; handlers run under it too, so they must not call back.
  void deliver(const ResourceRef& r, const api::ObjectPtr& object, client::WatchEvent::Type type) {
    for (auto& [id, w] : watchers_) {
      if (w.plural != r.plural || !selected(*object, w.options)) continue;
      w.handler.on_events({{type, object, revision_}});
    }
  }

  std::recursive_mutex mutex_;
  std::map<std::string, api::ObjectPtr> objects_;
  std::map<uint64_t, Watcher> watchers_;
  int64_t revision_ = 1;
  uint64_t watches_ = 0;
  int uids_ = 0;
  int patches_ = 0;
  bool away_ = false;
};

}  // namespace orch::testing
