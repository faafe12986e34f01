// SPDY/3.1 as Kubernetes uses it to carry several byte streams over one upgraded connection (exec, attach,
// port-forward): framing and streams, both roles. Like the peers it talks to, it neither sends nor obeys
// window updates: a stream that is not read holds up the others once its buffer is full.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>

#include "base/status.h"
#include "http/head.h"
#include "http/message.h"
#include "http/pipe.h"

namespace orch::http {

constexpr std::string_view kSpdy31 = "SPDY/3.1";

class SpdySession;

/// One stream of a session. One thread reads, any may write. Valid as long as anybody holds it; after the
/// session ended, reads return what came before.
class SpdyStream final : public Stream, public std::enable_shared_from_this<SpdyStream> {
 public:
  SpdyStream(std::weak_ptr<SpdySession> session, uint32_t id, Headers headers);
  uint32_t id() const { return id_; }
  /// Of the SYN_STREAM, names in lower case.
  const Headers& headers() const { return headers_; }
  std::string_view header(std::string_view name) const;

  long read(char* buffer, size_t size) override { return in_.read(buffer, size); }
  bool write(std::string_view bytes) override;
  /// Ends both directions: what comes is dropped.
  void close() override;
  /// Sends FIN, once; reading goes on.
  void close_write() override;
  /// Abandons the stream (RST_STREAM, cancel).
  void reset();

 private:
  friend class SpdySession;
  const std::weak_ptr<SpdySession> session_;
  const uint32_t id_;
  const Headers headers_;
  Pipe in_;
  // Under the session's lock:
  bool replied_ = false;  // by whoever did not open it
  bool reset_after_reply_ = false;
  bool write_closed_ = false;
  bool read_closed_ = false;
};

class SpdySession : public std::enable_shared_from_this<SpdySession> {
 public:
  enum class Role { kServer, kClient };
  /// For streams the peer opens, on the reading thread: returns whether the stream is wanted (else it is
  /// refused). Must not block; the stream may be kept. Data arrives only after it returned.
  using OnStream = std::function<bool(const std::shared_ptr<SpdyStream>&)>;

  /// Starts reading on a thread of the session, which ends when what is returned is let go (the streams do
  /// not keep it); then `on_stream` is not called any more. `on_stream` may be empty.
  /// `on_end`, if given, is called once on that thread when the connection has ended.
  static std::shared_ptr<SpdySession> start(std::shared_ptr<Stream> transport, Role role, OnStream on_stream,
                                            std::function<void()> on_end = {});
  ~SpdySession();
  SpdySession(const SpdySession&) = delete;

  /// Opens a stream and waits for the peer to accept it. kTimeout, or kServiceUnavailable when the session
  /// ended or the stream was refused.
  base::Result<std::shared_ptr<SpdyStream>> open(Headers headers, std::chrono::milliseconds timeout);
  /// GOAWAY, then the connection is closed and every stream ends.
  void close();
  /// Waits until the connection has ended.
  void wait();
  bool closed() const;

 private:
  friend class SpdyStream;
  class Codec;
  SpdySession(std::shared_ptr<Stream> transport, Role role, OnStream on_stream, std::function<void()> on_end);

  void run();
  bool read_exactly(char* to, size_t size);
  bool read_frame();
  bool read_control(uint16_t type, uint8_t flags, uint32_t size);
  bool read_data(uint32_t id, uint8_t flags, uint32_t size);
  bool on_syn_stream(uint8_t flags, std::string_view payload);
  bool on_syn_reply(uint8_t flags, std::string_view payload);
  void on_reset(uint32_t id);
  std::shared_ptr<SpdyStream> find(uint32_t id);
  /// Forgets a stream both sides are done with. With mutex_ held.
  void release_if_done(const SpdyStream& stream);

  bool send_data(SpdyStream& stream, std::string_view bytes, bool fin);
  void send_reset(uint32_t id, uint32_t status);
  bool send(std::string_view frame);

  const std::shared_ptr<Stream> transport_;
  const Role role_;
  // The reading thread's:
  OnStream on_stream_;
  std::function<void()> on_end_;
  const std::unique_ptr<Codec> codec_;  // deflate under write_mutex_, inflate on the reading thread
  std::mutex write_mutex_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::map<uint32_t, std::shared_ptr<SpdyStream>> streams_;  // under mutex_
  uint32_t next_id_;                                         // under write_mutex_: ids go out in order
  std::atomic<uint32_t> last_received_ = 0;                  // set by the reading thread
  bool closed_ = false, ended_ = false;                      // under mutex_
  std::thread reader_;
};

}  // namespace orch::http
