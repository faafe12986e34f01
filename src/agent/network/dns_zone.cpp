#include "agent/network/dns_zone.h"

#include <algorithm>
#include <set>

#include "base/status.h"

namespace orch::agent {
namespace {

using base::cat;

std::vector<std::string> split_labels(std::string_view name) {
  std::vector<std::string> out;
  size_t begin = 0;
  while (begin < name.size()) {
    const size_t dot = std::min(name.find('.', begin), name.size());
    out.emplace_back(name.substr(begin, dot - begin));
    begin = dot + 1;
  }
  return out;
}

/// Collects the answer to one question within the zone.
class Resolver {
 public:
  Resolver(std::string_view name, uint16_t type, const DnsView& view, const DnsZoneConfig& config)
      : name_(name), type_(type), view_(view), config_(config) {}

  DnsAnswer resolve(const std::vector<std::string>& labels) {
    if (labels.empty()) {
      apex();
    } else if (labels.size() == 1 && labels[0] == "dns-version") {
      if (asked(dns::kTxt)) add(dns::kTxt, "\"1.1.0\"");
    } else if (labels.back() == "svc") {
      services(labels);
    } else if (labels.back() == "pod") {
      pods(labels);
    } else if (labels == std::vector<std::string>{"ns", "dns"}) {
      addresses(config_.server_ips);
    } else if (labels.back() == "dns" && labels.size() == 1) {
      // Only there because ns.dns is.
    } else {
      out_.code = dns::kNxDomain;
    }
    if (out_.answers.empty()) out_.authority.push_back({config_.domain, dns::kSoa, soa()});
    return std::move(out_);
  }

 private:
  bool asked(uint16_t type) const { return type_ == type || type_ == dns::kAny; }
  void add(uint16_t type, std::string value) { out_.answers.push_back({name_, type, std::move(value)}); }
  std::string soa() const {
    // Nothing transfers this zone, so the serial number need not change.
    return cat("ns.dns.", config_.domain, ". hostmaster.", config_.domain, ". 1 7200 1800 86400 ",
               config_.ttl);
  }
  void apex() {
    if (asked(dns::kSoa)) add(dns::kSoa, soa());
    if (!asked(dns::kNs)) return;
    const std::string server = cat("ns.dns.", config_.domain);
    add(dns::kNs, server + ".");
    for (const auto& ip : config_.server_ips) {
      out_.additional.push_back({server, ip.v6 ? dns::kAaaa : dns::kA, ip.address()});
    }
  }
  void addresses(const std::vector<IpRange>& ips) {
    std::set<std::string> seen;
    for (const auto& ip : ips) {
      if (asked(ip.v6 ? dns::kAaaa : dns::kA) && seen.insert(ip.address()).second) {
        add(ip.v6 ? dns::kAaaa : dns::kA, ip.address());
      }
    }
  }
  void additional(const std::string& name, const IpRange& ip) {
    const DnsRecord record{name, ip.v6 ? dns::kAaaa : dns::kA, ip.address()};
    if (std::find(out_.additional.begin(), out_.additional.end(), record) == out_.additional.end()) {
      out_.additional.push_back(record);
    }
  }

  void services(const std::vector<std::string>& labels) {
    const size_t n = labels.size();
    if (n == 1) return;
    const std::string& ns = labels[n - 2];
    if (n == 2) {
      if (!view_.has_namespace(ns)) out_.code = dns::kNxDomain;
      return;
    }
    const std::string& name = labels[n - 3];
    const auto service = view_.service(ns, name);
    if (!service || n > 5) {
      out_.code = dns::kNxDomain;
    } else if (n == 3) {
      whole_service(*service, ns, name);
    } else if (n == 4) {
      one_endpoint(*service, ns, name, labels[0]);
    } else {
      port_records(*service, ns, name, labels[0], labels[1]);
    }
  }

  void whole_service(const DnsService& service, const std::string& ns, const std::string& name) {
    if (!service.external_name.empty()) {
      add(dns::kCname, service.external_name + (service.external_name.back() == '.' ? "" : "."));
      if (type_ != dns::kCname && type_ != dns::kAny) out_.follow = service.external_name;
      return;
    }
    if (!service.headless) {
      addresses(service.cluster_ips);
    } else {
      std::vector<IpRange> ips;
      for (const auto& e : view_.endpoints(ns, name)) ips.push_back(e.ip);
      addresses(ips);
    }
    if (type_ == dns::kSrv) srv(service, ns, name, {}, {});
  }

  /// web-0.web.default.svc, 10-42-0-5.web.default.svc
  void one_endpoint(const DnsService& service, const std::string& ns, const std::string& name,
                    const std::string& label) {
    if (label == "_tcp" || label == "_udp" || label == "_sctp") return;
    std::vector<IpRange> ips;
    if (service.headless) {
      for (const auto& e : view_.endpoints(ns, name)) {
        if (e.name == label) ips.push_back(e.ip);
      }
    }
    if (ips.empty()) out_.code = dns::kNxDomain;
    addresses(ips);
  }

