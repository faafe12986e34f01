#include "server/audit/backend.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "base/file.h"
#include "base/log.h"
#include "base/threads.h"

namespace orch::server {

using base::Code;
using base::Result;
using base::Status;

namespace {

/// Folder with its slash, name and extension with its dot.
struct PathParts {
  std::string folder, stem, extension;
};

PathParts split(const std::string& path) {
  PathParts p;
  const size_t slash = path.rfind('/');
  p.folder = slash == std::string::npos ? "./" : path.substr(0, slash + 1);
  const std::string name = slash == std::string::npos ? path : path.substr(slash + 1);
  const size_t dot = name.rfind('.');
  p.stem = name.substr(0, dot);
  if (dot != std::string::npos) p.extension = name.substr(dot);
  return p;
}

/// "2026-01-01T00-00-00.000".
std::string backup_time(base::WallTime t) {
  std::string text = base::format_micro_time(t).substr(0, 23);
  std::replace(text.begin(), text.end(), ':', '-');
  return text;
}

}  // namespace

AuditLogFile::AuditLogFile(AuditLogOptions options, const base::Clock& clock, base::Counter& errors)
    : o_(std::move(options)), clock_(clock), errors_(errors) {}

AuditLogFile::~AuditLogFile() {
  if (fd_ > STDERR_FILENO) ::close(fd_);
}

Result<std::unique_ptr<AuditLogFile>> AuditLogFile::open(AuditLogOptions options, const base::Clock& clock,
                                                         base::Counter& errors) {
  std::unique_ptr<AuditLogFile> out(new AuditLogFile(std::move(options), clock, errors));
  if (out->o_.path == "-") {
    out->fd_ = STDOUT_FILENO;
    return out;
  }
  ORCH_RETURN_IF_ERROR(base::make_dirs(split(out->o_.path).folder, 0700));
  const std::lock_guard lock(out->mutex_);
  if (Status status = out->reopen(); !status.ok()) return Status(Code::kBadRequest, status.message());
  return out;
}

Status AuditLogFile::reopen() {
  fd_ = ::open(o_.path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (fd_ < 0) return Status(Code::kInternal, base::cat("audit log ", o_.path, ": ", std::strerror(errno)));
  struct stat info {};
  size_ = ::fstat(fd_, &info) == 0 ? info.st_size : 0;
  return {};
}

void AuditLogFile::rotate() {
  const PathParts parts = split(o_.path);
  const std::string backup =
      base::cat(parts.folder, parts.stem, "-", backup_time(clock_.now()), parts.extension);
  ::close(fd_);
  if (std::rename(o_.path.c_str(), backup.c_str()) != 0)
    base::log_error("audit", "cannot rotate", {{"file", o_.path}, {"reason", std::strerror(errno)}});
  if (Status status = reopen(); !status.ok()) base::log_error("audit", status.message());
  remove_old();
}

void AuditLogFile::remove_old() const {
  const PathParts parts = split(o_.path);
  auto names = base::list_dir(parts.folder);
  if (!names.ok()) return;
  const std::string prefix = parts.stem + "-";
  const size_t size = prefix.size() + 23 + parts.extension.size();
  std::vector<std::string> backups;  // their names sort by time
  for (const std::string& name : *names) {
    if (name.size() == size && name.compare(0, prefix.size(), prefix) == 0 && name.ends_with(parts.extension))
      backups.push_back(name);
  }
  const std::string oldest =
      prefix + backup_time(clock_.now() - std::chrono::hours(24) * o_.max_age_days) + parts.extension;
  size_t surplus = 0;
  if (o_.max_backups > 0 && backups.size() > static_cast<size_t>(o_.max_backups))
    surplus = backups.size() - static_cast<size_t>(o_.max_backups);
  for (size_t i = 0; i < backups.size(); ++i) {
    if (i < surplus || (o_.max_age_days > 0 && backups[i] < oldest))
      (void)std::remove((parts.folder + backups[i]).c_str());
  }
}

void AuditLogFile::write(const std::string& event) {
  const std::string line = event + "\n";
  const std::lock_guard lock(mutex_);
  const int64_t limit = int64_t{o_.max_size_megabytes} << 20;
  const bool file = fd_ != STDOUT_FILENO;
  if (file && limit > 0 && size_ > 0 && size_ + static_cast<int64_t>(line.size()) > limit) rotate();
  if (file && fd_ < 0 && !reopen().ok()) {
    errors_.add();
    return;
  }
  size_t done = 0;
  while (done < line.size()) {
    const ssize_t n = ::write(fd_, line.data() + done, line.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      errors_.add();
      base::log_error("audit", "an event could not be written",
                      {{"file", o_.path}, {"reason", std::strerror(errno)}});
      return;
    }
    done += static_cast<size_t>(n);
  }
  size_ += static_cast<int64_t>(line.size());
}

AuditBatches::AuditBatches(AuditBatchOptions options, AuditSend send, base::Counter& dropped)
    : o_(options), send_(std::move(send)), dropped_(dropped), tokens_(options.burst) {
  refilled_ = std::chrono::steady_clock::now();
  thread_ = base::start_thread("audit", [this] { run(); });
}

AuditBatches::~AuditBatches() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  thread_.join();
}

void AuditBatches::write(const std::string& event) {
  {
    const std::lock_guard lock(mutex_);
    if (waiting_.size() >= o_.buffer) {
      dropped_.add();
      return;
    }
    if (waiting_.empty()) oldest_ = std::chrono::steady_clock::now();
    waiting_.push_back(event);
    // The thread sleeps until the first event is old enough; only then, or for a full batch, it is needed.
    if (waiting_.size() != 1 && waiting_.size() < o_.max_batch) return;
  }
  wake_.notify_all();
}

void AuditBatches::run() {
  while (true) {
    std::vector<std::string> batch;
    bool last = false;
    {
      std::unique_lock lock(mutex_);
      while (!stopping_ && waiting_.size() < o_.max_batch) {
        if (waiting_.empty()) {
          wake_.wait(lock);
        } else if (wake_.wait_until(lock, oldest_ + o_.max_wait) == std::cv_status::timeout) {
          break;
        }
      }
      const size_t n = std::min(waiting_.size(), o_.max_batch);
      batch.assign(std::make_move_iterator(waiting_.begin()),
                   std::make_move_iterator(waiting_.begin() + static_cast<std::ptrdiff_t>(n)));
      waiting_.erase(waiting_.begin(), waiting_.begin() + static_cast<std::ptrdiff_t>(n));
      oldest_ = std::chrono::steady_clock::now();
      last = stopping_ && waiting_.empty();
    }
    if (!batch.empty()) deliver(batch);
    if (last) return;
  }
}

bool AuditBatches::pause(base::Duration how_long) {
  std::unique_lock lock(mutex_);
  return !wake_.wait_for(lock, how_long, [this] { return stopping_; });
}

void AuditBatches::throttle() {
  const auto now = std::chrono::steady_clock::now();
  tokens_ = std::min<double>(
      o_.burst, tokens_ + std::chrono::duration<double>(now - refilled_).count() * o_.per_second);
  refilled_ = now;
  if (tokens_ < 1)
    pause(std::chrono::duration_cast<base::Duration>(
        std::chrono::duration<double>((1 - tokens_) / o_.per_second)));
  tokens_ -= 1;
}

void AuditBatches::deliver(const std::vector<std::string>& batch) {
  std::string list = R"({"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{},"items":[)";
  for (const std::string& event : batch) {
    if (&event != &batch.front()) list += ',';
    list += event;
  }
  list += "]}";
  throttle();
  constexpr int kTries = 5;
  auto backoff = std::chrono::duration<double>(o_.initial_backoff);
  for (int i = 1;; ++i) {
    const Status status = send_(list);
    if (status.ok()) return;
    if (i < kTries && pause(std::chrono::duration_cast<base::Duration>(backoff))) {
      backoff *= 1.5;
      continue;
    }
    dropped_.add(batch.size());
    base::log_error("audit", "events could not be sent",
                    {{"events", std::to_string(batch.size())}, {"reason", status.message()}});
    return;
  }
}

}  // namespace orch::server
