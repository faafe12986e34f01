#include "agent/proxy/rules.h"

#include <algorithm>
#include <array>
#include <cinttypes>
#include <cstdio>
#include <set>

#include "base/status.h"

namespace orch::agent {
namespace {

using base::cat;

std::string hex(uint64_t value) {
  std::array<char, 17> out{};
  std::snprintf(out.data(), out.size(), "%016" PRIx64, value);
  return out.data();
}

/// FNV-1a, 64 bits: names of chains from names of services, stable across runs.
std::string short_hash(const std::string& text) {
  uint64_t hash = 14695981039346656037U;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211U;
  return hex(hash);
}

/// Text of the API inside a quoted comment of nft: only what names are made of.
std::string comment_text(const std::string& text) {
  std::string out;
  for (const char c : text) {
    const bool plain =
        (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '/' || c == ':';
    out += plain ? c : '_';
  }
  return out.substr(0, 120);
}

/// Replaces $A (address keyword), $T (address type), $L (loopback range), $M (mark bit), $C (its complement).
std::string fill(std::string text, const RulesConfig& config) {
  std::array<char, 16> mark{};
  std::array<char, 16> rest{};
  std::snprintf(mark.data(), mark.size(), "0x%" PRIx32, config.masquerade_mark);
  std::snprintf(rest.data(), rest.size(), "0x%" PRIx32, ~config.masquerade_mark);
  const std::array<std::pair<const char*, const char*>, 5> values = {
      {{"$A", config.v6 ? "ip6" : "ip"},
       {"$T", config.v6 ? "ipv6_addr" : "ipv4_addr"},
       {"$L", config.v6 ? "::1" : "127.0.0.0/8"},
       {"$M", mark.data()},
       {"$C", rest.data()}}};
  for (const auto& [name, value] : values) {
    for (size_t at = 0; (at = text.find(name, at)) != std::string::npos;) text.replace(at, 2, value);
  }
  return text;
}

constexpr const char* kSkeleton = R"(
  map service-ips { type inet_proto . $T . inet_service : verdict; }
  map service-nodeports { type inet_proto . inet_service : verdict; }
  map no-endpoint-services { type inet_proto . $T . inet_service : verdict; }
  map no-endpoint-nodeports { type inet_proto . inet_service : verdict; }
  map firewall-ips { type inet_proto . $T . inet_service : verdict; }
  set cluster-ips { type $T; }
  set pod-ranges { type $T; flags interval; }
  set local-pods { type $T; flags interval; }
  set hairpin { type $T . $T; }
  chain mark-masquerade { meta mark set meta mark or $M; }
  chain reject-service { meta l4proto tcp reject with tcp reset; reject; }
  chain services {
    $A daddr @cluster-ips $A saddr != @pod-ranges jump mark-masquerade
    meta l4proto . $A daddr . th dport vmap @service-ips
    $A daddr != $L fib daddr type local meta l4proto . th dport vmap @service-nodeports
  }
  chain nat-prerouting { type nat hook prerouting priority -100; jump services; }
  chain nat-output { type nat hook output priority -100; jump services; }
  chain nat-postrouting {
    type nat hook postrouting priority 100
    meta mark and $M != 0 meta mark set meta mark and $C masquerade fully-random
    $A saddr . $A daddr @hairpin masquerade fully-random
  )";

constexpr const char* kSkeletonRest = R"(}
  chain no-endpoints {
    meta l4proto . $A daddr . th dport vmap @no-endpoint-services
    fib daddr type local meta l4proto . th dport vmap @no-endpoint-nodeports
  }
  chain unknown-ports { $A daddr @cluster-ips goto reject-service; }
  chain firewall { meta l4proto . $A daddr . th dport vmap @firewall-ips; }
  chain early-prerouting { type filter hook prerouting priority -110; ct state new jump firewall; }
  chain early-output { type filter hook output priority -110; ct state new jump firewall; }
  chain filter-input { type filter hook input priority 0; ct state new jump no-endpoints; }
  chain filter-forward { type filter hook forward priority 0; ct state new jump no-endpoints; ct state new jump unknown-ports; }
  chain filter-output { type filter hook output priority 0; ct state new jump no-endpoints; ct state new jump unknown-ports; }
)";

std::string target(const ProxyEndpoint& e) { return cat(e.ip.address(), " . ", e.port); }

/// "10.0.0.1:80", "[fd00::1]:80"
std::string socket_text(const ProxyEndpoint& e) {
  return e.ip.v6 ? cat("[", e.ip.address(), "]:", e.port) : cat(e.ip.address(), ":", e.port);
}

/// Slot number to endpoint: those that were there keep theirs as far as the number of slots allows.
NftElements assign_slots(const NftElements* before, const std::vector<ProxyEndpoint>& endpoints) {
  std::set<std::string> waiting;
  for (const auto& e : endpoints) waiting.insert(target(e));
  NftElements out;
  if (before != nullptr) {
    for (const auto& [slot, value] : *before) {
      if (std::stoul(slot) < endpoints.size() && waiting.erase(value) != 0) out[slot] = value;
    }
  }
  size_t next = 0;
  for (const auto& value : waiting) {
    while (out.count(std::to_string(next)) != 0) ++next;
    out[std::to_string(next)] = value;
  }
  return out;
}

/// Writes the rules of one service port.
class PortRules {
 public:
  PortRules(const ProxyService& service, const ProxyServicePort& port, const RulesConfig& config,
            const NftPiece* before, NftPiece& out)
      : service_(service),
        port_(port),
        config_(config),
        before_(before),
        out_(out),
        hash_(short_hash(cat(service.key, " ", port.protocol, " ", port.port))),
        label_(
            comment_text(cat(service.key, ":", port.name.empty() ? std::to_string(port.port) : port.name))),
        ip_(config.v6 ? "ip6" : "ip") {}

