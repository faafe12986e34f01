// ControlClient: what the control plane sees of the API. Its writes meet the world's weather, its watches
// deliver when the world says so.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <list>
#include <memory>
#include <string>
#include <vector>

#include "client/client.h"

namespace orch::simulation {

class World;

/// One watch of the control plane: events wait here until they are delivered.
class Feed {
 public:
  client::ResourceRef resource;
  std::deque<client::WatchEvent> waiting;
  client::WatchHandler handler;
  std::unique_ptr<client::Watch> source;  // null: it ended
  bool may_break = false;
  int64_t delivered = 0;  // revision
  /// The first `n` events, as one delivery.
  void deliver(size_t n);
  /// Events are lost from now on, until it is listed and watched anew.
  void end();
};

class ControlClient final : public client::Client {
 public:
  /// `breaks`: its watches may end.
  ControlClient(World& world, std::string actor, bool breaks);
  ~ControlClient() override;

  base::Result<api::ObjectPtr> get(const client::ResourceRef& r, std::string_view ns,
                                   std::string_view name) override;
  base::Result<client::List> list(const client::ResourceRef& r, const client::ListOptions& options) override;
  base::Result<api::ObjectPtr> create(const client::ResourceRef& r, std::string_view ns,
                                      const Json& object) override;
  base::Result<api::ObjectPtr> update(const client::ResourceRef& r, std::string_view ns, const Json& object,
                                      std::string_view subresource) override;
  base::Result<api::ObjectPtr> patch(const client::ResourceRef& r, std::string_view ns, std::string_view name,
                                     client::PatchType type, const Json& patch,
                                     std::string_view subresource) override;
  base::Status remove(const client::ResourceRef& r, std::string_view ns, std::string_view name,
                      const client::DeleteOptions& options) override;
  base::Result<Json> post(const client::ResourceRef& r, std::string_view ns, std::string_view name,
                          std::string_view subresource, const Json& body) override;
  base::Result<std::unique_ptr<client::Watch>> watch(const client::ResourceRef& r,
                                                     const client::ListOptions& options, int64_t revision,
                                                     client::WatchHandler handler) override;

 private:
  /// Carries out `write` as the weather has it. `what` is for the story.
  template <typename T>
  base::Result<T> meet(const client::ResourceRef& r, const std::string& what, bool versioned,
                       const std::function<base::Result<T>()>& write);

  World& world_;
  const std::string actor_;
  const bool breaks_;
  std::unique_ptr<client::Client> api_;
};

}  // namespace orch::simulation
