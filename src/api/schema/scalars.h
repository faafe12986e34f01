// The text forms of times and bytes: what Go's decoder accepts, what it says when it does not, and how it
// writes them back. All functions are pure. Errors are kBadRequest with Go's message. (Quantities and
// durations, which others calculate with, are in api/quantity.h and api/duration.h.)
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/status.h"

namespace orch::api::schema {

/// A moment in UTC.
struct Instant {
  int64_t seconds = 0;  // since 1970
  int32_t nanos = 0;    // 0 … 999,999,999

  /// Go's zero time, the first second of the year 1, which JSON shows as null.
  static constexpr Instant zero() { return {-62135596800, 0}; }
  bool is_zero() const { return seconds == zero().seconds && nanos == 0; }
};

/// metav1.Time: RFC 3339 with any offset and fraction; the fraction is dropped.
base::Result<Instant> parse_time(std::string_view text);
/// metav1.MicroTime: RFC 3339 with exactly six digits of fraction.
base::Result<Instant> parse_micro_time(std::string_view text);
/// "2026-01-31T23:59:59Z".
std::string format_time(Instant time);
/// "2026-01-31T23:59:59.000000Z"; finer than a microsecond is dropped.
std::string format_micro_time(Instant time);

/// []byte in JSON: base64 with padding; line ends are ignored.
base::Result<std::string> decode_base64(std::string_view text);
std::string encode_base64(std::string_view bytes);

}  // namespace orch::api::schema
