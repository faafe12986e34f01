# Cross toolchain: Debian's aarch64 compiler with the arm64 development packages of the same release
# (dpkg --add-architecture arm64; scripts/deps.sh cross-arm64 does it). Tests run under qemu-user.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
set(CMAKE_ASM_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_LIBRARY_ARCHITECTURE aarch64-linux-gnu)
set(CMAKE_FIND_ROOT_PATH /usr/aarch64-linux-gnu /usr)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
# Multiarch libraries lie beside the host's: look only in the target's own folders.
set(CMAKE_IGNORE_PATH /usr/lib/x86_64-linux-gnu /lib/x86_64-linux-gnu)
find_program(ORCH_QEMU NAMES qemu-aarch64-static qemu-aarch64)
if(ORCH_QEMU)
  set(CMAKE_CROSSCOMPILING_EMULATOR "${ORCH_QEMU}")
endif()
