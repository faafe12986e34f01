#include "server/admission/request.h"

#include "api/go_text.h"
#include "base/json.h"
#include "server/auth/forbidden.h"

namespace orch::server {

bool is_resource(const AdmissionRequest& request, std::string_view group, std::string_view plural) {
  return request.resource->plural == plural && request.resource->group == group;
}

bool is_pod_write(const AdmissionRequest& request) {
  return request.subresource.empty() && is_resource(request, "", "pods") && request.object != nullptr &&
         (request.operation == Operation::kCreate || request.operation == Operation::kUpdate);
}

std::string object_name(const AdmissionRequest& request) {
  if (!request.name.empty()) return request.name;
  if (request.object != nullptr) {
    for (const char* key : {"name", "generateName"}) {
      const std::string_view name = base::string_at(*request.object, {"metadata", key});
      if (!name.empty()) return std::string(name);
    }
  }
  return "Unknown";
}

base::Status refuse(const AdmissionRequest& request, std::string_view reason) {
  return forbidden(request.resource->group, request.resource->plural, object_name(request), reason);
}

base::Status missing(std::string_view group, std::string_view plural, std::string_view name) {
  base::StatusDetails details;
  details.name = name;
  details.group = group;
  details.kind = plural;
  const std::string what = group.empty() ? std::string(plural) : base::cat(plural, ".", group);
  return {base::Code::kNotFound, base::cat(what, " ", api::go_quote(name), " not found"), std::move(details)};
}

std::string aggregate_text(const std::vector<std::string>& errors) {
  if (errors.empty()) return {};
  return errors.size() == 1 ? errors[0] : "[" + api::join(errors, ", ") + "]";
}

void warn(const AdmissionRequest& request, std::string text) {
  if (request.warnings != nullptr) request.warnings->push_back(std::move(text));
}

}  // namespace orch::server
