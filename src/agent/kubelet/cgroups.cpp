#include "agent/kubelet/cgroups.h"

#include <linux/magic.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <sstream>

#include "base/file.h"
#include "base/log.h"

namespace orch::agent {
namespace {

using base::Code;
using base::Status;

/// Files of cgroupfs take one write and no rename.
Status write_value(const std::string& path, const std::string& value) {
  std::FILE* file = std::fopen(path.c_str(), "we");
  if (file == nullptr) return {Code::kInternal, base::cat("cannot open ", path, ": ", std::strerror(errno))};
  const bool written = std::fputs(value.c_str(), file) >= 0;
  const bool closed = std::fclose(file) == 0;
  if (!written || !closed) {
    return {Code::kInternal, base::cat("cannot write \"", value, "\" to ", path, ": ", std::strerror(errno))};
  }
  return {};
}

void try_write(const std::string& path, const std::string& value) {
  if (const Status status = write_value(path, value); !status.ok()) {
    base::log_debug("cgroups", "value not set", {{"error", status.message()}});
  }
}

uint64_t read_number(const std::string& path) {
  const auto text = base::read_file(path);
  return text.ok() ? std::strtoull(text->c_str(), nullptr, 10) : 0;
}

/// The number after `name ` in a file of `name value` lines.
uint64_t read_field(const std::string& path, std::string_view name) {
  const auto text = base::read_file(path);
  if (!text.ok()) return 0;
  std::istringstream lines(*text);
  std::string key;
  uint64_t value = 0;
  while (lines >> key >> value) {
    if (key == name) return value;
  }
  return 0;
}

/// Removes a cgroup and those below it.
bool remove_tree(const std::string& path) {
  const auto names = base::list_dir(path);
  if (!names.ok()) return true;
  for (const std::string& name : *names) {
    struct stat info {};
    const std::string below = base::cat(path, "/", name);
    if (::lstat(below.c_str(), &info) == 0 && S_ISDIR(info.st_mode)) remove_tree(below);
  }
  return ::rmdir(path.c_str()) == 0 || errno == ENOENT;
}

void kill_tree(const std::string& path) {
  const auto names = base::list_dir(path);
  if (!names.ok()) return;
  for (const std::string& name : *names) {
    struct stat info {};
    const std::string below = base::cat(path, "/", name);
    if (::lstat(below.c_str(), &info) == 0 && S_ISDIR(info.st_mode)) kill_tree(below);
  }
  const auto procs = base::read_file(path + "/cgroup.procs");
  if (!procs.ok()) return;
  std::istringstream lines(*procs);
  pid_t pid = 0;
  while (lines >> pid) {
    if (pid > 1) ::kill(pid, SIGKILL);
  }
}

/// What the kernel shows for memory without a limit (cgroup v1) is a little under 2^63.
constexpr int64_t kNoMemoryLimit = int64_t{1} << 62;

constexpr std::array<std::string_view, 3> kClasses{"", "/burstable", "/besteffort"};

}  // namespace

Cgroups::Cgroups(std::string root, bool systemd, std::string mount)
    : root_(std::move(root)), systemd_(systemd), mount_(std::move(mount)) {
  struct statfs fs {};
  unified_ = ::statfs(mount_.c_str(), &fs) == 0 && fs.f_type == CGROUP2_SUPER_MAGIC;
  if (unified_) return;
  for (const char* name :
       {"cpu", "cpuacct", "cpuset", "memory", "pids", "blkio", "devices", "freezer", "hugetlb"}) {
    if (base::file_exists(mount_ + "/" + name)) controllers_.emplace_back(name);
  }
}

std::string Cgroups::folder(const std::string& controller, const std::string& path) const {
  return unified_ ? mount_ + path : base::cat(mount_, "/", controller, path);
}

std::vector<std::string> Cgroups::folders(const std::string& path) const {
  if (unified_) return {mount_ + path};
  std::vector<std::string> out;
  for (const std::string& controller : controllers_) out.push_back(folder(controller, path));
  return out;
}

Status Cgroups::make(const std::string& path) {
  for (const std::string& f : folders(path)) {
    ORCH_RETURN_IF_ERROR(base::make_dirs(f, 0755));
  }
  if (unified_) {
    // Controllers are there only when every cgroup above lets them down.
    std::string above = mount_;
    std::istringstream parts(path);
    std::string part;
    while (std::getline(parts, part, '/')) {
      if (part.empty()) continue;
      for (const char* controller : {"+cpu", "+cpuset", "+memory", "+pids", "+io"}) {
        try_write(above + "/cgroup.subtree_control", controller);
      }
      above += "/" + part;
    }
    return {};
  }
  // A new cpuset is empty on v1: it takes its parent's.
  if (!base::file_exists(mount_ + "/cpuset")) return {};
  std::string above = mount_ + "/cpuset";
  std::istringstream parts(path);
  std::string part;
  while (std::getline(parts, part, '/')) {
    if (part.empty()) continue;
    const std::string below = base::cat(above, "/", part);
    for (const char* file : {"/cpuset.cpus", "/cpuset.mems"}) {
      const auto own = base::read_file(below + file);
      const auto parent = base::read_file(above + file);
      if (own.ok() && parent.ok() && *own == "\n") try_write(below + file, *parent);
    }
    above = below;
  }
  return {};
}

Status Cgroups::prepare() {
  if (systemd_) return {};
  for (const auto c : kClasses) ORCH_RETURN_IF_ERROR(make(base::cat(root_, "/kubepods", c)));
  // Best-effort pods share what nobody else wants.
  const std::string best_effort = root_ + "/kubepods/besteffort";
  if (unified_) {
    try_write(folder({}, best_effort) + "/cpu.weight", "1");
  } else {
    try_write(folder("cpu", best_effort) + "/cpu.shares", "2");
  }
  return {};
}

std::string Cgroups::parent_of(const Pod& pod, QosClass qos) const {
  return pod_cgroup(pod, qos, root_, systemd_);
}

std::optional<PodLimits> Cgroups::limits(const Pod& pod, QosClass qos) const {
  const std::string path = parent_of(pod, qos);
  if (systemd_ || !base::file_exists(folder("cpu", path))) return std::nullopt;
  const auto limit = [](const std::string& file) {
    const int64_t value = static_cast<int64_t>(read_number(file));  // "max" reads as 0
    return value >= kNoMemoryLimit || value < 0 ? 0 : value;
  };
  if (unified_) {
    const std::string f = folder({}, path);
    return PodLimits{limit(f + "/cpu.weight"), limit(f + "/cpu.max"), limit(f + "/memory.max")};
  }
  const std::string cpu = folder("cpu", path);
  return PodLimits{limit(cpu + "/cpu.shares"), limit(cpu + "/cpu.cfs_quota_us"),
                   limit(folder("memory", path) + "/memory.limit_in_bytes")};
}

Status Cgroups::set_shares(const Pod& pod, QosClass qos, int64_t shares) {
  const std::string f = folder("cpu", parent_of(pod, qos));
  return write_value(f + (unified_ ? "/cpu.weight" : "/cpu.shares"), std::to_string(shares));
}

Status Cgroups::set_quota(const Pod& pod, QosClass qos, int64_t quota) {
  const std::string f = folder("cpu", parent_of(pod, qos));
  if (unified_)
    return write_value(f + "/cpu.max",
                       base::cat(quota == 0 ? "max" : std::to_string(quota), " ", kCpuPeriod));
  ORCH_RETURN_IF_ERROR(write_value(f + "/cpu.cfs_period_us", std::to_string(kCpuPeriod)));
  return write_value(f + "/cpu.cfs_quota_us", std::to_string(quota == 0 ? -1 : quota));
}

Status Cgroups::set_memory(const Pod& pod, QosClass qos, int64_t bytes) {
  const std::string f = folder("memory", parent_of(pod, qos));
  if (unified_)
    return write_value(f + "/memory.max", bytes == 0 ? std::string("max") : std::to_string(bytes));
  return write_value(f + "/memory.limit_in_bytes", std::to_string(bytes == 0 ? -1 : bytes));
}

Status Cgroups::make_pod(const Pod& pod, QosClass qos) {
  if (systemd_) return {};
  const std::string path = parent_of(pod, qos);
  const std::string probe = folders(path).empty() ? std::string() : folders(path).front();
  if (base::file_exists(probe)) return {};
  ORCH_RETURN_IF_ERROR(make(path));
  const PodLimits wanted = pod_limits(pod_resources(pod), unified_);
  const auto attempt = [](const Status& status) {
    if (!status.ok()) base::log_debug("cgroups", "value not set", {{"error", status.message()}});
  };
  attempt(set_shares(pod, qos, wanted.shares));
  if (unified_ || wanted.quota != 0) attempt(set_quota(pod, qos, wanted.quota));
  if (unified_ || wanted.memory != 0) attempt(set_memory(pod, qos, wanted.memory));
  return {};
}

Status Cgroups::remove_pod(std::string_view uid) {
  if (systemd_ || uid.empty()) return {};
  bool done = true;
  for (const auto c : kClasses) {
    const std::string path = base::cat(root_, "/kubepods", c, "/pod", uid);
    for (const std::string& f : folders(path)) {
      if (!base::file_exists(f)) continue;
      if (!remove_tree(f)) {
        kill_tree(f);
        done = remove_tree(f) && done;
      }
    }
  }
  if (!done) return {Code::kConflict, base::cat("the cgroup of pod ", uid, " is still in use")};
  return {};
}

std::vector<std::string> Cgroups::pods() const {
  std::vector<std::string> out;
  if (systemd_) return out;
  for (const auto c : kClasses) {
    const auto all = folders(base::cat(root_, "/kubepods", c));
    if (all.empty()) continue;
    const auto names = base::list_dir(all.front());
    if (!names.ok()) continue;
    for (const std::string& name : *names) {
      if (name.rfind("pod", 0) == 0) out.push_back(name.substr(3));
    }
  }
  return out;
}

uint64_t memory_in_use(std::string_view meminfo) {
  const auto kilobytes = [meminfo](std::string_view name) -> uint64_t {
    const size_t at = meminfo.find(name);
    if (at == std::string_view::npos) return 0;
    const size_t digits = meminfo.find_first_not_of(' ', at + name.size());
    return digits == std::string_view::npos
               ? 0
               : std::strtoull(std::string(meminfo.substr(digits, 20)).c_str(), nullptr, 10);
  };
  const uint64_t total = kilobytes("MemTotal:"), free = kilobytes("MemFree:");
  return total > free ? (total - free) * 1024 : 0;
}

Cgroups::Usage Cgroups::usage(const std::string& path) const {
  Usage out;
  const std::string below = path == "/" ? std::string() : path;
  if (unified_) {
    const std::string f = folder({}, below);
    out.cpu_ns = read_field(f + "/cpu.stat", "usage_usec") * 1000;
    out.memory_usage = read_number(f + "/memory.current");
    if (below.empty()) {
      const auto meminfo = base::read_file("/proc/meminfo");
      if (meminfo.ok()) out.memory_usage = memory_in_use(*meminfo);
    }
    const uint64_t inactive = read_field(f + "/memory.stat", "inactive_file");
    out.memory_rss = read_field(f + "/memory.stat", "anon");
    out.memory_working_set = out.memory_usage > inactive ? out.memory_usage - inactive : 0;
    return out;
  }
  out.cpu_ns = read_number(folder("cpuacct", below) + "/cpuacct.usage");
  const std::string memory = folder("memory", below);
  out.memory_usage = read_number(memory + "/memory.usage_in_bytes");
  const uint64_t inactive = read_field(memory + "/memory.stat", "total_inactive_file");
  out.memory_rss = read_field(memory + "/memory.stat", "total_rss");
  out.memory_working_set = out.memory_usage > inactive ? out.memory_usage - inactive : 0;
  return out;
}

}  // namespace orch::agent