  void write(const EndpointChoice& choice) {
    const std::string cluster = balance("svc-", choice.cluster);
    const std::string local = balance("local-", choice.local);
    const std::string& internal = service_.internal_local ? local : cluster;
    const std::string refuse = choice.any ? "drop" : "goto reject-service";
    for (const auto& ip : service_.cluster_ips) {
      if (ip.v6 != config_.v6 || own(ip)) continue;
      out_.shared["cluster-ips"][ip.address()];
      const std::string key = ip_key(ip);
      if (!internal.empty()) {
        out_.shared["service-ips"][key] = cat("goto ", internal);
      } else {
        out_.shared["no-endpoint-services"][key] = refuse;
      }
    }
    write_external(choice, cluster, local, refuse);
  }

 private:
  bool own(const IpRange& ip) const {
    return std::find(config_.own_ips.begin(), config_.own_ips.end(), ip) != config_.own_ips.end();
  }
  std::string ip_key(const IpRange& ip) const {
    return cat(port_.protocol, " . ", ip.address(), " . ", port_.port);
  }

  void write_external(const EndpointChoice& choice, const std::string& cluster, const std::string& local,
                      const std::string& refuse) {
    std::vector<std::pair<std::string, std::string>> keys;  // map suffix, key
    for (const auto* ips : {&service_.external_ips, &service_.load_balancer_ips}) {
      for (const auto& ip : *ips) {
        if (ip.v6 == config_.v6) keys.emplace_back("services", ip_key(ip));
      }
    }
    if (port_.node_port != 0) keys.emplace_back("nodeports", cat(port_.protocol, " . ", port_.node_port));
    if (keys.empty()) return;
    const std::string chain = "ext-" + hash_;
    if (choice.any) out_.chains[chain] = {label_, external_rules(cluster, local)};
    const bool reachable = !(service_.external_local ? local : cluster).empty();
    for (const auto& [suffix, key] : keys) {
      if (choice.any) {
        out_.shared[suffix == "services" ? "service-ips" : "service-nodeports"][key] = cat("goto ", chain);
      }
      if (!reachable) out_.shared["no-endpoint-" + suffix][key] = refuse;
    }
    write_firewall();
  }

  std::vector<std::string> external_rules(const std::string& cluster, const std::string& local) const {
    if (!service_.external_local) return {"jump mark-masquerade", cat("goto ", cluster)};
    std::vector<std::string> rules;
    if (!cluster.empty()) {
      rules.push_back(cat(ip_, " saddr @pod-ranges goto ", cluster));
      rules.emplace_back("fib saddr type local jump mark-masquerade");
      rules.push_back(cat("fib saddr type local goto ", cluster));
    }
    if (!local.empty()) rules.push_back(cat("goto ", local));
    return rules;
  }

  void write_firewall() {
    if (service_.source_ranges.empty() || service_.load_balancer_ips.empty()) return;
    std::string allowed;
    for (const auto& range : service_.source_ranges) {
      if (range.v6 == config_.v6) allowed += cat(allowed.empty() ? "" : ", ", range.text());
    }
    const std::string chain = "fw-" + hash_;
    NftChain rules{label_, {}};
    if (!allowed.empty()) {
      rules.rules.push_back(cat(ip_, " saddr { ", allowed, " } return"));
    }
    rules.rules.emplace_back("drop");
    bool used = false;
    for (const auto& ip : service_.load_balancer_ips) {
      if (ip.v6 != config_.v6) continue;
      out_.shared["firewall-ips"][ip_key(ip)] = cat("goto ", chain);
      used = true;
    }
    if (used) out_.chains[chain] = std::move(rules);
  }

