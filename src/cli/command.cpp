#include "cli/command.h"

#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <cstdio>
#include <memory>
#include <mutex>
#include <thread>

#include "agent/agent.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/timer.h"
#include "base/version.h"
#include "cli/join.h"
#include "cli/parse.h"
#include "cli/renewal.h"
#include "client/remote_client.h"
#include "pki/pki.h"
#include "server/server.h"

namespace orch::cli {

namespace {

/// All that the server issues for itself is good for months: it looks after this for the first time.
constexpr std::chrono::hours kRenewalCheck{24};

/// What lives as long as the process; everything else is given references.
struct Base {
  base::SystemClock clock;
  base::Metrics metrics;
  std::unique_ptr<base::Timers> timers = base::make_timers();
};

/// SIGINT and SIGTERM. While the start is under way, which can wait for a container runtime, they end the
/// process at once: it leaves nothing that a power cut would not leave. After it they are waited for. Made
/// first: they are blocked in every thread.
class Ending {
 public:
  Ending() {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &set, nullptr);
    signal(SIGPIPE, SIG_IGN);
    // It lasts as long as the process.
    std::thread([set, state = state_] {
      int signal = 0;
      sigwait(&set, &signal);
      const std::lock_guard lock(state->mutex);
      if (!state->started) {
        base::log_info("orch", "ended while it was starting", {{"signal", std::to_string(signal)}});
        ::_exit(128 + signal);
      }
      state->signal = signal;
      state->came.notify_all();
    }).detach();
  }
  /// The start is over; the signal that came then.
  int wait() const {
    std::unique_lock lock(state_->mutex);
    state_->started = true;
    state_->came.wait(lock, [&] { return state_->signal != 0; });
    return state_->signal;
  }

