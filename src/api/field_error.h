// Validation errors of one object, worded as k8s.io/apimachinery/pkg/util/validation/field does.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/json_fwd.h"
#include "base/status.h"

namespace orch::api {

/// A path such as `spec.template.spec.containers[0].ports[1].name`; cheap value, child paths by +/index.
class FieldPath {
 public:
  FieldPath() = default;
  explicit FieldPath(std::string text) : text_(std::move(text)) {}
  FieldPath child(std::string_view name) const;
  FieldPath index(size_t i) const;
  /// `path[key]` for maps.
  FieldPath key(std::string_view key) const;
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

/// Collects field errors; each add_* words the detail as Kubernetes' field.Error of that type does
/// ("spec.replicas: Invalid value: -1: must be greater than or equal to 0").
class FieldErrors {
 public:
  void required(const FieldPath& path, std::string_view detail = {});
  void invalid(const FieldPath& path, const Json& value, std::string_view detail);
  void not_supported(const FieldPath& path, std::string_view value,
                     const std::vector<std::string>& supported);
  void duplicate(const FieldPath& path, const Json& value);
  void forbidden(const FieldPath& path, std::string_view detail);
  void not_found(const FieldPath& path, const Json& value);
  void too_long(const FieldPath& path, int max_length);
  void too_many(const FieldPath& path, int actual, int max);
  void type_invalid(const FieldPath& path, const Json& value, std::string_view detail);
  void internal(const FieldPath& path, std::string_view detail);
  /// An error worded by the caller.
  void add(base::Cause cause) { causes_.push_back(std::move(cause)); }

  bool empty() const { return causes_.empty(); }
  const std::vector<base::Cause>& causes() const { return causes_; }
  void append(FieldErrors other);
  /// `field: message`, several in brackets and separated by commas, repeated ones once.
  std::string text() const;
  /// kInvalid: `Deployment.apps "x" is invalid: spec.replicas: Invalid value: …` (several in brackets), with
  /// causes and details, as errors.NewInvalid. OK if empty.
  base::Status to_status(std::string_view group, std::string_view kind, std::string_view name) const;

 private:
  std::vector<base::Cause> causes_;
};

}  // namespace orch::api
