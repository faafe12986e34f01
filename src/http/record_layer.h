// The records of one TLS 1.3 connection after its handshake, between a non-blocking socket and plain bytes.
//
// OpenSSL shakes hands; kept after that, its connection object would hold 19 KB for as long as a client
// watches. This holds 300 bytes, and buffers only while a record is under way. See
// docs/adr/0004-tls-records.md.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "http/record_keys.h"

namespace orch::http {

/// How far a non-blocking step came.
enum class Io { kOk, kWantRead, kWantWrite, kEnd, kError };

/// What the handshake agreed on.
struct RecordSecrets {
  RecordSuite suite = RecordSuite::kAes128GcmSha256;
  std::string read, write;  // traffic secrets 0

  RecordSecrets() = default;
  ~RecordSecrets();
  RecordSecrets(const RecordSecrets&) = delete;
  RecordSecrets& operator=(const RecordSecrets&) = delete;
};

/// The server's side. Not thread-safe. The socket is the caller's; after kError or kEnd nothing more is read.
class RecordLayer {
 public:
  /// What one key may protect is 2^24.5 records (RFC 8446, section 5.5).
  static constexpr uint64_t kRecordsPerKey = 1U << 24;

  /// Null when the secrets do not fit the suite.
  static std::unique_ptr<RecordLayer> make(const RecordSecrets& secrets,
                                           uint64_t records_per_key = kRecordsPerKey);
  ~RecordLayer();
  RecordLayer(const RecordLayer&) = delete;

  /// kOk with at least one byte in `buffer`; kEnd after the peer's close_notify; kError when it broke off
  /// without, or a record is bad (the peer is then told why, as RFC 8446, section 6.2 wants). Alerts and
  /// KeyUpdate messages on the way are dealt with.
  Io read(int fd, char* buffer, size_t size, size_t& got);
  /// kOk with at least one byte `sent`. After kWantWrite a record is partly sent: the next call must begin
  /// with the same bytes.
  Io write(int fd, std::string_view bytes, size_t& sent);
  /// read() would give something without asking the socket.
  bool pending() const;
  /// Sends close_notify, once, as far as the socket takes it.
  void end_writing(int fd);

 private:
  struct Inbox;
  explicit RecordLayer(uint64_t records_per_key);

  Io receive(int fd);
  Io take_record(int fd);
  Io take_alert(std::string_view content);
  Io take_handshake(int fd, std::string_view content);
  bool update_written_keys();
  bool queue(RecordType type, std::string_view content);
  Io flush(int fd);
  Io refuse(int fd, Alert alert);

  const uint64_t records_per_key_;
  RecordKeys in_, out_;
  std::unique_ptr<Inbox> inbox_;  // null while nothing is received in part
  std::string sealed_;            // records, or the rest of one, that the socket did not take
  uint32_t accepted_ = 0;         // of the last write(): bytes within `sealed_`
  uint8_t idle_records_ = 0;      // in a row that carried no data
  uint8_t handshake_size_ = 0;    // of handshake_
  bool ended_ = false;            // close_notify received
  bool broken_ = false;
  bool said_end_ = false;
  bool update_owed_ = false;  // an answer to a KeyUpdate waits in `sealed_`
  std::array<char, 5> handshake_{};
};

}  // namespace orch::http
