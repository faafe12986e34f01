// From argv, environment and configuration file to Options.
#pragma once

#include <optional>

#include "cli/options.h"

namespace orch::cli {

struct Parsed {
  std::optional<Command> command;  // none: answered already (help, version) or an error
  Options options;
  int exit_code = 0;
};

/// Prints help, version and errors itself.
Parsed parse(int argc, char** argv);

}  // namespace orch::cli
