#include "agent/network/address.h"

#include <arpa/inet.h>

#include <charconv>

namespace orch::agent {

std::string IpRange::address() const {
  std::array<char, INET6_ADDRSTRLEN> out{};
  ::inet_ntop(v6 ? AF_INET6 : AF_INET, bytes.data(), out.data(), out.size());
  return out.data();
}

std::string IpRange::text() const { return address() + "/" + std::to_string(length); }

IpRange IpRange::masked() const {
  IpRange out = *this;
  for (int bit = length; bit < bits(); ++bit) {
    out.bytes[static_cast<size_t>(bit) / 8] &= static_cast<uint8_t>(~(0x80 >> (bit % 8)));
  }
  return out;
}

bool IpRange::contains(const IpRange& other) const {
  if (v6 != other.v6 || other.length < length) return false;
  IpRange cut = other;
  cut.length = length;
  return cut.masked() == masked();
}

IpRange IpRange::plus(uint32_t offset) const {
  IpRange out = *this;
  out.length = bits();
  uint64_t carry = offset;
  for (size_t i = v6 ? 16 : 4; i-- > 0 && carry != 0;) {
    carry += out.bytes[i];
    out.bytes[i] = static_cast<uint8_t>(carry);
    carry >>= 8;
  }
  return out;
}

std::optional<IpRange> parse_ip(std::string_view text) {
  const std::string copy(text);
  IpRange out;
  out.v6 = copy.find(':') != std::string::npos;
  out.length = out.bits();
  if (copy.size() != copy.find('\0') && copy.find('\0') != std::string::npos) return std::nullopt;
  if (::inet_pton(out.v6 ? AF_INET6 : AF_INET, copy.c_str(), out.bytes.data()) != 1) return std::nullopt;
  return out;
}

std::optional<IpRange> parse_cidr(std::string_view text) {
  const size_t slash = text.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  auto out = parse_ip(text.substr(0, slash));
  if (!out) return std::nullopt;
  const std::string_view length = text.substr(slash + 1);
  int value = -1;
  const auto [end, error] = std::from_chars(length.data(), length.data() + length.size(), value);
  if (error != std::errc() || end != length.data() + length.size() || value < 0 || value > out->bits()) {
    return std::nullopt;
  }
  out->length = value;
  return out;
}

}  // namespace orch::agent
