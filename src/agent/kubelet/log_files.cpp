#include "agent/kubelet/log_files.h"

#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <cstdio>

#include "base/file.h"
#include "base/log.h"

namespace orch::agent {
namespace {

/// "20260131-120000"
std::string stamp(base::WallTime now) {
  std::string out;
  for (const char c : base::format_time(now)) {
    if (c == 'T') {
      out += '-';
    } else if (c >= '0' && c <= '9') {
      out += c;
    }
  }
  return out;
}

bool ends_with(const std::string& text, std::string_view end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

/// Replaces a file by a gzip of it; the file stays when that fails.
void compress(const std::string& path) {
  std::FILE* in = std::fopen(path.c_str(), "rbe");
  if (in == nullptr) return;
  const std::string fresh = path + ".tmp";
  gzFile out = ::gzopen(fresh.c_str(), "wb");
  bool ok = out != nullptr;
  std::array<char, 64 * 1024> buffer{};
  while (ok) {
    const size_t n = std::fread(buffer.data(), 1, buffer.size(), in);
    if (n == 0) break;
    ok = ::gzwrite(out, buffer.data(), static_cast<unsigned>(n)) == static_cast<int>(n);
  }
  ok = ok && std::ferror(in) == 0;
  std::fclose(in);
  if (out != nullptr) ok = ::gzclose(out) == Z_OK && ok;
  if (ok && ::rename(fresh.c_str(), (path + ".gz").c_str()) == 0) {
    ::unlink(path.c_str());
  } else {
    ::unlink(fresh.c_str());
  }
}

}  // namespace

void LogFiles::rotate(const std::vector<RunningLog>& logs, base::WallTime now) {
  for (const RunningLog& log : logs) {
    struct stat info {};
    if (::stat(log.path.c_str(), &info) != 0 || info.st_size <= max_bytes_) continue;
    rotate_one(log, now);
  }
}

void LogFiles::rotate_one(const RunningLog& log, base::WallTime now) {
  const size_t slash = log.path.rfind('/');
  const std::string folder = log.path.substr(0, slash), name = log.path.substr(slash + 1);
  const auto names = base::list_dir(folder);
  if (!names.ok()) return;
  std::vector<std::string> old;
  for (const std::string& n : *names) {
    if (n.rfind(name + ".", 0) != 0) continue;
    if (ends_with(n, ".tmp")) {
      ::unlink(base::cat(folder, "/", n).c_str());
    } else {
      old.push_back(n);
    }
  }
  std::sort(old.begin(), old.end());  // by time stamp
  // One for the live log and one for the log about to be moved aside.
  const size_t keep = static_cast<size_t>(std::max(max_files_ - 2, 0));
  while (old.size() > keep) {
    ::unlink((folder + "/" + old.front()).c_str());
    old.erase(old.begin());
  }
  for (const std::string& n : old) {
    if (!ends_with(n, ".gz")) compress(base::cat(folder, "/", n));
  }
  const std::string moved = base::cat(log.path, ".", stamp(now));
  if (::rename(log.path.c_str(), moved.c_str()) != 0) return;
  if (const base::Status status = runtime_.reopen_log(log.container_id); !status.ok()) {
    ::rename(moved.c_str(), log.path.c_str());
    base::log_warning("kubelet", "log not rotated", {{"file", log.path}, {"error", status.message()}});
  }
}

}  // namespace orch::agent
