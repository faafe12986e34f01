// IP addresses and ranges as text: the few operations that routes, proxy and DNS need. Pure.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace orch::agent {

/// A range such as "10.42.1.0/24", or one address as a full-length range.
struct IpRange {
  bool v6 = false;
  std::array<uint8_t, 16> bytes{};  // the first 4 for IPv4
  int length = 0;
  int bits() const { return v6 ? 128 : 32; }
  /// "10.42.1.0"
  std::string address() const;
  /// "10.42.1.0/24"
  std::string text() const;
  /// The range with all bits after the prefix cleared.
  IpRange masked() const;
  bool contains(const IpRange& other) const;
  /// The address `offset` after this one, as a full-length range; wraps at the end of the address space.
  IpRange plus(uint32_t offset) const;
  friend bool operator==(const IpRange&, const IpRange&) = default;
};

/// "10.0.0.1" or "fd00::1", nothing else; none when it is not an address.
std::optional<IpRange> parse_ip(std::string_view text);
/// "10.0.0.0/8"; host bits are kept. None when malformed.
std::optional<IpRange> parse_cidr(std::string_view text);

}  // namespace orch::agent
