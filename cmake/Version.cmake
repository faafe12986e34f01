# Run at every build: writes version.cpp from git, touching the file only when the version changed.
# In: SOURCE (the repository), OUTPUT (the file). Without git or a repository the version is "unknown".
cmake_minimum_required(VERSION 3.25)
execute_process(COMMAND git -C "${SOURCE}" describe --always --dirty --tags
                OUTPUT_VARIABLE ORCH_VERSION OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE failed)
if(failed OR NOT ORCH_VERSION)
  set(ORCH_VERSION "unknown")
endif()
configure_file("${SOURCE}/cmake/version.cpp.in" "${OUTPUT}" @ONLY)
