#include "agent/kubelet/termination_message.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <vector>

#include "agent/kubelet/pod.h"

namespace orch::agent {
namespace {

constexpr size_t kMaxFile = 4096;
constexpr size_t kMaxLogLines = 80, kMaxLogBytes = 2048;

/// `length` bytes of a regular file from `offset`; links are not followed (the container owns the file).
std::string read_part(const std::string& path, off_t from_end, size_t length) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  if (fd < 0) return {};
  std::string out;
  struct stat info {};
  if (::fstat(fd, &info) == 0 && S_ISREG(info.st_mode)) {
    const off_t start = from_end == 0 ? 0 : std::max<off_t>(info.st_size - from_end, 0);
    out.resize(length);
    const ssize_t n = ::pread(fd, out.data(), length, start);
    out.resize(n < 0 ? 0 : static_cast<size_t>(n));
  }
  ::close(fd);
  return out;
}

}  // namespace

std::string log_tail(const std::string& path, size_t max_lines, size_t max_bytes) {
  // A line of the log is "time stream tag text"; 4 times the wanted bytes leaves room for that.
  const size_t window = max_bytes * 4 + 4096;
  const std::string text = read_part(path, static_cast<off_t>(window), window);
  std::vector<std::string> lines;
  size_t at = 0;
  bool partial_before = false;
  while (at < text.size()) {
    const size_t end = std::min(text.find('\n', at), text.size());
    const std::string_view line = std::string_view(text).substr(at, end - at);
    at = end + 1;
    size_t column = 0;
    bool partial = false;
    int spaces = 0;
    for (; column < line.size() && spaces < 3; ++column) {
      if (line[column] != ' ') continue;
      if (++spaces == 2) partial = line.size() > column + 1 && line[column + 1] == 'P';
    }
    if (spaces < 3) continue;  // cut off at the window's start
    const auto content = line.substr(column);
    if (partial_before && !lines.empty()) {
      lines.back() += content;
    } else {
      lines.emplace_back(content);
    }
    if (!partial) lines.back() += '\n';
    partial_before = partial;
  }
  std::string out;
  const size_t first = lines.size() > max_lines ? lines.size() - max_lines : 0;
  for (size_t i = first; i < lines.size(); ++i) out += lines[i];
  if (out.size() > max_bytes) out.erase(0, out.size() - max_bytes);
  return out;
}

std::string termination_message(const ContainerStatus& status, const std::string& file,
                                const std::string& log_path) {
  std::string message = read_part(file, 0, kMaxFile);
  if (!message.empty()) return message;
  const bool failed = status.exit_code != 0 || status.reason == "OOMKilled";
  if (failed && label_of(status.annotations, label::kTerminationPolicy) == "FallbackToLogsOnError") {
    return log_tail(log_path, kMaxLogLines, kMaxLogBytes);
  }
  return {};
}

}  // namespace orch::agent
