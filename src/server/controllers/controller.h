// Controller: one reconciler as data and one pure function.
//
// What it watches is a list of sources; what it decides is plan(): from what is observed and `now` to writes,
// events and a time to look again. plan() takes no lock, reads no clock and does no I/O. The loop (loop.h)
// does everything else: informers, queues, retries, metrics.
//
// To add a controller: one file with a function `Controller make_…_controller()`, a table test of its plan,
// and a line in all_controllers().
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/object.h"
#include "base/clock.h"
#include "base/json_fwd.h"
#include "base/metrics.h"
#include "client/client.h"
#include "client/informer.h"
#include "server/controllers/manager_options.h"

namespace orch::server {

/// Names one unit of work of a controller, usually an object.
struct Key {
  std::string ns, name;
  friend bool operator==(const Key&, const Key&) = default;
  // NOLINTNEXTLINE(modernize-use-nullptr): what the compiler writes for it
  friend auto operator<=>(const Key&, const Key&) = default;
};

/// What a plan may look at: the informers of the controller's sources. Tests use one over plain values.
class View {
 public:
  virtual ~View() = default;
  virtual api::ObjectPtr get(const client::ResourceRef& resource, std::string_view ns,
                             std::string_view name) const = 0;
  /// ns "" = all namespaces.
  virtual std::vector<api::ObjectPtr> list(const client::ResourceRef& resource,
                                           std::string_view ns) const = 0;
  /// By an index a Source declared.
  virtual std::vector<api::ObjectPtr> by_index(const client::ResourceRef& resource, const std::string& index,
                                               std::string_view value) const = 0;
};

/// One intended write. Not found on delete and already exists on create of a deterministic name count as
/// done.
struct Write {
  enum class Verb : uint8_t { kCreate, kUpdate, kPatch, kDelete, kPost };
  Verb verb = Verb::kCreate;
  client::ResourceRef resource;
  std::string ns, name;              // name unused for kCreate
  std::string subresource;           // "status", …
  std::shared_ptr<const Json> body;  // object, patch (strategic merge) or post body
  client::DeleteOptions remove;
};

/// An event to record about an object (core/v1 Event); equal ones are counted up by the recorder.
struct Note {
  api::ObjectPtr about;
  std::string type = "Normal";  // or "Warning"
  std::string reason, message;
  size_t after = 0;  // that many writes were planned before: recorded once the last of them succeeded
};

/// A run of a plan's writes that have no order among them: they are carried out side by side, all of them
/// even if some fail.
struct Batch {
  size_t begin = 0, end = 0;  // of Plan::writes
  /// One at first, then two, then four at once and so on while all goes well: what cannot work (a quota is
  /// used up) is not tried five hundred times.
  bool slow_start = false;
};

struct Plan {
  std::vector<Write> writes;   // in order; the first failure ends the plan, which is then tried again
  std::vector<Batch> batches;  // parts of writes, ascending and apart from each other
  std::vector<Note> notes;     // each once the write planned before it succeeded
  base::Duration requeue{0};   // > 0: look again after this, whatever happens
  /// What to do about the write that failed and why, before the plan is tried again: conditions and events
  /// that tell. May be empty.
  std::function<Plan(const Write& failed, const base::Status& why)> otherwise;

  Plan& create(const client::ResourceRef& r, std::string_view ns, Json object);
  /// The object's resourceVersion is the precondition.
  Plan& update(const client::ResourceRef& r, Json object, std::string_view subresource = {});
  Plan& patch(const client::ResourceRef& r, std::string_view ns, std::string_view name, Json patch,
              std::string_view subresource = {});
  Plan& remove(const client::ResourceRef& r, const api::Object& object, client::DeleteOptions options = {});
  /// The writes planned since there were `begin` of them are a batch.
  Plan& batch(size_t begin, bool slow_start = false);
  /// About the write planned last: recorded when it succeeded.
  Plan& note(const api::ObjectPtr& about, std::string type, std::string reason, std::string message);
  /// The smallest of what was asked for.
  Plan& again_after(base::Duration d);
};

/// What a change of a watched object wakes.
using Keys = std::vector<Key>;
struct Source {
  client::ResourceRef resource;
  /// Keys of this change; either object may be null (add, delete). Must be cheap: runs for every event.
  std::function<Keys(const api::ObjectPtr& before, const api::ObjectPtr& after, const View& view)> keys;
  /// Indexes the plan asks for.
  std::vector<std::pair<std::string, client::IndexFunction>> indexes;
};

struct Controller {
  std::string name;     // as kube-controller-manager names the source of its events
  std::string queue;    // as it calls the queue in metrics; empty: by the name
  int64_t at_once = 0;  // keys that may run at the same time; 0: as many as the loop has threads
  std::vector<Source> sources;
  std::function<Plan(const View& view, const Key& key, base::WallTime now)> plan;
  /// Instead of plan, for the few whose observation no informer covers (every kind in a namespace): reads
  /// through the client first, then decides.
  std::function<base::Result<Plan>(client::Client& client, const View& view, const Key& key,
                                   base::WallTime now)>
      observe_and_plan;
};

// Ready-made key functions.
/// The object itself.
Keys own_key(const api::ObjectPtr& before, const api::ObjectPtr& after, const View&);
/// The controlling owner of this kind, of both states.
std::function<Keys(const api::ObjectPtr&, const api::ObjectPtr&, const View&)> owner_key(std::string kind);
/// Index by uid of the controlling owner; "" values for objects without one are indexed as "<ns>/".
client::IndexFunction controller_uid_index();

/// Kinds as they are served now: custom resources come and go.
using KindList = std::function<std::vector<client::ResourceRef>()>;
/// An API request inside the server, as the controllers' user: the answer's tree. For what no informer has.
using ApiCall =
    std::function<base::Result<Json>(std::string_view method, const std::string& target, const Json* body)>;
/// The resources of a kind in a group, in the order discovery prefers them.
using KindLookup =
    std::function<std::vector<client::ResourceRef>(std::string_view group, std::string_view kind)>;

struct ControllerOptions {
  std::string cluster_cidr;                    // pod addresses; one part of it per node
  std::string service_cidr;                    // addresses of services
  std::string root_ca_pem;                     // for config maps kube-root-ca.crt
  base::Duration node_monitor_grace_period{};  // see node.h
  KindList namespaced;                         // every stored namespaced kind that can be deleted
  /// Signs tokens of Secrets (see token_secrets.h); without it such Secrets are left as they are.
  std::function<base::Result<std::string>(const api::Object& account, std::string_view secret)>
      sign_secret_token;
  ManagerOptions manager;
  base::Metrics* metrics = nullptr;  // for those that have figures beside their queue's
  /// Without them there is no autoscaler.
  ApiCall call;
  KindLookup kinds;
};

/// Every controller of the server that the options let run, in the order they start.
std::vector<Controller> all_controllers(const ControllerOptions& options, const base::Clock& clock);

}  // namespace orch::server
