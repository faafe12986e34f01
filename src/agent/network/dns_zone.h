// The cluster's DNS zone: what a name means, by the Kubernetes DNS schema 1.1. A function of the question and
// a view of services and endpoints; knows no sockets and no wire format.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "agent/network/address.h"

namespace orch::agent {

namespace dns {
constexpr uint16_t kA = 1, kNs = 2, kCname = 5, kSoa = 6, kPtr = 12, kTxt = 16, kAaaa = 28, kSrv = 33,
                   kAny = 255;
constexpr uint8_t kNoError = 0, kFormErr = 1, kServFail = 2, kNxDomain = 3, kNotImp = 4, kRefused = 5;
}  // namespace dns

struct DnsRecord {
  std::string name;  // without the last dot
  uint16_t type = 0;
  std::string
      value;  // presentation format: "10.0.0.1", "0 100 80 web.default.svc.cluster.local.", "\"1.1.0\""
  friend bool operator==(const DnsRecord&, const DnsRecord&) = default;
};

struct DnsPort {
  std::string name, protocol;  // "http", "tcp"
  uint16_t port = 0;
};
struct DnsService {
  std::vector<IpRange> cluster_ips;
  bool headless = false;
  std::string external_name;  // "" unless type ExternalName
  std::vector<DnsPort> ports;
};
/// A ready address behind a service. `name` is its hostname, or the address with dashes.
struct DnsEndpoint {
  IpRange ip;
  std::string name;
  std::vector<DnsPort> ports;
};

/// Reads must be of one moment as far as one answer goes; called on the DNS thread.
class DnsView {
 public:
  virtual ~DnsView() = default;
  virtual std::optional<DnsService> service(std::string_view ns, std::string_view name) const = 0;
  virtual std::vector<DnsEndpoint> endpoints(std::string_view ns, std::string_view name) const = 0;
  virtual bool has_namespace(std::string_view ns) const = 0;
  /// Names under svc.<domain> that an address has, as {"web.default"} for a cluster IP or
  /// {"web-0.web.default"} for an endpoint of a headless service.
  virtual std::vector<std::string> names_of(const IpRange& ip) const = 0;
};

struct DnsZoneConfig {
  std::string domain = "cluster.local";
  std::vector<IpRange> server_ips;
  uint32_t ttl = 5;
};

struct DnsAnswer {
  bool ours = true;  // false: to be asked elsewhere
  uint8_t code = dns::kNoError;
  std::vector<DnsRecord> answers, authority, additional;
  /// An alias that leads out of the zone: its addresses are to be added from elsewhere.
  std::string follow;
};

/// `name` in lower case without the last dot.
DnsAnswer answer_question(std::string_view name, uint16_t type, const DnsView& view,
                          const DnsZoneConfig& config);

/// "10.0.0.1" -> "10-0-0-1"; the DNS label of an address.
std::string dashed(const IpRange& ip);
/// The address of a name under in-addr.arpa or ip6.arpa; none when it is not a whole one.
std::optional<IpRange> reverse_address(std::string_view name);

}  // namespace orch::agent
