#include "agent/kubelet/atomic_writer.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <set>

#include "base/file.h"

namespace orch::agent {
namespace {

using base::Code;
using base::Status;

constexpr const char* kDataLink = "..data";
constexpr const char* kNewDataLink = "..data_tmp";

Status failed(std::string_view what, const std::string& path) {
  return {Code::kInternal, base::cat(what, " ", path, ": ", std::strerror(errno))};
}

std::string read_link(const std::string& path) {
  std::string target(4096, '\0');
  const ssize_t n = ::readlink(path.c_str(), target.data(), target.size());
  target.resize(n < 0 ? 0 : static_cast<size_t>(n));
  return target;
}

std::string first_part(const std::string& path) { return path.substr(0, path.find('/')); }

mode_t effective_mode(const FileContent& file, int64_t group) {
  return group >= 0 ? file.mode | 0440U : file.mode;
}

/// Whether the folder holds the payload, byte for byte and with its modes.
bool holds(const std::string& folder, const Payload& payload, int64_t group) {
  for (const auto& [path, file] : payload) {
    struct stat info {};
    const std::string full = base::cat(folder, "/", path);
    if (::lstat(full.c_str(), &info) != 0 || !S_ISREG(info.st_mode)) return false;
    if ((info.st_mode & 07777U) != effective_mode(file, group)) return false;
    const auto data = base::read_file(full);
    if (!data.ok() || *data != file.data) return false;
  }
  return true;
}

/// Every regular file below, relative.
void walk(const std::string& folder, const std::string& prefix, std::set<std::string>& out) {
  const auto names = base::list_dir(folder);
  if (!names.ok()) return;
  for (const std::string& name : *names) {
    struct stat info {};
    const std::string full = base::cat(folder, "/", name);
    if (::lstat(full.c_str(), &info) != 0) continue;
    if (S_ISDIR(info.st_mode)) {
      walk(full, prefix + name + "/", out);
    } else {
      out.insert(prefix + name);
    }
  }
}

Status write_file(const std::string& path, const FileContent& file, int64_t group) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return failed("cannot create", path);
  Status status;
  size_t done = 0;
  while (done < file.data.size()) {
    const ssize_t n = ::write(fd, file.data.data() + done, file.data.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      status = failed("cannot write", path);
      break;
    }
    done += static_cast<size_t>(n);
  }
  const auto uid = file.owner >= 0 ? static_cast<uid_t>(file.owner) : static_cast<uid_t>(-1);
  const auto gid = group >= 0 ? static_cast<gid_t>(group) : static_cast<gid_t>(-1);
  if (status.ok() && ::fchown(fd, uid, gid) != 0) status = failed("cannot chown", path);
  // After chown, which clears set-id bits, and against the umask.
  if (status.ok() && ::fchmod(fd, effective_mode(file, group)) != 0) status = failed("cannot chmod", path);
  ::close(fd);
  return status;
}

Status make_dir(const std::string& path, int64_t group) {
  if (::mkdir(path.c_str(), 0755) != 0) {
    if (errno == EEXIST) return {};
    return failed("cannot create", path);
  }
  if (::chmod(path.c_str(), 0755) != 0) return failed("cannot chmod", path);
  if (group >= 0 && (::chown(path.c_str(), static_cast<uid_t>(-1), static_cast<gid_t>(group)) != 0 ||
                     ::chmod(path.c_str(), 02755) != 0)) {
    return failed("cannot change the group of", path);
  }
  return {};
}

Status write_all(const std::string& folder, const Payload& payload, int64_t group) {
  ORCH_RETURN_IF_ERROR(make_dir(folder, group));
  for (const auto& [path, file] : payload) {
    for (size_t slash = path.find('/'); slash != std::string::npos; slash = path.find('/', slash + 1)) {
      ORCH_RETURN_IF_ERROR(make_dir(folder + "/" + path.substr(0, slash), group));
    }
    ORCH_RETURN_IF_ERROR(write_file(base::cat(folder, "/", path), file, group));
  }
  return {};
}

/// "..2026_01_31_12_00_00.123456"
std::string stamp(base::WallTime now) {
  const std::string text = base::format_micro_time(now);  // 2026-01-31T12:00:00.123456Z
  std::string out = "..";
  for (const char c : text) {
    if (c == 'Z') break;
    out += c == '-' || c == ':' || c == 'T' ? '_' : c;
  }
  return out;
}

}  // namespace

std::string path_problem(std::string_view path) {
  if (path.empty()) return "invalid path: must not be empty";
  if (path.front() == '/') return base::cat("invalid path: must be relative path: ", path);
  size_t at = 0;
  while (at <= path.size()) {
    const size_t end = std::min(path.find('/', at), path.size());
    const auto part = path.substr(at, end - at);
    if (part == "..") return base::cat("invalid path: must not contain '..': ", path);
    if (at == 0 && part.substr(0, 2) == "..")
      return base::cat("invalid path: must not start with '..': ", path);
    at = end + 1;
  }
  return {};
}

Status write_payload(const std::string& folder, const Payload& payload, int64_t group, base::WallTime now) {
  for (const auto& [path, file] : payload) {
    if (const std::string problem = path_problem(path); !problem.empty()) return {Code::kBadRequest, problem};
  }
  const std::string data_link = folder + "/" + kDataLink;
  const std::string old = read_link(data_link);
  std::set<std::string> before;
  if (!old.empty()) walk(folder + "/" + old, {}, before);
  std::set<std::string> wanted;
  for (const auto& [path, file] : payload) wanted.insert(path);
  if (!old.empty() && before == wanted && holds(folder + "/" + old, payload, group)) return {};

  std::string name = stamp(now);
  for (int i = 0; base::file_exists(base::cat(folder, "/", name)); ++i) name = base::cat(stamp(now), "_", i);
  const std::string fresh = folder + "/" + name;
  if (Status status = write_all(fresh, payload, group); !status.ok()) {
    (void)base::remove_all(fresh);
    return status;
  }
  const std::string new_link = folder + "/" + kNewDataLink;
  ::unlink(new_link.c_str());
  if (::symlink(name.c_str(), new_link.c_str()) != 0) return failed("cannot link", new_link);
  if (::rename(new_link.c_str(), data_link.c_str()) != 0) return failed("cannot rename", new_link);

  std::set<std::string> tops;
  for (const std::string& path : wanted) tops.insert(first_part(path));
  for (const std::string& top : tops) {
    const std::string link = base::cat(folder, "/", top);
    if (!read_link(link).empty()) continue;
    if (::symlink(base::cat(kDataLink, "/", top).c_str(), link.c_str()) != 0)
      return failed("cannot link", link);
  }
  for (const std::string& path : before) {
    if (tops.count(first_part(path)) == 0) ::unlink((folder + "/" + first_part(path)).c_str());
  }
  if (!old.empty()) (void)base::remove_all(folder + "/" + old);
  return {};
}

}  // namespace orch::agent
