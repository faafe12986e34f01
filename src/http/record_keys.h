// Protection of TLS 1.3 records in one direction (RFC 8446, section 5.2 to 5.5): keys from a traffic secret,
// and whole records sealed and opened with OpenSSL's ciphers. No I/O.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace orch::http {

/// The cipher suites of TLS 1.3 that TLS contexts offer here.
enum class RecordSuite : uint8_t { kAes128GcmSha256, kAes256GcmSha384, kChaCha20Poly1305Sha256 };
/// By the number that TLS gives it ("0x1301"); nullopt for any other.
std::optional<RecordSuite> record_suite(uint16_t number);

enum class RecordType : uint8_t { kInvalid = 0, kAlert = 21, kHandshake = 22, kApplicationData = 23 };

/// AlertDescription (RFC 8446, section 6), as far as we send or understand them.
enum class Alert : uint8_t {
  kCloseNotify = 0,
  kUnexpectedMessage = 10,
  kBadRecordMac = 20,
  kRecordOverflow = 22,
  kIllegalParameter = 47,
  kDecodeError = 50,
  kInternalError = 80,
  kUserCanceled = 90,
};

constexpr size_t kRecordHeader = 5;
constexpr size_t kMaxRecordContent = 16U << 10;
/// What seal() adds: header, type and tag.
constexpr size_t kRecordOverhead = kRecordHeader + 1 + 16;
/// The most that may follow a header.
constexpr size_t kMaxRecordBody = kMaxRecordContent + 256;

/// Not thread-safe. A hundred bytes: cipher contexts, each some ten times this size, belong to the threads.
class RecordKeys {
 public:
  /// `secret`: a "traffic secret N" of the suite's hash length; false when it has another length.
  bool set(RecordSuite suite, std::string_view secret);
  RecordKeys() = default;
  ~RecordKeys();
  RecordKeys(const RecordKeys&) = delete;
  RecordKeys& operator=(const RecordKeys&) = delete;

  /// Writes one record to `out`, which has room for content (at most kMaxRecordContent) and kRecordOverhead;
  /// its size. 0 when OpenSSL fails.
  size_t seal(RecordType type, std::string_view content, char* out);

  struct Opened {
    RecordType type = RecordType::kInvalid;
    std::string_view content;    // within the record
    std::optional<Alert> alert;  // why the record is refused; none: it is good
  };
  /// Opens a whole record (header and body) where it lies.
  Opened open(char* record, size_t size);

  /// Goes on to the next secret, as after a KeyUpdate.
  void update();
  /// Records that were protected with the current key.
  uint64_t records() const { return sequence_; }

 private:
  static constexpr size_t kIv = 12;

  size_t secret_size() const;
  size_t key_size() const;
  void derive();
  std::array<unsigned char, kIv> nonce() const;

  RecordSuite suite_ = RecordSuite::kAes128GcmSha256;
  uint64_t sequence_ = 0;
  std::array<unsigned char, 48> secret_{};
  std::array<unsigned char, 32> key_{};
  std::array<unsigned char, kIv> iv_{};
};

}  // namespace orch::http
