// Probes and lifecycle hooks of containers.
#include <optional>

#include "api/names.h"
#include "api/resources/common_validation.h"
#include "api/resources/pod_parts.h"
#include "api/resources/tree.h"
#include "base/json.h"

namespace orch::api {
namespace {

void validate_port_or_name(const Json& port, const FieldPath& path, FieldErrors& errors) {
  if (port.is_string()) return add_problems(errors, path, text(port), check_port_name(text(port)));
  for (const std::string& problem : check_port_number(number(port)))
    errors.invalid(path, number(port), problem);
}

void validate_http_get(const Json& action, const FieldPath& path, FieldErrors& errors) {
  if (text_of(action, "path").empty()) errors.required(path.child("path"));
  validate_port_or_name(member_of(action, "port"), path.child("port"), errors);
  const std::string_view scheme = text_of(action, "scheme");
  if (scheme != "HTTP" && scheme != "HTTPS")
    errors.not_supported(path.child("scheme"), scheme, {"HTTP", "HTTPS"});
  for (const Json& header : list_of(action, "httpHeaders")) {
    const std::string_view name = text_of(header, "name");
    add_problems(errors, path.child("httpHeaders"), name, check_http_header_name(name));
  }
}

void validate_sleep(const Json& action, const Json& spec, const FieldPath& path, FieldErrors& errors) {
  if (!has(spec, "terminationGracePeriodSeconds")) return;
  const int64_t grace = number_of(spec, "terminationGracePeriodSeconds");
  const int64_t seconds = number_of(action, "seconds");
  if (seconds >= 0 && seconds <= grace) return;
  errors.invalid(
      path, seconds,
      "must be non-negative and less than terminationGracePeriodSeconds (" + std::to_string(grace) + ")");
}

/// Exactly one of the actions. Probes have no sleep, hooks no gRPC.
void validate_handler(const Json& handler, bool hook, const Json& spec, const FieldPath& path,
                      FieldErrors& errors) {
  int found = 0;
  for (const char* kind : {"exec", "httpGet", "tcpSocket", "grpc", "sleep"}) {
    const std::string_view name = kind;
    if (!has(handler, name) || (name == "grpc" && hook) || (name == "sleep" && !hook)) continue;
    const FieldPath at = path.child(name);
    const Json& action = map_of(handler, name);
    if (found++ > 0) {
      errors.forbidden(at, "may not specify more than 1 handler type");
    } else if (name == "exec") {
      if (!has_items(action, "command")) errors.required(at.child("command"));
    } else if (name == "httpGet") {
      validate_http_get(action, at, errors);
    } else if (name == "sleep") {
      validate_sleep(action, spec, at, errors);
    } else {
      validate_port_or_name(member_of(action, "port"), at.child("port"), errors);
    }
  }
  if (found == 0) errors.required(path, "must specify a handler type");
}

void validate_probe(const Json& probe, const Json& spec, const FieldPath& path, FieldErrors& errors) {
  validate_handler(probe, false, spec, path, errors);
  for (const char* key :
       {"initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"}) {
    validate_nonnegative(number_of(probe, key), path.child(key), errors);
  }
  if (has(probe, "terminationGracePeriodSeconds") && number_of(probe, "terminationGracePeriodSeconds") <= 0) {
    errors.invalid(path.child("terminationGracePeriodSeconds"),
                   number_of(probe, "terminationGracePeriodSeconds"), "must be greater than 0");
  }
}

}  // namespace

void validate_probes(const Json& container, const Json& spec, const FieldPath& path, FieldErrors& errors) {
  for (const char* kind : {"livenessProbe", "readinessProbe", "startupProbe"}) {
    if (!has(container, kind)) continue;
    const Json& probe = map_of(container, kind);
    const FieldPath at = path.child(kind);
    validate_probe(probe, spec, at, errors);
    if (std::string_view(kind) == "readinessProbe") {
      if (has(probe, "terminationGracePeriodSeconds")) {
        errors.invalid(at.child("terminationGracePeriodSeconds"),
                       number_of(probe, "terminationGracePeriodSeconds"),
                       "must not be set for readinessProbes");
      }
    } else if (number_of(probe, "successThreshold") != 1) {
      errors.invalid(at.child("successThreshold"), number_of(probe, "successThreshold"), "must be 1");
    }
  }
}

void validate_lifecycle(const Json& container, const Json& spec, const FieldPath& path, FieldErrors& errors) {
  const Json& lifecycle = map_of(container, "lifecycle");
  for (const char* hook : {"postStart", "preStop"}) {
    if (has(lifecycle, hook)) {
      validate_handler(map_of(lifecycle, hook), true, spec, path.child("lifecycle").child(hook), errors);
    }
  }
}

}  // namespace orch::api
