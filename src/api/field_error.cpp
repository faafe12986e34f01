#include "api/field_error.h"

#include <algorithm>

#include "api/go_text.h"
#include "base/json.h"

namespace orch::api {
namespace {

base::Cause cause(std::string_view reason, const FieldPath& path, std::string message,
                  std::string_view detail) {
  if (!detail.empty()) message.append(": ").append(detail);
  return {std::string(reason), std::move(message), path.text()};
}

/// "at most 1 item", "at most 2 items"
std::string count(int n, std::string_view unit) { return base::cat(n, " ", unit, n == 1 ? "" : "s"); }

}  // namespace

FieldPath FieldPath::child(std::string_view name) const {
  return FieldPath(text_.empty() ? std::string(name) : base::cat(text_, ".", name));
}

FieldPath FieldPath::index(size_t i) const { return FieldPath(base::cat(text_, "[", i, "]")); }

FieldPath FieldPath::key(std::string_view key) const { return FieldPath(base::cat(text_, "[", key, "]")); }

void FieldErrors::required(const FieldPath& path, std::string_view detail) {
  causes_.push_back(cause("FieldValueRequired", path, "Required value", detail));
}

void FieldErrors::invalid(const FieldPath& path, const Json& value, std::string_view detail) {
  causes_.push_back(cause("FieldValueInvalid", path, base::cat("Invalid value: ", go_value(value)), detail));
}

void FieldErrors::not_supported(const FieldPath& path, std::string_view value,
                                const std::vector<std::string>& supported) {
  std::string detail;
  for (const std::string& one : supported) {
    detail.append(detail.empty() ? "supported values: " : ", ").append(go_quote(one));
  }
  causes_.push_back(
      cause("FieldValueNotSupported", path, base::cat("Unsupported value: ", go_quote(value)), detail));
}

void FieldErrors::duplicate(const FieldPath& path, const Json& value) {
  causes_.push_back(cause("FieldValueDuplicate", path, base::cat("Duplicate value: ", go_value(value)), {}));
}

void FieldErrors::forbidden(const FieldPath& path, std::string_view detail) {
  causes_.push_back(cause("FieldValueForbidden", path, "Forbidden", detail));
}

void FieldErrors::not_found(const FieldPath& path, const Json& value) {
  causes_.push_back(cause("FieldValueNotFound", path, base::cat("Not found: ", go_value(value)), {}));
}

void FieldErrors::too_long(const FieldPath& path, int max_length) {
  causes_.push_back(cause(
      "FieldValueTooLong", path, "Too long",
      max_length < 0 ? "value is too long" : base::cat("may not be more than ", count(max_length, "byte"))));
}

void FieldErrors::too_many(const FieldPath& path, int actual, int max) {
  causes_.push_back(
      cause("FieldValueTooMany", path, actual < 0 ? std::string("Too many") : base::cat("Too many: ", actual),
            max < 0 ? "has too many items" : base::cat("must have at most ", count(max, "item"))));
}

void FieldErrors::type_invalid(const FieldPath& path, const Json& value, std::string_view detail) {
  causes_.push_back(
      cause("FieldValueTypeInvalid", path, base::cat("Invalid value: ", go_value(value)), detail));
}

void FieldErrors::internal(const FieldPath& path, std::string_view detail) {
  causes_.push_back(cause("InternalError", path, "Internal error", detail));
}

void FieldErrors::append(FieldErrors other) {
  std::move(other.causes_.begin(), other.causes_.end(), std::back_inserter(causes_));
}

std::string FieldErrors::text() const {
  std::vector<std::string> messages;
  for (const base::Cause& one : causes_) {
    std::string message = base::cat(one.field, ": ", one.message);
    if (std::find(messages.begin(), messages.end(), message) == messages.end()) {
      messages.push_back(std::move(message));
    }
  }
  return messages.size() == 1 ? messages.front() : base::cat("[", join(messages, ", "), "]");
}

base::Status FieldErrors::to_status(std::string_view group, std::string_view kind,
                                    std::string_view name) const {
  if (causes_.empty()) return {};
  base::StatusDetails details;
  details.name = name;
  details.group = group;
  details.kind = kind;
  details.causes = causes_;
  const std::string qualified = group.empty() ? std::string(kind) : base::cat(kind, ".", group);
  return {base::Code::kInvalid, base::cat(qualified, " ", go_quote(name), " is invalid: ", text()),
          std::move(details)};
}

}  // namespace orch::api
