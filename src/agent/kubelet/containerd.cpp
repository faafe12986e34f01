#include "agent/kubelet/containerd.h"

#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <mutex>
#include <thread>

#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/process.h"
#include "base/threads.h"
#include "embed/pause_image.h"

namespace orch::agent {
namespace {

using base::Code;
using base::Result;
using base::Status;
using std::chrono::milliseconds;

constexpr milliseconds kStartTimeout{30000};

std::string toml_string(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + "\"";
}

/// Whether a file system of the kind can really be mounted over this folder's.
bool overlay_works(const std::string& folder) {
  const std::string probe = folder + "/.overlay-probe";
  for (const char* name : {"/lower", "/upper", "/work", "/merged"}) {
    if (!base::make_dirs(probe + name).ok()) return false;
  }
  const std::string data =
      base::cat("lowerdir=", probe, "/lower,upperdir=", probe, "/upper,workdir=", probe, "/work");
  const std::string merged = probe + "/merged";
  const bool works = ::mount("overlay", merged.c_str(), "overlay", 0, data.c_str()) == 0;
  if (works) ::umount2(merged.c_str(), MNT_DETACH);
  (void)base::remove_all(probe);
  return works;
}

/// The process listening on a unix socket, 0 when nobody accepts.
pid_t socket_owner(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) return 0;
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return 0;
  ucred peer{};
  socklen_t length = sizeof(peer);
  pid_t owner = 0;
  if (::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0 &&
      ::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0) {
    owner = peer.pid;
  }
  ::close(fd);
  return owner;
}

/// Whether `pid` is alive and was started with `word` as one of its arguments.
bool runs_with_argument(pid_t pid, const std::string& word) {
  if (pid <= 0) return false;
  const auto line = base::read_file(base::cat("/proc/", pid, "/cmdline"));
  if (!line.ok()) return false;
  const std::string needle = std::string(1, '\0') + word + std::string(1, '\0');
  return line->find(needle) != std::string::npos;
}

int open_pidfd(pid_t pid) { return static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)); }

/// The last line of a log, for error messages, which are one line themselves.
std::string last_line(const std::string& path) {
  auto content = base::read_file(path);
  if (!content.ok()) return {};
  while (!content->empty() && content->back() == '\n') content->pop_back();
  const size_t begin = content->rfind('\n');
  return begin == std::string::npos ? *content : content->substr(begin + 1);
}

}  // namespace

std::string default_run_dir(const std::string& data_dir) {
  uint32_t hash = 2166136261U;
  for (const char c : data_dir) hash = (hash ^ static_cast<unsigned char>(c)) * 16777619U;
  std::array<char, 9> text{};
  std::snprintf(text.data(), text.size(), "%08" PRIx32, hash);
  return base::cat("/run/orch-", text.data());
}

bool lacks_sys_resource() {
  constexpr int kSysResource = 24;
  const auto status = base::read_file("/proc/self/status");
  if (!status.ok()) return true;
  const size_t at = status->find("CapEff:");
  if (at == std::string::npos) return true;
  const uint64_t mask = std::strtoull(status->c_str() + at + 7, nullptr, 16);
  return (mask >> kSysResource & 1) == 0;
}

Status install_sandbox_image(const std::string& folder) {
  const std::string path = folder + "/orch-pause.tar";
  const std::string_view archive = embedded::pause_image();
  const auto there = base::read_file(path);
  if (there.ok() && *there == archive) return {};
  ORCH_RETURN_IF_ERROR(base::make_dirs(folder, 0755));
  return base::write_file_atomic(path, archive, 0644);
}

