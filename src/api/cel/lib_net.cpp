// IP addresses and networks: net/netip of Go, with the errors it gives.
#include <algorithm>
#include <array>

#include "api/cel/functions.h"
#include "api/go_text.h"

namespace orch::api::cel {

namespace {

using Kind = Value::Kind;
using A = ValueAccess;

struct Address {
  std::array<uint8_t, 16> bytes{};
  bool v4 = false;
  bool zone = false;
  size_t length() const { return v4 ? 4 : 16; }
  bool operator==(const Address&) const = default;
};

std::string parse_error(std::string_view in, std::string_view message, std::string_view at = {}) {
  std::string out = "ParseAddr(" + go_quote(in) + "): " + std::string(message);
  return at.empty() ? out : out + " (at " + go_quote(at) + ")";
}

/// Four octets from `s`, a part of `in`.
bool parse_octets(std::string_view in, std::string_view s, uint8_t* out, std::string& error) {
  int value = 0;
  int digits = 0;
  size_t field = 0;
  for (size_t i = 0; i < s.size(); ++i) {
    if (s[i] >= '0' && s[i] <= '9') {
      if (digits == 1 && value == 0) {
        error = parse_error(in, "IPv4 field has octet with leading zero");
        return false;
      }
      value = value * 10 + (s[i] - '0');
      ++digits;
      if (value > 255) {
        error = parse_error(in, "IPv4 field has value >255");
        return false;
      }
    } else if (s[i] == '.') {
      if (i == 0 || i + 1 == s.size() || s[i - 1] == '.') {
        error = parse_error(in, "IPv4 field must have at least one digit", s.substr(i));
        return false;
      }
      if (field == 3) {
        error = parse_error(in, "IPv4 address too long");
        return false;
      }
      out[field++] = static_cast<uint8_t>(value);
      value = 0;
      digits = 0;
    } else {
      error = parse_error(in, "unexpected character", s.substr(i));
      return false;
    }
  }
  if (field < 3) {
    error = parse_error(in, "IPv4 address too short");
    return false;
  }
  out[3] = static_cast<uint8_t>(value);
  return true;
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

/// Reads groups of hexadecimal digits.
class V6Parser {
 public:
  V6Parser(std::string_view in, std::string& error) : in_(in), rest_(in), error_(error) {}

  std::optional<Address> parse() {
    const size_t percent = in_.find('%');
    if (percent != std::string_view::npos) {
      rest_ = in_.substr(0, percent);
      address_.zone = true;
      if (percent + 1 == in_.size()) return fail("zone must be a non-empty string");
    }
    if (rest_.starts_with("::")) {
      ellipsis_ = 0;
      rest_.remove_prefix(2);
      if (rest_.empty()) return address_;
    }
    while (filled_ < 16) {
      bool last = false;
      if (!group(last)) return std::nullopt;
      if (last) break;
    }
    if (!rest_.empty()) return fail("trailing garbage after address", rest_);
    return expand();
  }

 private:
  std::optional<Address> fail(std::string_view message, std::string_view at = {}) {
    error_ = parse_error(in_, message, at);
    return std::nullopt;
  }

  bool group(bool& last) {
    size_t digits = 0;
    uint32_t value = 0;
    for (; digits < rest_.size(); ++digits) {
      const int d = hex_digit(rest_[digits]);
      if (d < 0) break;
      value = value << 4 | static_cast<uint32_t>(d);
      if (digits > 3) return fail("each group must have 4 or less digits", rest_).has_value();
    }
    if (digits == 0)
      return fail("each colon-separated field must have at least one digit", rest_).has_value();
    if (digits < rest_.size() && rest_[digits] == '.') {
      if (ellipsis_ < 0 && filled_ != 12) {
        return fail("embedded IPv4 address must replace the final 2 fields of the address", rest_)
            .has_value();
      }
      if (filled_ + 4 > 16) {
        return fail("too many hex fields to fit an embedded IPv4 at the end of the address", rest_)
            .has_value();
      }
      if (!parse_octets(in_, rest_, address_.bytes.data() + filled_, error_)) return false;
      rest_ = {};
      filled_ += 4;
      last = true;
      return true;
    }
    address_.bytes[filled_] = static_cast<uint8_t>(value >> 8);
    address_.bytes[filled_ + 1] = static_cast<uint8_t>(value);
    filled_ += 2;
    rest_.remove_prefix(digits);
    if (rest_.empty()) {
      last = true;
      return true;
    }
    if (rest_[0] != ':') return fail("unexpected character, want colon", rest_).has_value();
    if (rest_.size() == 1) return fail("colon must be followed by more characters", rest_).has_value();
    rest_.remove_prefix(1);
    if (rest_[0] == ':') {
      if (ellipsis_ >= 0) return fail("multiple :: in address", rest_).has_value();
      ellipsis_ = static_cast<int>(filled_);
      rest_.remove_prefix(1);
      last = rest_.empty();
    }
    return true;
  }

  std::optional<Address> expand() {
    if (filled_ == 16) {
      if (ellipsis_ >= 0) return fail("the :: must expand to at least one field of zeros");
      return address_;
    }
    if (ellipsis_ < 0) return fail("address string too short");
    const size_t zeros = 16 - filled_;
    const auto at = static_cast<size_t>(ellipsis_);
    for (size_t j = filled_; j-- > at;) address_.bytes[j + zeros] = address_.bytes[j];
    std::fill_n(address_.bytes.begin() + ellipsis_, zeros, uint8_t{0});
    return address_;
  }

  std::string_view in_, rest_;
  std::string& error_;
  Address address_;
  size_t filled_ = 0;
  int ellipsis_ = -1;
};

std::optional<Address> parse_address(std::string_view text, std::string& error) {
  for (char c : text) {
    if (c == '.') {
      Address out;
      out.v4 = true;
      if (!parse_octets(text, text, out.bytes.data(), error)) return std::nullopt;
      return out;
    }
    if (c == ':') return V6Parser(text, error).parse();
    if (c == '%') {
      error = parse_error(text, "missing IPv6 address");
      return std::nullopt;
    }
  }
  error = parse_error(text, "unable to parse IP");
  return std::nullopt;
}

bool is_mapped(const Address& a) {
  return !a.v4 && std::all_of(a.bytes.begin(), a.bytes.begin() + 10, [](uint8_t b) { return b == 0; }) &&
         a.bytes[10] == 0xFF && a.bytes[11] == 0xFF;
}

std::string address_text(const Address& a) {
  std::string out;
  if (a.v4) {
    for (size_t i = 0; i < 4; ++i) out += (i > 0 ? "." : "") + std::to_string(a.bytes[i]);
    return out;
  }
  auto group = [&](size_t i) { return a.bytes[2 * i] << 8 | a.bytes[2 * i + 1]; };
  size_t best = 8;
  size_t best_length = 1;
  for (size_t i = 0; i < 8; ++i) {
    size_t length = 0;
    while (i + length < 8 && group(i + length) == 0) ++length;
    if (length > best_length) {
      best = i;
      best_length = length;
    }
  }
  char buffer[8];
  for (size_t i = 0; i < 8; ++i) {
    if (i == best) {
      out += "::";
      i += best_length;
      if (i >= 8) break;
    } else if (i > 0) {
      out += ':';
    }
    std::snprintf(buffer, sizeof buffer, "%x", group(i));
    out += buffer;
  }
  return out;
}

struct IpRep final : OpaqueRep {
  explicit IpRep(const Address& a) : address(a) {}
  Address address;
  std::string_view type_name() const override { return "net.IP"; }
  bool equals(const OpaqueRep& other) const override {
    return address == static_cast<const IpRep&>(other).address;
  }
  std::optional<int64_t> size() const override { return static_cast<int64_t>(address.length()); }
  std::optional<std::string> text() const override { return address_text(address); }
};

struct CidrRep final : OpaqueRep {
  CidrRep(const Address& a, int b) : address(a), bits(b) {}
  Address address;
  int bits;
  std::string_view type_name() const override { return "net.CIDR"; }
  bool equals(const OpaqueRep& other) const override {
    const auto& o = static_cast<const CidrRep&>(other);
    return address == o.address && bits == o.bits;
  }
  std::optional<int64_t> size() const override { return (bits + 7) / 8; }
  std::optional<std::string> text() const override {
    return address_text(address) + "/" + std::to_string(bits);
  }
  /// Do the first `count` bits of both agree?
  bool shares(const Address& other, int count) const {
    if (address.v4 != other.v4) return false;
    for (int i = 0; i < count; ++i) {
      const auto byte = static_cast<size_t>(i / 8);
      const int mask = 0x80 >> (i % 8);
      if (((address.bytes[byte] ^ other.bytes[byte]) & mask) != 0) return false;
    }
    return true;
  }
};

Value make_ip(const Address& a) { return A::opaque(std::make_shared<IpRep>(a)); }
const Address& ip_of(const Value& v) { return static_cast<const IpRep*>(A::opaque(v))->address; }
const CidrRep& cidr_of(const Value& v) { return *static_cast<const CidrRep*>(A::opaque(v)); }

/// As Kubernetes allows addresses: without zone, not IPv4 in IPv6.
std::optional<Address> parse_ip(const std::string& text, std::string& error) {
  const auto address = parse_address(text, error);
  if (!address) {
    error = "IP Address " + go_quote(text) + " parse error during conversion from string: " + error;
    return std::nullopt;
  }
  if (address->zone) {
    error = "IP address " + go_quote(text) + " with zone value is not allowed";
    return std::nullopt;
  }
  if (is_mapped(*address)) {
    error = "IPv4-mapped IPv6 address " + go_quote(text) + " is not allowed";
    return std::nullopt;
  }
  return address;
}

std::shared_ptr<CidrRep> parse_cidr(const std::string& text, std::string& error) {
  const std::string context = "network address parse error during conversion from string: ";
  auto fail = [&](const std::string& message) {
    error = context + "netip.ParsePrefix(" + go_quote(text) + "): " + message;
    return nullptr;
  };
  const size_t slash = text.rfind('/');
  if (slash == std::string::npos) return fail("no '/'");
  std::string address_error;
  const auto address = parse_address(text.substr(0, slash), address_error);
  if (!address) return fail(address_error);
  if (address->zone) return fail("IPv6 zones cannot be present in a prefix");
  const std::string bits = text.substr(slash + 1);
  const bool good = !bits.empty() && bits.size() <= 9 &&
                    std::all_of(bits.begin(), bits.end(), [](char c) { return c >= '0' && c <= '9'; }) &&
                    (bits.size() == 1 || bits[0] != '0');
  if (!good) return fail("bad bits after slash: " + go_quote(bits));
  const int n = std::stoi(bits);
  if (n > (address->v4 ? 32 : 128)) return fail("prefix length out of range");
  if (is_mapped(*address)) {
    error = "IPv4-mapped IPv6 address " + go_quote(text) + " is not allowed";
    return nullptr;
  }
  return std::make_shared<CidrRep>(*address, n);
}

Value to_ip(const Value* a, size_t) {
  std::string error;
  const auto address = parse_ip(text_of(a[0]), error);
  return address ? make_ip(*address) : Value::error(std::move(error));
}
Value is_ip(const Value* a, size_t) {
  std::string error;
  return Value::of(parse_ip(text_of(a[0]), error).has_value());
}
Value is_canonical(const Value* a, size_t) {
  std::string error;
  const auto address = parse_ip(text_of(a[0]), error);
  if (!address) return Value::error(std::move(error));
  return Value::of(address_text(*address) == text_of(a[0]));
}
Value to_cidr(const Value* a, size_t) {
  std::string error;
  auto rep = parse_cidr(text_of(a[0]), error);
  if (rep) return A::opaque(std::move(rep));
  return Value::error("network address parse error during conversion from string: " + error);
}
Value is_cidr(const Value* a, size_t) {
  std::string error;
  return Value::of(parse_cidr(text_of(a[0]), error) != nullptr);
}
Value family(const Value* a, size_t) { return Value::of(int64_t{ip_of(a[0]).v4 ? 4 : 6}); }

bool all_zero(const Address& a, size_t from, size_t to) {
  return std::all_of(a.bytes.begin() + static_cast<long>(from), a.bytes.begin() + static_cast<long>(to),
                     [](uint8_t b) { return b == 0; });
}
bool unspecified(const Address& a) { return all_zero(a, 0, a.length()); }
bool loopback(const Address& a) { return a.v4 ? a.bytes[0] == 127 : all_zero(a, 0, 15) && a.bytes[15] == 1; }
bool multicast(const Address& a) { return a.v4 ? (a.bytes[0] & 0xF0) == 0xE0 : a.bytes[0] == 0xFF; }
bool link_local_multicast(const Address& a) {
  return a.v4 ? a.bytes[0] == 224 && a.bytes[1] == 0 && a.bytes[2] == 0
              : a.bytes[0] == 0xFF && (a.bytes[1] & 0x0F) == 2;
}
bool link_local_unicast(const Address& a) {
  return a.v4 ? a.bytes[0] == 169 && a.bytes[1] == 254 : a.bytes[0] == 0xFE && (a.bytes[1] & 0xC0) == 0x80;
}
bool global_unicast(const Address& a) {
  const bool broadcast =
      a.v4 && std::all_of(a.bytes.begin(), a.bytes.begin() + 4, [](uint8_t b) { return b == 255; });
  return !broadcast && !unspecified(a) && !loopback(a) && !multicast(a) && !link_local_unicast(a);
}

template <bool (*Test)(const Address&)>
Value is(const Value* a, size_t) {
  return Value::of(Test(ip_of(a[0])));
}

Value contains_ip(const Value* a, size_t) {
  const CidrRep& net = cidr_of(a[0]);
  return Value::of(net.shares(ip_of(a[1]), net.bits));
}
Value contains_ip_text(const Value* a, size_t n) {
  const Value parsed[] = {a[0], to_ip(a + 1, 1)};
  return parsed[1].is_error() ? no_such_overload() : contains_ip(parsed, n);
}
Value contains_cidr(const Value* a, size_t) {
  const CidrRep& net = cidr_of(a[0]);
  const CidrRep& other = cidr_of(a[1]);
  return Value::of(net.bits <= other.bits && net.shares(other.address, net.bits));
}
Value contains_cidr_text(const Value* a, size_t n) {
  const Value parsed[] = {a[0], to_cidr(a + 1, 1)};
  return parsed[1].is_error() ? parsed[1] : contains_cidr(parsed, n);
}
Value cidr_ip(const Value* a, size_t) { return make_ip(cidr_of(a[0]).address); }
Value prefix_length(const Value* a, size_t) { return Value::of(int64_t{cidr_of(a[0]).bits}); }
Value masked(const Value* a, size_t) {
  const CidrRep& net = cidr_of(a[0]);
  Address address = net.address;
  for (int i = net.bits; i < static_cast<int>(address.length()) * 8; ++i) {
    address.bytes[static_cast<size_t>(i / 8)] &= static_cast<uint8_t>(~(0x80 >> (i % 8)));
  }
  return A::opaque(std::make_shared<CidrRep>(address, net.bits));
}

constexpr Binding kBindings[] = {
    {"string_to_ip", to_ip},
    {"is_ip", is_ip},
    {"ip_is_canonical", is_canonical},
    {"ip_family", family},
    {"ip_is_unspecified", is<unspecified>},
    {"ip_is_loopback", is<loopback>},
    {"ip_is_link_local_multicast", is<link_local_multicast>},
    {"ip_is_link_local_unicast", is<link_local_unicast>},
    {"ip_is_global_unicast", is<global_unicast>},
    {"string_to_cidr", to_cidr},
    {"is_cidr", is_cidr},
    {"cidr_contains_ip_string", contains_ip_text},
    {"cidr_contains_ip_ip", contains_ip},
    {"cidr_contains_cidr_string", contains_cidr_text},
    {"cidr_contains_cidr", contains_cidr},
    {"cidr_ip", cidr_ip},
    {"cidr_prefix_length", prefix_length},
    {"cidr_masked", masked},
};

}  // namespace

std::span<const Binding> net_bindings() { return kBindings; }

}  // namespace orch::api::cel
