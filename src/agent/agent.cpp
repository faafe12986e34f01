#include "agent/agent.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>

#include <algorithm>
#include <cstring>
#include <thread>

#include "agent/api/node_server.h"
#include "agent/cri/runtime.h"
#include "agent/kubelet/containerd.h"
#include "agent/kubelet/kubelet.h"
#include "agent/node_network.h"
#include "base/file.h"
#include "base/log.h"
#include "client/informer.h"
#include "embed/pause_image.h"

namespace orch::agent {

using base::Result;
using base::Status;

namespace {

constexpr const char* kSandboxImage = "registry.k8s.io/pause:3.10.1";
/// After a power cut that took the server too, pods need not wait for it for long.
constexpr std::chrono::seconds kSyncTimeout{5};
constexpr std::chrono::seconds kStopGrace{1};
constexpr std::chrono::seconds kRuntimeTimeout{120};
constexpr std::chrono::milliseconds kRuntimePoll{50};

class AgentImpl final : public Agent {
 public:
  AgentImpl(AgentConfig config, client::Client& client, const base::Clock& clock, base::Timers& timers,
            base::Metrics& metrics)
      : config_(std::move(config)), client_(client), clock_(clock), timers_(timers), metrics_(metrics) {}

  ~AgentImpl() override {
    if (api_) api_->stop(kStopGrace);
    api_.reset();
    if (kubelet_) kubelet_->stop();
    if (network_) network_->stop();
    // Handlers of the informers reach into network and kubelet: the informers end first.
    informers_.reset();
    network_.reset();
    kubelet_.reset();
  }

  Status set_serving(const pki::KeyPair& serving) override { return api_->reload(tls_config(serving)); }

  Status start() {
    ORCH_RETURN_IF_ERROR(start_runtime().with_context("container runtime"));
    informers_ = std::make_unique<client::InformerFactory>(client_, timers_);
    make_kubelet();
    make_network();
    informers_->start();
    if (!informers_->wait_synced(kSyncTimeout)) {
      base::log_warning("agent", "the API server does not answer yet: going on with what is cached");
    }
    ORCH_RETURN_IF_ERROR(kubelet_->start().with_context("kubelet"));
    ORCH_RETURN_IF_ERROR(network_->start().with_context("network"));
    return start_api().with_context("node server");
  }

 private:
  std::string folder() const { return config_.data_dir + "/agent"; }
  std::string cni_conf_dir() const { return folder() + "/cni/net.d"; }

  Status start_runtime() {
    ORCH_RETURN_IF_ERROR(base::make_dirs(folder(), 0755));
    std::string endpoint = config_.container_runtime_endpoint;
    if (endpoint.empty()) {
      ContainerdOptions options;
      options.data_dir = folder();
      options.run_dir = default_run_dir(config_.data_dir);
      options.cni_conf_dir = cni_conf_dir();
      options.sandbox_image = kSandboxImage;
      options.restrict_oom_score = lacks_sys_resource();
      auto containerd = Containerd::start(std::move(options));
      if (!containerd.ok()) return containerd.error();
      containerd_ = std::move(*containerd);
      endpoint = containerd_->endpoint();
    }
    runtime_ = connect_runtime(endpoint);
    ORCH_RETURN_IF_ERROR(await_runtime());
    if (containerd_) {
      ORCH_RETURN_IF_ERROR(provide_sandbox_image());
      containerd_->import_images(folder() + "/images", *runtime_);
    }
    return {};
  }

  /// A containerd that was killed listens before it has read what it had: until then it does not answer, or
  /// says that it is not initialized. One that is not ours and does not answer at all is none.
  Status await_runtime() {
    const base::MonoTime deadline = clock_.mono() + kRuntimeTimeout;
    while (true) {
      const auto info = runtime_->info();
      if (info.ok()) return {};
      const bool starting =
          containerd_ != nullptr || info.error().message().find("not initialized") != std::string::npos;
      if (!starting || clock_.mono() >= deadline) return info.error();
      std::this_thread::sleep_for(kRuntimePoll);
    }
  }