std::string containerd_config(const ContainerdOptions& o) {
  const auto boolean = [](bool b) { return b ? "true" : "false"; };
  std::string out = "# Written by orch at every start; changes here are lost.\nversion = 2\n";
  out += base::cat("root = ", toml_string(o.data_dir + "/containerd"), "\n");
  out += base::cat("state = ", toml_string(o.run_dir + "/containerd"), "\n");
  // Each is probed at start and takes memory; none is used.
  out +=
      "disabled_plugins = [\"io.containerd.snapshotter.v1.aufs\", \"io.containerd.snapshotter.v1.btrfs\", "
      "\"io.containerd.snapshotter.v1.devmapper\", \"io.containerd.snapshotter.v1.zfs\", "
      "\"io.containerd.snapshotter.v1.blockfile\", \"io.containerd.internal.v1.opt\", "
      "\"io.containerd.internal.v1.tracing\", \"io.containerd.tracing.processor.v1.otlp\"]\n";
  out += base::cat("\n[grpc]\n  address = ", toml_string(o.run_dir + "/containerd.sock"), "\n");
  out += "\n[debug]\n  level = \"warn\"\n";
  out += "\n[plugins.\"io.containerd.grpc.v1.cri\"]\n";
  out += "  stream_server_address = \"127.0.0.1\"\n  stream_server_port = \"0\"\n";
  out += "  enable_selinux = false\n";
  out += base::cat("  restrict_oom_score_adj = ", boolean(o.restrict_oom_score), "\n");
  if (!o.sandbox_image.empty()) out += base::cat("  sandbox_image = ", toml_string(o.sandbox_image), "\n");
  out += "  [plugins.\"io.containerd.grpc.v1.cri\".containerd]\n";
  out += base::cat("    snapshotter = ", toml_string(o.snapshotter), "\n");
  out += "    default_runtime_name = \"runc\"\n";
  out += "    [plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runc]\n";
  out += "      runtime_type = \"io.containerd.runc.v2\"\n";
  out += "      [plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runc.options]\n";
  out += base::cat("        SystemdCgroup = ", boolean(o.systemd_cgroup), "\n");
  out += "  [plugins.\"io.containerd.grpc.v1.cri\".cni]\n";
  out += base::cat("    bin_dir = ", toml_string(o.cni_bin_dir), "\n");
  out += base::cat("    conf_dir = ", toml_string(o.cni_conf_dir), "\n");
  if (!o.registry_config_dir.empty()) {
    out += "  [plugins.\"io.containerd.grpc.v1.cri\".registry]\n";
    out += base::cat("    config_path = ", toml_string(o.registry_config_dir), "\n");
  }
  return out;
}

struct Containerd::Rep {
  ContainerdOptions options;
  std::string config_path, pid_path, socket_path, log_path, endpoint;
  int stop_fd = -1;
  std::thread supervisor;
  mutable std::mutex mutex;
  pid_t pid = 0;          // under mutex
  bool child = false;     // under mutex: ours to reap
  bool stopping = false;  // under mutex

  Status spawn();
  /// Adopts a running containerd of ours; 0 when there is none.
  pid_t find_running() const;
  Status wait_ready(milliseconds timeout) const;
  void supervise();
  void end_process(pid_t target) const;
};

pid_t Containerd::Rep::find_running() const {
  const pid_t listening = socket_owner(socket_path);
  if (runs_with_argument(listening, config_path)) return listening;
  const auto text = base::read_file(pid_path);
  const pid_t written = text.ok() ? static_cast<pid_t>(std::atol(text->c_str())) : 0;
  return runs_with_argument(written, config_path) ? written : 0;
}

Status Containerd::Rep::spawn() {
  struct stat info {};
  if (::stat(log_path.c_str(), &info) == 0 && info.st_size > (8 << 20)) {
    ::rename(log_path.c_str(), (log_path + ".1").c_str());
  }
  auto started = base::spawn_process({options.binary, "--config", config_path}, options.environment, log_path,
                                     /*die_with_parent=*/false);
  if (!started.ok()) {
    if (started.error().code() != Code::kNotFound) return started.error();
    return {Code::kNotFound,
            base::cat(started.error().message(), " (install the package containerd, or name another runtime ",
                      "with --container-runtime-endpoint)")};
  }
  {
    std::lock_guard lock(mutex);
    pid = *started;
    child = true;
  }
  return base::write_file_atomic(pid_path, base::cat(*started, "\n"), 0644);
}

Status Containerd::Rep::wait_ready(milliseconds timeout) const {
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  milliseconds pause{5};
  while (socket_owner(socket_path) == 0) {
    pid_t current = 0;
    bool ours = false;
    {
      std::lock_guard lock(mutex);
      current = pid;
      ours = child;
    }
    const bool gone = ours ? ::waitpid(current, nullptr, WNOHANG) == current : ::kill(current, 0) != 0;
    if (gone) {
      return {Code::kServiceUnavailable,
              base::cat("containerd ended at once; its log ", log_path, " ends with: ", last_line(log_path))};
    }
    if (std::chrono::steady_clock::now() > deadline) {
      return {Code::kTimeout, base::cat("containerd does not answer on ", socket_path, "; its log ", log_path,
                                        " ends with: ", last_line(log_path))};
    }
    std::this_thread::sleep_for(pause);
    pause = std::min(pause * 2, milliseconds(100));
  }
  return {};
}

