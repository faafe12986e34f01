// Leveled, structured log lines on stderr: `time level component message key=value ...`.
// Thread-safe; one write per line. Secrets are never passed in.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

namespace orch::base {

enum class LogLevel : int { kError = 0, kWarning = 1, kInfo = 2, kDebug = 3 };

using LogField = std::pair<std::string_view, std::string>;

/// Process-wide threshold, default kInfo. The one piece of global state: a log has no other owner.
void set_log_level(LogLevel level);
bool log_enabled(LogLevel level);
void log(LogLevel level, std::string_view component, std::string_view message,
         std::initializer_list<LogField> fields = {});

inline void log_error(std::string_view c, std::string_view m, std::initializer_list<LogField> f = {}) {
  log(LogLevel::kError, c, m, f);
}
inline void log_warning(std::string_view c, std::string_view m, std::initializer_list<LogField> f = {}) {
  log(LogLevel::kWarning, c, m, f);
}
inline void log_info(std::string_view c, std::string_view m, std::initializer_list<LogField> f = {}) {
  log(LogLevel::kInfo, c, m, f);
}
inline void log_debug(std::string_view c, std::string_view m, std::initializer_list<LogField> f = {}) {
  if (log_enabled(LogLevel::kDebug)) log(LogLevel::kDebug, c, m, f);
}

}  // namespace orch::base
