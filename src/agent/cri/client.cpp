// The gRPC client behind connect_runtime().
#include <grpcpp/grpcpp.h>

#include <mutex>
#include <set>

#include "agent/cri/convert.h"
#include "agent/cri/event_stream.h"
#include "agent/cri/grpc_status.h"
#include "agent/cri/runtime.h"
#include "cri/runtime.grpc.pb.h"

namespace orch::agent {
namespace {

namespace pb = ::runtime::v1;
using base::Code;
using base::Result;
using base::Status;
using std::chrono::seconds;

/// What a runtime may take for an ordinary call; sandboxes wait for CNI, which may wait for a network.
constexpr seconds kCall{120};
constexpr seconds kSandbox{240};
constexpr int kMaxMessage = 64 << 20;

std::shared_ptr<grpc::Channel> open_channel(const std::string& endpoint) {
  grpc::ChannelArguments args;
  args.SetMaxReceiveMessageSize(kMaxMessage);
  args.SetMaxSendMessageSize(kMaxMessage);
  args.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 50);
  args.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 50);
  args.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
  args.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  args.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  args.SetString(GRPC_ARG_DEFAULT_AUTHORITY, "localhost");
  return grpc::CreateCustomChannel(endpoint, grpc::InsecureChannelCredentials(), args);
}

class CriClient final : public Runtime {
 public:
  explicit CriClient(const std::string& endpoint)
      : channel_(open_channel(endpoint)),
        runtime_(pb::RuntimeService::NewStub(channel_)),
        images_(pb::ImageService::NewStub(channel_)) {}

  Result<RuntimeInfo> info() override {
    pb::VersionRequest version_request;
    pb::VersionResponse version;
    ORCH_RETURN_IF_ERROR(call(kCall, &Stub::Version, version_request, &version));
    pb::StatusRequest status_request;
    pb::StatusResponse status;
    ORCH_RETURN_IF_ERROR(call(kCall, &Stub::Status, status_request, &status));
    RuntimeInfo out;
    out.name = version.runtime_name();
    out.version = version.runtime_version();
    out.api_version = version.runtime_api_version();
    for (const pb::RuntimeCondition& condition : status.status().conditions()) {
      if (condition.type() == "RuntimeReady") out.runtime_ready = condition.status();
      if (condition.type() == "NetworkReady") out.network_ready = condition.status();
      if (!condition.status() && !condition.message().empty()) {
        if (!out.message.empty()) out.message += "; ";
        out.message += condition.message();
      }
    }
    for (const pb::RuntimeHandler& handler : status.runtime_handlers())
      out.handlers.push_back(handler.name());
    return out;
  }

  Result<std::string> run_sandbox(const SandboxConfig& config) override {
    pb::RunPodSandboxRequest request;
    cri::to_message(config, request.mutable_config());
    request.set_runtime_handler(config.runtime_handler);
    pb::RunPodSandboxResponse response;
    ORCH_RETURN_IF_ERROR(call(kSandbox, &Stub::RunPodSandbox, request, &response));
    return response.pod_sandbox_id();
  }

  Status stop_sandbox(const std::string& id) override {
    pb::StopPodSandboxRequest request;
    request.set_pod_sandbox_id(id);
    pb::StopPodSandboxResponse response;
    return call(kCall, &Stub::StopPodSandbox, request, &response);
  }

  Status remove_sandbox(const std::string& id) override {
    pb::RemovePodSandboxRequest request;
    request.set_pod_sandbox_id(id);
    pb::RemovePodSandboxResponse response;
    return call(kCall, &Stub::RemovePodSandbox, request, &response);
  }

  Result<SandboxStatus> sandbox_status(const std::string& id) override {
    pb::PodSandboxStatusRequest request;
    request.set_pod_sandbox_id(id);
    pb::PodSandboxStatusResponse response;
    ORCH_RETURN_IF_ERROR(call(kCall, &Stub::PodSandboxStatus, request, &response));
    return cri::from_message(response.status());
  }

  Result<std::vector<SandboxStatus>> list_sandboxes() override {
    pb::ListPodSandboxRequest request;
    pb::ListPodSandboxResponse response;
    ORCH_RETURN_IF_ERROR(call(kCall, &Stub::ListPodSandbox, request, &response));
    std::vector<SandboxStatus> out;
    for (const pb::PodSandbox& item : response.items()) out.push_back(cri::from_message(item));
    return out;
  }

  Result<std::string> create_container(const std::string& sandbox_id, const ContainerConfig& config,
                                       const SandboxConfig& sandbox) override {
    pb::CreateContainerRequest request;
    request.set_pod_sandbox_id(sandbox_id);
    cri::to_message(config, request.mutable_config());
    cri::to_message(sandbox, request.mutable_sandbox_config());
    pb::CreateContainerResponse response;
    ORCH_RETURN_IF_ERROR(call(kCall, &Stub::CreateContainer, request, &response));
    return response.container_id();
  }

