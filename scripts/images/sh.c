// /bin/sh of the small conformance images. Debian's busybox words errors as the published image does, but
// drops variables whose names are no shell names ("data-1"), which that hands on; bash hands them on, and
// words errors otherwise. So a shell that is given such a variable is bash.
#include <ctype.h>
#include <stddef.h>
#include <unistd.h>

extern char** environ;

static int is_shell_name(const char* variable) {
  if (!isalpha((unsigned char)*variable) && *variable != '_') return 0;
  while (isalnum((unsigned char)*variable) || *variable == '_') ++variable;
  return *variable == '=';
}

int main(int count, char** words) {
  const char* shell = "/bin/busybox";
  (void)count;
  for (char** variable = environ; variable != NULL && *variable != NULL; ++variable) {
    if (!is_shell_name(*variable)) shell = "/bin/bash";
  }
  execv(shell, words);
  return 127;
}
