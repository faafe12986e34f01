// The part of node_status.h that reads the machine.
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <sys/statvfs.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <sstream>

#include "agent/kubelet/node_status.h"
#include "base/file.h"

namespace orch::agent {
namespace {

std::string first_line(const std::string& path) {
  const auto text = base::read_file(path);
  if (!text.ok()) return {};
  std::string line = text->substr(0, text->find('\n'));
  while (!line.empty() && (line.back() == ' ' || line.back() == '\r')) line.pop_back();
  return line;
}

/// "MemTotal" of /proc/meminfo in bytes.
int64_t meminfo(std::string_view name) {
  const auto text = base::read_file("/proc/meminfo");
  if (!text.ok()) return 0;
  std::istringstream lines(*text);
  std::string key, rest;
  int64_t kib = 0;
  while (lines >> key >> kib && std::getline(lines, rest)) {
    if (key.size() == name.size() + 1 && key.compare(0, name.size(), name) == 0) return kib * 1024;
  }
  return 0;
}

std::string os_release_name() {
  const auto text = base::read_file("/etc/os-release");
  if (!text.ok()) return "Linux";
  std::istringstream lines(*text);
  std::string line;
  while (std::getline(lines, line)) {
    if (line.rfind("PRETTY_NAME=", 0) != 0) continue;
    std::string value = line.substr(12);
    if (value.size() >= 2 && value.front() == '"') value = value.substr(1, value.size() - 2);
    return value;
  }
  return "Linux";
}

std::string go_architecture(const std::string& machine) {
  if (machine == "x86_64") return "amd64";
  if (machine == "aarch64") return "arm64";
  if (machine.rfind("arm", 0) == 0) return "arm";
  if (machine == "i686") return "386";
  return machine;
}

std::string default_interface() {
  const auto text = base::read_file("/proc/net/route");
  if (!text.ok()) return {};
  std::istringstream lines(*text);
  std::string line;
  std::getline(lines, line);
  while (std::getline(lines, line)) {
    std::istringstream words(line);
    std::string name, destination, gateway, flags, refs, use, metric, mask;
    words >> name >> destination >> gateway >> flags >> refs >> use >> metric >> mask;
    if (destination == "00000000" && mask == "00000000") return name;
  }
  return {};
}

/// "hugepages-2048kB" -> "2Mi".
std::string page_size(const std::string& folder) {
  const long kib = std::strtol(folder.c_str() + std::string_view("hugepages-").size(), nullptr, 10);
  if (kib <= 0) return {};
  if (kib % (1024 * 1024) == 0) return base::cat(kib / (1024 * 1024), "Gi");
  if (kib % 1024 == 0) return base::cat(kib / 1024, "Mi");
  return base::cat(kib, "Ki");
}

/// Of the file system that a folder lies on, or will lie on once it is made.
bool file_system_of(std::string folder, struct statvfs& out) {
  while (::statvfs(folder.c_str(), &out) != 0) {
    const size_t slash = folder.rfind('/');
    if (errno != ENOENT || folder.size() <= 1 || slash == std::string::npos) return false;
    folder.resize(std::max<size_t>(slash, 1));
  }
  return true;
}

}  // namespace

MachineInfo machine_info(const std::string& root) {
  MachineInfo out;
  out.cpus = ::sysconf(_SC_NPROCESSORS_ONLN);
  out.memory_bytes = meminfo("MemTotal");
  struct statvfs fs {};
  if (file_system_of(root, fs)) {
    out.disk_bytes = static_cast<int64_t>(fs.f_blocks) * static_cast<int64_t>(fs.f_frsize);
    out.disk_inodes = static_cast<int64_t>(fs.f_files);
  }
  out.max_pids = std::atoll(first_line("/proc/sys/kernel/pid_max").c_str());
  out.machine_id = first_line("/etc/machine-id");
  out.system_uuid = first_line("/sys/class/dmi/id/product_uuid");
  if (out.system_uuid.empty()) out.system_uuid = out.machine_id;
  out.boot_id = first_line("/proc/sys/kernel/random/boot_id");
  utsname names{};
  if (::uname(&names) == 0) {
    out.kernel = names.release;
    out.architecture = go_architecture(names.machine);
    out.hostname = names.nodename;
  }
  out.os_image = os_release_name();
  if (const auto sizes = base::list_dir("/sys/kernel/mm/hugepages"); sizes.ok()) {
    for (const std::string& folder : *sizes) {
      if (std::string size = page_size(folder); !size.empty()) out.hugepage_sizes.push_back(std::move(size));
    }
  }
  return out;
}

Pressure machine_pressure(const std::string& root) {
  Pressure out;
  out.memory_available = meminfo("MemAvailable");
  struct statvfs fs {};
  if (file_system_of(root, fs)) {
    out.disk_available = static_cast<int64_t>(fs.f_bavail) * static_cast<int64_t>(fs.f_frsize);
    out.inodes_available = static_cast<int64_t>(fs.f_favail);
  }
  struct sysinfo info {};
  if (::sysinfo(&info) == 0) out.pids = info.procs;
  return out;
}

std::vector<std::string> default_addresses() {
  const std::string interface = default_interface();
  std::vector<std::string> v4, v6, other;
  ifaddrs* all = nullptr;
  if (::getifaddrs(&all) != 0) return {};
  for (const ifaddrs* a = all; a != nullptr; a = a->ifa_next) {
    if (a->ifa_addr == nullptr || (a->ifa_flags & IFF_LOOPBACK) != 0 || (a->ifa_flags & IFF_UP) == 0)
      continue;
    std::array<char, INET6_ADDRSTRLEN> text{};
    const bool own = interface == a->ifa_name;
    if (a->ifa_addr->sa_family == AF_INET) {
      const auto* in = reinterpret_cast<const sockaddr_in*>(a->ifa_addr);
      ::inet_ntop(AF_INET, &in->sin_addr, text.data(), text.size());
      (own ? v4 : other).emplace_back(text.data());
    } else if (a->ifa_addr->sa_family == AF_INET6 && own) {
      const auto* in = reinterpret_cast<const sockaddr_in6*>(a->ifa_addr);
      if (IN6_IS_ADDR_LINKLOCAL(&in->sin6_addr)) continue;
      ::inet_ntop(AF_INET6, &in->sin6_addr, text.data(), text.size());
      v6.emplace_back(text.data());
    }
  }
  ::freeifaddrs(all);
  // One of each family at most; a machine without a default route uses what it has.
  std::vector<std::string> out;
  if (!v4.empty()) out.push_back(v4.front());
  if (!v6.empty()) out.push_back(v6.front());
  if (out.empty() && !other.empty()) out.push_back(other.front());
  if (out.empty()) out.emplace_back("127.0.0.1");
  return out;
}

}  // namespace orch::agent
