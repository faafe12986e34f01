#include "server/controllers/controller.h"

#include "api/meta.h"
#include "base/json.h"

namespace orch::server {

Plan& Plan::create(const client::ResourceRef& r, std::string_view ns, Json object) {
  Write w;
  w.verb = Write::Verb::kCreate;
  w.resource = r;
  w.ns = ns;
  w.body = std::make_shared<const Json>(std::move(object));
  writes.push_back(std::move(w));
  return *this;
}

Plan& Plan::update(const client::ResourceRef& r, Json object, std::string_view subresource) {
  Write w;
  w.verb = Write::Verb::kUpdate;
  w.resource = r;
  w.ns = base::string_at(object, {"metadata", "namespace"});
  w.name = base::string_at(object, {"metadata", "name"});
  w.subresource = subresource;
  w.body = std::make_shared<const Json>(std::move(object));
  writes.push_back(std::move(w));
  return *this;
}

Plan& Plan::patch(const client::ResourceRef& r, std::string_view ns, std::string_view name, Json patch,
                  std::string_view subresource) {
  Write w;
  w.verb = Write::Verb::kPatch;
  w.resource = r;
  w.ns = ns;
  w.name = name;
  w.subresource = subresource;
  w.body = std::make_shared<const Json>(std::move(patch));
  writes.push_back(std::move(w));
  return *this;
}

Plan& Plan::remove(const client::ResourceRef& r, const api::Object& object, client::DeleteOptions options) {
  Write w;
  w.verb = Write::Verb::kDelete;
  w.resource = r;
  w.ns = object.ns();
  w.name = object.name();
  // Never another object that took the name meanwhile.
  if (options.uid.empty()) options.uid = object.uid();
  w.remove = std::move(options);
  writes.push_back(std::move(w));
  return *this;
}

Plan& Plan::batch(size_t begin, bool slow_start) {
  if (writes.size() > begin + 1) batches.push_back({begin, writes.size(), slow_start});
  return *this;
}

Plan& Plan::note(const api::ObjectPtr& about, std::string type, std::string reason, std::string message) {
  notes.push_back({about, std::move(type), std::move(reason), std::move(message), writes.size()});
  return *this;
}

Plan& Plan::again_after(base::Duration d) {
  if (d.count() <= 0) d = std::chrono::milliseconds(1);
  if (requeue.count() == 0 || d < requeue) requeue = d;
  return *this;
}

Keys own_key(const api::ObjectPtr& before, const api::ObjectPtr& after, const View&) {
  const api::Object& o = after ? *after : *before;
  return {Key{std::string(o.ns()), std::string(o.name())}};
}

std::function<Keys(const api::ObjectPtr&, const api::ObjectPtr&, const View&)> owner_key(std::string kind) {
  return [kind = std::move(kind)](const api::ObjectPtr& before, const api::ObjectPtr& after, const View&) {
    Keys keys;
    for (const auto& o : {before, after}) {
      if (!o) continue;
      api::OwnerReference ref = api::controller_of(*o);
      if (ref.uid.empty() || ref.kind != kind) continue;
      Key key{std::string(o->ns()), ref.name};
      if (keys.empty() || !(keys[0] == key)) keys.push_back(std::move(key));
    }
    return keys;
  };
}

client::IndexFunction controller_uid_index() {
  return [](const api::Object& o) -> std::vector<std::string> {
    api::OwnerReference ref = api::controller_of(o);
    return {ref.uid.empty() ? std::string(o.ns()) + "/" : ref.uid};
  };
}

}  // namespace orch::server
