// grpc_health against servers on the loopback: what a probe of type grpc shows for each answer.
#include "agent/cri/health.h"

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <memory>
#include <string>
#include <thread>

#include "cri/health.grpc.pb.h"
#include "tests/catch.h"

namespace orch::agent {
namespace {

namespace health = ::grpc::health::v1;
using base::Code;
using std::chrono::seconds;
using testing::contains;

/// Knows a few services by their names.
class Health final : public health::Health::Service {
 public:
  ::grpc::Status Check(::grpc::ServerContext* context, const health::HealthCheckRequest* request,
                       health::HealthCheckResponse* response) override {
    const std::string& service = request->service();
    if (service == "silent") {
      while (!context->IsCancelled()) std::this_thread::sleep_for(std::chrono::milliseconds(5));
      return ::grpc::Status::CANCELLED;
    }
    if (service == "unknown") return {::grpc::StatusCode::NOT_FOUND, "no such service"};
    response->set_status(service == "db" ? health::HealthCheckResponse::NOT_SERVING
                                         : health::HealthCheckResponse::SERVING);
    return ::grpc::Status::OK;
  }
};

/// Listens on a free port of the loopback.
struct Listening {
  explicit Listening(::grpc::Service& service) {
    ::grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", ::grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(&service);
    server = builder.BuildAndStart();
    REQUIRE(server != nullptr);
  }
  std::string address() const { return "127.0.0.1:" + std::to_string(port); }

  int port = 0;
  std::unique_ptr<::grpc::Server> server;
};

TEST_CASE("a health check shows what the server says") {
  Health service;
  const Listening server(service);
  struct Case {
    const char* service;
    Code code;
    const char* message;
  };
  const Case cases[] = {
      {"", Code::kOk, ""},
      {"web", Code::kOk, ""},
      {"db", Code::kUnknown, "service unhealthy (responded with \"NOT_SERVING\")"},
      {"unknown", Code::kUnknown, "error: health rpc probe failed: no such service"},
      {"silent", Code::kTimeout, "timeout: health rpc did not complete within 1s"},
  };
  for (const Case& c : cases) {
    INFO("service '" << c.service << "'");
    const base::Status status = grpc_health(server.address(), c.service, seconds(1));
    CHECK(status.code() == c.code);
    CHECK(status.message() == c.message);
  }
}

TEST_CASE("a health check of a server without that protocol, and of none") {
  std::string address;
  {
    health::Health::Service without;  // answers UNIMPLEMENTED
    const Listening server(without);
    address = server.address();
    const base::Status status = grpc_health(address, "", seconds(1));
    CHECK(status.code() == Code::kUnknown);
    CHECK_THAT(status.message(),
               contains("this server does not implement the grpc health protocol (grpc.health.v1.Health)"));
  }
  const base::Status status = grpc_health(address, "", seconds(1));
  CHECK_FALSE(status.ok());
  CHECK_FALSE(status.message().empty());
}

}  // namespace
}  // namespace orch::agent
