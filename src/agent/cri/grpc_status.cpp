#include "agent/cri/grpc_status.h"

#include <array>

namespace orch::agent::cri {

base::Status to_status(const grpc::Status& status) {
  using base::Code;
  if (status.ok()) return {};
  struct Row {
    std::string_view name;
    Code code;
  };
  static constexpr std::array<Row, 17> kRows{{
      {"OK", Code::kOk},
      {"Canceled", Code::kCanceled},
      {"Unknown", Code::kUnknown},
      {"InvalidArgument", Code::kBadRequest},
      {"DeadlineExceeded", Code::kTimeout},
      {"NotFound", Code::kNotFound},
      {"AlreadyExists", Code::kAlreadyExists},
      {"PermissionDenied", Code::kForbidden},
      {"ResourceExhausted", Code::kTooManyRequests},
      {"FailedPrecondition", Code::kConflict},
      {"Aborted", Code::kConflict},
      {"OutOfRange", Code::kBadRequest},
      {"Unimplemented", Code::kMethodNotAllowed},
      {"Internal", Code::kInternal},
      {"Unavailable", Code::kServiceUnavailable},
      {"DataLoss", Code::kInternal},
      {"Unauthenticated", Code::kUnauthorized},
  }};
  const auto index = static_cast<size_t>(status.error_code());
  const Row& row = index < kRows.size() ? kRows[index] : kRows[2];
  return {row.code, base::cat("rpc error: code = ", row.name, " desc = ", status.error_message())};
}

}  // namespace orch::agent::cri
