#include "agent/cri/health.h"

#include <grpcpp/grpcpp.h>

#include "cri/health.grpc.pb.h"

namespace orch::agent {

namespace health = ::grpc::health::v1;
using base::Code;
using base::Status;

Status grpc_health(const std::string& address, const std::string& service, std::chrono::seconds timeout) {
  ::grpc::ChannelArguments args;
  args.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  // Not shared with other probes: a connection kept by one would hide that the server takes no new ones.
  args.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  const auto channel = ::grpc::CreateCustomChannel(address, ::grpc::InsecureChannelCredentials(), args);
  const auto stub = health::Health::NewStub(channel);
  ::grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + timeout);
  health::HealthCheckRequest request;
  request.set_service(service);
  health::HealthCheckResponse response;
  const ::grpc::Status status = stub->Check(&context, request, &response);
  if (!status.ok()) {
    switch (status.error_code()) {
      case ::grpc::StatusCode::UNIMPLEMENTED:
        return {Code::kUnknown,
                "error: this server does not implement the grpc health protocol (grpc.health.v1.Health): " +
                    status.error_message()};
      case ::grpc::StatusCode::DEADLINE_EXCEEDED:
        return {Code::kTimeout,
                base::cat("timeout: health rpc did not complete within ", timeout.count(), "s")};
      default:
        return {Code::kUnknown, "error: health rpc probe failed: " + status.error_message()};
    }
  }
  if (response.status() == health::HealthCheckResponse::SERVING) return {};
  const auto name = health::HealthCheckResponse::ServingStatus_Name(response.status());
  return {Code::kUnknown, base::cat("service unhealthy (responded with \"", name, "\")")};
}

}  // namespace orch::agent
