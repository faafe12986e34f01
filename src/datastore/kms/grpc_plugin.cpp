#include <grpcpp/grpcpp.h>

#include "datastore/kms/envelope.h"
#include "kms/kms.grpc.pb.h"
#include "pki/pki.h"

namespace orch::datastore {

using base::Code;
using base::Result;
using base::Status;

namespace {

class GrpcPlugin final : public KmsPlugin {
 public:
  GrpcPlugin(const std::string& endpoint, base::Duration timeout)
      : timeout_(timeout),
        stub_(::v2::KeyManagementService::NewStub(
            grpc::CreateChannel(endpoint, grpc::InsecureChannelCredentials()))) {}

  Result<std::string> key_id() override {
    ::v2::StatusRequest request;
    ::v2::StatusResponse response;
    const auto call = [&](grpc::ClientContext& c) { return stub_->Status(&c, request, &response); };
    ORCH_RETURN_IF_ERROR(run("Status", call));
    if (response.version() != "v2" && response.version() != "v2beta1")
      return Status(
          Code::kServiceUnavailable,
          base::cat("failed to validate status: expected KMSv2 API version v2, got ", response.version()));
    if (response.healthz() != "ok")
      return Status(Code::kServiceUnavailable,
                    base::cat("got unexpected healthz status: ", response.healthz()));
    if (response.key_id().empty()) return Status(Code::kServiceUnavailable, "keyID is empty");
    return response.key_id();
  }

  Result<Sealed> encrypt(std::string_view plain) override {
    ::v2::EncryptRequest request;
    request.set_plaintext(std::string(plain));
    request.set_uid(pki::make_uuid());
    ::v2::EncryptResponse response;
    const auto call = [&](grpc::ClientContext& c) { return stub_->Encrypt(&c, request, &response); };
    ORCH_RETURN_IF_ERROR(run("Encrypt", call));
    Sealed sealed{response.ciphertext(), response.key_id(), {}};
    for (const auto& [name, value] : response.annotations()) sealed.annotations[name] = value;
    return sealed;
  }

  Result<std::string> decrypt(const Sealed& sealed) override {
    ::v2::DecryptRequest request;
    request.set_ciphertext(sealed.ciphertext);
    request.set_uid(pki::make_uuid());
    request.set_key_id(sealed.key_id);
    for (const auto& [name, value] : sealed.annotations) (*request.mutable_annotations())[name] = value;
    ::v2::DecryptResponse response;
    const auto call = [&](grpc::ClientContext& c) { return stub_->Decrypt(&c, request, &response); };
    ORCH_RETURN_IF_ERROR(run("Decrypt", call));
    return response.plaintext();
  }

 private:
  template <typename Call>
  Status run(std::string_view what, const Call& call) const {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() +
                         std::chrono::duration_cast<std::chrono::milliseconds>(timeout_));
    const grpc::Status status = call(context);
    if (status.ok()) return {};
    return {Code::kServiceUnavailable, base::cat("KMS plugin, ", what, ": ", status.error_message())};
  }

  const base::Duration timeout_;
  const std::unique_ptr<::v2::KeyManagementService::Stub> stub_;
};

}  // namespace

std::unique_ptr<KmsPlugin> make_grpc_kms_plugin(const std::string& endpoint, base::Duration timeout) {
  return std::make_unique<GrpcPlugin>(endpoint, timeout);
}

}  // namespace orch::datastore
