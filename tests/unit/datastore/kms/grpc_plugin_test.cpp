// The gRPC side of KMS plugins, against a plugin that listens on a real socket.
#include <grpcpp/grpcpp.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/file.h"
#include "datastore/kms/envelope.h"
#include "kms/kms.grpc.pb.h"
#include "tests/catch.h"

using namespace orch;
using namespace orch::datastore;
using orch::testing::contains;

namespace {

class Plugin final : public ::v2::KeyManagementService::Service {
 public:
  std::string healthz = "ok", key = "k1";

  grpc::Status Status(grpc::ServerContext* /*context*/, const ::v2::StatusRequest* /*request*/,
                      ::v2::StatusResponse* response) override {
    response->set_version("v2");
    response->set_healthz(healthz);
    response->set_key_id(key);
    return grpc::Status::OK;
  }
  grpc::Status Encrypt(grpc::ServerContext* /*context*/, const ::v2::EncryptRequest* request,
                       ::v2::EncryptResponse* response) override {
    const std::string& plain = request->plaintext();
    response->set_ciphertext(std::string(plain.rbegin(), plain.rend()));
    response->set_key_id(key);
    (*response->mutable_annotations())["version.example.com"] = "7";
    return request->uid().empty() ? grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, "no uid")
                                  : grpc::Status::OK;
  }
  grpc::Status Decrypt(grpc::ServerContext* /*context*/, const ::v2::DecryptRequest* request,
                       ::v2::DecryptResponse* response) override {
    if (request->key_id() != key || request->annotations().at("version.example.com") != "7")
      return {grpc::StatusCode::NOT_FOUND, "another key"};
    response->set_plaintext(std::string(request->ciphertext().rbegin(), request->ciphertext().rend()));
    return grpc::Status::OK;
  }
};

}  // namespace

TEST_CASE("a plugin behind a socket seals and opens") {
  std::string folder = "/var/tmp/orch-kms-XXXXXX";
  REQUIRE(::mkdtemp(folder.data()) != nullptr);
  const std::string endpoint = "unix://" + folder + "/kms.sock";
  Plugin plugin;
  base::FakeClock clock;
  std::string sealed;
  {
    grpc::ServerBuilder builder;
    builder.AddListeningPort(endpoint, grpc::InsecureServerCredentials());
    builder.RegisterService(&plugin);
    const auto server = builder.BuildAndStart();
    REQUIRE(server != nullptr);
    KmsEnvelope kms(make_grpc_kms_plugin(endpoint, std::chrono::seconds(3)), clock);
    REQUIRE(kms.start().ok());
    sealed = *kms.seal("sesame", "/registry/core/secrets/ns/a");
    KmsEnvelope next(make_grpc_kms_plugin(endpoint, std::chrono::seconds(3)), clock);
    REQUIRE(next.start().ok());
    bool stale = true;
    CHECK(*next.open(sealed, "/registry/core/secrets/ns/a", stale) == "sesame");
    CHECK_FALSE(stale);
    plugin.key = "k2";
    KmsEnvelope later(make_grpc_kms_plugin(endpoint, std::chrono::seconds(3)), clock);
    REQUIRE(later.start().ok());
    CHECK_THAT(later.open(sealed, "/registry/core/secrets/ns/a", stale).error().message(),
               contains("another key"));
    plugin.healthz = "broken";
    CHECK_THAT(make_grpc_kms_plugin(endpoint, std::chrono::seconds(3))->key_id().error().message(),
               contains("got unexpected healthz status: broken"));
    server->Shutdown();
  }
  CHECK_FALSE(make_grpc_kms_plugin(endpoint, std::chrono::milliseconds(300))->key_id().ok());
  (void)base::remove_all(folder);
}
