// Lines of container logs as runtimes write them: "2026-01-01T00:00:00.123456789Z stdout F text". Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/clock.h"

namespace orch::agent {

struct LogLine {
  std::string_view time;  // as written
  base::WallTime at;
  bool err = false;      // stderr
  bool partial = false;  // the container's line goes on in the next one
  std::string_view text;
};

/// False when it is no such line. `line` is without its line feed.
bool parse_log_line(std::string_view line, LogLine& out);

/// core/v1 PodLogOptions.
struct LogOptions {
  bool follow = false, timestamps = false;
  int64_t tail = -1;   // lines; -1: all
  int64_t limit = -1;  // bytes of output; -1: none
  base::WallTime since{};
};

/// Query parameters of a log request (follow, timestamps, tailLines, limitBytes, sinceSeconds, sinceTime);
/// "" or what is wrong.
std::string log_options(std::string_view query, base::WallTime now, LogOptions& out);

/// Turns lines into what a client gets: chosen by time, with or without time stamps, cut at the limit.
class LogFilter {
 public:
  explicit LogFilter(const LogOptions& options) : options_(options), left_(options.limit) {}
  /// Appends what `line` gives. False once the limit is reached.
  bool add(std::string_view line, std::string& out);

 private:
  const LogOptions& options_;
  int64_t left_;
  bool within_ = false;  // the last line was partial and shown
};

}  // namespace orch::agent