  Status start_container(const std::string& id) override {
    pb::StartContainerRequest request;
    request.set_container_id(id);
    pb::StartContainerResponse response;
    return call(kCall, &Stub::StartContainer, request, &response);
  }

  Status stop_container(const std::string& id, int64_t grace_seconds) override {
    pb::StopContainerRequest request;
    request.set_container_id(id);
    request.set_timeout(grace_seconds);
    pb::StopContainerResponse response;
    return call(kCall + seconds(grace_seconds), &Stub::StopContainer, request, &response);
  }

  Status remove_container(const std::string& id) override {
    pb::RemoveContainerRequest request;
    request.set_container_id(id);
    pb::RemoveContainerResponse response;
    return call(kCall, &Stub::RemoveContainer, request, &response);
  }

  Result<ContainerStatus> container_status(const std::string& id) override {
    pb::ContainerStatusRequest request;
    request.set_container_id(id);
    pb::ContainerStatusResponse response;
    ORCH_RETURN_IF_ERROR(call(kCall, &Stub::ContainerStatus, request, &response));
    return cri::from_message(response.status());
  }

  Result<std::vector<ContainerStatus>> list_containers() override {
    pb::ListContainersRequest request;
    pb::ListContainersResponse response;
    ORCH_RETURN_IF_ERROR(call(kCall, &Stub::ListContainers, request, &response));
    std::vector<ContainerStatus> out;
    for (const pb::Container& item : response.containers()) out.push_back(cri::from_message(item));
    return out;
  }

  Status update_resources(const std::string& id, const ContainerConfig& resources) override {
    pb::UpdateContainerResourcesRequest request;
    request.set_container_id(id);
    cri::resources_to_message(resources, request.mutable_linux());
    pb::UpdateContainerResourcesResponse response;
    return call(kCall, &Stub::UpdateContainerResources, request, &response);
  }

  Status reopen_log(const std::string& id) override {
    pb::ReopenContainerLogRequest request;
    request.set_container_id(id);
    pb::ReopenContainerLogResponse response;
    return call(kCall, &Stub::ReopenContainerLog, request, &response);
  }

  Result<ExecResult> exec_sync(const std::string& id, const std::vector<std::string>& command,
                               seconds timeout) override {
    pb::ExecSyncRequest request;
    request.set_container_id(id);
    for (const std::string& word : command) request.add_cmd(word);
    request.set_timeout(timeout.count());
    pb::ExecSyncResponse response;
    // The runtime ends the command itself at the timeout; the deadline is for a runtime that hangs.
    ORCH_RETURN_IF_ERROR(call(timeout + kCall, &Stub::ExecSync, request, &response));
    return ExecResult{response.exit_code(), response.stdout(), response.stderr()};
  }

  Result<std::string> exec_url(const std::string& id, const std::vector<std::string>& command,
                               const StreamRequest& streams) override {
    pb::ExecRequest request;
    request.set_container_id(id);
    for (const std::string& word : command) request.add_cmd(word);
    request.set_stdin(streams.in);
    request.set_stdout(streams.out);
    request.set_stderr(streams.err);
    request.set_tty(streams.tty);
    pb::ExecResponse response;
    ORCH_RETURN_IF_ERROR(call(kCall, &Stub::Exec, request, &response));
    return response.url();
  }

  Result<std::string> attach_url(const std::string& id, const StreamRequest& streams) override {
    pb::AttachRequest request;
    request.set_container_id(id);
    request.set_stdin(streams.in);
    request.set_stdout(streams.out);
    request.set_stderr(streams.err);
    request.set_tty(streams.tty);
    pb::AttachResponse response;
    ORCH_RETURN_IF_ERROR(call(kCall, &Stub::Attach, request, &response));
    return response.url();
  }

  Result<std::string> port_forward_url(const std::string& sandbox_id,
                                       const std::vector<int32_t>& ports) override {
    pb::PortForwardRequest request;
    request.set_pod_sandbox_id(sandbox_id);
    for (int32_t port : ports) request.add_port(port);
    pb::PortForwardResponse response;
    ORCH_RETURN_IF_ERROR(call(kCall, &Stub::PortForward, request, &response));
    return response.url();
  }

  Result<std::vector<ImageInfo>> list_images() override {
    pb::ListImagesRequest request;
    pb::ListImagesResponse response;
    ORCH_RETURN_IF_ERROR(call_images(kCall, &ImageStub::ListImages, request, &response));
    std::vector<ImageInfo> out;
    for (const pb::Image& image : response.images()) out.push_back(cri::from_message(image));
    return out;
  }

  Result<ImageInfo> image_status(const std::string& reference) override {
    pb::ImageStatusRequest request;
    request.mutable_image()->set_image(reference);
    pb::ImageStatusResponse response;
    ORCH_RETURN_IF_ERROR(call_images(kCall, &ImageStub::ImageStatus, request, &response));
    if (!response.has_image() || response.image().id().empty()) {
      return Status(Code::kNotFound, base::cat("image \"", reference, "\" not found"));
    }
    return cri::from_message(response.image());
  }

