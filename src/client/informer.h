// Informer: a local, indexed, always current view of one collection, kept by list and watch.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "api/object.h"
#include "base/tasks.h"
#include "base/timer.h"
#include "client/client.h"

namespace orch::client {

/// Called after the view changed, in order, from one thread at a time; must be short. `before` is null for an
/// add, `after` null for a delete.
using ChangeHandler = std::function<void(const api::ObjectPtr& before, const api::ObjectPtr& after)>;
/// Computes the index values of an object ("default/web-1" of its owner, its node, …).
using IndexFunction = std::function<std::vector<std::string>(const api::Object&)>;

/// Lists, then watches; after a broken watch resumes from the last revision, lists again when that is too old
/// (with exponential back-off up to 30 s and jitter). Never repeats an event and never misses one. Reads are
/// thread-safe and see every change whose handler ran.
class Informer {
 public:
  virtual ~Informer() = default;
  /// Before start(): handlers and indexes.
  virtual void on_change(ChangeHandler handler) = 0;
  virtual void add_index(const std::string& name, IndexFunction function) = 0;
  virtual void start() = 0;
  /// Ends what feeds it: once this has returned no handler runs any more. What it holds can still be read.
  virtual void stop() = 0;
  /// True once the first list was delivered.
  virtual bool synced() const = 0;
  /// Waits for synced(); false on timeout.
  virtual bool wait_synced(std::chrono::milliseconds timeout) = 0;
  virtual api::ObjectPtr get(std::string_view ns, std::string_view name) const = 0;
  virtual std::vector<api::ObjectPtr> list() const = 0;
  virtual std::vector<api::ObjectPtr> list_namespace(std::string_view ns) const = 0;
  virtual std::vector<api::ObjectPtr> by_index(const std::string& index, std::string_view value) const = 0;
  /// The revision the view is current to.
  virtual int64_t revision() const = 0;
};

std::unique_ptr<Informer> make_informer(Client& client, base::Timers& timers, ResourceRef resource,
                                        ListOptions options = {},
                                        base::TaskMaker& tasks = base::pools_of_threads());

/// Informers shared by everything in one process: one per (resource, options).
class InformerFactory {
 public:
  InformerFactory(Client& client, base::Timers& timers, base::TaskMaker& tasks = base::pools_of_threads());
  /// Stops.
  ~InformerFactory();
  /// The same object for the same arguments. Handlers and indexes are added before start().
  Informer& get(const ResourceRef& resource, const ListOptions& options = {});
  void start();
  /// All of them. Comes before the end of whatever their handlers reach into.
  void stop();
  bool wait_synced(std::chrono::milliseconds timeout);

 private:
  struct Rep;
  std::vector<Informer*> all() const;
  std::unique_ptr<Rep> rep_;
};

}  // namespace orch::client
