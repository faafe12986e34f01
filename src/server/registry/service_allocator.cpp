#include "server/registry/service_allocator.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <random>

#include "api/field_error.h"
#include "api/resources/ip.h"
#include "api/resources/service_families.h"
#include "base/json.h"

namespace orch::server {

using base::Code;
using base::Result;
using base::Status;

namespace {

constexpr uint32_t kMaxRange = 1u << 20;

bool parse_ip(const std::string& text, int family, std::string& bytes) {
  char buffer[16];
  if (inet_pton(family == 4 ? AF_INET : AF_INET6, text.c_str(), buffer) != 1) return false;
  bytes.assign(buffer, family == 4 ? 4 : 16);
  return true;
}

std::string owner_of(const Json& service) {
  return std::string(base::string_at(service, {"metadata", "uid"}));
}

Status invalid(const Json& service, const std::function<void(api::FieldErrors&)>& add) {
  api::FieldErrors errors;
  add(errors);
  return errors.to_status("", "Service", base::string_at(service, {"metadata", "name"}));
}

bool wants_cluster_ip(const Json& spec) { return base::string_at(spec, {"type"}) != "ExternalName"; }
bool may_have_node_ports(const Json& spec) {
  std::string_view type = base::string_at(spec, {"type"});
  return type == "NodePort" || type == "LoadBalancer";
}
/// Ports get one without asking for it.
bool wants_node_ports(const Json& spec) {
  return base::string_at(spec, {"type"}) == "NodePort" ||
         base::bool_at(spec, {"allocateLoadBalancerNodePorts"}, true);
}
bool wants_health_port(const Json& spec) {
  return base::string_at(spec, {"type"}) == "LoadBalancer" &&
         base::string_at(spec, {"externalTrafficPolicy"}) == "Local";
}

std::set<std::string> ips_of(const Json& service) {
  std::set<std::string> out;
  const Json& spec = base::object_at(service, {"spec"});
  if (!wants_cluster_ip(spec)) return out;
  for (const auto& ip : base::array_at(spec, {"clusterIPs"})) {
    if (!ip.is_string()) continue;
    const auto& text = ip.get_ref<const std::string&>();
    if (!text.empty() && text != "None") out.insert(text);
  }
  std::string_view ip = base::string_at(spec, {"clusterIP"});
  if (!ip.empty() && ip != "None") out.emplace(ip);
  return out;
}

std::set<int> ports_of(const Json& service) {
  std::set<int> out;
  for (const auto& port : base::array_at(service, {"spec", "ports"})) {
    if (int64_t n = base::int_at(port, {"nodePort"}); n > 0) out.insert(static_cast<int>(n));
  }
  if (int64_t n = base::int_at(service, {"spec", "healthCheckNodePort"}); n > 0)
    out.insert(static_cast<int>(n));
  return out;
}

}  // namespace

Result<ServiceAllocator::Range> ServiceAllocator::Range::make(const std::string& cidr) {
  Range range;
  range.cidr = cidr;
  const size_t slash = cidr.find('/');
  const std::string address = cidr.substr(0, slash);
  range.family = address.find(':') == std::string::npos ? 4 : 6;
  const int bits = range.family == 4 ? 32 : 128;
  const int length = slash == std::string::npos ? -1 : std::atoi(cidr.c_str() + slash + 1);
  if (!parse_ip(address, range.family, range.base) || length < 1 || length > bits - 2) {
    return Status(Code::kBadRequest,
                  base::cat("service range \"", cidr, "\" is not a CIDR with room for services"));
  }
  for (int bit = length; bit < bits; ++bit) range.base[bit / 8] &= static_cast<char>(~(0x80 >> (bit % 8)));
  const int host_bits = std::min(bits - length, 20);
  range.size = std::min(kMaxRange, 1u << host_bits);
  std::random_device seed;
  // Dynamic addresses start in the upper part, leaving the first ones to those who ask for them by number.
  uint32_t reserved = std::min(256u, std::max(16u, range.size / 16));
  if (range.size < 64) reserved = 1;
  range.next = reserved + seed() % (range.size - reserved - 1);
  return range;
}

std::string ServiceAllocator::Range::address(uint32_t n) const {
  std::string bytes = base;
  for (size_t i = bytes.size(); n > 0 && i-- > 0; n >>= 8) {
    bytes[i] = static_cast<char>(static_cast<unsigned char>(bytes[i]) | (n & 0xff));
  }
  char text[INET6_ADDRSTRLEN];
  inet_ntop(family == 4 ? AF_INET : AF_INET6, bytes.data(), text, sizeof text);
  return text;
}

bool ServiceAllocator::Range::contains(const std::string& ip) const {
  std::string bytes;
  if (!parse_ip(ip, family, bytes)) return false;
  uint64_t offset = 0;
  for (size_t i = 0; i < bytes.size(); ++i) {
    const unsigned diff = static_cast<unsigned char>(bytes[i]) ^ static_cast<unsigned char>(base[i]);
    offset = offset << 8 | diff;
    if (offset >= size) return false;
  }
  return offset > 0 && offset < size - 1;
}

Result<std::unique_ptr<ServiceAllocator>> ServiceAllocator::make(const ServiceRanges& ranges) {
  std::unique_ptr<ServiceAllocator> a(new ServiceAllocator());
  a->ranges_ = ranges;
  auto own = Range::make(ranges.cidr);
  if (!own.ok()) return own.error();
  a->own_ = std::move(*own);
  a->in_use_ = {a->own_};
  std::random_device seed;
  a->next_port_ =
      ranges.node_port_first +
      static_cast<int>(seed() % static_cast<unsigned>(ranges.node_port_last - ranges.node_port_first + 1));
  return a;
}

std::string ServiceAllocator::address(uint32_t n) const { return own_.address(n); }

void ServiceAllocator::use_ranges(const std::vector<std::string>& cidrs) {
  std::lock_guard lock(mutex_);
  std::vector<Range> now;
  for (const std::string& cidr : cidrs) {
    const auto same = [&](const Range& r) { return r.cidr == cidr; };
    if (std::any_of(now.begin(), now.end(), same)) continue;
    const auto known = std::find_if(in_use_.begin(), in_use_.end(), same);
    if (known != in_use_.end()) {
      now.push_back(*known);
    } else if (auto made = Range::make(cidr); made.ok() && made->family == own_.family) {
      now.push_back(std::move(*made));
    }
  }
  if (now.empty()) now.push_back(own_);
  in_use_ = std::move(now);
}

std::string ServiceAllocator::why_outside(const std::string& ip, bool dry_run) const {
  for (const Range& range : in_use_) {
    const auto cidr = api::Cidr::parse(range.cidr);
    const auto address = api::Ip::parse(ip);
    // A dry run asks one range alone.
    if (cidr && address && (dry_run || cidr->contains(*address))) {
      return base::cat("the provided IP (", ip, ") is not in the valid range. The range of valid IPs is ",
                       range.cidr);
    }
  }
  return "the provided network does not match the current range";
}

bool ServiceAllocator::in_range(const std::string& ip) const {
  return std::any_of(in_use_.begin(), in_use_.end(), [&](const Range& r) { return r.contains(ip); });
}

Result<std::string> ServiceAllocator::next_ip(const std::string& owner) {
  for (Range& range : in_use_) {
    for (uint32_t tried = 0; tried < range.size; ++tried) {
      range.next = range.next + 1 >= range.size - 1 ? 1 : range.next + 1;
      std::string ip = range.address(range.next);
      if (ips_.emplace(ip, owner).second) return ip;
    }
  }
  return Status(Code::kInternal, "failed to allocate a serviceIP: range is full");
}

void ServiceAllocator::adopt(const Json& service) {
  std::lock_guard lock(mutex_);
  for (const auto& ip : ips_of(service)) ips_[ip] = owner_of(service);
  for (int port : ports_of(service)) ports_[port] = owner_of(service);
}

/// What one write takes, to be given back when it comes to nothing. A dry run takes nothing; its ports are
/// made up, as Kubernetes' are.
struct ServiceAllocator::Claim {
  std::string owner;
  bool dry_run = false;
  std::vector<std::string> ips;
  std::vector<int> ports;
  std::set<int> wanted;  // ports the service asks for by number: not to be given to another port of it
};

std::string ServiceAllocator::take_port(int port, Claim& claim) {
  constexpr const char* kAllocated = "provided port is already allocated";
  const bool own = std::find(claim.ports.begin(), claim.ports.end(), port) != claim.ports.end();
  if (claim.dry_run) {
    if (own || ports_.contains(port)) return kAllocated;
  } else if (port < ranges_.node_port_first || port > ranges_.node_port_last) {
    return base::cat("provided port is not in the valid range. The range of valid ports is ",
                     ranges_.node_port_first, "-", ranges_.node_port_last);
  } else if (!ports_.emplace(port, claim.owner).second) {
    return kAllocated;
  }
  claim.ports.push_back(port);
  return {};
}

Result<int> ServiceAllocator::next_port(Claim& claim) {
  if (claim.dry_run) {
    constexpr unsigned kBefore = 32768;
    const auto highest = std::max_element(claim.ports.begin(), claim.ports.end());
    const unsigned last = highest == claim.ports.end() ? kBefore : static_cast<unsigned>(*highest);
    claim.ports.push_back(static_cast<int>(last + 1));
    return claim.ports.back();
  }
  const int span = ranges_.node_port_last - ranges_.node_port_first + 1;
  for (int tried = 0; tried < span; ++tried) {
    next_port_ = next_port_ >= ranges_.node_port_last ? ranges_.node_port_first : next_port_ + 1;
    if (claim.wanted.contains(next_port_) || !ports_.emplace(next_port_, claim.owner).second) continue;
    claim.ports.push_back(next_port_);
    return next_port_;
  }
  return Status(Code::kInternal, "failed to allocate a nodePort: range is full");
}

Status ServiceAllocator::allocate_ip(Json& service, const Json* old, Claim& claim) {
  Json& spec = service["spec"];
  // What has an address keeps it: that it cannot be another, validation says.
  if (!wants_cluster_ip(spec) || (old != nullptr && wants_cluster_ip(base::object_at(*old, {"spec"}))))
    return {};
  const Json& ips = base::array_at(spec, {"clusterIPs"});
  std::string ip = ips.empty() ? std::string() : ips[0].get<std::string>();
  if (ip == "None") return {};
  if (ip.empty()) {
    auto next = next_ip(claim.owner);
    if (!next.ok()) return next.error();
    ip = *next;
    claim.ips.push_back(ip);
  } else {
    const auto refuse = [&](std::string_view why) {
      return invalid(service, [&](api::FieldErrors& e) {
        e.invalid(api::FieldPath("spec").child("clusterIPs"), Json::array({ip}),
                  base::cat("failed to allocate IP ", ip, ": ", why));
      });
    };
    if (!in_range(ip)) return refuse(why_outside(ip, claim.dry_run));
    // Whether somebody has it is not asked in a dry run, in Kubernetes too.
    if (!claim.dry_run) {
      if (!ips_.emplace(ip, claim.owner).second) return refuse("provided IP is already allocated");
      claim.ips.push_back(ip);
    }
  }
  spec["clusterIP"] = ip;
  spec["clusterIPs"] = Json::array({ip});
  return {};
}

namespace {

/// The node port that a service port is to have, under any of its protocols.
int asked_for(const Json& spec, int64_t service_port) {
  for (const Json& port : base::array_at(spec, {"ports"})) {
    const auto number = static_cast<int>(base::int_at(port, {"nodePort"}));
    if (number != 0 && base::int_at(port, {"port"}) == service_port) return number;
  }
  return 0;
}

Status refused_port(const Json& service, size_t index, int port, std::string_view why) {
  return invalid(service, [&](api::FieldErrors& e) {
    e.invalid(api::FieldPath("spec").child("ports").index(index).child("nodePort"), port, why);
  });
}

}  // namespace

Status ServiceAllocator::first_ports(Json& service, Claim& claim) {
  Json& spec = service["spec"];
  std::map<int64_t, int> given;  // a service port has one node port for all its protocols
  for (size_t i = 0; i < base::array_at(spec, {"ports"}).size(); ++i) {
    Json& port = spec["ports"][i];
    const auto own = static_cast<int>(base::int_at(port, {"nodePort"}));
    if (own == 0 && !wants_node_ports(spec)) continue;
    const int64_t service_port = base::int_at(port, {"port"});
    int& number = given[service_port];
    const int asked = number != 0 ? own : asked_for(spec, service_port);
    if (asked != 0 && asked != number) {
      if (const std::string why = take_port(asked, claim); !why.empty())
        return refused_port(service, i, asked, why);
      if (number == 0) number = asked;
    } else if (number == 0) {
      auto next = next_port(claim);
      if (!next.ok()) return next.error();
      number = *next;
    }
    if (own == 0) port["nodePort"] = number;
  }
  return {};
}

Status ServiceAllocator::later_ports(Json& service, const Json& old, Claim& claim) {
  Json& spec = service["spec"];
  std::set<int> had;
  for (const Json& port : base::array_at(old, {"spec", "ports"}))
    had.insert(static_cast<int>(base::int_at(port, {"nodePort"})));
  std::set<std::pair<std::string, int>> seen;
  for (size_t i = 0; i < base::array_at(spec, {"ports"}).size(); ++i) {
    Json& port = spec["ports"][i];
    auto number = static_cast<int>(base::int_at(port, {"nodePort"}));
    if (number == 0 && !wants_node_ports(spec)) continue;
    if (number == 0) {
      auto next = next_port(claim);
      if (!next.ok()) return next.error();
      port["nodePort"] = number = *next;
    } else if (had.insert(number).second) {
      if (const std::string why = take_port(number, claim); !why.empty())
        return refused_port(service, i, number, why);
    }
    std::string protocol(base::string_at(port, {"protocol"}));
    if (!seen.emplace(protocol, number).second)
      return {Code::kUnknown, base::cat("duplicate nodePort: {", protocol, " ", number, "}")};
  }
  return {};
}

Status ServiceAllocator::allocate_health_port(Json& service, const Json* old, Claim& claim) {
  Json& spec = service["spec"];
  if (!wants_health_port(spec) || (old != nullptr && wants_health_port(base::object_at(*old, {"spec"}))))
    return {};
  if (const auto asked = static_cast<int>(base::int_at(spec, {"healthCheckNodePort"})); asked != 0) {
    const std::string why = take_port(asked, claim);
    if (why.empty()) return {};
    return {Code::kInternal,
            base::cat("failed to allocate requested HealthCheck NodePort ", asked, ": ", why)};
  }
  auto next = next_port(claim);
  if (!next.ok()) return next.error();
  spec["healthCheckNodePort"] = *next;
  return {};
}

Status ServiceAllocator::allocate(Json& service, const Json* old, bool dry_run) {
  const api::FieldErrors errors = api::settle_ip_families(service, old, own_.family == 4 ? "IPv4" : "IPv6");
  ORCH_RETURN_IF_ERROR(errors.to_status("", "Service", base::string_at(service, {"metadata", "name"})));
  Claim claim{owner_of(service), dry_run, {}, {}, {}};
  const Json& spec = service["spec"];
  for (const Json& port : base::array_at(spec, {"ports"}))
    claim.wanted.insert(static_cast<int>(base::int_at(port, {"nodePort"})));
  std::lock_guard lock(mutex_);
  Status done = allocate_ip(service, old, claim);
  if (done.ok() && may_have_node_ports(spec))
    done = old == nullptr ? first_ports(service, claim) : later_ports(service, *old, claim);
  if (done.ok()) done = allocate_health_port(service, old, claim);
  if (done.ok()) return done;
  for (const auto& ip : claim.ips) ips_.erase(ip);
  if (!dry_run) {
    for (int port : claim.ports) ports_.erase(port);
  }
  return done;
}

void ServiceAllocator::settle(const Json* kept, const Json* dropped) {
  if (dropped == nullptr) return;
  std::set<std::string> keep_ips;
  std::set<int> keep_ports;
  if (kept != nullptr) {
    keep_ips = ips_of(*kept);
    keep_ports = ports_of(*kept);
  }
  const std::string owner = owner_of(*dropped);
  std::lock_guard lock(mutex_);
  for (const auto& ip : ips_of(*dropped)) {
    auto it = ips_.find(ip);
    if (keep_ips.count(ip) == 0 && it != ips_.end() && it->second == owner) ips_.erase(it);
  }
  for (int port : ports_of(*dropped)) {
    auto it = ports_.find(port);
    if (keep_ports.count(port) == 0 && it != ports_.end() && it->second == owner) ports_.erase(it);
  }
}

Registry::Hook ServiceAllocator::hook() {
  return {[this](Json& object, const Json* old, bool dry_run) { return allocate(object, old, dry_run); },
          [this](const Json* kept, const Json* dropped) { settle(kept, dropped); }};
}

}  // namespace orch::server