  Result<std::string> pull_image(const std::string& reference, const ImageAuth* auth) override {
    pb::PullImageRequest request;
    request.mutable_image()->set_image(reference);
    if (auth != nullptr) {
      pb::AuthConfig* out = request.mutable_auth();
      out->set_username(auth->username);
      out->set_password(auth->password);
      out->set_auth(auth->auth);
      out->set_server_address(auth->server_address);
      out->set_identity_token(auth->identity_token);
      out->set_registry_token(auth->registry_token);
    }
    pb::PullImageResponse response;
    // No deadline: a large image over a slow line is no error, and the runtime ends a pull without progress.
    ORCH_RETURN_IF_ERROR(call_images(seconds(0), &ImageStub::PullImage, request, &response));
    return response.image_ref();
  }

  Status remove_image(const std::string& id) override {
    pb::RemoveImageRequest request;
    request.mutable_image()->set_image(id);
    pb::RemoveImageResponse response;
    return call_images(kCall, &ImageStub::RemoveImage, request, &response);
  }

  Result<ImageFs> image_fs() override {
    pb::ImageFsInfoRequest request;
    pb::ImageFsInfoResponse response;
    ORCH_RETURN_IF_ERROR(call_images(kCall, &ImageStub::ImageFsInfo, request, &response));
    ImageFs out;
    for (const pb::FilesystemUsage& fs : response.image_filesystems()) {
      if (out.mountpoint.empty()) out.mountpoint = fs.fs_id().mountpoint();
      out.used_bytes += fs.used_bytes().value();
      out.inodes_used += fs.inodes_used().value();
    }
    return out;
  }

  Result<std::vector<ContainerStats>> list_stats() override {
    pb::ListContainerStatsRequest request;
    pb::ListContainerStatsResponse response;
    ORCH_RETURN_IF_ERROR(call(kCall, &Stub::ListContainerStats, request, &response));
    std::vector<ContainerStats> out;
    for (const pb::ContainerStats& stats : response.stats()) out.push_back(cri::from_message(stats));
    return out;
  }

  Status set_pod_cidr(const std::string& cidr) override {
    pb::UpdateRuntimeConfigRequest request;
    request.mutable_runtime_config()->mutable_network_config()->set_pod_cidr(cidr);
    pb::UpdateRuntimeConfigResponse response;
    return call(kCall, &Stub::UpdateRuntimeConfig, request, &response);
  }

  void watch_events(EventHandlers handlers) override {
    events_ = std::make_unique<cri::EventStream>(channel_, std::move(handlers));
  }

  void cancel_calls() override {
    std::lock_guard lock(mutex_);
    canceled_ = true;
    for (grpc::ClientContext* context : running_) context->TryCancel();
  }

 private:
  using Stub = pb::RuntimeService::Stub;
  using ImageStub = pb::ImageService::Stub;

  template <typename Owner, typename Target, typename Request, typename Response>
  Status invoke(Target& target, seconds timeout,
                grpc::Status (Owner::*method)(grpc::ClientContext*, const Request&, Response*),
                const Request& request, Response* response) {
    grpc::ClientContext context;
    if (timeout.count() > 0) context.set_deadline(std::chrono::system_clock::now() + timeout);
    {
      std::lock_guard lock(mutex_);
      if (canceled_) return {Code::kCanceled, "the node is stopping"};
      running_.insert(&context);
    }
    const grpc::Status status = (target.*method)(&context, request, response);
    std::lock_guard lock(mutex_);
    running_.erase(&context);
    return cri::to_status(status);
  }
  template <typename Owner, typename Request, typename Response>
  Status call(seconds timeout, grpc::Status (Owner::*method)(grpc::ClientContext*, const Request&, Response*),
              const Request& request, Response* response) {
    return invoke(*runtime_, timeout, method, request, response);
  }
  template <typename Owner, typename Request, typename Response>
  Status call_images(seconds timeout,
                     grpc::Status (Owner::*method)(grpc::ClientContext*, const Request&, Response*),
                     const Request& request, Response* response) {
    return invoke(*images_, timeout, method, request, response);
  }

  std::mutex mutex_;
  std::set<grpc::ClientContext*> running_;  // under mutex_
  bool canceled_ = false;                   // under mutex_
  const std::shared_ptr<grpc::Channel> channel_;
  const std::unique_ptr<Stub> runtime_;
  const std::unique_ptr<ImageStub> images_;
  std::unique_ptr<cri::EventStream> events_;  // last: ends its thread before the channel goes
};

}  // namespace

std::unique_ptr<Runtime> connect_runtime(const std::string& endpoint) {
  return std::make_unique<CriClient>(endpoint);
}

}  // namespace orch::agent
