// What plugins ask of an AdmissionRequest again and again.
#pragma once

#include <string>
#include <string_view>

#include "server/admission/admission.h"

namespace orch::server {

using Operation = AdmissionRequest::Operation;

/// The request is for this resource (any version of it), whatever its subresource.
bool is_resource(const AdmissionRequest& request, std::string_view group, std::string_view plural);
/// A create or update of a pod itself.
bool is_pod_write(const AdmissionRequest& request);
/// Name of the object, or its generateName, or "Unknown".
std::string object_name(const AdmissionRequest& request);
/// kForbidden: `pods "x" is forbidden: <reason>`.
base::Status refuse(const AdmissionRequest& request, std::string_view reason);
/// kNotFound: `namespaces "x" not found`.
base::Status missing(std::string_view group, std::string_view plural, std::string_view name);
/// Go's text of several errors as one: nothing for none, itself for one, "[a, b]" else.
std::string aggregate_text(const std::vector<std::string>& errors);
void warn(const AdmissionRequest& request, std::string text);

}  // namespace orch::server
