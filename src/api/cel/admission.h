// What expressions of admission have in common: the types of `request` and `namespaceObject`, and compiling
// to what a place wants (k8s.io/apiserver/pkg/admission/plugin/cel).
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "api/cel/cel.h"
#include "api/field_error.h"
#include "base/json_fwd.h"

namespace orch::api::cel {

/// kubernetes.AdmissionRequest, without the objects, which are variables of their own. Thread-safe.
const Type& admission_request_type();
/// kubernetes.Namespace: what expressions see of the namespace of a request. Thread-safe.
const Type& namespace_object_type();

/// What an expression must give.
enum class Wanted : uint8_t { kAny, kBool, kString, kStringOrNull };

/// A program that gives what is wanted, or why there is none.
struct CheckedProgram {
  std::shared_ptr<const Program> program;
  /// In Kubernetes' words: "compilation failed: …", "must evaluate to bool but got string".
  std::string error;
  /// Kubernetes takes it for an error of the server: "program instantiation failed: …".
  bool internal_error = false;

  /// Adds the error, if there is one, of this text at this place.
  void report(const FieldPath& path, std::string_view text, FieldErrors& errors) const;
};
CheckedProgram compile_checked(const Environment& environment, std::string_view text, Wanted wanted);

}  // namespace orch::api::cel
