// A Stream over a connected transport: what takeovers get and what dial() returns.
#pragma once

#include <atomic>
#include <mutex>
#include <string>

#include "base/clock.h"
#include "http/message.h"
#include "http/transport.h"

namespace orch::http {

/// One reader and any number of writers at once; a write is not mixed with others. The socket stays
/// non-blocking and waiting is done outside the lock around TLS, so that a blocked read does not hold up
/// writes.
class BlockingStream final : public Stream {
 public:
  /// `received`: bytes that came before and are read first.
  BlockingStream(Transport transport, std::string received);
  ~BlockingStream() override;
  long read(char* buffer, size_t size) override;
  bool write(std::string_view bytes) override;
  void close() override;
  void close_write() override;
  /// Reads and writes that would wait longer fail; unset by MonoTime::max(), the default.
  void set_deadline(base::MonoTime deadline) { deadline_ = deadline; }
  /// Completes a TLS handshake.
  base::Status handshake();
  /// Gives bytes back, to be read next. Reader's side.
  void unread(std::string_view bytes) { received_.insert(0, bytes); }

 private:
  /// Until the socket is ready; false when closed or late.
  bool wait(short events) const;

  std::mutex mutex_;  // TLS state
  Transport transport_;
  std::mutex write_mutex_;
  std::string received_;  // the reader's
  std::atomic<bool> closed_{false};
  std::atomic<base::MonoTime> deadline_{base::MonoTime::max()};
};

}  // namespace orch::http
