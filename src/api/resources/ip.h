// IP addresses and networks as the API reads them: net.IP of Go, with the sloppy parsing that old fields
// have.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/field_error.h"

namespace orch::api {

/// An address; IPv4 is held in its mapped form, as Go does, so ::ffff:1.2.3.4 equals 1.2.3.4.
class Ip {
 public:
  /// Leading zeros in IPv4 octets are skipped (ParseIPSloppy).
  static std::optional<Ip> parse(std::string_view text);
  bool v4() const;
  bool unspecified() const;
  bool loopback() const;
  bool link_local_unicast() const;
  bool link_local_multicast() const;
  bool multicast() const;
  /// RFC 5952 for IPv6.
  std::string text() const;
  const std::array<uint8_t, 16>& bytes() const { return bytes_; }
  bool operator==(const Ip&) const = default;

 private:
  std::array<uint8_t, 16> bytes_{};
};

struct Cidr {
  Ip address;  // as written, host bits kept
  int prefix = 0;
  bool v4 = false;
  static std::optional<Cidr> parse(std::string_view text);
  /// The network's address: host bits cleared.
  Ip network() const;
  std::string text() const;  // of the network
  bool contains(const Ip& ip) const;
};

/// How the text of an address or network departs from what current Kubernetes wants.
bool has_leading_zeros(std::string_view ip);
bool is_v4_in_v6(std::string_view ip);

/// IsValidIPForLegacyField without strict validation.
void validate_legacy_ip(std::string_view ip, const FieldPath& path, FieldErrors& errors);
/// IsValidIP: strict and in canonical form.
void validate_ip(std::string_view ip, const FieldPath& path, FieldErrors& errors);
void validate_legacy_cidr(std::string_view cidr, const FieldPath& path, FieldErrors& errors);
/// IsValidCIDR: strict and in canonical form.
void validate_cidr(std::string_view cidr, const FieldPath& path, FieldErrors& errors);
/// ValidateEndpointIP: no address that endpoints cannot have.
void validate_endpoint_ip(std::string_view ip, const FieldPath& path, FieldErrors& errors);

/// GetWarningsForIP / GetWarningsForCIDR, appended.
void warn_ip(std::string_view ip, const FieldPath& path, std::vector<std::string>& warnings);
void warn_cidr(std::string_view cidr, const FieldPath& path, std::vector<std::string>& warnings);

}  // namespace orch::api
