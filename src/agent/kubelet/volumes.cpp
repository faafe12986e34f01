#include "agent/kubelet/volumes.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <sstream>

#include "agent/kubelet/container_config.h"
#include "agent/kubelet/env.h"
#include "agent/kubelet/resources.h"
#include "api/quantity.h"
#include "base/file.h"
#include "base/json.h"

namespace orch::agent {
namespace {

using base::array_at;
using base::bool_at;
using base::Code;
using base::find_path;
using base::Result;
using base::Status;
using base::string_at;

Status failed(std::string_view what, const std::string& path) {
  return {Code::kInternal, base::cat(what, " ", path, ": ", std::strerror(errno))};
}

/// Group ownership with the set-gid bit, for a folder the pod writes to.
Status give_to_group(const std::string& path, int64_t group) {
  if (::chown(path.c_str(), static_cast<uid_t>(-1), static_cast<gid_t>(group)) != 0)
    return failed("chown", path);
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) return failed("stat", path);
  if (::chmod(path.c_str(), (info.st_mode & 07777U) | 02770U) != 0) return failed("chmod", path);
  return {};
}

/// Opens `relative` below `root` without ever leaving it, whatever links say. -1 with errno.
int open_beneath(int root, const std::string& relative, uint64_t flags) {
  open_how how{};
  how.flags = flags | O_CLOEXEC;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
  return static_cast<int>(::syscall(SYS_openat2, root, relative.c_str(), &how, sizeof(how)));
}

/// Makes the missing folders of a subPath, each with its parent's mode, inside `root`.
Status make_subpath(int root, const std::string& relative) {
  std::string made;
  std::istringstream parts(relative);
  std::string part;
  while (std::getline(parts, part, '/')) {
    if (part.empty() || part == ".") continue;
    const std::string parent = made.empty() ? "." : made;
    if (!made.empty()) made += '/';
    made += part;
    const int there = open_beneath(root, made, O_PATH);
    if (there >= 0) {
      ::close(there);
      continue;
    }
    if (errno != ENOENT) return failed("cannot open subPath", made);
    const int folder = open_beneath(root, parent, O_RDONLY | O_DIRECTORY);
    if (folder < 0) return failed("cannot open subPath", parent);
    struct stat info {};
    const mode_t mode = ::fstat(folder, &info) == 0 ? info.st_mode & 0777U : 0755U;
    const int rc = ::mkdirat(folder, part.c_str(), mode);
    const int chmod_rc = rc == 0 ? ::fchmodat(folder, part.c_str(), mode, 0) : 0;
    ::close(folder);
    if (rc != 0 && errno != EEXIST) return failed("cannot create subPath", made);
    if (chmod_rc != 0) return failed("cannot chmod subPath", made);
  }
  return {};
}

/// Mount points at or below a folder, deepest first.
std::vector<std::string> mounts_below(const std::string& folder) {
  std::vector<std::string> out;
  const auto text = base::read_file("/proc/self/mountinfo");
  if (!text.ok()) return out;
  std::istringstream lines(*text);
  std::string line;
  while (std::getline(lines, line)) {
    std::istringstream words(line);
    std::string id, parent, device, root, point;
    words >> id >> parent >> device >> root >> point;
    if (point == folder || point.rfind(folder + "/", 0) == 0) out.push_back(point);
  }
  std::reverse(out.begin(), out.end());
  return out;
}

const char* plugin_of(const Json& volume) {
  static constexpr std::array<std::pair<const char*, const char*>, 5> kPlugins{
      {{"emptyDir", "empty-dir"},
       {"configMap", "configmap"},
       {"secret", "secret"},
       {"projected", "projected"},
       {"downwardAPI", "downward-api"}}};
  for (const auto& [member, plugin] : kPlugins) {
    if (volume.contains(member)) return plugin;
  }
  return nullptr;
}

}  // namespace

bool is_tmpfs_mount(const std::string& path) {
  struct statfs fs {};
  struct stat here {
  }, parent{};
  return ::statfs(path.c_str(), &fs) == 0 && fs.f_type == TMPFS_MAGIC && ::stat(path.c_str(), &here) == 0 &&
         ::stat((path + "/..").c_str(), &parent) == 0 && here.st_dev != parent.st_dev;
}

Status mount_tmpfs(const std::string& path, int64_t size_bytes) {
  if (is_tmpfs_mount(path)) return {};
  std::string options = "mode=0777";
  if (size_bytes > 0) options += base::cat(",size=", size_bytes);
  if (::mount("tmpfs", path.c_str(), "tmpfs", MS_NOSUID | MS_NODEV, options.c_str()) != 0) {
    return failed("cannot mount a tmpfs on", path);
  }
  return {};
}

