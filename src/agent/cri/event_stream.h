// The runtime's event stream, kept alive. Internal to agent/cri: includes gRPC.
//
// Asks CRI's GetContainerEvents; where that is not implemented (containerd 1.6) subscribes to containerd's
// own task events on the same socket.
#pragma once

#include <grpcpp/grpcpp.h>

#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>

#include "agent/cri/runtime.h"

namespace orch::agent::cri {

class EventStream {
 public:
  EventStream(std::shared_ptr<grpc::Channel> channel, Runtime::EventHandlers handlers);
  /// Afterwards no handler runs.
  ~EventStream();

 private:
  enum class Source : uint8_t { kCri, kContainerd, kNone };
  void run();
  /// Reads one stream to its end.
  grpc::Status read_cri();
  grpc::Status read_containerd();
  /// Makes `context` the one that the destructor cancels; false when stopping.
  bool adopt(grpc::ClientContext* context);
  void release();

  const std::shared_ptr<grpc::Channel> channel_;
  const Runtime::EventHandlers handlers_;
  std::mutex mutex_;
  std::condition_variable wake_;
  grpc::ClientContext* context_ = nullptr;  // under mutex_
  bool stopping_ = false;                   // under mutex_
  bool connected_ = false;                  // only the thread: the last stream got its headers
  std::thread thread_;
};

}  // namespace orch::agent::cri
