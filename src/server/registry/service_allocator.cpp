#include "server/registry/service_allocator.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <random>

#include "api/field_error.h"
#include "api/resources/ip.h"
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
bool wants_node_ports(const Json& spec) {
  std::string_view type = base::string_at(spec, {"type"});
  return type == "NodePort" ||
         (type == "LoadBalancer" && base::bool_at(spec, {"allocateLoadBalancerNodePorts"}, true));
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

Status ServiceAllocator::take_ip(const std::string& ip, const std::string& owner) {
  auto [it, fresh] = ips_.emplace(ip, owner);
  if (!fresh && it->second != owner) return Status(Code::kInvalid, "provided IP is already allocated");
  return {};
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

Result<int> ServiceAllocator::next_port(const std::string& owner) {
  int span = ranges_.node_port_last - ranges_.node_port_first + 1;
  for (int tried = 0; tried < span; ++tried) {
    next_port_ = next_port_ >= ranges_.node_port_last ? ranges_.node_port_first : next_port_ + 1;
    if (ports_.emplace(next_port_, owner).second) return next_port_;
  }
  return Status(Code::kInternal, "failed to allocate a nodePort: range is full");
}

void ServiceAllocator::adopt(const Json& service) {
  std::lock_guard lock(mutex_);
  for (const auto& ip : ips_of(service)) ips_[ip] = owner_of(service);
  for (int port : ports_of(service)) ports_[port] = owner_of(service);
}

namespace {

/// Keeps what an update left out, so that a service does not change its address by being applied again.
void carry_over(Json& spec, const Json& old_spec) {
  bool was = wants_cluster_ip(old_spec), is = wants_cluster_ip(spec);
  if (!was || !is) return;
  if (base::string_at(spec, {"clusterIP"}).empty() && base::array_at(spec, {"clusterIPs"}).empty()) {
    for (const char* key : {"clusterIP", "clusterIPs"}) {
      if (old_spec.contains(key)) spec[key] = old_spec[key];
    }
  }
  if (!wants_node_ports(spec)) return;
  for (auto& port : spec["ports"]) {
    if (base::int_at(port, {"nodePort"}) != 0) continue;
    for (const auto& before : base::array_at(old_spec, {"ports"})) {
      if (base::int_at(before, {"nodePort"}) == 0 ||
          before.value("port", Json()) != port.value("port", Json()) ||
          before.value("protocol", Json("TCP")) != port.value("protocol", Json("TCP"))) {
        continue;
      }
      port["nodePort"] = before["nodePort"];
    }
  }
}

void clear_what_the_type_excludes(Json& spec) {
  if (!wants_cluster_ip(spec)) {
    for (const char* key :
         {"clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy"}) {
      spec.erase(key);
    }
  }
}

}  // namespace

Status ServiceAllocator::allocate_ports(Json& service, const std::string& owner, std::vector<int>& taken) {
  Json& spec = service["spec"];
  const bool wanted = wants_node_ports(spec);
  const bool excluded = !wanted && base::string_at(spec, {"type"}) == "ClusterIP";
  // Those asked for by number first, so that none of them is given out as the next free one. A service port
  // that is there for several protocols has one node port.
  std::map<int64_t, int64_t> by_port;
  size_t index = 0;
  for (auto& port : spec["ports"]) {
    const api::FieldPath at = api::FieldPath("spec").child("ports").index(index++).child("nodePort");
    const auto number = static_cast<int>(base::int_at(port, {"nodePort"}));
    if (number == 0) continue;
    if (excluded) {
      port.erase("nodePort");
      continue;
    }
    if (number < ranges_.node_port_first || number > ranges_.node_port_last) {
      return invalid(service, [&](api::FieldErrors& e) {
        e.invalid(at, number,
                  base::cat("provided port is not in the valid range. The range of valid ports is ",
                            ranges_.node_port_first, "-", ranges_.node_port_last));
      });
    }
    auto [it, fresh] = ports_.emplace(number, owner);
    if (!fresh && it->second != owner) {
      return invalid(
          service, [&](api::FieldErrors& e) { e.invalid(at, number, "provided port is already allocated"); });
    }
    if (fresh) taken.push_back(number);
    by_port.emplace(base::int_at(port, {"port"}), number);
  }
  if (!wanted) return {};
  for (auto& port : spec["ports"]) {
    if (base::int_at(port, {"nodePort"}) != 0) continue;
    int64_t& number = by_port[base::int_at(port, {"port"})];
    if (number == 0) {
      auto next = next_port(owner);
      if (!next.ok()) return next.error();
      number = *next;
      taken.push_back(*next);
    }
    port["nodePort"] = number;
  }
  return {};
}

Status ServiceAllocator::allocate(Json& service, const Json* old, bool dry_run) {
  Json& spec = service["spec"];
  const std::string owner = owner_of(service);
  if (old != nullptr) carry_over(spec, base::object_at(*old, {"spec"}));
  clear_what_the_type_excludes(spec);
  std::lock_guard lock(mutex_);
  std::vector<std::string> taken_ips;
  std::vector<int> taken_ports;
  auto undo = [&] {
    for (const auto& ip : taken_ips) ips_.erase(ip);
    for (int port : taken_ports) ports_.erase(port);
  };
  auto fail = [&](Status s) {
    undo();
    return s;
  };
  const api::FieldPath path("spec");
  if (base::string_at(spec, {"ipFamilyPolicy"}) == "RequireDualStack" && wants_cluster_ip(spec)) {
    return invalid(service, [&](api::FieldErrors& e) {
      e.invalid(path.child("ipFamilyPolicy"), "RequireDualStack",
                "this cluster is not configured for dual-stack services");
    });
  }
  if (wants_cluster_ip(spec)) {
    std::string ip(base::string_at(spec, {"clusterIP"}));
    if (ip.empty() && !base::array_at(spec, {"clusterIPs"}).empty())
      ip = spec["clusterIPs"][0].get<std::string>();
    if (ip.empty()) {
      auto next = next_ip(owner);
      if (!next.ok()) return fail(next.error());
      ip = *next;
      taken_ips.push_back(ip);
    } else if (ip != "None") {
      if (!in_range(ip)) {
        return fail(invalid(service, [&](api::FieldErrors& e) {
          e.invalid(path.child("clusterIPs"), Json::array({ip}),
                    base::cat("failed to allocate IP ", ip, ": ", why_outside(ip, dry_run)));
        }));
      }
      // Whether somebody has it is not asked in a dry run, in Kubernetes too.
      const bool fresh = !dry_run && ips_.find(ip) == ips_.end();
      if (!dry_run && !take_ip(ip, owner).ok()) {
        return fail(invalid(service, [&](api::FieldErrors& e) {
          e.invalid(path.child("clusterIPs"), Json::array({ip}),
                    base::cat("failed to allocate IP ", ip, ": provided IP is already allocated"));
        }));
      }
      if (fresh) taken_ips.push_back(ip);
    }
    spec["clusterIP"] = ip;
    spec["clusterIPs"] = Json::array({ip});
    if (base::array_at(spec, {"ipFamilies"}).empty())
      spec["ipFamilies"] = Json::array({own_.family == 4 ? "IPv4" : "IPv6"});
    if (base::string_at(spec, {"ipFamilyPolicy"}).empty()) spec["ipFamilyPolicy"] = "SingleStack";
  }
  if (Status ports = allocate_ports(service, owner, taken_ports); !ports.ok()) return fail(ports);
  if (base::string_at(spec, {"type"}) == "LoadBalancer" &&
      base::string_at(spec, {"externalTrafficPolicy"}) == "Local") {
    if (int64_t check = base::int_at(spec, {"healthCheckNodePort"}); check == 0) {
      auto next = next_port(owner);
      if (!next.ok()) return fail(next.error());
      spec["healthCheckNodePort"] = *next;
    } else {
      auto [it, fresh] = ports_.emplace(static_cast<int>(check), owner);
      if (!fresh && it->second != owner) {
        return fail(Status(Code::kInternal, base::cat("failed to allocate requested HealthCheck NodePort ",
                                                      check, ": provided port is already allocated")));
      }
    }
  } else {
    spec.erase("healthCheckNodePort");
  }
  if (spec["ports"].is_null() || spec["ports"].empty()) spec.erase("ports");
  return {};
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
