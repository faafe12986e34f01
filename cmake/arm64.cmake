# Cross toolchain: Debian's aarch64 compiler, and the arm64 libraries that scripts/deps.sh cross-arm64
# unpacked. Executables are static; tests run under qemu-user.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
set(CMAKE_LIBRARY_ARCHITECTURE aarch64-linux-gnu)

# The libraries lie in a folder of their own. Packages of headers alone (JSON, command line) are taken
# from the machine, where the cross compiler looks by itself.
if(DEFINED ENV{ORCH_DOWNLOAD_DIR})
  set(ORCH_SYSROOT "$ENV{ORCH_DOWNLOAD_DIR}/arm64")
else()
  get_filename_component(ORCH_SYSROOT "${CMAKE_CURRENT_LIST_DIR}/../third_party/download/arm64" ABSOLUTE)
endif()
set(CMAKE_FIND_ROOT_PATH "${ORCH_SYSROOT}")
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE BOTH)
set(ORCH_SYSROOT_FLAGS "-isystem ${ORCH_SYSROOT}/usr/include -isystem ${ORCH_SYSROOT}/usr/include/aarch64-linux-gnu")
set(CMAKE_C_FLAGS_INIT "${ORCH_SYSROOT_FLAGS}")
set(CMAKE_CXX_FLAGS_INIT "${ORCH_SYSROOT_FLAGS}")

find_program(ORCH_QEMU NAMES qemu-aarch64-static qemu-aarch64)
if(ORCH_QEMU)
  set(CMAKE_CROSSCOMPILING_EMULATOR "${ORCH_QEMU}")
endif()
