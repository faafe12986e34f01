#include "api/scan.h"
#include "base/json.h"
#include "server/admission/plugins.h"
#include "server/admission/request.h"

namespace orch::server {
namespace {

class NamespaceLifecycle final : public AdmissionPlugin {
 public:
  explicit NamespaceLifecycle(const Lookup& lookup) : lookup_(lookup) {}
  std::string_view name() const override { return "NamespaceLifecycle"; }

  bool handles(const AdmissionRequest& r) const override {
    if (is_resource(r, "", "namespaces")) return r.operation == Operation::kDelete;
    // Reviews would tell who may not see a namespace whether it exists.
    return !r.ns.empty() && (r.operation == Operation::kCreate || r.operation == Operation::kUpdate) &&
           !is_resource(r, "authorization.k8s.io", "localsubjectaccessreviews");
  }

  base::Status admit(AdmissionRequest& r) override {
    if (r.operation == Operation::kDelete) {
      const bool stays = r.name == "default" || r.name == "kube-system" || r.name == "kube-public";
      return stays ? refuse(r, "this namespace may not be deleted") : base::Status();
    }
    const api::ObjectPtr ns = lookup_.get("namespaces", "", r.ns);
    if (!ns) return missing("", "namespaces", r.ns);
    if (r.operation != Operation::kCreate) return {};
    // The phase is set in the same write as the deletion timestamp. Every create comes by here: the namespace
    // is parsed only if the word occurs in it at all.
    if (!ns->deleting() && (!api::mentions(ns->bytes(), "Terminating") ||
                            base::string_at(ns->tree(), {"status", "phase"}) != "Terminating")) {
      return {};
    }
    const base::Status status = refuse(
        r, base::cat("unable to create new content in namespace ", r.ns, " because it is being terminated"));
    base::StatusDetails details = *status.details();
    details.causes.push_back({"NamespaceTerminating", base::cat("namespace ", r.ns, " is being terminated"),
                              "metadata.namespace"});
    return {status.code(), status.message(), std::move(details)};
  }

 private:
  const Lookup& lookup_;
};

}  // namespace

std::unique_ptr<AdmissionPlugin> make_namespace_lifecycle(const Lookup& lookup) {
  return std::make_unique<NamespaceLifecycle>(lookup);
}

}  // namespace orch::server
