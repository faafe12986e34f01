// Status and Result: how every fallible operation in Orch reports its outcome.
//
// A Status mirrors meta/v1 Status of the Kubernetes API: a code that decides the HTTP status and the
// `reason`, a message for people, and optional details with field causes. base/status.cpp holds the one
// table code -> (HTTP status, reason). Values are immutable after construction and free to copy between
// threads; an OK status carries no heap memory.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace orch::base {

/// One value per metav1.StatusReason in use; the comment gives the HTTP status it is answered with.
enum class Code : uint8_t {
  kOk,                     // 200
  kBadRequest,             // 400
  kUnauthorized,           // 401
  kForbidden,              // 403
  kNotFound,               // 404
  kMethodNotAllowed,       // 405
  kNotAcceptable,          // 406
  kAlreadyExists,          // 409
  kConflict,               // 409
  kGone,                   // 410
  kExpired,                // 410, resource version or continue token too old
  kRequestEntityTooLarge,  // 413
  kUnsupportedMediaType,   // 415
  kInvalid,                // 422
  kTooManyRequests,        // 429
  kInternal,               // 500 InternalError
  kUnknown,                // 500, no reason
  kServerTimeout,          // 500
  kServiceUnavailable,     // 503
  kTimeout,                // 504
  kStoreReadOnly,          // 500 InternalError, disk full or read-only: nothing was written
  kCanceled,               // 499-like, never sent: the caller went away
};

/// metav1.StatusCause.
struct Cause {
  std::string reason;  // e.g. "FieldValueInvalid"
  std::string message;
  std::string field;  // e.g. "spec.containers[0].name"
};

/// metav1.StatusDetails.
struct StatusDetails {
  std::string name, group, kind, uid;
  std::vector<Cause> causes;
  int retry_after_seconds = 0;
};

class [[nodiscard]] Status {
 public:
  Status() = default;  // OK
  Status(Code code, std::string message);
  Status(Code code, std::string message, StatusDetails details);

  bool ok() const { return code_ == Code::kOk; }
  Code code() const { return code_; }
  /// Empty when ok.
  const std::string& message() const;
  /// Null when there are none.
  const StatusDetails* details() const;
  /// HTTP status this code is answered with, 200 for OK.
  int http_code() const;
  /// metav1.StatusReason, "" where Kubernetes sends none.
  std::string_view reason() const;
  /// A copy whose message starts with `context + ": "`.
  Status with_context(std::string_view context) const;

  /// The JSON text of the metav1.Status object (kind, apiVersion, metadata, status, message, reason,
  /// details, code) as kube-apiserver writes it.
  std::string to_json() const;
  /// The inverse, for clients: from an HTTP status and a body that may or may not be a metav1.Status.
  static Status from_response(int http_code, std::string_view body);

 private:
  struct Rep {
    std::string message;
    std::optional<StatusDetails> details;
  };
  Code code_ = Code::kOk;
  std::shared_ptr<const Rep> rep_;
};

inline Status ok_status() { return {}; }

/// A value or the Status that says why there is none. value() on an error aborts: check ok() first.
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : v_(std::in_place_index<0>, std::move(value)) {}         // NOLINT: implicit by design
  Result(Status status) : v_(std::in_place_index<1>, std::move(status)) {}  // NOLINT
  bool ok() const { return v_.index() == 0; }
  /// OK or the error; cheap.
  Status status() const { return ok() ? Status() : *std::get_if<1>(&v_); }
  const Status& error() const { return *std::get_if<1>(&v_); }
  T& value() { return std::get<0>(v_); }
  const T& value() const { return std::get<0>(v_); }
  T& operator*() { return value(); }
  const T& operator*() const { return value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

 private:
  std::variant<T, Status> v_;
};

/// printf-free message building: concatenates its arguments (strings, views, integers).
template <typename... Args>
std::string cat(const Args&... args) {
  std::string out;
  auto add = [&out](const auto& a) {
    if constexpr (std::is_arithmetic_v<std::decay_t<decltype(a)>>) {
      if constexpr (std::is_same_v<std::decay_t<decltype(a)>, char>) {
        out += a;
      } else {
        out += std::to_string(a);
      }
    } else {
      out += std::string_view(a);
    }
  };
  (add(args), ...);
  return out;
}

}  // namespace orch::base

/// Propagates an error Status out of a function that returns Status or Result<T>.
#define ORCH_RETURN_IF_ERROR(expr)               \
  do {                                           \
    ::orch::base::Status orch_status_ = (expr);  \
    if (!orch_status_.ok()) return orch_status_; \
  } while (false)
