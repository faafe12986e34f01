#include "server/registry/local_client.h"

#include "api/patch/patch.h"
#include "base/json.h"

namespace orch::server {

using api::ObjectPtr;
using api::ResourcePtr;
using base::Code;
using base::Result;
using base::Status;
using client::ResourceRef;

namespace {

class LocalWatch final : public client::Watch {
 public:
  explicit LocalWatch(std::unique_ptr<CacheWatch> watch) : watch_(std::move(watch)) {}

 private:
  std::unique_ptr<CacheWatch> watch_;
};

client::WatchEvent::Type event_type(CacheEvent::Type t) {
  switch (t) {
    case CacheEvent::Type::kAdded:
      return client::WatchEvent::Type::kAdded;
    case CacheEvent::Type::kModified:
      return client::WatchEvent::Type::kModified;
    case CacheEvent::Type::kDeleted:
      break;
  }
  return client::WatchEvent::Type::kDeleted;
}

class LocalClient final : public client::Client {
 public:
  LocalClient(Registry& registry, UserInfo user, SubresourcePost post, std::string manager,
              LocalWrites writes)
      : registry_(registry),
        user_(std::move(user)),
        post_(std::move(post)),
        manager_(std::move(manager)),
        writes_(writes) {}

  Result<ObjectPtr> get(const ResourceRef& ref, std::string_view ns, std::string_view name) override {
    auto r = find(ref);
    if (!r.ok()) return r.error();
    return registry_.get(**r, ns, name);
  }

  Result<client::List> list(const ResourceRef& ref, const client::ListOptions& options) override {
    auto r = find(ref);
    if (!r.ok()) return r.error();
    auto filter = make_filter(options);
    if (!filter.ok()) return filter.error();
    const WatchCachePtr cache = registry_.cache(**r);
    if (cache == nullptr) return unknown(ref);
    Page page = cache->list(*filter);
    return client::List{std::move(page.items), page.revision};
  }

  Result<ObjectPtr> create(const ResourceRef& ref, std::string_view ns, const Json& object) override {
    auto r = find(ref);
    if (!r.ok()) return r.error();
    return registry_.create(**r, ns, with_type(**r, object), context());
  }

  Result<ObjectPtr> update(const ResourceRef& ref, std::string_view ns, const Json& object,
                           std::string_view subresource) override {
    auto r = find(ref);
    if (!r.ok()) return r.error();
    std::string name(base::string_at(object, {"metadata", "name"}));
    WriteContext c = context();
    if (writes_ == LocalWrites::kUpdate) {
      return registry_.update(
          **r, ns, name, subresource, [&](const Json&) -> Result<Json> { return with_type(**r, object); }, c);
    }
    c.applied = c.with_owners = true;
    return registry_.update(
        **r, ns, name, subresource,
        [&](const Json& stored) {
          return registry_.apply(**r, c, subresource, &stored, with_type(**r, object), true);
        },
        c);
  }

  Result<ObjectPtr> patch(const ResourceRef& ref, std::string_view ns, std::string_view name,
                          client::PatchType type, const Json& patch, std::string_view subresource) override {
    auto r = find(ref);
    if (!r.ok()) return r.error();
    const api::Resource& row = **r;
    return registry_.update(
        row, ns, name, subresource,
        [&](const Json& current) -> Result<Json> {
          switch (type) {
            case client::PatchType::kJson:
              return api::json_patch(current, patch);
            case client::PatchType::kMerge:
              return api::merge_patch(current, patch);
            case client::PatchType::kStrategic:
              break;
          }
          return api::strategic_merge_patch(current, patch, row.type);
        },
        context());
  }

  Status remove(const ResourceRef& ref, std::string_view ns, std::string_view name,
                const client::DeleteOptions& options) override {
    auto r = find(ref);
    if (!r.ok()) return r.error();
    DeleteParams params;
    if (options.grace_seconds >= 0) params.grace_seconds = options.grace_seconds;
    params.propagation = options.propagation;
    params.uid = options.uid;
    params.resource_version = options.resource_version;
    return registry_.remove(**r, ns, name, params, context()).status();
  }

  Result<Json> post(const ResourceRef& ref, std::string_view ns, std::string_view name,
                    std::string_view subresource, const Json& body) override {
    auto r = find(ref);
    if (!r.ok()) return r.error();
    return post_(**r, ns, name, subresource, body, user_);
  }

  Result<std::unique_ptr<client::Watch>> watch(const ResourceRef& ref, const client::ListOptions& options,
                                               int64_t revision, client::WatchHandler handler) override {
    auto r = find(ref);
    if (!r.ok()) return r.error();
    auto filter = make_filter(options);
    if (!filter.ok()) return filter.error();
    const WatchCachePtr cache = registry_.cache(**r);
    if (cache == nullptr) return unknown(ref);
    auto sink = [on_events = std::move(handler.on_events)](const std::vector<Delivery>& deliveries) {
      std::vector<client::WatchEvent> events;
      events.reserve(deliveries.size());
      for (const auto& d : deliveries) events.push_back({event_type(d.type), d.object, d.revision});
      on_events(events);
    };
    auto on_close = [on_end = std::move(handler.on_end)] {
      if (on_end) on_end(Status(Code::kGone, "the resource is no longer served this way"));
    };
    auto watch = cache->watch(std::move(*filter), revision, nullptr, std::move(sink), std::move(on_close));
    if (!watch.ok()) return watch.error();
    return std::unique_ptr<client::Watch>(std::make_unique<LocalWatch>(std::move(*watch)));
  }

 private:
  static Status unknown(const ResourceRef& ref) {
    return Status(Code::kNotFound, base::cat("the server could not find the requested resource ", ref.plural,
                                             " in ", api::make_api_version(ref.group, ref.version)));
  }
  Result<ResourcePtr> find(const ResourceRef& ref) const {
    ResourcePtr row = registry_.table().find(ref.group, ref.version, ref.plural);
    if (row == nullptr) return unknown(ref);
    return row;
  }
  static Result<Filter> make_filter(const client::ListOptions& options) {
    Filter filter;
    filter.ns = options.ns;
    auto labels = api::LabelSelector::parse(options.label_selector);
    if (!labels.ok()) return labels.error();
    auto fields = api::FieldSelector::parse(options.field_selector);
    if (!fields.ok()) return fields.error();
    filter.labels = std::move(*labels);
    filter.fields = std::move(*fields);
    return filter;
  }
  static Json with_type(const api::Resource& r, Json object) {
    object["kind"] = r.kind;
    object["apiVersion"] = r.api_version();
    return object;
  }
  WriteContext context() const {
    WriteContext c;
    c.user = &user_;
    c.manager = manager_;
    return c;
  }

  Registry& registry_;
  const UserInfo user_;
  const SubresourcePost post_;
  const std::string manager_;
  const LocalWrites writes_;
};

}  // namespace

std::unique_ptr<client::Client> make_local_client(Registry& registry, UserInfo user, SubresourcePost post,
                                                  std::string manager, LocalWrites writes) {
  return std::make_unique<LocalClient>(registry, std::move(user), std::move(post), std::move(manager),
                                       writes);
}

}  // namespace orch::server
