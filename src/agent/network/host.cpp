#include "agent/network/host.h"

#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <bit>
#include <cstdlib>
#include <cstring>
#include <system_error>

#include "base/file.h"
#include "base/log.h"
#include "base/process.h"

namespace orch::agent {

using base::cat;
using base::Code;
using base::Result;
using base::Status;

namespace {

IpRange from_socket(const sockaddr* address, const sockaddr* mask) {
  IpRange out;
  out.v6 = address->sa_family == AF_INET6;
  const auto bytes_of = [&out](const sockaddr* from, std::array<uint8_t, 16>& into) {
    if (out.v6) {
      std::memcpy(into.data(), &reinterpret_cast<const sockaddr_in6*>(from)->sin6_addr, 16);
    } else {
      std::memcpy(into.data(), &reinterpret_cast<const sockaddr_in*>(from)->sin_addr, 4);
    }
  };
  bytes_of(address, out.bytes);
  out.length = out.bits();
  if (mask != nullptr) {
    std::array<uint8_t, 16> bits{};
    bytes_of(mask, bits);
    out.length = 0;
    for (const uint8_t byte : bits) out.length += std::popcount(byte);
  }
  return out;
}

Status run_ip(const std::vector<std::string>& argv) {
  const auto run = base::run_process(argv);
  if (!run.ok()) return run.error();
  if (run->exit_code != 0) return {Code::kInternal, cat(argv[0], " ", argv[1], ": ", run->err)};
  return {};
}

}  // namespace

std::vector<HostAddress> host_addresses() {
  std::vector<HostAddress> out;
  ifaddrs* first = nullptr;
  if (::getifaddrs(&first) != 0) return out;
  for (const ifaddrs* a = first; a != nullptr; a = a->ifa_next) {
    if (a->ifa_addr == nullptr || (a->ifa_flags & IFF_UP) == 0) continue;
    if (a->ifa_addr->sa_family != AF_INET && a->ifa_addr->sa_family != AF_INET6) continue;
    out.push_back({a->ifa_name, from_socket(a->ifa_addr, a->ifa_netmask)});
  }
  ::freeifaddrs(first);
  return out;
}

int interface_mtu(const std::string& interface) {
  // Not from /sys, which shows the network namespace it was mounted in.
  ifreq request{};
  interface.copy(request.ifr_name, IFNAMSIZ - 1);
  const int fd = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  const bool read = fd >= 0 && ::ioctl(fd, SIOCGIFMTU, &request) == 0;
  if (fd >= 0) ::close(fd);
  return read && request.ifr_mtu > 0 ? request.ifr_mtu : 1500;
}

const HostAddress* find_address(const std::vector<HostAddress>& all, const IpRange& ip) {
  for (const auto& a : all) {
    if (a.address.v6 == ip.v6 && a.address.bytes == ip.bytes) return &a;
  }
  return nullptr;
}

Status write_sysctl(const std::string& path, const std::string& value) {
  const std::string file = "/proc/sys/" + path;
  const auto before = base::read_file(file);
  if (before.ok() && before->substr(0, before->find('\n')) == value) return {};
  const int fd = ::open(file.c_str(), O_WRONLY | O_CLOEXEC);
  const bool written =
      fd >= 0 && ::write(fd, value.data(), value.size()) == static_cast<ssize_t>(value.size());
  const int error = errno;
  if (fd >= 0) ::close(fd);
  if (written) return {};
  return {Code::kInternal,
          cat("cannot set ", file, " to ", value, ": ", std::generic_category().message(error))};
}

Result<HostFeatures> prepare_host(bool v6) {
  ORCH_RETURN_IF_ERROR(run_ip({"ip", "link", "set", "lo", "up"}));
  ORCH_RETURN_IF_ERROR(write_sysctl("net/ipv4/ip_forward", "1"));
  if (v6) ORCH_RETURN_IF_ERROR(write_sysctl("net/ipv6/conf/all/forwarding", "1"));
  HostFeatures out;
  const std::string filter = "net/bridge/bridge-nf-call-iptables";
  if (!base::file_exists("/proc/sys/" + filter)) (void)base::run_process({"modprobe", "br_netfilter"});
  Status bridged = write_sysctl(filter, "1");
  if (bridged.ok() && v6) bridged = write_sysctl("net/bridge/bridge-nf-call-ip6tables", "1");
  out.bridge_netfilter = bridged.ok();
  if (!bridged.ok()) {
    base::log_warning("network",
                      "no bridge filtering: service traffic between pods of one node is masqueraded",
                      {{"error", bridged.message()}});
  }
  return out;
}

Status add_local_address(const IpRange& ip) {
  return run_ip(
      {"ip", "address", "replace", cat(ip.address(), "/", ip.bits()), "dev", "lo", "scope", "host"});
}

}  // namespace orch::agent
