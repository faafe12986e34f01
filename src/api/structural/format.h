// Formats of strings that schemas of custom resources can demand (k8s.io/kube-openapi/pkg/validation/strfmt,
// apiextensions' supportedVersionedFormats of v1.35).
#pragma once

#include <cstdint>
#include <string_view>

namespace orch::api::structural {

enum class Format : uint8_t {
  kNone,  // absent or not known: anything is right
  kBsonObjectId,
  kUri,
  kEmail,
  kHostname,
  kIpv4,
  kIpv6,
  kCidr,
  kMac,
  kUuid,
  kUuid3,
  kUuid4,
  kUuid5,
  kIsbn,
  kIsbn10,
  kIsbn13,
  kCreditCard,
  kSsn,
  kHexColor,
  kRgbColor,
  kByte,
  kPassword,
  kDate,
  kDuration,
  kDateTime,
  kShortName,
  kLongName,
};

/// By name; dashes do not count ("date-time" is "datetime"). kNone if it is not known.
Format format_of(std::string_view name);
/// A string is of the format.
bool has_format(Format format, std::string_view value);

}  // namespace orch::api::structural