  /// The chain that spreads over these endpoints; "" when there are none.
  std::string balance(const std::string& prefix, const std::vector<ProxyEndpoint>& endpoints) {
    if (endpoints.empty()) return {};
    for (const auto& e : endpoints) {
      out_.shared["hairpin"][cat(e.ip.address(), " . ", e.ip.address())];
    }
    std::string chain = prefix + hash_;
    out_.chains[chain] = {label_,
                          service_.affinity ? sticky_rules(endpoints) : spread_rules(prefix, endpoints)};
    return chain;
  }

  std::vector<std::string> spread_rules(const std::string& prefix,
                                        const std::vector<ProxyEndpoint>& endpoints) {
    const std::string name = prefix + "slots-" + hash_;
    NftSet set;
    set.is_map = true;
    set.declaration = cat("typeof numgen random mod 2 : ", ip_, " daddr . ", port_.protocol, " dport;");
    const NftElements* slots = nullptr;
    if (before_ != nullptr) {
      const auto it = before_->sets.find(name);
      if (it != before_->sets.end()) slots = &it->second.elements;
    }
    set.elements = assign_slots(slots, endpoints);
    out_.sets[name] = std::move(set);
    return {cat("meta l4proto ", port_.protocol, " dnat ", ip_, " to numgen random mod ", endpoints.size(),
                " map @", name)};
  }

  /// A client's address is remembered per endpoint, and refreshed with each connection.
  std::vector<std::string> sticky_rules(const std::vector<ProxyEndpoint>& endpoints) {
    std::vector<std::string> rules;
    std::string slots;
    size_t slot = 0;
    for (const auto& e : endpoints) {
      const std::string id = short_hash(cat(hash_, " ", target(e), " ", service_.affinity_seconds));
      NftSet set;
      set.declaration = cat("type ", config_.v6 ? "ipv6_addr" : "ipv4_addr",
                            "; flags dynamic,timeout; timeout ", service_.affinity_seconds, "s; size 65535;");
      out_.sets["clients-" + id] = std::move(set);
      out_.chains["ep-" + id] = {
          label_,
          {cat("update @clients-", id, " { ", ip_, " saddr }"),
           cat("meta l4proto ", port_.protocol, " dnat ", ip_, " to ", socket_text(e))}};
      rules.push_back(cat(ip_, " saddr @clients-", id, " goto ep-", id));
      slots += cat(slots.empty() ? "" : ", ", slot++, " : goto ep-", id);
    }
    rules.push_back(cat("numgen random mod ", endpoints.size(), " vmap { ", slots, " }"));
    return rules;
  }

  const ProxyService& service_;
  const ProxyServicePort& port_;
  const RulesConfig& config_;
  const NftPiece* before_;
  NftPiece& out_;
  const std::string hash_, label_, ip_;
};

}  // namespace

std::string proxy_skeleton(const RulesConfig& config) {
  std::string text = kSkeleton;
  const std::string cluster_only = config.v6 ? "$A daddr != ff00::/8 $A daddr != fe80::/10"
                                             : "$A daddr != 224.0.0.0/4 $A daddr != 255.255.255.255";
  // What pods send out of the cluster leaves with the node's address.
  text += cat("  $A saddr @local-pods $A daddr != @pod-ranges ", cluster_only, " masquerade fully-random\n");
  if (config.masquerade_local) {
    text += "    ct status dnat $A saddr @local-pods $A daddr @local-pods masquerade fully-random\n";
  }
  text += kSkeletonRest;
  return fill(std::move(text), config);
}

NftPiece service_rules(const ProxyService& service, const std::vector<std::vector<ProxyEndpoint>>& endpoints,
                       const NodePlace& here, const RulesConfig& config, const NftPiece* before) {
  NftPiece out;
  for (size_t i = 0; i < service.ports.size() && i < endpoints.size(); ++i) {
    PortRules(service, service.ports[i], config, before, out)
        .write(choose_endpoints(endpoints[i], service, here));
  }
  return out;
}

NftPiece node_rules(const std::vector<IpRange>& pod_ranges, bool own, const RulesConfig& config) {
  NftPiece out;
  for (const auto& range : pod_ranges) {
    if (range.v6 != config.v6) continue;
    out.shared["pod-ranges"][range.masked().text()];
    if (own) out.shared["local-pods"][range.masked().text()];
  }
  return out;
}

}  // namespace orch::agent