  /// The sandboxes' image is part of the executable: pods start without any network.
  Status provide_sandbox_image() {
    const std::string path = folder() + "/images/orch-pause.tar";
    if (runtime_->image_status(kSandboxImage).ok()) return {};
    ORCH_RETURN_IF_ERROR(base::make_dirs(folder() + "/images", 0755));
    return base::write_file_atomic(path, embedded::pause_image(), 0644);
  }

  void make_kubelet() {
    KubeletConfig k;
    k.node_name = config_.node_name;
    k.node_ips = config_.node_ips;
    k.node_labels = config_.node_labels;
    k.node_taints = config_.node_taints;
    k.root_dir = folder() + "/kubelet";
    k.cluster_dns = {config_.cluster_dns};
    k.cluster_domain = config_.cluster_domain;
    k.resolv_conf = config_.resolv_conf;
    k.restrict_oom_score = lacks_sys_resource();
    k.pinned_images = {kSandboxImage};
    k.port = config_.kubelet_port;
    kubelet_ = std::make_unique<Kubelet>(
        std::move(k), KubeletDeps{client_, *informers_, *runtime_, clock_, timers_, metrics_});
  }

  void make_network() {
    NodeNetworkConfig n;
    n.node_name = config_.node_name;
    n.cni_conf_dir = cni_conf_dir();
    n.cni_state_dir = folder() + "/cni/addresses";
    n.cluster_cidr = config_.cluster_cidr;
    n.cluster_dns = config_.cluster_dns;
    n.cluster_domain = config_.cluster_domain;
    n.resolv_conf = config_.resolv_conf;
    n.on_ready = [this] { kubelet_->network_changed(); };
    n.on_services = [this](const Status& status) { kubelet_->services_changed(status); };
    network_ = std::make_unique<NodeNetwork>(*informers_, std::move(n));
  }

  http::TlsConfig tls_config(const pki::KeyPair& serving) const {
    return {serving.certificate_pem, serving.key_pem, config_.client_ca_pem};
  }

  Status start_api() {
    NodeServerOptions options;
    options.http.port = config_.kubelet_port;
    options.http.tls_config = tls_config(config_.serving);
    auto api = NodeServer::start(std::move(options), *kubelet_, metrics_, clock_);
    if (!api.ok()) return api.error();
    api_ = std::move(*api);
    return {};
  }

  const AgentConfig config_;
  client::Client& client_;
  const base::Clock& clock_;
  base::Timers& timers_;
  base::Metrics& metrics_;
  std::unique_ptr<Containerd> containerd_;
  std::unique_ptr<Runtime> runtime_;
  std::unique_ptr<client::InformerFactory> informers_;
  std::unique_ptr<Kubelet> kubelet_;
  std::unique_ptr<NodeNetwork> network_;
  std::unique_ptr<NodeServer> api_;
};

}  // namespace

std::vector<std::string> machine_addresses() {
  std::vector<std::string> out;
  ifaddrs* list = nullptr;
  if (getifaddrs(&list) != 0) return out;
  for (ifaddrs* i = list; i != nullptr; i = i->ifa_next) {
    if (i->ifa_addr == nullptr || (i->ifa_flags & IFF_LOOPBACK) != 0 || (i->ifa_flags & IFF_UP) == 0)
      continue;
    const std::string name = i->ifa_name;
    if (name.rfind("orch", 0) == 0 || name.rfind("veth", 0) == 0 || name.rfind("cni", 0) == 0) continue;
    char text[INET6_ADDRSTRLEN] = {};
    if (i->ifa_addr->sa_family == AF_INET) {
      sockaddr_in address;
      std::memcpy(&address, i->ifa_addr, sizeof address);
      inet_ntop(AF_INET, &address.sin_addr, text, sizeof text);
      if (std::strncmp(text, "169.254.", 8) != 0) out.emplace_back(text);
    }
  }
  freeifaddrs(list);
  return out;
}

Result<std::unique_ptr<Agent>> Agent::start(AgentConfig config, client::Client& client,
                                            const base::Clock& clock, base::Timers& timers,
                                            base::Metrics& metrics) {
  auto agent = std::make_unique<AgentImpl>(std::move(config), client, clock, timers, metrics);
  Status status = agent->start();
  if (!status.ok()) return status;
  return std::unique_ptr<Agent>(std::move(agent));
}

}  // namespace orch::agent
