// The commands of the executable.
#pragma once

namespace orch::cli {

/// Parses the command line and runs the command; the process's exit code. Errors are one line on stderr and
/// exit code 1.
int run(int argc, char** argv);

}  // namespace orch::cli
