// Child processes without a shell.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "base/clock.h"
#include "base/status.h"

namespace orch::base {

struct ProcessOutput {
  int exit_code = 0;  // 128 + signal when killed
  std::string out, err;
};

struct ProcessOptions {
  std::string input;                            // written to stdin
  std::vector<std::string> environment;         // "K=V", added to the parent's
  Duration timeout = std::chrono::seconds(60);  // killed after this: kTimeout
  size_t max_output = 16 << 20;
};

/// Runs argv[0] (looked up in PATH) to its end and collects its output. A program that cannot be started is
/// kNotFound naming it; a non-zero exit is not an error here.
Result<ProcessOutput> run_process(const std::vector<std::string>& argv, const ProcessOptions& options = {});

/// Starts a long-running child in its own session with stdout and stderr appended to `log_path`. When
/// `die_with_parent`, the kernel ends it with the parent. Returns its process id; the caller reaps it.
Result<pid_t> spawn_process(const std::vector<std::string>& argv, const std::vector<std::string>& environment,
                            const std::string& log_path, bool die_with_parent);

}  // namespace orch::base
