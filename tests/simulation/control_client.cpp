#include "tests/simulation/control_client.h"

#include <algorithm>

#include "base/json.h"
#include "tests/simulation/plants.h"
#include "tests/simulation/world.h"

namespace orch::simulation {

using api::ObjectPtr;
using base::Code;
using base::Result;
using base::Status;
using client::ResourceRef;

namespace {

bool is_event(const ResourceRef& r) { return r.plural == "events"; }

/// Events tell people what happened; nothing here reads them.
ObjectPtr no_event() {
  static const ObjectPtr event =
      *api::Object::from_tree({{"kind", "Event"}, {"apiVersion", "v1"}, {"metadata", {{"name", "e"}}}});
  return event;
}

class FeedWatch final : public client::Watch {
 public:
  FeedWatch(World& world, Feed* feed) : world_(world), feed_(feed) {}
  ~FeedWatch() override {
    world_.feeds.remove_if([this](const auto& f) { return f.get() == feed_; });
  }

 private:
  World& world_;
  Feed* const feed_;
};

std::string path_of(const ResourceRef& r, std::string_view ns, std::string_view name,
                    std::string_view subresource = {}) {
  return base::cat(r.plural, " ", ns, "/", name, subresource.empty() ? "" : "/", subresource);
}

}  // namespace

void Feed::deliver(size_t n) {
  n = std::min(n, waiting.size());
  if (n == 0) return;
  std::vector<client::WatchEvent> events(waiting.begin(), waiting.begin() + static_cast<std::ptrdiff_t>(n));
  waiting.erase(waiting.begin(), waiting.begin() + static_cast<std::ptrdiff_t>(n));
  delivered = events.back().revision;
  handler.on_events(events);
}

void Feed::end() {
  source.reset();
  waiting.clear();
  handler.on_end(Status(Code::kExpired, "the watch was too slow"));
}

ControlClient::ControlClient(World& world, std::string actor, bool breaks)
    : world_(world), actor_(std::move(actor)), breaks_(breaks), api_(world.api.client(actor_)) {}

ControlClient::~ControlClient() = default;

Result<ObjectPtr> ControlClient::get(const ResourceRef& r, std::string_view ns, std::string_view name) {
  return api_->get(r, ns, name);
}

Result<client::List> ControlClient::list(const ResourceRef& r, const client::ListOptions& options) {
  return api_->list(r, options);
}

template <typename T>
Result<T> ControlClient::meet(const ResourceRef& r, const std::string& what, bool versioned,
                              const std::function<Result<T>()>& write) {
  world_.before_write();
  const auto said = [&](const char* how) { world_.tell(base::cat(actor_, ": ", what, how)); };
  const Weather& weather = world_.weather;
  if (world_.random.chance(weather.refused)) {
    said(" is refused");
    return Status(Code::kServiceUnavailable, "the server is currently unable to handle the request");
  }
  if (versioned && world_.random.chance(weather.conflict)) {
    said(" meets a conflict");
    return Status(Code::kConflict, "the object has been modified");
  }
  Result<T> answer = [&] {
    const Acting as(world_, actor_);
    return write();
  }();
  if (!answer.ok()) {
    said(base::cat(" fails: ", answer.error().message()).c_str());
    // Whatever it saw and however late: it must not want what nobody may have.
    if (answer.error().code() == Code::kInvalid)
      world_.violated("valid", base::cat(actor_, ": ", what, ": ", answer.error().message()));
  }
  world_.after_write(r);
  if (answer.ok() && world_.random.chance(weather.lost)) {
    said(" happened, but its answer is lost");
    if (world_.plant == Plant::kCreateTwice || world_.plant == Plant::kCountTwice) {
      const Acting as(world_, actor_);
      plant_after_loss(world_, *api_, r, what);
      world_.after_write(r);
    }
    return Status(Code::kServiceUnavailable, "the connection was lost");
  }
  return answer;
}

Result<ObjectPtr> ControlClient::create(const ResourceRef& r, std::string_view ns, const Json& object) {
  if (is_event(r)) return no_event();
  const std::string name(base::string_at(object, {"metadata", "name"}));
  return meet<ObjectPtr>(r, base::cat("create ", path_of(r, ns, name)), false, [&]() -> Result<ObjectPtr> {
    world_.last_created = object;
    return api_->create(r, ns, object);
  });
}

Result<ObjectPtr> ControlClient::update(const ResourceRef& r, std::string_view ns, const Json& object,
                                        std::string_view subresource) {
  const std::string name(base::string_at(object, {"metadata", "name"}));
  return meet<ObjectPtr>(r, base::cat("update ", path_of(r, ns, name, subresource)), true,
                         [&]() -> Result<ObjectPtr> {
                           if (world_.plant == Plant::kIgnoreConflict) {
                             Json any = object;
                             any["metadata"].erase("resourceVersion");
                             return api_->update(r, ns, any, subresource);
                           }
                           return api_->update(r, ns, object, subresource);
                         });
}

Result<ObjectPtr> ControlClient::patch(const ResourceRef& r, std::string_view ns, std::string_view name,
                                       client::PatchType type, const Json& patch,
                                       std::string_view subresource) {
  if (is_event(r)) return no_event();
  return meet<ObjectPtr>(r, base::cat("patch ", path_of(r, ns, name, subresource)), true,
                         [&]() -> Result<ObjectPtr> {
                           if (world_.plant == Plant::kKeepFinalizer && takes_finalizer_off(patch))
                             return api_->get(r, ns, name);
                           return api_->patch(r, ns, name, type, patch, subresource);
                         });
}

Status ControlClient::remove(const ResourceRef& r, std::string_view ns, std::string_view name,
                             const client::DeleteOptions& options) {
  return meet<bool>(r, base::cat("delete ", path_of(r, ns, name)), false,
                    [&]() -> Result<bool> {
                      Status s = api_->remove(r, ns, name, options);
                      if (!s.ok()) return s;
                      return true;
                    })
      .status();
}

Result<Json> ControlClient::post(const ResourceRef& r, std::string_view ns, std::string_view name,
                                 std::string_view subresource, const Json& body) {
  return meet<Json>(r, base::cat("post ", path_of(r, ns, name, subresource)), true, [&]() -> Result<Json> {
    if (world_.plant != Plant::kBindAnywhere || subresource != "binding")
      return api_->post(r, ns, name, subresource, body);
    Json elsewhere = body;
    elsewhere["target"]["name"] = first_node(*api_);
    return api_->post(r, ns, name, subresource, elsewhere);
  });
}

Result<std::unique_ptr<client::Watch>> ControlClient::watch(const ResourceRef& r,
                                                            const client::ListOptions& options,
                                                            int64_t revision, client::WatchHandler handler) {
  auto feed = std::make_unique<Feed>();
  Feed* const raw = feed.get();
  feed->resource = r;
  feed->handler = std::move(handler);
  feed->may_break = breaks_;
  feed->delivered = revision;
  client::WatchHandler collect;
  const bool deaf = world_.plant == Plant::kIgnoreOwners && !breaks_;
  collect.on_events = [raw, deaf](const std::vector<client::WatchEvent>& events) {
    for (const auto& e : events) {
      if (!deaf || e.type != client::WatchEvent::Type::kDeleted) raw->waiting.push_back(e);
    }
  };
  auto source = api_->watch(r, options, revision, std::move(collect));
  if (!source.ok()) return source.error();
  feed->source = std::move(*source);
  world_.feeds.push_back(std::move(feed));
  return std::unique_ptr<client::Watch>(std::make_unique<FeedWatch>(world_, raw));
}

}  // namespace orch::simulation
