#include "api/resources/common_validation.h"

#include <algorithm>
#include <map>

#include "api/go_text.h"
#include "api/int_or_string.h"
#include "api/resources/tree.h"
#include "base/json.h"

namespace orch::api {
namespace {

constexpr int kMaxAnnotationBytes = 256 * 1024;
constexpr int kMaxReason = 1024;
constexpr int kMaxConditionMessage = 32 * 1024;

bool is_alnum(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'); }

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (true) {
    const size_t at = text.find(separator);
    parts.push_back(text.substr(0, at));
    if (at == std::string_view::npos) return parts;
    text = text.substr(at + 1);
  }
}

std::string joined(const Problems& problems, std::string_view separator) {
  std::string out;
  for (const std::string& p : problems) {
    if (!out.empty()) out += separator;
    out += p;
  }
  return out;
}

}  // namespace

const std::vector<std::string> kPortProtocols = {"SCTP", "TCP", "UDP"};

bool is_port_protocol(std::string_view protocol) {
  return std::find(kPortProtocols.begin(), kPortProtocols.end(), protocol) != kPortProtocols.end();
}

void add_invalid(FieldErrors& errors, const FieldPath& path, std::string_view value,
                 std::string_view detail) {
  errors.invalid(path, Json(std::string(value)), detail);
}

void add_problems(FieldErrors& errors, const FieldPath& path, std::string_view value,
                  const Problems& problems) {
  for (const std::string& problem : problems) add_invalid(errors, path, value, problem);
}

void add_cause(FieldErrors& errors, std::string_view reason, const FieldPath& path, std::string message) {
  errors.add({std::string(reason), std::move(message), path.text()});
}

void add_invalid_without_value(FieldErrors& errors, const FieldPath& path, std::string_view detail) {
  add_cause(errors, "FieldValueInvalid", path, "Invalid value: " + std::string(detail));
}

std::string go_struct(std::initializer_list<std::pair<std::string_view, std::string_view>> members,
                      std::string_view tail) {
  std::string out;
  for (const auto& [key, value] : members) {
    out += out.empty() ? "{" : ",";
    out += go_json(Json(std::string(key))) + ":" + go_json(Json(std::string(value)));
  }
  out += tail;
  return out + "}";
}

void validate_dns1123_label(std::string_view value, const FieldPath& path, FieldErrors& errors) {
  add_problems(errors, path, value, check_dns1123_label(value));
}

void validate_dns1123_subdomain(std::string_view value, const FieldPath& path, FieldErrors& errors) {
  add_problems(errors, path, value, check_dns1123_subdomain(value));
}

void validate_qualified_name(std::string_view value, const FieldPath& path, FieldErrors& errors) {
  add_problems(errors, path, value, check_qualified_name(value));
}

void validate_fqdn(std::string_view name, const FieldPath& path, FieldErrors& errors) {
  if (name.empty()) return errors.required(path);
  if (name.ends_with('.')) name.remove_suffix(1);
  const Problems problems = check_dns1123_subdomain(name);
  if (!problems.empty()) return add_invalid(errors, path, name, joined(problems, ","));
  const auto labels = split(name, '.');
  if (labels.size() < 2) {
    return add_invalid(errors, path, name, "should be a domain with at least two segments separated by dots");
  }
  for (const std::string_view label : labels) {
    const Problems label_problems = check_dns1123_label(label);
    if (!label_problems.empty()) return add_invalid(errors, path, label, joined(label_problems, ","));
  }
}

void validate_full_name(std::string_view name, const FieldPath& path, FieldErrors& errors) {
  if (name.empty()) return errors.required(path);
  const Problems problems = check_dns1123_subdomain(name);
  if (!problems.empty()) return add_invalid(errors, path, name, joined(problems, ","));
  if (split(name, '.').size() < 3) {
    add_invalid(errors, path, name, "should be a domain with at least three segments separated by dots");
  }
}

void validate_domain_prefixed_path(std::string_view value, const FieldPath& path, FieldErrors& errors) {
  if (value.empty()) return errors.required(path);
  const size_t slash = value.find('/');
  if (slash == std::string_view::npos || slash == 0 || slash + 1 == value.size()) {
    return add_invalid(errors, path, value, "must be a domain-prefixed path (such as \"acme.io/foo\")");
  }
  const std::string_view host = value.substr(0, slash);
  add_problems(errors, path, host, check_dns1123_subdomain(host));
  constexpr std::string_view kPathChars = "/-._~%!$&'()*+,;=:";
  const std::string_view rest = value.substr(slash + 1);
  const auto ok = [&](char c) { return is_alnum(c) || kPathChars.find(c) != std::string_view::npos; };
  if (!std::all_of(rest.begin(), rest.end(), ok)) {
    add_invalid(errors, path, rest, regex_problem("Invalid path", "[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+"));
  }
}

void validate_label_key(std::string_view key, const FieldPath& path, FieldErrors& errors) {
  add_problems(errors, path, key, check_qualified_name(key));
}

void validate_labels(const Json& labels, const FieldPath& path, FieldErrors& errors) {
  if (!labels.is_object()) return;
  for (auto it = labels.begin(); it != labels.end(); ++it) {
    validate_label_key(it.key(), path, errors);
    add_problems(errors, path, text(*it), check_label_value(text(*it)));
  }
}

void validate_annotations(const Json& annotations, const FieldPath& path, FieldErrors& errors) {
  if (!annotations.is_object()) return;
  size_t total = 0;
  for (auto it = annotations.begin(); it != annotations.end(); ++it) {
    std::string lower = it.key();
    std::transform(lower.begin(), lower.end(), lower.begin(),
                   [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 'a' - 'A') : c; });
    add_problems(errors, path, it.key(), check_qualified_name(lower));
    total += it.key().size() + text(*it).size();
  }
  if (total > kMaxAnnotationBytes) errors.too_long(path, kMaxAnnotationBytes);
}