std::string check_host_path(const std::string& path, std::string_view type) {
  if (type.empty()) return {};
  struct stat info {};
  bool there = ::stat(path.c_str(), &info) == 0;
  if (!there && type == "DirectoryOrCreate") {
    if (const Status made = base::make_dirs(path, 0755); !made.ok()) return made.message();
    ::chmod(path.c_str(), 0755);
    there = ::stat(path.c_str(), &info) == 0;
  } else if (!there && type == "FileOrCreate") {
    const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0) return base::cat("open ", path, ": ", std::strerror(errno));
    ::close(fd);
    there = ::stat(path.c_str(), &info) == 0;
  }
  struct Row {
    std::string_view type;
    mode_t kind;
    std::string_view text;
  };
  static constexpr std::array<Row, 7> kRows{{{"DirectoryOrCreate", S_IFDIR, "a directory"},
                                             {"Directory", S_IFDIR, "a directory"},
                                             {"FileOrCreate", S_IFREG, "a file"},
                                             {"File", S_IFREG, "a file"},
                                             {"Socket", S_IFSOCK, "a socket file"},
                                             {"CharDevice", S_IFCHR, "a character device"},
                                             {"BlockDevice", S_IFBLK, "a block device"}}};
  for (const Row& row : kRows) {
    if (row.type != type) continue;
    if (there && (info.st_mode & S_IFMT) == row.kind) return {};
    return base::cat("hostPath type check failed: ", path, " is not ", row.text);
  }
  return base::cat(type, " is an invalid volume type");
}

Status VolumeManager::empty_dir(const Pod& pod, const Json& source, const std::string& path) const {
  const auto medium = string_at(source, {"medium"});
  if (medium == "Memory") {
    int64_t size = api::Quantity::of(find_path(source, {"sizeLimit"})).value();
    const int64_t pod_limit = pod_resources(pod).memory_limit;
    if (pod_limit > 0 && (size == 0 || pod_limit < size)) size = pod_limit;
    ORCH_RETURN_IF_ERROR(mount_tmpfs(path, size));
  } else if (!medium.empty()) {
    return {Code::kBadRequest, base::cat("unknown storage medium \"", medium, "\"")};
  }
  if (::chmod(path.c_str(), 0777) != 0) return failed("chmod", path);
  if (const auto group = fs_group(pod)) return give_to_group(path, *group);
  return {};
}

Result<std::string> VolumeManager::set_up_one(const Pod& pod, const Json& volume, const PayloadInput& input,
                                              PodVolumes& out) {
  if (const Json* host = find_path(volume, {"hostPath"})) {
    std::string path(string_at(*host, {"path"}));
    if (std::string problem = check_host_path(path, string_at(*host, {"type"})); !problem.empty()) {
      return Status(Code::kBadRequest, std::move(problem));
    }
    return path;
  }
  const char* plugin = plugin_of(volume);
  if (plugin == nullptr) return Status(Code::kBadRequest, "no volume plugin matched");
  const auto name = string_at(volume, {"name"});
  std::string path = base::cat(pod_dir(pod.uid()), "/volumes/kubernetes.io~", plugin, "/", name);
  const bool fresh = !base::file_exists(path);
  if (fresh) ORCH_RETURN_IF_ERROR(base::make_dirs(path, 0755));
  if (const Json* source = find_path(volume, {"emptyDir"})) {
    // Once only: what the pod did with it since then stays, unless a reboot took the tmpfs.
    const bool lost = string_at(*source, {"medium"}) == "Memory" && !is_tmpfs_mount(path);
    if (fresh || lost) ORCH_RETURN_IF_ERROR(empty_dir(pod, *source, path));
    return path;
  }
  auto payload = volume_payload(pod, volume, input);
  if (!payload.ok()) return payload.error();
  if (!volume.contains("configMap")) ORCH_RETURN_IF_ERROR(mount_tmpfs(path, 0));
  const auto group = fs_group(pod);
  ORCH_RETURN_IF_ERROR(write_payload(path, payload->files, group.value_or(-1), clock_.now()));
  if (payload->refresh_at && (!out.refresh_at || *payload->refresh_at < *out.refresh_at)) {
    out.refresh_at = payload->refresh_at;
  }
  return path;
}

Result<PodVolumes> VolumeManager::set_up(const Pod& pod, const PayloadInput& input) {
  PodVolumes out;
  for (const Json& volume : array_at(pod.tree(), {"spec", "volumes"})) {
    const std::string name(string_at(volume, {"name"}));
    auto path = set_up_one(pod, volume, input, out);
    if (!path.ok()) {
      return path.error().with_context(base::cat("MountVolume.SetUp failed for volume \"", name, "\" "));
    }
    out.paths[name] = std::move(*path);
  }
  return out;
}

