#include <arpa/inet.h>

#include <cstdlib>
#include <set>

#include "api/scan.h"
#include "base/json.h"
#include "server/controllers/node.h"
#include "server/controllers/pods.h"

namespace orch::server {

std::string nth_subnet(const std::string& cidr, int length, uint32_t n) {
  const size_t slash = cidr.find('/');
  if (slash == std::string::npos) return {};
  const std::string address = cidr.substr(0, slash);
  const int own = std::atoi(cidr.c_str() + slash + 1);
  const bool v6 = address.find(':') != std::string::npos;
  unsigned char bytes[16] = {};
  if (inet_pton(v6 ? AF_INET6 : AF_INET, address.c_str(), bytes) != 1) return {};
  const int bits = v6 ? 128 : 32;
  if (own > length || length > bits) return {};
  if (length - own < 32 && n >= (uint64_t{1} << (length - own))) return {};
  for (int bit = own; bit < bits; ++bit) bytes[bit / 8] &= static_cast<unsigned char>(~(0x80 >> (bit % 8)));
  for (int i = 0; i < length - own && i < 32; ++i) {
    if ((n >> i & 1) == 0) continue;
    const int bit = length - 1 - i;
    bytes[bit / 8] |= static_cast<unsigned char>(0x80 >> (bit % 8));
  }
  char text[INET6_ADDRSTRLEN];
  inet_ntop(v6 ? AF_INET6 : AF_INET, bytes, text, sizeof text);
  return base::cat(text, "/", length);
}

namespace {

int part_length(const std::string& cidr) {
  const bool v6 = cidr.find(':') != std::string::npos;
  const int own = std::atoi(cidr.c_str() + cidr.find('/') + 1);
  const int usual = v6 ? 64 : 24;
  return own < usual ? usual : own + 2;
}

}  // namespace

Controller make_node_ipam_controller(std::string cluster_cidr) {
  Controller c;
  c.name = "node-ipam-controller";
  c.queue = "cidrallocator_node";
  // One key for all nodes: ranges are given out one after another, so never twice.
  c.sources = {{kNodes,
                [](const api::ObjectPtr&, const api::ObjectPtr& after, const View&) {
                  const bool wants = after != nullptr && !api::mentions(after->bytes(), "\"podCIDR\"");
                  return wants ? Keys{Key{}} : Keys();
                },
                {}}};
  c.plan = [cidr = std::move(cluster_cidr)](const View& view, const Key&, base::WallTime) {
    Plan plan;
    std::set<std::string> taken;
    std::vector<api::ObjectPtr> wanting;
    for (const auto& node : view.list(kNodes, "")) {
      const Json tree = node->tree();
      std::string have(base::string_at(tree, {"spec", "podCIDR"}));
      if (have.empty()) {
        wanting.push_back(node);
      } else {
        taken.insert(have);
      }
    }
    uint32_t n = 0;
    for (const auto& node : wanting) {
      std::string part;
      do {
        part = nth_subnet(cidr, part_length(cidr), n++);
      } while (!part.empty() && taken.count(part) != 0);
      if (part.empty()) {
        plan.note(node, "Warning", "CIDRNotAvailable",
                  base::cat("Node ", node->name(), " status is now: CIDRNotAvailable"));
        continue;
      }
      plan.patch(kNodes, "", node->name(),
                 {{"spec", {{"podCIDR", part}, {"podCIDRs", Json::array({part})}}}});
    }
    return plan;
  };
  return c;
}

}  // namespace orch::server
