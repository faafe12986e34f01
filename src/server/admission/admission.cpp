#include "server/admission/admission.h"

namespace orch::server {

base::Status AdmissionChain::admit(AdmissionRequest& request) const {
  ORCH_RETURN_IF_ERROR(admit_once(request));
  if (!request.reinvocation.wanted) return {};
  request.reinvocation.again = true;
  return admit_once(request);
}

base::Status AdmissionChain::admit_once(AdmissionRequest& request) const {
  for (const auto& plugin : plugins_) {
    if (plugin->handles(request)) ORCH_RETURN_IF_ERROR(plugin->admit(request));
  }
  return {};
}

base::Status AdmissionChain::validate(const AdmissionRequest& request) const {
  for (const auto& plugin : plugins_) {
    if (plugin->handles(request)) ORCH_RETURN_IF_ERROR(plugin->validate(request));
  }
  return {};
}

}  // namespace orch::server
