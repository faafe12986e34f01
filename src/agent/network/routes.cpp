#include "agent/network/routes.h"

#include <algorithm>

#include "base/json.h"
#include "base/log.h"
#include "base/process.h"
#include "base/threads.h"

namespace orch::agent {
namespace {

using base::cat;
using base::Code;
using base::Result;
using base::Status;
using base::string_at;
using std::chrono::milliseconds;

constexpr std::chrono::seconds kFirstRetry{1};
constexpr std::chrono::seconds kLastRetry{30};

Result<std::string> run_tool(const std::vector<std::string>& argv, const std::string& input = {}) {
  base::ProcessOptions options;
  options.input = input;
  auto run = base::run_process(argv, options);
  if (!run.ok()) return run.error();
  if (run->exit_code != 0) {
    return Status(Code::kInternal, cat(argv[0], ": ", run->err.substr(0, 400)));
  }
  return std::move(run->out);
}

Result<Json> run_json(const std::vector<std::string>& argv) {
  const auto text = run_tool(argv);
  if (!text.ok()) return text.error();
  // ip prints nothing at all for an empty list.
  return base::parse_json(text->find('[') == std::string::npos ? std::string_view("[]")
                                                               : std::string_view(*text));
}

/// "-6 " where ip must be told.
std::string family_flag(const std::string& entry) {
  return entry.substr(0, entry.find(' ')).find(':') != std::string::npos ? "-6 " : "";
}

void difference(const std::set<std::string>& before, const std::set<std::string>& after,
                std::vector<std::string>& gone, std::vector<std::string>& come) {
  std::set_difference(before.begin(), before.end(), after.begin(), after.end(), std::back_inserter(gone));
  std::set_difference(after.begin(), after.end(), before.begin(), before.end(), std::back_inserter(come));
}

std::string with_length(std::string_view destination) {
  std::string out(destination);
  if (out.find('/') == std::string::npos) out += out.find(':') != std::string::npos ? "/128" : "/32";
  return out;
}

}  // namespace

NodeNet read_node_net(const api::Object& node) {
  NodeNet out;
  out.name = node.name();
  const Json tree = node.tree();
  for (const Json& address : base::array_at(tree, {"status", "addresses"})) {
    if (string_at(address, {"type"}) != "InternalIP") continue;
    if (const auto ip = parse_ip(string_at(address, {"address"}))) out.addresses.push_back(*ip);
  }
  const Json& ranges = base::array_at(tree, {"spec", "podCIDRs"});
  for (const Json& range : ranges) {
    if (!range.is_string()) continue;
    if (const auto cidr = parse_cidr(range.get_ref<const std::string&>())) out.pod_ranges.push_back(*cidr);
  }
  if (ranges.empty()) {
    if (const auto cidr = parse_cidr(string_at(tree, {"spec", "podCIDR"}))) out.pod_ranges.push_back(*cidr);
  }
  return out;
}

Routes::Routes(client::InformerFactory& informers, RoutesConfig config)
    : informer_(informers.get({"", "v1", "nodes"})), config_(std::move(config)) {
  informer_.on_change([signal = signal_](const api::ObjectPtr& before, const api::ObjectPtr& after) {
    // Most node events are about conditions.
    if (before && after) {
      const NodeNet a = read_node_net(*before);
      const NodeNet b = read_node_net(*after);
      if (a.addresses == b.addresses && a.pod_ranges == b.pod_ranges) return;
    }
    signal->add("");
  });
}

Routes::~Routes() {
  signal_->stop();
  if (thread_.joinable()) thread_.join();
}

void Routes::start() {
  thread_ = base::start_thread("routes", [this] { run(); });
}

Status Routes::status() const {
  std::lock_guard lock(mutex_);
  return status_;
}

std::vector<NodeNet> Routes::nodes() const {
  std::vector<NodeNet> out;
  for (const auto& node : informer_.list()) out.push_back(read_node_net(*node));
  return out;
}

void Routes::run() {
  base::Duration delay{0};
  WorkSignal::Deadline retry;
  std::set<std::string> keys;
  while (signal_->wait(keys, retry, milliseconds(5))) {
    // Routes of nodes not yet listed must not be taken away.
    if (!informer_.wait_synced(milliseconds(500))) {
      signal_->add("");
      continue;
    }
    const Status done =
        apply(plan_routes(nodes(), config_.node_name, host_addresses(), config_.mode, config_.vxlan));
    {
      std::lock_guard lock(mutex_);
      status_ = done;
    }
    if (done.ok()) {
      delay = base::Duration{0};
      retry.reset();
      continue;
    }
    known_ = false;
    if (delay.count() == 0) {
      base::log_error("network", "cannot set the routes to other nodes", {{"error", done.message()}});
    }
    delay =
        std::min<base::Duration>(delay.count() == 0 ? base::Duration(kFirstRetry) : delay * 2, kLastRetry);
    retry = std::chrono::steady_clock::now() + delay;
  }
}

Status Routes::ensure_vxlan(const RoutePlan& plan) {
  const VxlanConfig& v = config_.vxlan;
  const std::string wanted =
      cat(plan.vxlan_device, " ", plan.vxlan_local, " ", plan.vxlan_mac, " ", v.id, " ", v.port);
  if (vxlan_made_ == wanted) return {};
  const auto shown = run_json({"ip", "-j", "-d", "link", "show", "type", "vxlan"});
  if (!shown.ok()) return shown.error();
  bool fits = false;
  bool there = false;
  for (const Json& link : *shown) {
    if (string_at(link, {"ifname"}) != v.interface) continue;
    there = true;
    const Json& data = base::object_at(link, {"linkinfo", "info_data"});
    const std::string_view local =
        string_at(data, {"local"}).empty() ? string_at(data, {"local6"}) : string_at(data, {"local"});
    fits = base::int_at(data, {"id"}) == static_cast<int64_t>(v.id) &&
           base::int_at(data, {"port"}) == v.port && local == plan.vxlan_local &&
           string_at(link, {"address"}) == plan.vxlan_mac;
  }
  std::string commands;
  if (there && !fits) commands += cat("link delete ", v.interface, "\n");
  if (!fits) {
    const bool v6 = plan.vxlan_local.find(':') != std::string::npos;
    const int mtu = pod_mtu(interface_mtu(plan.vxlan_device), OverlayMode::kVxlan, v6);
    commands +=
        cat("link add ", v.interface, " address ", plan.vxlan_mac, " mtu ", mtu, " type vxlan id ", v.id,
            " local ", plan.vxlan_local, " dev ", plan.vxlan_device, " dstport ", v.port, " nolearning\n");
  }
  for (const auto& address : plan.vxlan_addresses) {
    commands += cat("address replace ", address, " dev ", v.interface, "\n");
  }
  commands += cat("link set ", v.interface, " up\n");
  if (const auto run = run_tool({"ip", "-batch", "-"}, commands); !run.ok()) {
    return run.error().with_context("cannot make the tunnel interface");
  }
  if (!fits) kernel_.neighbors.clear();
  if (!fits) kernel_.fdb.clear();
  // Answers may come another way than the question went.
  (void)write_sysctl(cat("net/ipv4/conf/", v.interface, "/rp_filter"), "2");
  vxlan_made_ = wanted;
  return {};
}

Status Routes::read_kernel(Kernel& out) const {
  out = {};
  for (const char* family : {"-4", "-6"}) {
    const auto routes =
        run_json({"ip", "-j", family, "route", "show", "proto", std::to_string(config_.route_protocol)});
    if (!routes.ok()) return routes.error();
    for (const Json& r : *routes) {
      std::string line = cat(with_length(string_at(r, {"dst"})), " via ", string_at(r, {"gateway"}), " dev ",
                             string_at(r, {"dev"}));
      for (const Json& flag : base::array_at(r, {"flags"})) {
        if (flag == "onlink") line += " onlink";
      }
      out.routes.insert(std::move(line));
    }
  }
  const std::string& tunnel = config_.vxlan.interface;
  const auto neighbors = run_json({"ip", "-j", "neigh", "show", "nud", "permanent"});
  if (!neighbors.ok()) return neighbors.error();
  for (const Json& n : *neighbors) {
    if (string_at(n, {"dev"}) != tunnel) continue;
    out.neighbors.insert(
        cat(string_at(n, {"dst"}), " lladdr ", string_at(n, {"lladdr"}), " dev ", tunnel, " nud permanent"));
  }
  const auto fdb = run_json({"bridge", "-j", "fdb", "show"});
  if (!fdb.ok()) return fdb.error();
  for (const Json& f : *fdb) {
    if (string_at(f, {"ifname"}) != tunnel || string_at(f, {"dst"}).empty()) continue;
    out.fdb.insert(
        cat(string_at(f, {"mac"}), " dev ", tunnel, " dst ", string_at(f, {"dst"}), " self permanent"));
  }
  return {};
}

Status Routes::apply(const RoutePlan& plan) {
  if (plan.vxlan) ORCH_RETURN_IF_ERROR(ensure_vxlan(plan));
  if (!known_) ORCH_RETURN_IF_ERROR(read_kernel(kernel_));
  known_ = true;
  std::vector<std::string> gone;
  std::vector<std::string> come;
  std::string ip;
  std::string bridge;
  difference(kernel_.fdb, plan.fdb, gone, come);
  for (const auto& entry : gone) bridge += cat("fdb del ", entry, "\n");
  for (const auto& entry : come) bridge += cat("fdb replace ", entry, "\n");
  gone.clear();
  come.clear();
  const std::string mark = cat(" proto ", config_.route_protocol);
  difference(kernel_.routes, plan.routes, gone, come);
  std::string added;
  for (const auto& entry : come) added += cat(family_flag(entry), "route replace ", entry, mark, "\n");
  for (const auto& entry : gone) {
    // A route to the same range that changed its way is replaced, not first removed.
    const std::string range = entry.substr(0, entry.find(' ') + 1);
    const bool replaced = std::any_of(come.begin(), come.end(),
                                      [&range](const std::string& c) { return c.rfind(range, 0) == 0; });
    if (!replaced) ip += cat(family_flag(entry), "route del ", entry, mark, "\n");
  }
  gone.clear();
  come.clear();
  difference(kernel_.neighbors, plan.neighbors, gone, come);
  for (const auto& entry : gone) ip += cat(family_flag(entry), "neigh del ", entry, "\n");
  for (const auto& entry : come) ip += cat(family_flag(entry), "neigh replace ", entry, "\n");
  ip += added;
  if (!bridge.empty()) {
    if (const auto run = run_tool({"bridge", "-force", "-batch", "-"}, bridge); !run.ok()) return run.error();
  }
  if (!ip.empty()) {
    if (const auto run = run_tool({"ip", "-force", "-batch", "-"}, ip); !run.ok()) return run.error();
  }
  kernel_ = {plan.routes, plan.neighbors, plan.fdb};
  return {};
}

}  // namespace orch::agent
