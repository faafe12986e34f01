// What a container left to say when it ended (terminationMessagePath and …Policy).
#pragma once

#include <string>

#include "agent/cri/runtime.h"

namespace orch::agent {

/// The file's content (at most 4096 bytes); with policy FallbackToLogsOnError and an error and an empty file,
/// the end of the log (80 lines, 2048 bytes).
std::string termination_message(const ContainerStatus& status, const std::string& file,
                                const std::string& log_path);

/// The last lines of a CRI log as the container wrote them.
std::string log_tail(const std::string& path, size_t max_lines, size_t max_bytes);

}  // namespace orch::agent
