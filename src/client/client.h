// Client: how controllers, scheduler and node reach the API, in process or over HTTPS, the same way.
//
// Objects come as shared immutable api::Object. Implementations: server/registry/local_client (no network,
// no copies), client/remote_client (libcurl). Thread-safe.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "api/object.h"
#include "base/json_fwd.h"
#include "base/status.h"

namespace orch::client {

/// Names a collection, as in REST paths.
struct ResourceRef {
  std::string group, version, plural;
  friend bool operator==(const ResourceRef&, const ResourceRef&) = default;
};

struct ListOptions {
  std::string ns;  // "" = all namespaces or cluster scoped
  std::string label_selector, field_selector;
};

struct List {
  std::vector<api::ObjectPtr> items;
  int64_t revision = 0;
};

struct WatchEvent {
  enum class Type : uint8_t { kAdded, kModified, kDeleted, kBookmark };
  Type type;
  api::ObjectPtr object;  // for kBookmark: null, `revision` says where
  int64_t revision = 0;
};

/// Ends the watch when destroyed; afterwards no callback runs.
class Watch {
 public:
  virtual ~Watch() = default;
};

/// What a watch calls, one call at a time, in order.
struct WatchHandler {
  std::function<void(const std::vector<WatchEvent>&)> on_events;
  /// The watch is over (connection lost, expired: kExpired means list again). Not called after destruction.
  std::function<void(const base::Status&)> on_end;
};

struct DeleteOptions {
  int64_t grace_seconds = -1;         // -1: the object's own
  std::string propagation;            // "", "Background", "Foreground", "Orphan"
  std::string uid, resource_version;  // preconditions
};

enum class PatchType : uint8_t { kJson, kMerge, kStrategic };

class Client {
 public:
  virtual ~Client() = default;
  virtual base::Result<api::ObjectPtr> get(const ResourceRef& r, std::string_view ns,
                                           std::string_view name) = 0;
  virtual base::Result<List> list(const ResourceRef& r, const ListOptions& options) = 0;
  virtual base::Result<api::ObjectPtr> create(const ResourceRef& r, std::string_view ns,
                                              const Json& object) = 0;
  /// PUT; the tree's resourceVersion is the precondition. `subresource` "" or "status", …
  virtual base::Result<api::ObjectPtr> update(const ResourceRef& r, std::string_view ns, const Json& object,
                                              std::string_view subresource = {}) = 0;
  virtual base::Result<api::ObjectPtr> patch(const ResourceRef& r, std::string_view ns, std::string_view name,
                                             PatchType type, const Json& patch,
                                             std::string_view subresource = {}) = 0;
  virtual base::Status remove(const ResourceRef& r, std::string_view ns, std::string_view name,
                              const DeleteOptions& options = {}) = 0;
  /// POST to a subresource (binding, eviction, token): the answer's tree.
  virtual base::Result<Json> post(const ResourceRef& r, std::string_view ns, std::string_view name,
                                  std::string_view subresource, const Json& body) = 0;
  /// Events after `revision` (from a list). The first callback may come before this returns.
  virtual base::Result<std::unique_ptr<Watch>> watch(const ResourceRef& r, const ListOptions& options,
                                                     int64_t revision, WatchHandler handler) = 0;
};

}  // namespace orch::client