  void port_records(const DnsService& service, const std::string& ns, const std::string& name,
                    const std::string& port, const std::string& protocol) {
    if (port.size() < 2 || protocol.size() < 2 || port[0] != '_' || protocol[0] != '_' ||
        !service.external_name.empty()) {
      out_.code = dns::kNxDomain;
      return;
    }
    if (!srv(service, ns, name, port.substr(1), protocol.substr(1))) out_.code = dns::kNxDomain;
  }

  /// All ports, or those of the given name and protocol; false when there is none.
  bool srv(const DnsService& service, const std::string& ns, const std::string& name, const std::string& port,
           const std::string& protocol) {
    const std::string host = cat(name, ".", ns, ".svc.", config_.domain);
    const auto wanted = [&](const DnsPort& p) {
      return port.empty() ? !p.name.empty() : p.name == port && p.protocol == protocol;
    };
    std::vector<std::pair<uint16_t, std::string>> found;
    if (service.headless) {
      for (const auto& e : view_.endpoints(ns, name)) {
        for (const auto& p : e.ports) {
          if (!wanted(p)) continue;
          const std::string target = cat(e.name, ".", host);
          found.emplace_back(p.port, target);
          if (asked(dns::kSrv)) additional(target, e.ip);
        }
      }
    } else {
      for (const auto& p : service.ports) {
        if (!wanted(p)) continue;
        found.emplace_back(p.port, host);
        for (const auto& ip : service.cluster_ips) {
          if (asked(dns::kSrv)) additional(host, ip);
        }
      }
    }
    if (!asked(dns::kSrv)) return !found.empty();
    const size_t weight = found.empty() ? 100 : std::max<size_t>(1, 100 / found.size());
    for (const auto& [number, target] : found)
      add(dns::kSrv, cat("0 ", weight, " ", number, " ", target, "."));
    return !found.empty();
  }

  /// 10-42-0-5.default.pod
  void pods(const std::vector<std::string>& labels) {
    if (labels.size() == 1) return;
    if (labels.size() == 2) {
      if (!view_.has_namespace(labels[0])) out_.code = dns::kNxDomain;
      return;
    }
    std::string v4 = labels[0];
    std::string v6 = labels[0];
    std::replace(v4.begin(), v4.end(), '-', '.');
    std::replace(v6.begin(), v6.end(), '-', ':');
    auto ip = parse_ip(v4);
    if (!ip) ip = parse_ip(v6);
    if (labels.size() > 3 || !ip) {
      out_.code = dns::kNxDomain;
      return;
    }
    addresses({*ip});
  }

  const std::string name_;
  const uint16_t type_;
  const DnsView& view_;
  const DnsZoneConfig& config_;
  DnsAnswer out_;
};

int hex_digit(std::string_view label) {
  if (label.size() != 1) return -1;
  const char c = label[0];
  if (c >= '0' && c <= '9') return c - '0';
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

}  // namespace

std::string dashed(const IpRange& ip) {
  std::string out = ip.address();
  std::replace_if(
      out.begin(), out.end(), [](char c) { return c == '.' || c == ':'; }, '-');
  // A label does not begin or end with a dash.
  if (out.front() == '-') out.insert(0, "0");
  if (out.back() == '-') out += '0';
  return out;
}

std::optional<IpRange> reverse_address(std::string_view name) {
  const auto labels = split_labels(name);
  const size_t n = labels.size();
  if (n == 6 && labels[4] == "in-addr" && labels[5] == "arpa") {
    return parse_ip(cat(labels[3], ".", labels[2], ".", labels[1], ".", labels[0]));
  }
  if (n != 34 || labels[32] != "ip6" || labels[33] != "arpa") return std::nullopt;
  IpRange out;
  out.v6 = true;
  out.length = 128;
  for (size_t i = 0; i < 32; ++i) {
    const int digit = hex_digit(labels[31 - i]);
    if (digit < 0) return std::nullopt;
    out.bytes[i / 2] = static_cast<uint8_t>(out.bytes[i / 2] | digit << (i % 2 == 0 ? 4 : 0));
  }
  return out;
}

DnsAnswer answer_question(std::string_view name, uint16_t type, const DnsView& view,
                          const DnsZoneConfig& config) {
  const std::string& domain = config.domain;
  const bool below = name.size() > domain.size() && name.substr(name.size() - domain.size()) == domain &&
                     name[name.size() - domain.size() - 1] == '.';
  if (name == domain || below) {
    const std::string_view rest =
        below ? name.substr(0, name.size() - domain.size() - 1) : std::string_view();
    return Resolver(name, type, view, config).resolve(split_labels(rest));
  }
  DnsAnswer out;
  out.ours = false;
  if (const auto ip = reverse_address(name)) {
    for (const auto& owner : view.names_of(*ip)) {
      out.ours = true;
      const size_t dot = owner.rfind('.');
      if (dot != std::string::npos && (type == dns::kPtr || type == dns::kAny)) {
        out.answers.push_back({std::string(name), dns::kPtr, cat(owner, ".svc.", domain, ".")});
      }
    }
  }
  return out;
}

}  // namespace orch::agent