void Containerd::Rep::end_process(pid_t target) const {
  const int fd = open_pidfd(target);
  ::kill(target, SIGTERM);
  pollfd waiter{fd, POLLIN, 0};
  if (fd >= 0 && ::poll(&waiter, 1, 15000) == 0) {
    ::kill(target, SIGKILL);
    ::poll(&waiter, 1, 5000);
  }
  if (fd >= 0) ::close(fd);
  ::waitpid(target, nullptr, WNOHANG);
}

void Containerd::Rep::supervise() {
  milliseconds pause{100};
  while (true) {
    pid_t current = 0;
    {
      std::lock_guard lock(mutex);
      if (stopping) return;
      current = pid;
    }
    const int fd = open_pidfd(current);
    if (fd >= 0) {
      std::array<pollfd, 2> waits{{{fd, POLLIN, 0}, {stop_fd, POLLIN, 0}}};
      const auto began = std::chrono::steady_clock::now();
      while (::poll(waits.data(), waits.size(), -1) < 0 && errno == EINTR) {
      }
      ::close(fd);
      if (waits[1].revents != 0) return;
      if (std::chrono::steady_clock::now() - began > std::chrono::minutes(1)) pause = milliseconds(100);
    }
    ::waitpid(current, nullptr, WNOHANG);
    base::log_warning("containerd", "ended; starting it again", {{"pid", std::to_string(current)}});
    pollfd stop{stop_fd, POLLIN, 0};
    if (::poll(&stop, 1, static_cast<int>(pause.count())) > 0) return;
    pause = std::min(pause * 2, milliseconds(10000));
    const Status started = spawn();
    if (!started.ok()) base::log_error("containerd", "cannot start", {{"error", started.message()}});
  }
}

Result<std::unique_ptr<Containerd>> Containerd::start(ContainerdOptions options) {
  auto rep = std::make_unique<Rep>();
  ORCH_RETURN_IF_ERROR(base::make_dirs(options.data_dir, 0755));
  ORCH_RETURN_IF_ERROR(base::make_dirs(options.run_dir, 0711));
  if (options.snapshotter.empty()) {
    options.snapshotter = overlay_works(options.data_dir) ? "overlayfs" : "native";
  }
  rep->options = std::move(options);
  const ContainerdOptions& o = rep->options;
  rep->config_path = o.data_dir + "/containerd.toml";
  rep->log_path = o.data_dir + "/containerd.log";
  rep->pid_path = o.run_dir + "/containerd.pid";
  rep->socket_path = o.run_dir + "/containerd.sock";
  rep->endpoint = "unix://" + rep->socket_path;

  const std::string config = containerd_config(o);
  const auto before = base::read_file(rep->config_path);
  pid_t running = rep->find_running();
  if (!before.ok() || *before != config) {
    if (running != 0) {
      base::log_info("containerd", "configuration changed: restarting", {{"pid", std::to_string(running)}});
      rep->end_process(running);
      running = 0;
    }
    ORCH_RETURN_IF_ERROR(base::write_file_atomic(rep->config_path, config, 0644));
  }
  if (running != 0) {
    base::log_info("containerd", "adopted", {{"pid", std::to_string(running)}});
    rep->pid = running;
  } else {
    ORCH_RETURN_IF_ERROR(rep->spawn());
  }
  ORCH_RETURN_IF_ERROR(rep->wait_ready(kStartTimeout));
  rep->stop_fd = ::eventfd(0, EFD_CLOEXEC);
  Rep* raw = rep.get();
  rep->supervisor = base::start_thread("containerd", [raw] { raw->supervise(); });
  return std::unique_ptr<Containerd>(new Containerd(std::move(rep)));
}

Containerd::Containerd(std::unique_ptr<Rep> rep) : rep_(std::move(rep)) {}