Result<std::string> VolumeManager::subpath_mount(const Pod& pod, const ContainerRef& container, size_t index,
                                                 const std::string& volume_path,
                                                 const std::string& volume_name, const std::string& subpath,
                                                 bool readonly) const {
  if (subpath.front() == '/' || !path_problem(subpath).empty()) {
    return Status(Code::kBadRequest, base::cat("subPath \"", subpath, "\" must not escape from the volume"));
  }
  const int root = ::open(volume_path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (root < 0) return failed("cannot open volume", volume_path);
  const int there = open_beneath(root, subpath, O_PATH);
  if (there >= 0) {
    ::close(there);
  } else if (Status made =
                 readonly && errno != ENOENT ? failed("cannot open", subpath) : make_subpath(root, subpath);
             !made.ok()) {
    ::close(root);
    return made;
  }
  const int source = open_beneath(root, subpath, O_PATH);
  ::close(root);
  if (source < 0) return failed("subPath is not within its volume:", subpath);
  const std::string folder =
      base::cat(pod_dir(pod.uid()), "/volume-subpaths/", volume_name, "/", container.name());
  std::string target = base::cat(folder, "/", index);
  Status status = base::make_dirs(folder, 0750);
  struct stat info {};
  if (status.ok() && ::fstat(source, &info) == 0) {
    while (::umount2(target.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) == 0) {
    }
    ::rmdir(target.c_str());
    ::unlink(target.c_str());
    if (S_ISDIR(info.st_mode)) {
      status = base::make_dirs(target, 0750);
    } else {
      const int fd = ::open(target.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC | O_NOFOLLOW, 0640);
      if (fd >= 0) ::close(fd);
    }
    const std::string link = base::cat("/proc/self/fd/", source);
    if (status.ok() && ::mount(link.c_str(), target.c_str(), nullptr, MS_BIND | MS_REC, nullptr) != 0) {
      status = failed("cannot bind subPath to", target);
    }
  }
  ::close(source);
  if (!status.ok()) return status;
  return target;
}

Result<std::vector<Mount>> VolumeManager::container_mounts(
    const Pod& pod, const ContainerRef& container, const PodVolumes& volumes,
    const std::vector<std::pair<std::string, std::string>>& env) {
  std::vector<Mount> out;
  const std::map<std::string, std::string> values(env.begin(), env.end());
  size_t index = 0;
  for (const Json& mount : array_at(*container.spec, {"volumeMounts"})) {
    const std::string name(string_at(mount, {"name"}));
    const auto it = volumes.paths.find(name);
    if (it == volumes.paths.end()) {
      return Status(Code::kNotFound, base::cat("cannot find volume \"", name, "\" to mount into container \"",
                                               container.name(), "\""));
    }
    Mount m;
    m.host_path = it->second;
    m.readonly = bool_at(mount, {"readOnly"});
    std::string subpath(string_at(mount, {"subPath"}));
    if (const auto expression = string_at(mount, {"subPathExpr"}); !expression.empty()) {
      subpath = expand(expression, values);
      if (subpath.find("$(") != std::string::npos) {
        return Status(Code::kBadRequest, base::cat("missing value for \"", expression, "\""));
      }
    }
    if (!subpath.empty()) {
      auto bound = subpath_mount(pod, container, index, it->second, name, subpath, m.readonly);
      if (!bound.ok())
        return bound.error().with_context("failed to prepare subPath for volumeMount \"" + name + "\"");
      m.host_path = std::move(*bound);
    }
    ++index;
    m.container_path = string_at(mount, {"mountPath"});
    if (m.container_path.empty() || m.container_path.front() != '/') m.container_path.insert(0, "/");
    const auto propagation = string_at(mount, {"mountPropagation"});
    m.propagation = propagation == "Bidirectional" ? 2 : propagation == "HostToContainer" ? 1 : 0;
    out.push_back(std::move(m));
  }
  return out;
}

Status VolumeManager::tear_down(std::string_view uid) {
  const std::string folder = pod_dir(uid);
  if (uid.empty() || !base::file_exists(folder)) return {};
  for (const std::string& point : mounts_below(folder)) {
    if (::umount2(point.c_str(), UMOUNT_NOFOLLOW) != 0 && errno != EINVAL && errno != ENOENT) {
      if (::umount2(point.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) != 0) return failed("cannot unmount", point);
    }
  }
  // A mount left behind would lose its content to the removal.
  if (!mounts_below(folder).empty()) return {Code::kConflict, "mounts remain below " + folder};
  return base::remove_all(folder);
}

std::vector<std::string> VolumeManager::pods_on_disk() const {
  auto names = base::list_dir(root_ + "/pods");
  return names.ok() ? std::move(*names) : std::vector<std::string>();
}

}  // namespace orch::agent
