// Picks the command.
#include <cstdio>
#include <cstring>

#include "base/version.h"

int main(int argc, char** argv) {
  if (argc == 2 && (std::strcmp(argv[1], "version") == 0 || std::strcmp(argv[1], "--version") == 0)) {
    const std::string_view version = orch::base::version();
    std::printf("orch %.*s\n", static_cast<int>(version.size()), version.data());
    return 0;
  }
  std::fputs("Usage: orch version\n", stderr);
  return 1;
}
