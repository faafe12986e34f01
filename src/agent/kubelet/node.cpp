#include "agent/kubelet/node.h"

#include <algorithm>

#include "base/json.h"
#include "base/log.h"
#include "base/version.h"

namespace orch::agent {
namespace {

using base::Code;
using std::chrono::milliseconds;
using std::chrono::seconds;

const client::ResourceRef kNodes{"", "v1", "nodes"};
const client::ResourceRef kLeases{"coordination.k8s.io", "v1", "leases"};
constexpr const char* kLeaseNamespace = "kube-node-lease";
/// While something is missing (the API, the network), look this often, then rarer.
constexpr milliseconds kSoon{250}, kLater{2000};
constexpr seconds kEager{60};

}  // namespace

NodeAgent::NodeAgent(const KubeletConfig& config, client::Client& client, Runtime& runtime,
                     EventRecorder& events, const base::Clock& clock, base::Timers& timers,
                     std::function<void()> on_tick)
    : config_(config),
      client_(client),
      runtime_(runtime),
      events_(events),
      clock_(clock),
      timers_(timers),
      on_tick_(std::move(on_tick)),
      machine_(machine_info(config.root_dir)),
      addresses_(config.node_ips.empty() ? default_addresses() : config.node_ips),
      pool_("node", 1) {}

NodeAgent::~NodeAgent() { stop(); }

void NodeAgent::start() {
  began_ = clock_.mono();
  poke();
}

void NodeAgent::stop() {
  base::Timers::Id timer = 0;
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    timer = std::exchange(timer_, 0);
  }
  if (timer != 0) timers_.cancel(timer);
  pool_.drain();
}

std::vector<std::string> NodeAgent::addresses() const {
  std::lock_guard lock(mutex_);
  return addresses_;
}

bool NodeAgent::registered() const {
  std::lock_guard lock(mutex_);
  return registered_;
}

bool NodeAgent::ready() const {
  std::lock_guard lock(mutex_);
  return ready_;
}

EventObject NodeAgent::about() const {
  // The kubelet names its node's events by name in place of the uid.
  return {"Node", "", config_.node_name, config_.node_name, "v1", "", ""};
}

void NodeAgent::poke() {
  std::lock_guard lock(mutex_);
  if (stopping_) return;
  if (std::exchange(queued_, true)) return;
  pool_.post([this] { work(); });
}

void NodeAgent::services_changed(const base::Status& status) {
  {
    std::lock_guard lock(mutex_);
    services_error_ = status.message();
  }
  poke();
}

void NodeAgent::schedule(base::Duration delay) {
  base::Timers::Id old = 0;
  {
    std::lock_guard lock(mutex_);
    if (stopping_) return;
    old = std::exchange(timer_, 0);
    timer_ = timers_.after(delay, [this] { tick(); });
  }
  if (old != 0) timers_.cancel(old);
}

void NodeAgent::tick() {
  std::lock_guard lock(mutex_);
  timer_ = 0;
  if (stopping_ || std::exchange(queued_, true)) return;
  pool_.post([this] { work(); });
}

void NodeAgent::work() {
  {
    std::lock_guard lock(mutex_);
    queued_ = false;
    if (stopping_) return;
  }
  if (config_.node_ips.empty()) {
    auto now = default_addresses();
    std::lock_guard lock(mutex_);
    addresses_ = std::move(now);
  }
  if (!config_.register_node) {
    schedule(config_.lease_renew);
    return;
  }
  write_status();
  const base::MonoTime now = clock_.mono();
  if (registered() && (lease_ == nullptr || now - last_renew_ >= config_.lease_renew - milliseconds(500))) {
    renew_lease();
  }
  if (on_tick_) on_tick_();
  if (registered() && ready()) {
    schedule(config_.lease_renew);
  } else {
    const bool eager = clock_.mono() - began_ < kEager;
    schedule(eager ? base::Duration(kSoon) : base::Duration(kLater));
  }
}

NodeStatusInput NodeAgent::collect(bool with_images) {
  NodeStatusInput input;
  input.now = clock_.now();
  input.machine = machine_;
  input.pressure = machine_pressure(config_.root_dir);
  input.orch_version = base::version();
  input.addresses = addresses();
  {
    std::lock_guard lock(mutex_);
    input.services_error = services_error_;
  }
  auto info = runtime_.info();
  if (info.ok()) {
    input.runtime = std::move(*info);
  } else {
    input.runtime_error = info.error().message();
  }
  if (with_images) {
    if (auto images = runtime_.list_images(); images.ok()) input.images = std::move(*images);
  }
  return input;
}