void validate_standard_finalizer(std::string_view name, const FieldPath& path, FieldErrors& errors) {
  if (name.find('/') != std::string_view::npos) return;
  if (name == "kubernetes" || name == "orphan" || name == "foregroundDeletion") return;
  add_invalid(errors, path, name, "name is neither a standard finalizer name nor is it fully qualified");
}

void validate_finalizer_name(std::string_view name, const FieldPath& path, FieldErrors& errors) {
  validate_qualified_name(name, path, errors);
  validate_standard_finalizer(name, path, errors);
}

void validate_label_selector(const Json& selector, const FieldPath& path, FieldErrors& errors,
                             SelectorOptions options) {
  if (!selector.is_object()) return;
  validate_labels(map_of(selector, "matchLabels"), path.child("matchLabels"), errors);
  size_t i = 0;
  for (const Json& expression : list_of(selector, "matchExpressions")) {
    const FieldPath at = path.child("matchExpressions").index(i++);
    const std::string_view op = text_of(expression, "operator");
    const Json& values = list_of(expression, "values");
    if (op == "In" || op == "NotIn") {
      if (values.empty()) {
        errors.required(at.child("values"), "must be specified when `operator` is 'In' or 'NotIn'");
      }
    } else if (op == "Exists" || op == "DoesNotExist") {
      if (!values.empty()) {
        errors.forbidden(at.child("values"),
                         "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
      }
    } else {
      add_invalid(errors, at.child("operator"), op, "not a valid selector operator");
    }
    validate_label_key(text_of(expression, "key"), at.child("key"), errors);
    if (options.allow_invalid_values) continue;
    for (size_t v = 0; v < values.size(); ++v) {
      add_problems(errors, at.child("values").index(v), text(values[v]), check_label_value(text(values[v])));
    }
  }
}

bool has_invalid_selector_value(const Json& selector) {
  for (const Json& expression : list_of(selector, "matchExpressions")) {
    for (const Json& value : list_of(expression, "values")) {
      if (!check_label_value(text(value)).empty()) return true;
    }
  }
  return false;
}

namespace {

bool valid_condition_reason(std::string_view reason) {
  const auto letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); };
  const auto inner = [](char c) { return is_alnum(c) || c == '_' || c == ',' || c == ':'; };
  return letter(reason.front()) && std::all_of(reason.begin(), reason.end(), inner) &&
         (is_alnum(reason.back()) || reason.back() == '_');
}

