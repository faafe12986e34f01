#include "server/admission/plugins.h"
#include "server/admission/request.h"
#include "server/auth/escalation.h"

namespace orch::server {
namespace {

class RbacEscalation final : public AdmissionPlugin {
 public:
  RbacEscalation(const RbacAuthorizer& rbac, Authorizer& authorizer) : rbac_(rbac), authorizer_(authorizer) {}
  std::string_view name() const override { return "RbacEscalation"; }
  bool handles(const AdmissionRequest& r) const override {
    return r.resource->group == "rbac.authorization.k8s.io" && r.subresource.empty() && r.object != nullptr &&
           r.user != nullptr && (r.operation == Operation::kCreate || r.operation == Operation::kUpdate);
  }
  base::Status validate(const AdmissionRequest& r) override {
    return confirm_no_escalation(rbac_, authorizer_, *r.user, r.resource->plural, r.ns, *r.object,
                                 r.old_object);
  }

 private:
  const RbacAuthorizer& rbac_;
  Authorizer& authorizer_;
};

}  // namespace

std::unique_ptr<AdmissionPlugin> make_rbac_escalation(const RbacAuthorizer& rbac, Authorizer& authorizer) {
  return std::make_unique<RbacEscalation>(rbac, authorizer);
}

}  // namespace orch::server
