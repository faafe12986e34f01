#include "http/blocking_stream.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

namespace orch::http {

BlockingStream::BlockingStream(Transport transport, std::string received)
    : transport_(std::move(transport)), received_(std::move(received)) {}

BlockingStream::~BlockingStream() {
  // A socket closed with bytes unread resets the connection, and the peer may lose our last ones.
  std::array<char, 4096> buffer;
  for (int i = 0; i < 16 && recv(transport_.fd(), buffer.data(), buffer.size(), MSG_DONTWAIT) > 0; ++i) {
  }
}

bool BlockingStream::wait(short events) const {
  while (!closed_) {
    int timeout = -1;
    const base::MonoTime deadline = deadline_;
    if (deadline != base::MonoTime::max()) {
      const auto left = deadline - base::SystemClock().mono();
      if (left <= left.zero()) return false;
      timeout = static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(left).count());
    }
    pollfd entry{transport_.fd(), events, 0};
    const int n = poll(&entry, 1, timeout);
    if (n > 0) return true;
    if (n < 0 && errno != EINTR) return false;
  }
  return false;
}

long BlockingStream::read(char* buffer, size_t size) {
  if (!received_.empty()) {
    const size_t n = std::min(size, received_.size());
    std::memcpy(buffer, received_.data(), n);
    received_.erase(0, n);
    return static_cast<long>(n);
  }
  while (!closed_) {
    size_t got = 0;
    std::unique_lock lock(mutex_);
    const Io result = transport_.read(buffer, size, got);
    lock.unlock();
    switch (result) {
      case Io::kOk:
        return static_cast<long>(got);
      case Io::kEnd:
        return 0;
      case Io::kWantRead:
      case Io::kWantWrite:
        if (!wait(result == Io::kWantRead ? POLLIN : POLLOUT)) return closed_ ? 0 : -1;
        break;
      case Io::kError:
        return closed_ ? 0 : -1;
    }
  }
  return 0;
}

bool BlockingStream::write(std::string_view bytes) {
  const std::lock_guard one_writer(write_mutex_);
  while (!bytes.empty()) {
    if (closed_) return false;
    size_t sent = 0;
    std::unique_lock lock(mutex_);
    const Io result = transport_.write(bytes, sent);
    lock.unlock();
    if (result == Io::kWantRead || result == Io::kWantWrite) {
      if (!wait(result == Io::kWantRead ? POLLIN : POLLOUT)) return false;
    } else if (result != Io::kOk) {
      return false;
    }
    bytes.remove_prefix(sent);
  }
  return true;
}

void BlockingStream::close() {
  if (closed_.exchange(true)) return;
  const std::lock_guard lock(mutex_);
  transport_.end_writing();
  shutdown(transport_.fd(), SHUT_RDWR);
}

void BlockingStream::close_write() {
  const std::lock_guard one_writer(write_mutex_);
  const std::lock_guard lock(mutex_);
  if (!closed_) transport_.end_writing();
}

base::Status BlockingStream::handshake() {
  while (true) {
    std::unique_lock lock(mutex_);
    const Io result = transport_.handshake();
    if (result == Io::kOk) return {};
    if (result != Io::kWantRead && result != Io::kWantWrite) {
      const long verified = SSL_get_verify_result(transport_.ssl());
      if (verified != X509_V_OK) {
        return {base::Code::kInternal, base::cat("tls: failed to verify certificate: x509: ",
                                                 X509_verify_cert_error_string(verified))};
      }
      return tls_error(base::Code::kInternal, "tls: handshake failure");
    }
    lock.unlock();
    if (!wait(result == Io::kWantRead ? POLLIN : POLLOUT)) {
      return {base::Code::kTimeout, "net/http: TLS handshake timeout"};
    }
  }
}

}  // namespace orch::http