bool NodeAgent::register_node(const Json& status) {
  const Json node = new_node(config_, machine_, status);
  auto made = client_.create(kNodes, {}, node);
  if (!made.ok() && made.error().code() == Code::kAlreadyExists) {
    // What this node's configuration says of labels goes in; everything else is the cluster's.
    Json patch{{"metadata", {{"labels", base::object_at(node, {"metadata", "labels"})}}}};
    made = client_.patch(kNodes, {}, config_.node_name, client::PatchType::kMerge, patch);
  } else if (made.ok()) {
    base::log_info("node", "registered", {{"name", config_.node_name}});
  }
  if (!made.ok()) {
    base::log_debug("node", "not registered yet", {{"error", made.error().message()}});
    return false;
  }
  status_ = std::make_unique<Json>(base::object_at((*made)->tree(), {"status"}));
  std::lock_guard lock(mutex_);
  registered_ = true;
  uid_ = (*made)->uid();
  return true;
}

void NodeAgent::write_status() {
  const base::MonoTime now = clock_.mono();
  const bool full = status_ == nullptr || now - last_report_ >= config_.status_report;
  const NodeStatusInput input = collect(full);
  const Json previous = status_ != nullptr ? *status_ : Json::object();
  Json status = node_status(previous, config_, input);
  const bool is_ready =
      input.runtime_error.empty() && input.runtime.runtime_ready && input.runtime.network_ready;
  if (!registered()) {
    if (!register_node(status)) return;
    events_.normal(about(), "Starting", "Starting kubelet.");
    status = node_status(*status_, config_, input);
  }
  const bool changed = node_status_changed(*status_, status);
  if (!changed && !full) return;
  // Heartbeat times alone are not worth a write in between.
  const Json patch{{"status", status}};
  auto written = client_.patch(kNodes, {}, config_.node_name, client::PatchType::kMerge, patch, "status");
  if (!written.ok()) {
    if (written.error().code() == Code::kNotFound) {
      std::lock_guard lock(mutex_);
      registered_ = false;
      status_.reset();
    }
    base::log_warning("node", "status not written", {{"error", written.error().message()}});
    return;
  }
  *status_ = base::object_at((*written)->tree(), {"status"});
  last_report_ = now;
  bool was_ready = false;
  {
    std::lock_guard lock(mutex_);
    was_ready = std::exchange(ready_, is_ready);
  }
  if (was_ready != is_ready) {
    const char* reason = is_ready ? "NodeReady" : "NodeNotReady";
    events_.normal(about(), reason, base::cat("Node ", config_.node_name, " status is now: ", reason));
  }
}

void NodeAgent::renew_lease() {
  const std::string renew = base::format_micro_time(clock_.now());
  if (lease_ != nullptr) {
    Json next = *lease_;
    next["spec"]["renewTime"] = renew;
    auto updated = client_.update(kLeases, kLeaseNamespace, next);
    if (updated.ok()) {
      *lease_ = (*updated)->tree();
      last_renew_ = clock_.mono();
      return;
    }
    if (updated.error().code() != Code::kConflict && updated.error().code() != Code::kNotFound) {
      base::log_debug("node", "lease not renewed", {{"error", updated.error().message()}});
      return;
    }
    lease_.reset();
  }
  auto have = client_.get(kLeases, kLeaseNamespace, config_.node_name);
  if (have.ok()) {
    Json next = (*have)->tree();
    next["spec"]["holderIdentity"] = config_.node_name;
    next["spec"]["leaseDurationSeconds"] = config_.lease_duration.count();
    next["spec"]["renewTime"] = renew;
    have = client_.update(kLeases, kLeaseNamespace, next);
  } else if (have.error().code() == Code::kNotFound) {
    std::string uid;
    {
      std::lock_guard lock(mutex_);
      uid = uid_;
    }
    const Json lease{
        {"kind", "Lease"},
        {"apiVersion", "coordination.k8s.io/v1"},
        {"metadata",
         {{"name", config_.node_name},
          {"namespace", kLeaseNamespace},
          {"ownerReferences",
           Json::array(
               {{{"apiVersion", "v1"}, {"kind", "Node"}, {"name", config_.node_name}, {"uid", uid}}})}}},
        {"spec",
         {{"holderIdentity", config_.node_name},
          {"leaseDurationSeconds", config_.lease_duration.count()},
          {"renewTime", renew}}}};
    have = client_.create(kLeases, kLeaseNamespace, lease);
  }
  if (!have.ok()) {
    base::log_debug("node", "no lease", {{"error", have.error().message()}});
    return;
  }
  lease_ = std::make_unique<Json>((*have)->tree());
  last_renew_ = clock_.mono();
}

}  // namespace orch::agent
