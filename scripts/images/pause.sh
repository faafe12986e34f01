#!/bin/sh
# pause.sh COMPILER OUTPUT: compiles pause.c into a static program that needs nothing.
exec "$1" -Os -static -nostdlib -ffreestanding -fno-stack-protector -fno-asynchronous-unwind-tables -fno-pie -no-pie \
  -Wl,--build-id=none -Wl,-z,noseparate-code -Wl,-z,norelro -s -Wall -Wextra -Werror \
  -o "$2" "$(dirname "$0")/pause.c"
