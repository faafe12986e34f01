// The process that holds a pod's namespaces: it waits, reaps orphans that end up with it, and ends when
// asked to. Without a C library it is a few kilobytes, of which each pod keeps one or two pages.
//
// The signals stay blocked and are fetched one by one; a blocked signal also reaches process 1 of a
// namespace, for which a default action would be ignored.

#if defined(__x86_64__)
enum { kWait4 = 61, kExit = 60, kSigprocmask = 14, kSigtimedwait = 128 };
static long call(long number, long a, long b, long c, long d) {
  long result;
  register long r10 __asm__("r10") = d;
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10)
                   : "rcx", "r11", "memory");
  return result;
}
#elif defined(__aarch64__)
enum { kWait4 = 260, kExit = 93, kSigprocmask = 135, kSigtimedwait = 137 };
static long call(long number, long a, long b, long c, long d) {
  register long x8 __asm__("x8") = number;
  register long x0 __asm__("x0") = a;
  register long x1 __asm__("x1") = b;
  register long x2 __asm__("x2") = c;
  register long x3 __asm__("x3") = d;
  __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3) : "memory");
  return x0;
}
#else
#error "pause.c: system calls of this architecture are not known"
#endif

enum { kSigInt = 2, kSigTerm = 15, kSigChld = 17, kNoHang = 1, kBlock = 0 };

void _start(void) {
  unsigned long set = 1UL << (kSigInt - 1) | 1UL << (kSigTerm - 1) | 1UL << (kSigChld - 1);
  call(kSigprocmask, kBlock, (long)&set, 0, sizeof set);
  for (;;) {
    long signal = call(kSigtimedwait, (long)&set, 0, 0, sizeof set);
    if (signal == kSigInt || signal == kSigTerm) call(kExit, 0, 0, 0, 0);
    while (call(kWait4, -1, 0, kNoHang, 0) > 0) {
    }
  }
}
