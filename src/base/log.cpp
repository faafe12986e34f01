#include "base/log.h"

#include <sys/uio.h>
#include <unistd.h>

#include <atomic>

#include "base/clock.h"

namespace orch::base {
namespace {

std::atomic<int> g_level{static_cast<int>(LogLevel::kInfo)};

std::string_view level_name(LogLevel level) {
  switch (level) {
    case LogLevel::kError:
      return "error";
    case LogLevel::kWarning:
      return "warn";
    case LogLevel::kInfo:
      return "info";
    case LogLevel::kDebug:
      return "debug";
  }
  return "?";
}

// A line stays one line, whatever text from outside it carries.
void append_escaped(std::string& out, std::string_view text, bool quoted) {
  constexpr char kHex[] = "0123456789abcdef";
  for (const char c : text) {
    const auto u = static_cast<unsigned char>(c);
    if (c == '\n') {
      out += "\\n";
    } else if (u < 0x20 || u == 0x7F) {
      out += "\\x";
      out += kHex[u >> 4];
      out += kHex[u & 15];
    } else {
      if (quoted && (c == '"' || c == '\\')) out += '\\';
      out += c;
    }
  }
}

bool plain(std::string_view text) {
  if (text.empty()) return false;
  for (const char c : text) {
    if (static_cast<unsigned char>(c) <= 0x20 || c == '"' || c == '=' || c == '\\' || c == 0x7F) return false;
  }
  return true;
}

}  // namespace

void set_log_level(LogLevel level) { g_level.store(static_cast<int>(level), std::memory_order_relaxed); }

bool log_enabled(LogLevel level) {
  return static_cast<int>(level) <= g_level.load(std::memory_order_relaxed);
}

void log(LogLevel level, std::string_view component, std::string_view message,
         std::initializer_list<LogField> fields) {
  if (!log_enabled(level)) return;
  std::string line = format_micro_time(SystemClock().now());
  line += ' ';
  line += level_name(level);
  line += ' ';
  line += component;
  line += ' ';
  append_escaped(line, message, false);
  for (const auto& [name, value] : fields) {
    line += ' ';
    line += name;
    line += '=';
    if (plain(value)) {
      line += value;
    } else {
      line += '"';
      append_escaped(line, value, true);
      line += '"';
    }
  }
  line += '\n';
  // One write per line keeps lines of several threads and processes apart. A log that cannot be written has
  // nobody left to tell.
  [[maybe_unused]] const ssize_t n = ::write(STDERR_FILENO, line.data(), line.size());
}

}  // namespace orch::base
