#include "agent/proxy/conntrack.h"

#include <arpa/inet.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <netinet/in.h>
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>
#include <memory>

#include "agent/network/host.h"

namespace orch::agent {
namespace {

using base::cat;
using base::Code;
using base::Status;

struct SocketFree {
  void operator()(nl_sock* s) const { ::nl_socket_free(s); }
};
using Socket = std::unique_ptr<nl_sock, SocketFree>;
struct MessageFree {
  void operator()(nl_msg* m) const { ::nlmsg_free(m); }
};
using Message = std::unique_ptr<nl_msg, MessageFree>;

Status failed(const char* what, int error) {
  return {Code::kInternal, cat(what, ": ", ::nl_geterror(error))};
}

struct Tuple {
  IpRange source, destination;
  uint16_t source_port = 0, destination_port = 0;
  uint8_t protocol = 0;
};

bool read_address(nlattr* attribute, bool v6, IpRange& out) {
  const size_t size = v6 ? 16 : 4;
  if (attribute == nullptr || ::nla_len(attribute) != static_cast<int>(size)) return false;
  out.v6 = v6;
  out.length = out.bits();
  std::memcpy(out.bytes.data(), ::nla_data(attribute), size);
  return true;
}

bool read_tuple(nlattr* attribute, bool v6, Tuple& out) {
  nlattr* parts[CTA_TUPLE_MAX + 1];
  nlattr* ip[CTA_IP_MAX + 1];
  nlattr* proto[CTA_PROTO_MAX + 1];
  if (attribute == nullptr || ::nla_parse_nested(parts, CTA_TUPLE_MAX, attribute, nullptr) < 0) return false;
  if (parts[CTA_TUPLE_IP] == nullptr || ::nla_parse_nested(ip, CTA_IP_MAX, parts[CTA_TUPLE_IP], nullptr) < 0)
    return false;
  if (parts[CTA_TUPLE_PROTO] == nullptr ||
      ::nla_parse_nested(proto, CTA_PROTO_MAX, parts[CTA_TUPLE_PROTO], nullptr) < 0) {
    return false;
  }
  if (!read_address(ip[v6 ? CTA_IP_V6_SRC : CTA_IP_V4_SRC], v6, out.source)) return false;
  if (!read_address(ip[v6 ? CTA_IP_V6_DST : CTA_IP_V4_DST], v6, out.destination)) return false;
  if (proto[CTA_PROTO_NUM] == nullptr) return false;
  out.protocol = ::nla_get_u8(proto[CTA_PROTO_NUM]);
  if (proto[CTA_PROTO_SRC_PORT] != nullptr) out.source_port = ntohs(::nla_get_u16(proto[CTA_PROTO_SRC_PORT]));
  if (proto[CTA_PROTO_DST_PORT] != nullptr)
    out.destination_port = ntohs(::nla_get_u16(proto[CTA_PROTO_DST_PORT]));
  return true;
}

/// The dump's stale entries: each the tuple attribute and id to name it by when it is removed.
struct Found {
  bool v6 = false;
  const std::vector<ServiceTarget>* targets = nullptr;
  const std::set<std::string>* local = nullptr;
  std::vector<std::pair<std::string, uint32_t>> stale;  // bytes of CTA_TUPLE_ORIG's content, CTA_ID
};

int on_entry(nl_msg* message, void* argument) {
  auto& found = *static_cast<Found*>(argument);
  nlattr* parts[CTA_MAX + 1];
  if (::nlmsg_parse(::nlmsg_hdr(message), sizeof(nfgenmsg), parts, CTA_MAX, nullptr) < 0) return NL_OK;
  Tuple original;
  Tuple reply;
  if (!read_tuple(parts[CTA_TUPLE_ORIG], found.v6, original) ||
      !read_tuple(parts[CTA_TUPLE_REPLY], found.v6, reply)) {
    return NL_OK;
  }
  if (original.protocol != IPPROTO_UDP || parts[CTA_ID] == nullptr) return NL_OK;
  const UdpFlow flow{original.destination, reply.source, original.destination_port, reply.source_port};
  if (!is_stale(flow, *found.targets, *found.local)) return NL_OK;
  const nlattr* tuple = parts[CTA_TUPLE_ORIG];
  found.stale.emplace_back(
      std::string(static_cast<const char*>(::nla_data(tuple)), static_cast<size_t>(::nla_len(tuple))),
      ::nla_get_u32(parts[CTA_ID]));
  return NL_OK;
}

Message make_message(uint16_t command, int flags, bool v6) {
  Message message(::nlmsg_alloc());
  if (!message) return message;
  nlmsghdr* header = ::nlmsg_put(message.get(), NL_AUTO_PORT, NL_AUTO_SEQ,
                                 NFNL_SUBSYS_CTNETLINK << 8 | command, sizeof(nfgenmsg), flags);
  nfgenmsg family{};
  family.nfgen_family = v6 ? AF_INET6 : AF_INET;
  family.version = NFNETLINK_V0;
  std::memcpy(::nlmsg_data(header), &family, sizeof(family));
  return message;
}

}  // namespace

void add_targets(std::vector<ServiceTarget>& out, const ProxyService& service, const ProxyServicePort& port,
                 const EndpointChoice& choice, const RulesConfig& config) {
  std::set<std::string> endpoints;
  for (const auto* list : {&choice.cluster, &choice.local}) {
    for (const auto& e : *list) endpoints.insert(cat(e.ip.address(), " ", e.port));
  }
  for (const auto* ips : {&service.cluster_ips, &service.external_ips, &service.load_balancer_ips}) {
    for (const auto& ip : *ips) {
      const bool own = std::find(config.own_ips.begin(), config.own_ips.end(), ip) != config.own_ips.end();
      if (ip.v6 == config.v6 && !own) out.push_back({false, ip, port.port, endpoints});
    }
  }
  if (port.node_port != 0) out.push_back({true, {}, port.node_port, endpoints});
}

bool is_stale(const UdpFlow& flow, const std::vector<ServiceTarget>& targets,
              const std::set<std::string>& local) {
  for (const auto& target : targets) {
    if (target.port != flow.to_port) continue;
    if (target.any_local ? local.count(flow.to.address()) == 0 : !(target.ip == flow.to)) continue;
    // An untranslated flow began while there was no endpoint: it would pass by the rules for good. With none
    // still, there is nothing better to send it to.
    if (target.endpoints.empty() && flow.to == flow.from_endpoint) return false;
    return target.endpoints.count(cat(flow.from_endpoint.address(), " ", flow.from_port)) == 0;
  }
  return false;
}

Status remove_stale_udp(bool v6, const std::vector<ServiceTarget>& targets) {
  if (targets.empty()) return {};
  std::set<std::string> local;
  for (const auto& a : host_addresses()) local.insert(a.address.address());
  const Socket socket(::nl_socket_alloc());
  if (!socket) return {Code::kInternal, "no memory for a netlink socket"};
  int error = ::nl_connect(socket.get(), NETLINK_NETFILTER);
  if (error < 0) return failed("netfilter socket", error);
  ::nl_socket_set_buffer_size(socket.get(), 1 << 20, 0);
  Found found{v6, &targets, &local, {}};
  ::nl_socket_modify_cb(socket.get(), NL_CB_VALID, NL_CB_CUSTOM, on_entry, &found);
  const Message dump = make_message(IPCTNL_MSG_CT_GET, NLM_F_REQUEST | NLM_F_DUMP, v6);
  if (!dump) return {Code::kInternal, "no memory for a netlink message"};
  error = ::nl_send_auto(socket.get(), dump.get());
  if (error >= 0) error = ::nl_recvmsgs_default(socket.get());
  if (error < 0) return failed("listing connections", error);
  for (const auto& [tuple, id] : found.stale) {
    const Message removal = make_message(IPCTNL_MSG_CT_DELETE, NLM_F_REQUEST | NLM_F_ACK, v6);
    if (!removal) return {Code::kInternal, "no memory for a netlink message"};
    ::nla_put(removal.get(), CTA_TUPLE_ORIG | NLA_F_NESTED, static_cast<int>(tuple.size()), tuple.data());
    ::nla_put_u32(removal.get(), CTA_ID, id);
    error = ::nl_send_auto(socket.get(), removal.get());
    if (error >= 0) error = ::nl_wait_for_ack(socket.get());
    // It may have ended by itself meanwhile.
    if (error < 0 && error != -NLE_OBJ_NOTFOUND) return failed("removing a connection", error);
  }
  return {};
}

}  // namespace orch::agent
