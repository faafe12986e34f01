#include "api/resources/ip.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cstring>

#include "api/resources/common_validation.h"

namespace orch::api {
namespace {

constexpr int kV4Bytes = 4;
constexpr int kV4Offset = 12;  // where the IPv4 bytes of a mapped address begin

/// Four decimal octets; leading zeros are skipped, never read as octal.
std::optional<std::array<uint8_t, kV4Bytes>> parse_v4(std::string_view text) {
  std::array<uint8_t, kV4Bytes> out{};
  for (int i = 0; i < kV4Bytes; ++i) {
    if (i > 0) {
      if (text.empty() || text[0] != '.') return std::nullopt;
      text.remove_prefix(1);
    }
    int value = 0;
    size_t digits = 0;
    while (digits < text.size() && text[digits] >= '0' && text[digits] <= '9') {
      value = value * 10 + (text[digits] - '0');
      if (value > 255) return std::nullopt;
      ++digits;
    }
    if (digits == 0) return std::nullopt;
    out[static_cast<size_t>(i)] = static_cast<uint8_t>(value);
    text.remove_prefix(digits);
  }
  if (!text.empty()) return std::nullopt;
  return out;
}

std::string in_quotes(std::string_view s) { return "\"" + std::string(s) + "\""; }

/// The text of an address without re-mapping ::ffff:… to IPv4, as netip has it.
std::string text_v6(const std::array<uint8_t, 16>& bytes) {
  char buffer[INET6_ADDRSTRLEN] = {};
  inet_ntop(AF_INET6, bytes.data(), buffer, sizeof buffer);
  return buffer;
}

}  // namespace

std::optional<Ip> Ip::parse(std::string_view text) {
  Ip ip;
  if (text.find(':') == std::string_view::npos) {
    const auto v4 = parse_v4(text);
    if (!v4) return std::nullopt;
    ip.bytes_[10] = ip.bytes_[11] = 0xff;
    std::copy(v4->begin(), v4->end(), ip.bytes_.begin() + kV4Offset);
    return ip;
  }
  if (text.size() >= INET6_ADDRSTRLEN) return std::nullopt;
  const std::string copy(text);
  if (copy.find('\0') != std::string::npos) return std::nullopt;
  if (inet_pton(AF_INET6, copy.c_str(), ip.bytes_.data()) != 1) return std::nullopt;
  return ip;
}

bool Ip::v4() const {
  return std::all_of(bytes_.begin(), bytes_.begin() + 10, [](uint8_t b) { return b == 0; }) &&
         bytes_[10] == 0xff && bytes_[11] == 0xff;
}

bool Ip::unspecified() const {
  const auto from = bytes_.begin() + (v4() ? kV4Offset : 0);
  return std::all_of(from, bytes_.end(), [](uint8_t b) { return b == 0; });
}

bool Ip::loopback() const {
  if (v4()) return bytes_[kV4Offset] == 127;
  return bytes_[15] == 1 && std::all_of(bytes_.begin(), bytes_.end() - 1, [](uint8_t b) { return b == 0; });
}

bool Ip::link_local_unicast() const {
  if (v4()) return bytes_[12] == 169 && bytes_[13] == 254;
  return bytes_[0] == 0xfe && (bytes_[1] & 0xc0) == 0x80;
}

bool Ip::link_local_multicast() const {
  if (v4()) return bytes_[12] == 224 && bytes_[13] == 0 && bytes_[14] == 0;
  return bytes_[0] == 0xff && (bytes_[1] & 0x0f) == 0x02;
}

bool Ip::multicast() const {
  if (v4()) return (bytes_[12] & 0xf0) == 0xe0;
  return bytes_[0] == 0xff;
}

std::string Ip::text() const {
  if (!v4()) return text_v6(bytes_);
  char buffer[INET_ADDRSTRLEN] = {};
  inet_ntop(AF_INET, bytes_.data() + kV4Offset, buffer, sizeof buffer);
  return buffer;
}

std::optional<Cidr> Cidr::parse(std::string_view text) {
  const size_t slash = text.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  const auto ip = Ip::parse(text.substr(0, slash));
  const std::string_view bits = text.substr(slash + 1);
  if (!ip || bits.empty() || bits.size() > 9) return std::nullopt;
  int prefix = 0;
  for (const char c : bits) {
    if (c < '0' || c > '9') return std::nullopt;
    prefix = prefix * 10 + (c - '0');
  }
  Cidr cidr;
  cidr.address = *ip;
  cidr.v4 = text.substr(0, slash).find(':') == std::string_view::npos;
  if (prefix > (cidr.v4 ? 32 : 128)) return std::nullopt;
  cidr.prefix = prefix;
  return cidr;
}

Ip Cidr::network() const {
  std::array<uint8_t, 16> bytes = address.bytes();
  const int bits = prefix + (v4 ? 96 : 0);
  for (int i = 0; i < 128; ++i) {
    if (i >= bits) bytes[static_cast<size_t>(i / 8)] &= static_cast<uint8_t>(~(0x80 >> (i % 8)));
  }
  return *Ip::parse(text_v6(bytes));
}

std::string Cidr::text() const { return network().text() + "/" + std::to_string(prefix); }

bool Cidr::contains(const Ip& ip) const {
  if (v4 != ip.v4()) return false;
  Cidr other = *this;
  other.address = ip;
  return other.network() == network();
}

bool has_leading_zeros(std::string_view ip) {
  const size_t colon = ip.rfind(':');
  std::string_view v4 = colon == std::string_view::npos ? ip : ip.substr(colon + 1);
  if (v4.find('.') == std::string_view::npos) return false;
  while (true) {
    const size_t dot = v4.find('.');
    const std::string_view octet = v4.substr(0, dot);
    if (octet.size() > 1 && octet[0] == '0') return true;
    if (dot == std::string_view::npos) return false;
    v4 = v4.substr(dot + 1);
  }
}

bool is_v4_in_v6(std::string_view text) {
  if (text.find(':') == std::string_view::npos) return false;
  const auto ip = Ip::parse(text);
  return ip && ip->v4();
}

void validate_legacy_ip(std::string_view ip, const FieldPath& path, FieldErrors& errors) {
  if (!Ip::parse(ip)) {
    add_invalid(errors, path, ip, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)");
  }
}

void validate_ip(std::string_view text, const FieldPath& path, FieldErrors& errors) {
  const auto ip = Ip::parse(text);
  if (!ip) return validate_legacy_ip(text, path, errors);
  if (has_leading_zeros(text)) return add_invalid(errors, path, text, "must not have leading 0s");
  if (is_v4_in_v6(text)) return add_invalid(errors, path, text, "must not be an IPv4-mapped IPv6 address");
  if (ip->text() != text) {
    add_invalid(errors, path, text, "must be in canonical form (" + in_quotes(ip->text()) + ")");
  }
}

void validate_legacy_cidr(std::string_view cidr, const FieldPath& path, FieldErrors& errors) {
  if (!Cidr::parse(cidr)) {
    add_invalid(errors, path, cidr, "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)");
  }
}

void validate_cidr(std::string_view text, const FieldPath& path, FieldErrors& errors) {
  const auto cidr = Cidr::parse(text);
  if (!cidr) return validate_legacy_cidr(text, path, errors);
  const std::string_view ip = text.substr(0, text.find('/'));
  const std::string_view bits = text.substr(text.find('/') + 1);
  if (has_leading_zeros(ip) || (bits.size() > 1 && bits[0] == '0')) {
    return add_invalid(errors, path, text, "must not have leading 0s in IP or prefix length");
  }
  if (is_v4_in_v6(ip)) return add_invalid(errors, path, text, "must not have an IPv4-mapped IPv6 address");
  if (!(cidr->network() == cidr->address)) {
    return add_invalid(errors, path, text, "must not have bits set beyond the prefix length");
  }
  if (cidr->text() != text) {
    add_invalid(errors, path, text, "must be in canonical form (" + in_quotes(cidr->text()) + ")");
  }
}

void validate_endpoint_ip(std::string_view text, const FieldPath& path, FieldErrors& errors) {
  const auto ip = Ip::parse(text);
  if (!ip) return add_invalid(errors, path, text, "must be a valid IP address");
  if (ip->unspecified())
    add_invalid(errors, path, text, "may not be unspecified (" + std::string(text) + ")");
  if (ip->loopback())
    add_invalid(errors, path, text, "may not be in the loopback range (127.0.0.0/8, ::1/128)");
  if (ip->link_local_unicast()) {
    add_invalid(errors, path, text, "may not be in the link-local range (169.254.0.0/16, fe80::/10)");
  }
  if (ip->link_local_multicast()) {
    add_invalid(errors, path, text, "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)");
  }
}

void warn_ip(std::string_view text, const FieldPath& path, std::vector<std::string>& warnings) {
  const auto ip = Ip::parse(text);
  if (!ip) return;
  if (has_leading_zeros(text) || is_v4_in_v6(text)) {
    warnings.push_back(path.text() + ": non-standard IP address " + in_quotes(text) +
                       " will be considered invalid in a future Kubernetes release: use " +
                       in_quotes(ip->text()));
  } else if (!ip->v4() && ip->text() != text) {
    warnings.push_back(path.text() + ": IPv6 address " + in_quotes(text) +
                       " should be in RFC 5952 canonical format (" + in_quotes(ip->text()) + ")");
  }
}

void warn_cidr(std::string_view text, const FieldPath& path, std::vector<std::string>& warnings) {
  const auto cidr = Cidr::parse(text);
  if (!cidr) return;
  const size_t before = warnings.size();
  if (!(cidr->network() == cidr->address)) {
    const std::string single = cidr->address.text() + (cidr->v4 ? "/32" : "/128");
    warnings.push_back(path.text() + ": CIDR value " + in_quotes(text) +
                       " is ambiguous in this context (should be " + in_quotes(cidr->text()) + " or " +
                       in_quotes(single) + "?)");
  }
  const std::string_view ip = text.substr(0, text.find('/'));
  const std::string_view bits = text.substr(text.find('/') + 1);
  if (has_leading_zeros(ip) || is_v4_in_v6(ip) || (bits.size() > 1 && bits[0] == '0')) {
    warnings.push_back(path.text() + ": non-standard CIDR value " + in_quotes(text) +
                       " will be considered invalid in a future Kubernetes release: use " +
                       in_quotes(cidr->text()));
  }
  if (warnings.size() == before && !cidr->v4 && cidr->text() != text) {
    warnings.push_back(path.text() + ": IPv6 CIDR value " + in_quotes(text) +
                       " should be in RFC 5952 canonical format (" + in_quotes(cidr->text()) + ")");
  }
}

}  // namespace orch::api
