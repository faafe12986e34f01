#include "agent/cri/event_stream.h"

#include <algorithm>
#include <chrono>

#include "base/log.h"
#include "base/threads.h"
#include "cri/containerd_events.grpc.pb.h"
#include "cri/runtime.grpc.pb.h"

namespace orch::agent::cri {
namespace {

namespace pb = ::runtime::v1;
namespace events = ::containerd::services::events::v1;

ContainerEvent::Type to_type(pb::ContainerEventType type) {
  switch (type) {
    case pb::CONTAINER_CREATED_EVENT:
      return ContainerEvent::Type::kCreated;
    case pb::CONTAINER_STARTED_EVENT:
      return ContainerEvent::Type::kStarted;
    case pb::CONTAINER_DELETED_EVENT:
      return ContainerEvent::Type::kDeleted;
    default:
      return ContainerEvent::Type::kStopped;
  }
}

}  // namespace

EventStream::EventStream(std::shared_ptr<grpc::Channel> channel, Runtime::EventHandlers handlers)
    : channel_(std::move(channel)), handlers_(std::move(handlers)) {
  thread_ = base::start_thread("cri-events", [this] { run(); });
}

EventStream::~EventStream() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    if (context_ != nullptr) context_->TryCancel();
  }
  wake_.notify_all();
  thread_.join();
}

bool EventStream::adopt(grpc::ClientContext* context) {
  std::lock_guard lock(mutex_);
  if (stopping_) return false;
  context_ = context;
  return true;
}

void EventStream::release() {
  std::lock_guard lock(mutex_);
  context_ = nullptr;
}

void EventStream::run() {
  Source source = Source::kCri;
  std::chrono::milliseconds pause{50};
  while (true) {
    connected_ = false;
    const grpc::Status status = source == Source::kCri ? read_cri() : read_containerd();
    if (status.error_code() == grpc::StatusCode::UNIMPLEMENTED) {
      source = source == Source::kCri ? Source::kContainerd : Source::kNone;
      if (source == Source::kNone) {
        base::log_warning("cri", "the runtime reports no events: containers are listed instead");
        if (handlers_.on_unsupported) handlers_.on_unsupported();
        return;
      }
      continue;
    }
    pause = connected_ ? std::chrono::milliseconds(50) : std::min(pause * 2, std::chrono::milliseconds(5000));
    std::unique_lock lock(mutex_);
    if (wake_.wait_for(lock, pause, [this] { return stopping_; })) return;
    base::log_debug("cri", "event stream ended", {{"error", status.error_message()}});
  }
}

grpc::Status EventStream::read_cri() {
  auto stub = pb::RuntimeService::NewStub(channel_);
  grpc::ClientContext context;
  context.set_wait_for_ready(true);
  if (!adopt(&context)) return grpc::Status::CANCELLED;
  auto reader = stub->GetContainerEvents(&context, pb::GetEventsRequest());
  pb::ContainerEventResponse response;
  if (handlers_.on_resync) handlers_.on_resync();
  while (reader->Read(&response)) {
    connected_ = true;
    ContainerEvent event;
    event.container_id = response.container_id();
    event.sandbox_id = response.pod_sandbox_status().id();
    event.type = to_type(response.container_event_type());
    handlers_.on_event(event);
  }
  grpc::Status status = reader->Finish();
  release();
  return status;
}

grpc::Status EventStream::read_containerd() {
  auto stub = events::Events::NewStub(channel_);
  grpc::ClientContext context;
  context.set_wait_for_ready(true);
  context.AddMetadata("containerd-namespace", "k8s.io");
  if (!adopt(&context)) return grpc::Status::CANCELLED;
  events::SubscribeRequest request;
  request.add_filters("namespace==k8s.io,topic==\"/tasks/exit\"");
  auto reader = stub->Subscribe(&context, request);
  if (handlers_.on_resync) handlers_.on_resync();
  events::Envelope envelope;
  while (reader->Read(&envelope)) {
    connected_ = true;
    events::TaskExit exit;
    if (!exit.ParseFromString(envelope.event().value())) continue;
    if (exit.id() != exit.container_id()) continue;  // an exec ended, not the container
    ContainerEvent event;
    event.container_id = exit.container_id();
    event.type = ContainerEvent::Type::kStopped;
    handlers_.on_event(event);
  }
  grpc::Status status = reader->Finish();
  release();
  return status;
}

}  // namespace orch::agent::cri