void validate_condition(const Json& condition, const FieldPath& at, FieldErrors& errors) {
  validate_label_key(text_of(condition, "type"), at.child("type"), errors);
  const std::string_view status = text_of(condition, "status");
  if (status != "True" && status != "False" && status != "Unknown") {
    errors.not_supported(at.child("status"), status, {"False", "True", "Unknown"});
  }
  const int64_t observed = number_of(condition, "observedGeneration");
  if (observed < 0) {
    errors.invalid(at.child("observedGeneration"), observed, "must be greater than or equal to zero");
  }
  if (!has(condition, "lastTransitionTime")) errors.required(at.child("lastTransitionTime"));
  const std::string_view reason = text_of(condition, "reason");
  if (reason.empty()) {
    errors.required(at.child("reason"));
  } else {
    if (!valid_condition_reason(reason)) {
      add_invalid(
          errors, at.child("reason"), reason,
          regex_problem("a condition reason must start with alphabetic character, optionally followed by a "
                        "string of alphanumeric characters or '_,:', and must end with an alphanumeric "
                        "character or '_'",
                        "[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?",
                        {"my_name", "MY_NAME", "MyName", "ReasonA,ReasonB", "ReasonA:ReasonB"}));
    }
    if (reason.size() > kMaxReason) errors.too_long(at.child("reason"), kMaxReason);
  }
  if (text_of(condition, "message").size() > kMaxConditionMessage) {
    errors.too_long(at.child("message"), kMaxConditionMessage);
  }
}

}  // namespace

void validate_conditions(const Json& conditions, const FieldPath& path, FieldErrors& errors) {
  if (!conditions.is_array()) return;
  std::map<std::string_view, size_t> seen;
  for (size_t i = 0; i < conditions.size(); ++i) {
    const FieldPath at = path.index(i);
    const std::string_view type = text_of(conditions[i], "type");
    if (!seen.emplace(type, i).second) errors.duplicate(at.child("type"), Json(std::string(type)));
    validate_condition(conditions[i], at, errors);
  }
}

void validate_nonnegative(int64_t value, const FieldPath& path, FieldErrors& errors) {
  if (value < 0) errors.invalid(path, value, "must be greater than or equal to 0");
}

void validate_positive(int64_t value, const FieldPath& path, FieldErrors& errors) {
  if (value <= 0) errors.invalid(path, value, "must be greater than zero");
}

void validate_immutable(const Json& value, const Json& old, const FieldPath& path, FieldErrors& errors) {
  if (!same(value, old)) errors.invalid(path, value, "field is immutable");
}

void validate_immutable_member(const Json& object, const Json& old, std::string_view key,
                               const FieldPath& parent, FieldErrors& errors) {
  if (same_member(object, old, key)) return;
  const Json& value = member_of(object, key);
  // A string that is gone is "" in Go, not null.
  const bool was_text = value.is_null() && member_of(old, key).is_string();
  errors.invalid(parent.child(key), was_text ? Json("") : value, "field is immutable");
}

void validate_port_number(const Json& port, const FieldPath& path, FieldErrors& errors) {
  for (const std::string& problem : check_port_number(number(port))) {
    errors.invalid(path, port.is_null() ? Json(0) : port, problem);
  }
}

void validate_nonnegative_int_or_percent(const Json& value, const FieldPath& path, FieldErrors& errors) {
  if (value.is_string()) {
    add_problems(errors, path, text(value), check_percent(text(value)));
  } else {
    validate_nonnegative(number(value), path, errors);
  }
}

void validate_at_most_100_percent(const Json& value, const FieldPath& path, FieldErrors& errors) {
  if (percent_of(value).value_or(0) > 100) errors.invalid(path, value, "must not be greater than 100%");
}

}  // namespace orch::api
