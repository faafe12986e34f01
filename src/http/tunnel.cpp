#include "http/tunnel.h"

#include <array>
#include <thread>

#include "base/threads.h"

namespace orch::http {

namespace {

void copy(Stream& from, Stream& to) {
  std::array<char, 16384> buffer;
  while (true) {
    long n = from.read(buffer.data(), buffer.size());
    if (n == 0) {
      to.close_write();
      return;
    }
    if (n < 0 || !to.write({buffer.data(), static_cast<size_t>(n)})) {
      from.close();
      to.close();
      return;
    }
  }
}

}  // namespace

void tunnel(const std::shared_ptr<Stream>& a, const std::shared_ptr<Stream>& b) {
  std::thread other = base::start_thread("tunnel", [a, b] { copy(*b, *a); });
  copy(*a, *b);
  other.join();
}

}  // namespace orch::http
