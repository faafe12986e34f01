#include "http/record_layer.h"

#include <openssl/crypto.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

namespace orch::http {
namespace {

constexpr char kWarning = 1, kFatal = 2;

constexpr char kKeyUpdate = 24;
constexpr char kUpdateNotRequested = 0, kUpdateRequested = 1;

/// A peer that sends more records without data than this in a row only makes work.
constexpr uint8_t kMaxIdleRecords = 32;

bool would_block() { return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR; }

}  // namespace

/// Received bytes: some of a record's content that read() has not given out, then records as they came.
struct RecordLayer::Inbox {
  size_t content_begin = 0, content_end = 0;
  size_t begin = 0, end = 0;
  std::array<char, kRecordHeader + kMaxRecordBody> bytes;

  bool empty() const { return content_begin == content_end && begin == end; }
  /// Header and body of the first record, as its header says; 0 while that has not come.
  size_t record_size() const {
    if (end - begin < kRecordHeader) return 0;
    const auto* at = reinterpret_cast<const unsigned char*>(bytes.data() + begin);
    return kRecordHeader + (static_cast<size_t>(at[3]) << 8U) + at[4];
  }
  /// Whether a record can be taken: it is whole, or too long to ever be.
  bool ready() const {
    const size_t size = record_size();
    return size > 0 && (size <= end - begin || size > bytes.size());
  }
};

RecordSecrets::~RecordSecrets() {
  OPENSSL_cleanse(read.data(), read.size());
  OPENSSL_cleanse(write.data(), write.size());
}

RecordLayer::RecordLayer(uint64_t records_per_key) : records_per_key_(records_per_key) {}
RecordLayer::~RecordLayer() = default;

std::unique_ptr<RecordLayer> RecordLayer::make(const RecordSecrets& secrets, uint64_t records_per_key) {
  std::unique_ptr<RecordLayer> out(new RecordLayer(records_per_key));
  const bool good = out->in_.set(secrets.suite, secrets.read) && out->out_.set(secrets.suite, secrets.write);
  return good ? std::move(out) : nullptr;
}

bool RecordLayer::pending() const {
  return inbox_ && (inbox_->content_begin < inbox_->content_end || inbox_->ready());
}

Io RecordLayer::read(int fd, char* buffer, size_t size, size_t& got) {
  // What this thread's connections receive into, one after the other: only one that is left with part of a
  // record keeps it.
  thread_local std::unique_ptr<Inbox> spare;
  got = 0;
  if (ended_) return Io::kEnd;
  if (broken_) return Io::kError;
  if (!inbox_) inbox_ = spare ? std::move(spare) : std::make_unique<Inbox>();
  Inbox& inbox = *inbox_;
  Io result = Io::kOk;
  while (result == Io::kOk && inbox.content_begin == inbox.content_end) {
    result = inbox.ready() ? take_record(fd) : receive(fd);
  }
  if (result == Io::kOk) {
    got = std::min(size, inbox.content_end - inbox.content_begin);
    std::memcpy(buffer, inbox.bytes.data() + inbox.content_begin, got);
    inbox.content_begin += got;
  }
  if (inbox.empty() || ended_ || broken_) {
    inbox.content_begin = inbox.content_end = inbox.begin = inbox.end = 0;
    spare = std::move(inbox_);
  }
  return result;
}

/// Some bytes more, behind those that are there.
Io RecordLayer::receive(int fd) {
  Inbox& inbox = *inbox_;
  // Only called when all content is given out: what is left is the beginning of a record.
  if (inbox.begin > 0) {
    std::memmove(inbox.bytes.data(), inbox.bytes.data() + inbox.begin, inbox.end - inbox.begin);
    inbox.end -= std::exchange(inbox.begin, 0);
  }
  const ssize_t n = recv(fd, inbox.bytes.data() + inbox.end, inbox.bytes.size() - inbox.end, 0);
  if (n > 0) {
    inbox.end += static_cast<size_t>(n);
    return Io::kOk;
  }
  if (n < 0 && would_block()) return Io::kWantRead;
  broken_ = true;
  return Io::kError;
}

Io RecordLayer::take_record(int fd) {
  Inbox& inbox = *inbox_;
  const size_t size = inbox.record_size();
  if (size > inbox.bytes.size()) return refuse(fd, Alert::kRecordOverflow);
  const auto opened = in_.open(inbox.bytes.data() + inbox.begin, size);
  inbox.begin += size;
  if (opened.alert) return refuse(fd, *opened.alert);
  if (opened.type == RecordType::kApplicationData && !opened.content.empty()) {
    if (handshake_size_ > 0) return refuse(fd, Alert::kUnexpectedMessage);
    idle_records_ = 0;
    inbox.content_begin = static_cast<size_t>(opened.content.data() - inbox.bytes.data());
    inbox.content_end = inbox.content_begin + opened.content.size();
    return Io::kOk;
  }
  if (++idle_records_ > kMaxIdleRecords) return refuse(fd, Alert::kUnexpectedMessage);
  // A handshake message in pieces must not be interleaved with anything.
  if (handshake_size_ > 0 && opened.type != RecordType::kHandshake)
    return refuse(fd, Alert::kUnexpectedMessage);
  switch (opened.type) {
    case RecordType::kApplicationData:
      return Io::kOk;
    case RecordType::kAlert:
      if (opened.content.size() != 2) return refuse(fd, Alert::kDecodeError);
      return take_alert(opened.content);
    case RecordType::kHandshake:
      return take_handshake(fd, opened.content);
    default:
      return refuse(fd, Alert::kUnexpectedMessage);
  }
}

/// Level and description; the level means nothing any more.
Io RecordLayer::take_alert(std::string_view content) {
  const auto description = static_cast<Alert>(content[1]);
  if (description == Alert::kUserCanceled) return Io::kOk;  // a close_notify follows
  if (description == Alert::kCloseNotify) {
    ended_ = true;
    return Io::kEnd;
  }
  broken_ = true;
  return Io::kError;
}

/// The only message a client may send after the handshake: we neither ask for certificates later nor for
/// anything else.
Io RecordLayer::take_handshake(int fd, std::string_view content) {
  if (content.empty()) return refuse(fd, Alert::kUnexpectedMessage);
  const size_t n = std::min(content.size(), handshake_.size() - handshake_size_);
  std::memcpy(handshake_.data() + handshake_size_, content.data(), n);
  handshake_size_ = static_cast<uint8_t>(handshake_size_ + n);
  if (handshake_[0] != kKeyUpdate) return refuse(fd, Alert::kUnexpectedMessage);
  constexpr std::string_view kHeader("\x18\0\0\1", 4);  // type and length
  if (handshake_size_ >= 4 && std::string_view(handshake_.data(), 4) != kHeader)
    return refuse(fd, Alert::kDecodeError);
  // The keys change behind it, so nothing else may be in its record.
  if (n < content.size()) return refuse(fd, Alert::kUnexpectedMessage);
  if (handshake_size_ < handshake_.size()) return Io::kOk;
  handshake_size_ = 0;
  const char request = handshake_[4];
  if (request != kUpdateNotRequested && request != kUpdateRequested)
    return refuse(fd, Alert::kIllegalParameter);
  in_.update();
  // Several requests before an answer got out are answered by one (RFC 8446, section 4.6.3).
  if (request == kUpdateRequested && !update_owed_ && !said_end_) {
    if (!update_written_keys()) return refuse(fd, Alert::kInternalError);
    update_owed_ = true;
    if (flush(fd) == Io::kError) return Io::kError;
  }
  return Io::kOk;
}

/// Tells the peer, with the old keys, and goes on with new ones.
bool RecordLayer::update_written_keys() {
  constexpr std::string_view kMessage("\x18\0\0\1\0", 5);
  if (!queue(RecordType::kHandshake, kMessage)) return false;
  out_.update();
  return true;
}

bool RecordLayer::queue(RecordType type, std::string_view content) {
  const size_t before = sealed_.size();
  sealed_.resize(before + content.size() + kRecordOverhead);
  const bool good = out_.seal(type, content, sealed_.data() + before) > 0;
  if (!good) sealed_.resize(before);
  return good;
}

Io RecordLayer::flush(int fd) {
  size_t done = 0;
  Io result = Io::kOk;
  while (done < sealed_.size()) {
    const ssize_t n = send(fd, sealed_.data() + done, sealed_.size() - done, MSG_NOSIGNAL);
    if (n < 0) {
      result = would_block() ? Io::kWantWrite : Io::kError;
      break;
    }
    done += static_cast<size_t>(n);
  }
  if (result == Io::kOk) {
    std::string().swap(sealed_);
    update_owed_ = false;
  } else {
    sealed_.erase(0, done);
  }
  if (result == Io::kError) broken_ = true;
  return result;
}

Io RecordLayer::write(int fd, std::string_view bytes, size_t& sent) {
  sent = 0;
  if (broken_ || said_end_) return Io::kError;
  if (!sealed_.empty()) {
    if (const Io result = flush(fd); result != Io::kOk) return result;
  }
  if (accepted_ > 0) {
    sent = std::exchange(accepted_, 0);
    return Io::kOk;
  }
  if (out_.records() >= records_per_key_) {
    if (!update_written_keys()) return Io::kError;
    if (const Io result = flush(fd); result != Io::kOk) return result;
  }
  std::array<char, kMaxRecordContent + kRecordOverhead> record;
  bytes = bytes.substr(0, kMaxRecordContent);
  const size_t size = out_.seal(RecordType::kApplicationData, bytes, record.data());
  if (size == 0) {
    broken_ = true;
    return Io::kError;
  }
  ssize_t n = send(fd, record.data(), size, MSG_NOSIGNAL);
  if (n < 0 && !would_block()) {
    broken_ = true;
    return Io::kError;
  }
  n = std::max<ssize_t>(n, 0);
  if (static_cast<size_t>(n) == size) {
    sent = bytes.size();
    return Io::kOk;
  }
  sealed_.assign(record.data() + n, size - static_cast<size_t>(n));
  accepted_ = static_cast<uint32_t>(bytes.size());
  return Io::kWantWrite;
}

void RecordLayer::end_writing(int fd) {
  if (broken_ || std::exchange(said_end_, true)) return;
  if (queue(RecordType::kAlert, std::string({kWarning, static_cast<char>(Alert::kCloseNotify)}))) flush(fd);
}

/// Ends the connection for a reason that the peer is told.
Io RecordLayer::refuse(int fd, Alert alert) {
  if (!said_end_ && queue(RecordType::kAlert, std::string({kFatal, static_cast<char>(alert)}))) flush(fd);
  broken_ = true;
  return Io::kError;
}

}  // namespace orch::http
