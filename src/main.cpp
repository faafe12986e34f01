// The one executable: everything is in src/cli.
#include "cli/command.h"

int main(int argc, char** argv) { return orch::cli::run(argc, argv); }
