#include "http/port_owner.h"

#include <dirent.h>
#include <unistd.h>

#include <charconv>
#include <memory>
#include <vector>

#include "base/file.h"
#include "base/status.h"

namespace orch::http {
namespace {

constexpr std::string_view kListen = "0A";

std::vector<std::string_view> fields(std::string_view line) {
  std::vector<std::string_view> out;
  size_t at = 0;
  while ((at = line.find_first_not_of(' ', at)) != std::string_view::npos) {
    const size_t end = line.find(' ', at);
    out.push_back(line.substr(at, end - at));
    if (end == std::string_view::npos) break;
    at = end;
  }
  return out;
}

template <typename T>
bool number(std::string_view text, int base, T& out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out, base);
  return error == std::errc() && end == text.data() + text.size();
}

bool holds(const std::string& fd_path, const std::set<uint64_t>& inodes) {
  char target[64];
  const ssize_t n = readlink(fd_path.c_str(), target, sizeof target);
  constexpr std::string_view kPrefix = "socket:[";
  if (n <= static_cast<ssize_t>(kPrefix.size())) return false;
  std::string_view text(target, static_cast<size_t>(n));
  if (text.substr(0, kPrefix.size()) != kPrefix || text.back() != ']') return false;
  text = text.substr(kPrefix.size(), text.size() - kPrefix.size() - 1);
  uint64_t inode = 0;
  return number(text, 10, inode) && inodes.count(inode) > 0;
}

bool any_descriptor(const std::string& folder, const std::set<uint64_t>& inodes) {
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(opendir(folder.c_str()), closedir);
  if (!dir) return false;
  while (const dirent* entry = readdir(dir.get())) {
    if (holds(folder + "/" + entry->d_name, inodes)) return true;
  }
  return false;
}

}  // namespace

std::set<uint64_t> listening_inodes(std::string_view text, uint16_t port) {
  std::set<uint64_t> out;
  while (!text.empty()) {
    const size_t end = text.find('\n');
    // "0: 00000000:192B 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 12345 ..."
    const auto field = fields(text.substr(0, end));
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (field.size() < 10 || field[3] != kListen) continue;
    uint16_t local = 0;
    uint64_t inode = 0;
    const std::string_view local_port = field[1].substr(std::min(field[1].size(), field[1].rfind(':') + 1));
    if (number(local_port, 16, local) && local == port && number(field[9], 10, inode)) out.insert(inode);
  }
  return out;
}

std::string describe_port_owner(uint16_t port) {
  std::set<uint64_t> inodes;
  for (const char* path : {"/proc/net/tcp", "/proc/net/tcp6"}) {
    auto text = base::read_file(path);
    if (text.ok()) inodes.merge(listening_inodes(*text, port));
  }
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(opendir("/proc"), closedir);
  if (inodes.empty() || !dir) return "another process";
  while (const dirent* entry = readdir(dir.get())) {
    const std::string pid = entry->d_name;
    if (pid.find_first_not_of("0123456789") != std::string::npos) continue;
    if (!any_descriptor("/proc/" + pid + "/fd", inodes)) continue;
    auto name = base::read_file("/proc/" + pid + "/comm");
    std::string comm = name.ok() ? *name : "?";
    while (!comm.empty() && comm.back() == '\n') comm.pop_back();
    return base::cat("process ", pid, " (", comm, ")");
  }
  return "another process";
}

}  // namespace orch::http