Containerd::~Containerd() {
  {
    std::lock_guard lock(rep_->mutex);
    rep_->stopping = true;
  }
  const uint64_t one = 1;
  (void)!::write(rep_->stop_fd, &one, sizeof(one));
  if (rep_->supervisor.joinable()) rep_->supervisor.join();
  ::close(rep_->stop_fd);
}

const std::string& Containerd::endpoint() const { return rep_->endpoint; }

pid_t Containerd::pid() const {
  std::lock_guard lock(rep_->mutex);
  return rep_->pid;
}

void Containerd::stop_daemon() {
  {
    std::lock_guard lock(rep_->mutex);
    rep_->stopping = true;
  }
  const uint64_t one = 1;
  (void)!::write(rep_->stop_fd, &one, sizeof(one));
  if (rep_->supervisor.joinable()) rep_->supervisor.join();
  rep_->end_process(pid());
}

namespace {

/// References named in the output of `ctr images import`: "unpacking NAME (sha256:…)...done".
std::vector<std::string> imported_names(const std::string& output) {
  std::vector<std::string> names;
  size_t at = 0;
  while (at < output.size()) {
    const size_t end = std::min(output.find('\n', at), output.size());
    std::string_view line = std::string_view(output).substr(at, end - at);
    at = end + 1;
    if (line.rfind("unpacking ", 0) == 0) {
      line.remove_prefix(10);
      names.emplace_back(line.substr(0, line.find(' ')));
    }
  }
  return names;
}

bool holds_all(const std::vector<std::string>& names, Runtime& runtime) {
  const auto images = runtime.list_images();
  if (!images.ok()) return false;
  return std::all_of(names.begin(), names.end(), [&](const std::string& name) {
    return std::any_of(images->begin(), images->end(), [&](const ImageInfo& image) {
      return std::find(image.repo_tags.begin(), image.repo_tags.end(), name) != image.repo_tags.end();
    });
  });
}

}  // namespace

std::vector<std::string> Containerd::import_images(const std::string& folder, Runtime& runtime) {
  std::vector<std::string> imported;
  const auto files = base::list_dir(folder);
  if (!files.ok()) return imported;
  // What was imported before: file name -> {stamp, names}.
  const std::string record_path = rep_->options.data_dir + "/imported-images.json";
  Json record = Json::object();
  if (const auto text = base::read_file(record_path); text.ok()) {
    if (auto parsed = base::parse_json(*text); parsed.ok() && parsed->is_object())
      record = std::move(*parsed);
  }
  const Json before = record;
  for (const std::string& file : *files) {
    if (file.size() < 5 || file.compare(file.size() - 4, 4, ".tar") != 0) continue;
    const std::string path = base::cat(folder, "/", file);
    struct stat info {};
    if (::stat(path.c_str(), &info) != 0) continue;
    const std::string stamp = base::cat(info.st_size, ":", info.st_mtim.tv_sec, ":", info.st_mtim.tv_nsec);
    std::vector<std::string> names;
    for (const Json& name : base::array_at(record, {file, "names"})) names.push_back(name.get<std::string>());
    if (!names.empty() && base::string_at(record, {file, "stamp"}) == stamp && holds_all(names, runtime))
      continue;
    base::ProcessOptions process;
    process.timeout = std::chrono::minutes(10);
    const auto output =
        base::run_process({rep_->options.ctr_binary, "--address", rep_->socket_path, "--namespace", "k8s.io",
                           "images", "import", "--snapshotter", rep_->options.snapshotter, path},
                          process);
    if (!output.ok() || output->exit_code != 0) {
      base::log_error("containerd", "cannot import an image archive",
                      {{"file", path}, {"error", output.ok() ? output->err : output.error().message()}});
      continue;
    }
    names = imported_names(output->out);
    // The CRI plugin learns of new images by an event of its own.
    for (int attempt = 0; attempt < 100 && !holds_all(names, runtime); ++attempt) {
      std::this_thread::sleep_for(milliseconds(20));
    }
    record[file] = Json{{"stamp", stamp}, {"names", names}};
    imported.insert(imported.end(), names.begin(), names.end());
  }
  if (record != before) (void)base::write_file_atomic(record_path, base::dump_json(record), 0644);
  return imported;
}

}  // namespace orch::agent
