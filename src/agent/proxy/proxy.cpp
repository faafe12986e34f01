#include "agent/proxy/proxy.h"

#include <algorithm>

#include "agent/network/routes.h"
#include "agent/proxy/conntrack.h"
#include "base/json.h"
#include "base/log.h"
#include "base/process.h"
#include "base/threads.h"

namespace orch::agent {
namespace {

using base::cat;
using base::Code;
using base::Status;
using std::chrono::milliseconds;

constexpr const char* kServiceNameLabel = "kubernetes.io/service-name";
constexpr const char* kZoneLabel = "topology.kubernetes.io/zone";
constexpr std::chrono::seconds kFirstRetry{1};
constexpr std::chrono::seconds kLastRetry{30};
/// Rollouts change many slices one after the other: those after the first are collected that long.
constexpr milliseconds kSettle{3};

std::string slice_owner(const api::Object& slice) {
  const std::string_view name = slice.label(kServiceNameLabel);
  return name.empty() ? std::string() : cat(slice.ns(), "/", name);
}

std::string owner(const std::string& kind, const std::string& key) { return cat(kind, " ", key); }

Status run_nft(const std::string& nft, const std::string& text) {
  base::ProcessOptions options;
  options.input = text;
  const auto run = base::run_process({nft, "-f", "-"}, options);
  if (!run.ok()) {
    if (run.error().code() != Code::kNotFound) return run.error();
    return {Code::kNotFound, cat("services do not work on this node: ", run.error().message(),
                                 " (install the package nftables)")};
  }
  if (run->exit_code == 0) return {};
  return {Code::kInternal, cat("nft: ", run->err.substr(0, 500))};
}

}  // namespace

Proxy::Proxy(client::InformerFactory& informers, ProxyConfig config)
    : services_(informers.get({"", "v1", "services"})),
      slices_(informers.get({"discovery.k8s.io", "v1", "endpointslices"})),
      nodes_(informers.get({"", "v1", "nodes"})),
      config_(std::move(config)) {
  for (const bool v6 : {false, true}) {
    if (!(v6 ? config_.ipv6 : config_.ipv4)) continue;
    const RulesConfig rules{v6, config_.masquerade_mark, config_.own_ips, config_.masquerade_local};
    families_.push_back({rules, NftTable(v6 ? "ip6" : "ip", config_.table, proxy_skeleton(rules))});
  }
  slices_.add_index(kServiceNameLabel,
                    [](const api::Object& slice) { return std::vector<std::string>{slice_owner(slice)}; });
  services_.on_change([signal = signal_](const api::ObjectPtr& before, const api::ObjectPtr& after) {
    const api::Object& object = after ? *after : *before;
    signal->add(owner("service", cat(object.ns(), "/", object.name())));
  });
  slices_.on_change([signal = signal_](const api::ObjectPtr& before, const api::ObjectPtr& after) {
    for (const auto& slice : {before, after}) {
      const std::string key = slice ? slice_owner(*slice) : std::string();
      if (!key.empty()) signal->add(owner("service", key));
    }
  });
  nodes_.on_change([signal = signal_](const api::ObjectPtr& before, const api::ObjectPtr& after) {
    if (before && after && before->label(kZoneLabel) == after->label(kZoneLabel) &&
        read_node_net(*before).pod_ranges == read_node_net(*after).pod_ranges) {
      return;
    }
    signal->add(owner("node", std::string((after ? *after : *before).name())));
  });
}

Proxy::~Proxy() {
  signal_->stop();
  if (thread_.joinable()) thread_.join();
}

void Proxy::start() {
  // The first write is due even in a cluster without any service.
  signal_->add("");
  thread_ = base::start_thread("proxy", [this] { run(); });
}

Status Proxy::status() const {
  std::lock_guard lock(mutex_);
  return tried_ ? status_ : Status(Code::kServiceUnavailable, "the services have not been listed yet");
}

bool Proxy::wait_first(milliseconds timeout) const {
  std::unique_lock lock(mutex_);
  return tried_changed_.wait_for(lock, timeout, [this] { return tried_; });
}

void Proxy::run() {
  bool synced = false;
  base::Duration delay{0};
  WorkSignal::Deadline retry;
  std::set<std::string> keys;
  while (signal_->wait(keys, retry, kSettle)) {
    if (!synced) {
      synced = services_.wait_synced(milliseconds(500)) && slices_.wait_synced(milliseconds(500)) &&
               nodes_.wait_synced(milliseconds(500));
      signal_->add("");
      if (synced) update_all();
      continue;
    }
    for (const auto& key : keys) update(key);
    const Status done = write();
    bool turned = false;
    {
      std::lock_guard lock(mutex_);
      turned = done.ok() != status_.ok();
      status_ = done;
      tried_ = true;
      tried_changed_.notify_all();
    }
    if (turned && config_.on_status) config_.on_status(done);
    if (done.ok()) {
      if (delay.count() != 0) base::log_info("proxy", "nftables written again");
      delay = base::Duration{0};
      retry.reset();
      if (std::exchange(udp_changed_, false)) clean_connections();
      continue;
    }
    if (delay.count() == 0) base::log_error("proxy", "cannot write nftables", {{"error", done.message()}});
    delay =
        std::min<base::Duration>(delay.count() == 0 ? base::Duration(kFirstRetry) : delay * 2, kLastRetry);
    retry = std::chrono::steady_clock::now() + delay;
  }
}

void Proxy::update_all() {
  for (const auto& node : nodes_.list()) update_node(std::string(node->name()));
  for (const auto& service : services_.list()) update_service(cat(service->ns(), "/", service->name()));
  udp_changed_ = true;
}

void Proxy::update(const std::string& key) {
  const size_t space = key.find(' ');
  if (space == std::string::npos) return;
  const std::string name = key.substr(space + 1);
  if (key.compare(0, space, "node") == 0) {
    update_node(name);
  } else {
    update_service(name);
  }
}

void Proxy::update_node(const std::string& name) {
  const auto node = nodes_.get("", name);
  const bool own = name == config_.node_name;
  const std::vector<IpRange> ranges = node ? read_node_net(*node).pod_ranges : std::vector<IpRange>();
  for (auto& family : families_) {
    family.table.set(owner("node", name), node_rules(ranges, own, family.rules));
  }
  if (!own) return;
  const std::string zone(node ? node->label(kZoneLabel) : std::string_view());
  if (here_.name == name && here_.zone == zone) return;
  here_ = {name, zone};
  for (const auto& service : services_.list()) update_service(cat(service->ns(), "/", service->name()));
}

void Proxy::update_service(const std::string& key) {
  const size_t slash = key.find('/');
  const auto object = services_.get(key.substr(0, slash), key.substr(slash + 1));
  ProxyService service;
  std::vector<Json> slices;
  if (object) {
    service = read_service(object->tree());
    if (!service.ports.empty()) {
      for (const auto& slice : slices_.by_index(kServiceNameLabel, key)) slices.push_back(slice->tree());
    }
  }
  for (auto& family : families_) {
    std::vector<std::vector<ProxyEndpoint>> endpoints;
    for (const auto& port : service.ports) endpoints.push_back(read_endpoints(slices, port, family.rules.v6));
    const std::string name = owner("service", key);
    family.table.set(name, service_rules(service, endpoints, {config_.node_name, here_.zone}, family.rules,
                                         family.table.find(name)));
  }
  udp_changed_ = udp_changed_ || std::any_of(service.ports.begin(), service.ports.end(),
                                             [](const ProxyServicePort& p) { return p.protocol == "udp"; });
}

Status Proxy::write() {
  Status out;
  for (auto& family : families_) {
    const Status done = write(family);
    if (!done.ok()) out = done;
  }
  return out;
}

Status Proxy::write(Family& family) {
  if (family.written) {
    const NftChange change = family.table.take();
    if (change.empty()) return {};
    Status done = change.apply.empty() ? Status() : run_nft(config_.nft, change.apply);
    if (done.ok() && !change.cleanup.empty()) done = run_nft(config_.nft, change.cleanup);
    if (done.ok()) return {};
    // Somebody else may have flushed the ruleset.
    base::log_warning("proxy", "a change was refused; writing the table anew", {{"error", done.message()}});
    family.written = false;
  }
  Status done = run_nft(config_.nft, family.table.full());
  family.written = done.ok();
  return done;
}

void Proxy::clean_connections() {
  std::vector<ServiceTarget> targets;
  for (const auto& object : services_.list()) {
    const ProxyService service = read_service(object->tree());
    std::vector<Json> slices;
    for (const auto& port : service.ports) {
      if (port.protocol != "udp") continue;
      if (slices.empty()) {
        for (const auto& slice : slices_.by_index(kServiceNameLabel, service.key))
          slices.push_back(slice->tree());
      }
      for (const auto& family : families_) {
        const EndpointChoice choice = choose_endpoints(read_endpoints(slices, port, family.rules.v6), service,
                                                       {config_.node_name, here_.zone});
        add_targets(targets, service, port, choice, family.rules);
      }
    }
  }
  for (const auto& family : families_) {
    const Status done = remove_stale_udp(family.rules.v6, targets);
    if (!done.ok())
      base::log_warning("proxy", "cannot clean up UDP connections", {{"error", done.message()}});
  }
}

}  // namespace orch::agent
