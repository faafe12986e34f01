// What tests of authentication, authorization and admission share: objects from text, look-ups from a map.
#pragma once

#include <map>
#include <stdexcept>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "api/object.h"
#include "base/json.h"
#include "server/auth/auth.h"
#include "server/auth/lookup.h"
#include "tests/json.h"

namespace orch::testing {

inline api::ObjectPtr object(const Json& tree) {
  auto made = api::Object::from_tree(tree);
  if (!made.ok()) throw std::invalid_argument(made.error().message());
  return *made;
}
inline api::ObjectPtr object(const char* text) { return object(json(text)); }

/// An object of a kind that matters to nobody here, with name, namespace and uid.
inline api::ObjectPtr simple_object(std::string_view kind, std::string_view ns, std::string_view name,
                                    std::string_view uid) {
  Json tree = {{"apiVersion", "v1"}, {"kind", kind}, {"metadata", {{"name", name}, {"uid", uid}}}};
  if (!ns.empty()) tree["metadata"]["namespace"] = ns;
  return object(tree);
}

class FakeLookup final : public server::Lookup {
 public:
  void put(std::string_view resource, api::ObjectPtr o) {
    const std::string ns(o->ns()), name(o->name());
    objects_[{std::string(resource), ns, name}] = std::move(o);
  }
  void put(std::string_view resource, const char* text) { put(resource, object(text)); }
  void erase(std::string_view resource, std::string_view ns, std::string_view name) {
    objects_.erase({std::string(resource), std::string(ns), std::string(name)});
  }
  api::ObjectPtr get(std::string_view resource, std::string_view ns, std::string_view name) const override {
    const auto it = objects_.find({std::string(resource), std::string(ns), std::string(name)});
    return it == objects_.end() ? nullptr : it->second;
  }
  std::vector<api::ObjectPtr> list(std::string_view resource, std::string_view ns) const override {
    std::vector<api::ObjectPtr> out;
    for (const auto& [key, o] : objects_) {
      if (std::get<0>(key) == resource && (ns.empty() || std::get<1>(key) == ns)) out.push_back(o);
    }
    return out;
  }

 private:
  std::map<std::tuple<std::string, std::string, std::string>, api::ObjectPtr> objects_;
};

inline server::UserInfo user(std::string name, std::vector<std::string> groups = {}) {
  server::UserInfo u;
  u.name = std::move(name);
  u.groups = std::move(groups);
  return u;
}

inline server::Attributes resource_attributes(const server::UserInfo& user, std::string verb,
                                              std::string group, std::string resource, std::string ns = {},
                                              std::string name = {}, std::string subresource = {}) {
  server::Attributes a;
  a.user = &user;
  a.verb = std::move(verb);
  a.resource_request = true;
  a.group = std::move(group);
  a.version = "v1";
  a.resource = std::move(resource);
  a.ns = std::move(ns);
  a.name = std::move(name);
  a.subresource = std::move(subresource);
  return a;
}

inline server::Attributes path_attributes(const server::UserInfo& user, std::string verb, std::string path) {
  server::Attributes a;
  a.user = &user;
  a.verb = std::move(verb);
  a.path = std::move(path);
  return a;
}

}  // namespace orch::testing