 private:
  struct State {
    std::mutex mutex;
    std::condition_variable came;
    bool started = false;
    int signal = 0;
  };
  std::shared_ptr<State> state_ = std::make_shared<State>();
};

void raise_file_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

int fail(const base::Status& status) {
  std::fprintf(stderr, "orch: %s\n", status.message().c_str());
  return 1;
}

/// One node per data folder: two would share a containerd and undo each other's work.
base::Result<std::unique_ptr<base::FileLock>> lock_node(const std::string& data_dir) {
  const std::string folder = data_dir + "/agent";
  ORCH_RETURN_IF_ERROR(base::make_dirs(folder, 0755));
  auto lock = base::FileLock::acquire(folder + "/lock");
  if (lock.ok()) return lock;
  const bool taken = lock.error().code() == base::Code::kConflict;
  return base::Status(
      lock.error().code(),
      base::cat("the data folder ", data_dir,
                taken ? " is in use by another orch: " : " cannot be used: ", lock.error().message()));
}

agent::AgentConfig agent_config(const Options& o) {
  agent::AgentConfig a;
  a.data_dir = o.data_dir;
  a.node_name = o.node.node_name;
  a.node_ips = o.node.node_ips;
  for (const auto& label : o.node.node_labels) {
    const size_t eq = label.find('=');
    a.node_labels[label.substr(0, eq)] = label.substr(eq + 1);
  }
  a.node_taints = o.node.node_taints;
  a.container_runtime_endpoint = o.node.container_runtime_endpoint;
  a.resolv_conf = o.node.resolv_conf;
  a.kubelet_port = static_cast<uint16_t>(o.node.kubelet_port);
  return a;
}

int run_server(const Options& o, const Ending& ending) {
  Base base;
  auto server = server::Server::start(o.server, base.clock, *base.timers, base.metrics);
  if (!server.ok()) return fail(server.error());
  base::log_info("server", "ready",
                 {{"port", std::to_string((*server)->port())}, {"version", std::string(base::version())}});
  std::unique_ptr<base::FileLock> lock;
  std::unique_ptr<client::Client> client;
  std::unique_ptr<agent::Agent> node;
  if (!o.disable_agent) {
    auto locked = lock_node(o.data_dir);
    if (!locked.ok()) return fail(locked.error());
    lock = std::move(*locked);
    agent::AgentConfig a = agent_config(o);
    a.cluster_cidr = o.server.cluster_cidr;
    a.service_cidr = o.server.service_cidr;
    a.cluster_dns = (*server)->cluster_dns();
    a.cluster_domain = o.server.cluster_domain;
    auto credentials = (*server)->node_credentials(a.node_name, certificate_addresses(o));
    if (!credentials.ok()) return fail(credentials.error().with_context("node certificates"));
    a.serving = credentials->serving;
    a.client_ca_pem = credentials->client_ca_pem;
    client = (*server)->node_client(a.node_name);
    auto started = agent::Agent::start(std::move(a), *client, base.clock, *base.timers, base.metrics);
    if (!started.ok()) return fail(started.error().with_context("node (--disable-agent runs without)"));
    node = std::move(*started);
  }
  const auto renew_all = [&]() -> base::Result<base::WallTime> {
    auto due = (*server)->renew_certificates();
    if (!due.ok() || node == nullptr) return due;
    auto credentials = (*server)->node_credentials(o.node.node_name, certificate_addresses(o));
    if (!credentials.ok()) return credentials.error();
    ORCH_RETURN_IF_ERROR(node->set_serving(credentials->serving));
    auto info = pki::parse_certificate(credentials->serving.certificate_pem);
    if (!info.ok()) return info.error();
    return std::min(*due, pki::renewal_time(*info));
  };
  auto renewal =
      std::make_unique<Renewal>(base.clock.now() + kRenewalCheck, renew_all, base.clock, *base.timers);
  const int signal = ending.wait();
  renewal.reset();
  base::log_info("server", "stopping", {{"signal", std::to_string(signal)}});
  node.reset();
  client.reset();
  return 0;
}

int run_agent(const Options& o, const Ending& ending) {
  Base base;
  const auto lock = lock_node(o.data_dir);
  if (!lock.ok()) return fail(lock.error());
  const JoinOptions join{o.data_dir, o.server_url, o.token, o.node.node_name, certificate_addresses(o)};
  auto joined = join_cluster(join, base.clock.now());
  if (!joined.ok()) return fail(joined.error());
  auto due = renewal_due(*joined);
  if (!due.ok()) return fail(due.error().with_context("the node's certificates"));
  agent::AgentConfig a = agent_config(o);
  a.cluster_cidr = joined->cluster_cidr;
  a.service_cidr = joined->service_cidr;
  a.cluster_dns = joined->cluster_dns;
  a.cluster_domain = joined->cluster_domain;
  a.serving = joined->serving;
  a.client_ca_pem = joined->client_ca_pem;
  client::RemoteOptions remote;
  remote.server = o.server_url;
  remote.ca_pem = joined->server_ca_pem;
  remote.certificate_pem = joined->client.certificate_pem;
  remote.key_pem = joined->client.key_pem;
  // One for each kind the node looks at, one after the other: a server that is away must not hold up its
  // pods.
  remote.connect_timeout = std::chrono::seconds(3);
  remote.user_agent = base::cat("kubelet/", base::version());  // names the owner of what it writes
  auto client = client::make_remote_client(remote);
  auto node = agent::Agent::start(std::move(a), *client, base.clock, *base.timers, base.metrics);
  if (!node.ok()) return fail(node.error());
  base::log_info("agent", "running", {{"server", o.server_url}});
  const auto renew_node = [&]() -> base::Result<base::WallTime> {
    auto next = renew(join, *joined, base.clock.now());
    if (!next.ok()) return next.error();
    client->set_certificate(next->client.certificate_pem, next->client.key_pem);
    ORCH_RETURN_IF_ERROR((*node)->set_serving(next->serving));
    joined = std::move(next);
    base::log_info("agent", "certificates renewed");
    return renewal_due(*joined);
  };
  const Renewal renewal(*due, renew_node, base.clock, *base.timers);
  const int signal = ending.wait();
  base::log_info("agent", "stopping", {{"signal", std::to_string(signal)}});
  return 0;
}

}  // namespace

int run(int argc, char** argv) {
  Parsed parsed = parse(argc, argv);
  if (!parsed.command) return parsed.exit_code;
  const Ending ending;
  raise_file_limit();
  if (parsed.options.debug) base::set_log_level(base::LogLevel::kDebug);
  return *parsed.command == Command::kServer ? run_server(parsed.options, ending)
                                             : run_agent(parsed.options, ending);
}

}  // namespace orch::cli
