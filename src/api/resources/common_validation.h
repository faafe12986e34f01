// Checks that many kinds share, worded as k8s.io/apimachinery and pkg/apis/core/validation do.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "api/field_error.h"
#include "api/names.h"
#include "base/json_fwd.h"

namespace orch::api {

/// An "Invalid value" error per problem.
void add_problems(FieldErrors& errors, const FieldPath& path, std::string_view value,
                  const Problems& problems);
/// "Invalid value: …" for a string, which need not be turned into a tree by the caller.
void add_invalid(FieldErrors& errors, const FieldPath& path, std::string_view value, std::string_view detail);

/// An error whose value is a struct without JSON names, which Kubernetes prints in Go's order.
void add_cause(FieldErrors& errors, std::string_view reason, const FieldPath& path, std::string message);
/// "Invalid value: DETAIL", the value left out.
void add_invalid_without_value(FieldErrors& errors, const FieldPath& path, std::string_view detail);
/// {"Key":"a","Effect":"b"TAIL}, in the order given.
std::string go_struct(std::initializer_list<std::pair<std::string_view, std::string_view>> members,
                      std::string_view tail = {});

void validate_dns1123_label(std::string_view value, const FieldPath& path, FieldErrors& errors);
void validate_dns1123_subdomain(std::string_view value, const FieldPath& path, FieldErrors& errors);
void validate_qualified_name(std::string_view value, const FieldPath& path, FieldErrors& errors);
/// IsFullyQualifiedDomainName: at least two labels, a final dot allowed.
void validate_fqdn(std::string_view name, const FieldPath& path, FieldErrors& errors);
/// IsFullyQualifiedName: at least three labels.
void validate_full_name(std::string_view name, const FieldPath& path, FieldErrors& errors);
/// "example.com/path"
void validate_domain_prefixed_path(std::string_view value, const FieldPath& path, FieldErrors& errors);

void validate_label_key(std::string_view key, const FieldPath& path, FieldErrors& errors);
void validate_labels(const Json& labels, const FieldPath& path, FieldErrors& errors);
void validate_annotations(const Json& annotations, const FieldPath& path, FieldErrors& errors);
/// A qualified name, or one of the standard finalizers if it has no domain.
void validate_finalizer_name(std::string_view name, const FieldPath& path, FieldErrors& errors);
/// Only the second half of that.
void validate_standard_finalizer(std::string_view name, const FieldPath& path, FieldErrors& errors);

struct SelectorOptions {
  bool allow_invalid_values = false;
};
/// metav1.LabelSelector; a null one is fine.
void validate_label_selector(const Json& selector, const FieldPath& path, FieldErrors& errors,
                             SelectorOptions options = {});
/// The selector has a label value that a newer rule refuses: then updates may keep it.
bool has_invalid_selector_value(const Json& selector);

/// metav1.Condition list.
void validate_conditions(const Json& conditions, const FieldPath& path, FieldErrors& errors);

void validate_nonnegative(int64_t value, const FieldPath& path, FieldErrors& errors);
void validate_positive(int64_t value, const FieldPath& path, FieldErrors& errors);
/// "field is immutable" when the two differ.
void validate_immutable(const Json& value, const Json& old, const FieldPath& path, FieldErrors& errors);
/// The same for a member of both objects.
void validate_immutable_member(const Json& object, const Json& old, std::string_view key,
                               const FieldPath& parent, FieldErrors& errors);
void validate_port_number(const Json& port, const FieldPath& path, FieldErrors& errors);
/// A number or a percentage ("25%"), as far as it must not be negative: intstr of rolling updates and
/// budgets.
void validate_nonnegative_int_or_percent(const Json& value, const FieldPath& path, FieldErrors& errors);
/// "must not be greater than 100%"
void validate_at_most_100_percent(const Json& value, const FieldPath& path, FieldErrors& errors);

/// Values in order, as `sets.List` gives them.
extern const std::vector<std::string> kPortProtocols;
bool is_port_protocol(std::string_view protocol);

}  // namespace orch::api
