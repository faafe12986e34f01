# Build types, warnings and the compiler cache: what holds for every target of the project.

option(ORCH_STATIC "Link the executables fully static, against static libraries" OFF)
option(ORCH_FUZZ "Instrument for libFuzzer (clang)" OFF)
option(ORCH_UNITY "Compile sources in groups: a third of the time for all, longer for one" ON)
set(ORCH_UNITY_LINES 1800 CACHE STRING "Lines of source that are compiled as one with ORCH_UNITY")
set(ORCH_SANITIZE "" CACHE STRING "Sanitizers to build with, e.g. address,undefined or thread")
set(ORCH_DOWNLOAD_DEFAULT "${CMAKE_SOURCE_DIR}/third_party/download")
if(DEFINED ENV{ORCH_DOWNLOAD_DIR})
  set(ORCH_DOWNLOAD_DEFAULT "$ENV{ORCH_DOWNLOAD_DIR}")
endif()
set(ORCH_DOWNLOAD_DIR "${ORCH_DOWNLOAD_DEFAULT}" CACHE PATH
    "Where scripts/deps.sh puts what Debian has only as source (cpp-httplib, static libcurl)")

if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Debug CACHE STRING "Debug, Release or Sanitize" FORCE)
endif()

# The architecture's name as Go and OCI images have it.
string(TOLOWER "${CMAKE_SYSTEM_PROCESSOR}" ORCH_ARCHITECTURE)
string(REPLACE "x86_64" "amd64" ORCH_ARCHITECTURE "${ORCH_ARCHITECTURE}")
string(REPLACE "aarch64" "arm64" ORCH_ARCHITECTURE "${ORCH_ARCHITECTURE}")

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)

# Debug is for the edit-compile-test loop: -g1 keeps back traces with line numbers and is half the
# object size of -g, so compiling and linking stay short.
set(CMAKE_CXX_FLAGS_DEBUG "-O0 -g1 -D_GLIBCXX_ASSERTIONS")
set(CMAKE_C_FLAGS_DEBUG "-O0 -g1")
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -DNDEBUG -ffunction-sections -fdata-sections")
set(CMAKE_C_FLAGS_RELEASE "${CMAKE_CXX_FLAGS_RELEASE}")
# -Og compiles in two thirds of the time of -O1.
set(CMAKE_CXX_FLAGS_SANITIZE "-Og -g1 -fno-omit-frame-pointer -D_GLIBCXX_ASSERTIONS")
set(CMAKE_C_FLAGS_SANITIZE "-Og -g1 -fno-omit-frame-pointer")
set(CMAKE_EXE_LINKER_FLAGS_SANITIZE "")
if(CMAKE_BUILD_TYPE STREQUAL "Release")
  add_link_options(-Wl,--gc-sections)
endif()

if(ORCH_SANITIZE)
  add_compile_options(-fsanitize=${ORCH_SANITIZE} -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${ORCH_SANITIZE})
  add_compile_definitions(ORCH_SANITIZED)  # of any compiler
  # Instrumented, GCC 12 takes std::function members of <regex> for uninitialized (GCC bug 105562).
  add_compile_options($<$<AND:$<COMPILE_LANGUAGE:CXX>,$<CXX_COMPILER_ID:GNU>>:-Wno-maybe-uninitialized>)
  # GCC cannot follow fences under -fsanitize=thread and says so wherever one is inlined.
  if(ORCH_SANITIZE MATCHES "thread")
    add_compile_options(-Wno-tsan)
  endif()
endif()

# Coverage for libFuzzer, which is clang's: the preset `fuzz`.
if(ORCH_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()

# orch_warnings is linked by every target of ours, and by no generated code. Warnings are those of GCC, which
# builds what is used.
add_library(orch_warnings INTERFACE)
if(NOT ORCH_FUZZ)
  target_compile_options(orch_warnings INTERFACE -Wall -Wextra -Werror)
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # Optimising GCC 12 to 14 reports std::string's own code here (GCC bugs 105329, 105651).
  target_compile_options(orch_warnings INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-Wno-restrict>)
endif()

# In a chunk (cmake/unity.py) a source is not the main file, so GCC takes its private types for a header's.
if(ORCH_UNITY AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  target_compile_options(orch_warnings INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-Wno-subobject-linkage>)
endif()

find_program(ORCH_CCACHE ccache)
if(ORCH_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_C_COMPILER_LAUNCHER "${ORCH_CCACHE}")
  set(CMAKE_CXX_COMPILER_LAUNCHER "${ORCH_CCACHE}")
endif()
