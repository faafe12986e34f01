#include "http/spdy.h"

#include <zlib.h>

#include <algorithm>
#include <array>

#include "base/threads.h"

namespace orch::http {
namespace {

using base::Code;
using base::Result;
using base::Status;

enum Type : uint16_t {
  kSynStream = 1,
  kSynReply = 2,
  kRstStream = 3,
  kSettings = 4,
  kPing = 6,
  kGoAway = 7,
  kHeaders = 8,
  kWindowUpdate = 9,
};
constexpr uint8_t kFlagFin = 1;
constexpr uint32_t kRefused = 3, kCancel = 5, kProtocolError = 1;
constexpr uint32_t kMaxControlFrame = 1U << 20;
constexpr size_t kMaxHeaders = 1000, kMaxHeaderBlock = 1U << 20;
constexpr size_t kMaxDataFrame = 64U << 10;
/// What a stream may hold unread.
constexpr size_t kStreamBuffer = 1U << 20;

/// The dictionary both sides prime zlib with (SPDY/3, 2.6.10.1): words with their lengths, then plain text.
std::string make_dictionary() {
  constexpr std::string_view kWords =
      "options head post put delete trace accept accept-charset accept-encoding accept-language "
      "accept-ranges age "
      "allow authorization cache-control connection content-base content-encoding content-language "
      "content-length "
      "content-location content-md5 content-range content-type date etag expect expires from host if-match "
      "if-modified-since if-none-match if-range if-unmodified-since last-modified location max-forwards "
      "pragma "
      "proxy-authenticate proxy-authorization range referer retry-after server te trailer transfer-encoding "
      "upgrade user-agent vary via warning www-authenticate method get status 200_OK version HTTP/1.1 url "
      "public "
      "set-cookie keep-alive origin ";
  constexpr std::string_view kText =
      "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505"
      "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized"
      "403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented503 Service Unavailable"
      "Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMT"
      "chunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,"
      "text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0.";
  std::string out;
  for (std::string_view rest = kWords; !rest.empty();) {
    const size_t end = rest.find(' ');
    std::string word(rest.substr(0, end));
    std::replace(word.begin(), word.end(), '_', ' ');
    out += {0, 0, 0, static_cast<char>(word.size())};
    out += word;
    rest.remove_prefix(end + 1);
  }
  out += kText;
  return out;
}

const std::string& dictionary() {
  static const std::string made = make_dictionary();
  return made;
}

void put32(std::string& out, uint32_t value) {
  out += {static_cast<char>(value >> 24), static_cast<char>(value >> 16), static_cast<char>(value >> 8),
          static_cast<char>(value)};
}

uint32_t get32(std::string_view in, size_t at) {
  uint32_t value = 0;
  for (size_t i = 0; i < 4; ++i) value = value << 8 | static_cast<uint8_t>(in[at + i]);
  return value;
}

std::string control_head(Type type, uint8_t flags, size_t size) {
  std::string out{static_cast<char>(0x80), 3, 0, static_cast<char>(type)};
  put32(out, static_cast<uint32_t>(flags) << 24 | static_cast<uint32_t>(size));
  return out;
}

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), [](unsigned char c) { return std::tolower(c); });
  return out;
}

}  // namespace

/// Header blocks: both directions are one endless zlib stream each.
class SpdySession::Codec {
 public:
  Codec() {
    deflateInit(&out_, Z_BEST_COMPRESSION);
    deflateSetDictionary(&out_, reinterpret_cast<const Bytef*>(dictionary().data()),
                         static_cast<uInt>(dictionary().size()));
    inflateInit(&in_);
  }
  ~Codec() {
    deflateEnd(&out_);
    inflateEnd(&in_);
  }
  Codec(const Codec&) = delete;
  Codec& operator=(const Codec&) = delete;

  std::string compress(const Headers& headers) {
    std::string plain;
    put32(plain, static_cast<uint32_t>(headers.size()));
    for (const auto& [name, value] : headers) {
      put32(plain, static_cast<uint32_t>(name.size()));
      plain += lower(name);
      put32(plain, static_cast<uint32_t>(value.size()));
      plain += value;
    }
    out_.next_in = reinterpret_cast<Bytef*>(plain.data());
    out_.avail_in = static_cast<uInt>(plain.size());
    std::string out;
    std::array<char, 4096> buffer;
    do {
      out_.next_out = reinterpret_cast<Bytef*>(buffer.data());
      out_.avail_out = buffer.size();
      deflate(&out_, Z_SYNC_FLUSH);
      out.append(buffer.data(), buffer.size() - out_.avail_out);
    } while (out_.avail_out == 0);
    return out;
  }

  bool expand(std::string_view block, Headers& headers) {
    in_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(block.data()));
    in_.avail_in = static_cast<uInt>(block.size());
    std::string plain;
    std::array<char, 4096> buffer;
    do {
      in_.next_out = reinterpret_cast<Bytef*>(buffer.data());
      in_.avail_out = buffer.size();
      int result = inflate(&in_, Z_SYNC_FLUSH);
      if (result == Z_NEED_DICT) {
        result = inflateSetDictionary(&in_, reinterpret_cast<const Bytef*>(dictionary().data()),
                                      static_cast<uInt>(dictionary().size()));
        if (result == Z_OK) result = inflate(&in_, Z_SYNC_FLUSH);
      }
      if (result != Z_OK && result != Z_BUF_ERROR) return false;
      if (result == Z_BUF_ERROR && in_.avail_out == buffer.size())
        break;  // no progress: the block is used up
      plain.append(buffer.data(), buffer.size() - in_.avail_out);
      if (plain.size() > kMaxHeaderBlock) return false;
    } while (in_.avail_in > 0 || in_.avail_out == 0);
    return parse(plain, headers);
  }

 private:
  static bool parse(std::string_view plain, Headers& headers) {
    if (plain.size() < 4) return false;
    const uint32_t count = get32(plain, 0);
    plain.remove_prefix(4);
    if (count > kMaxHeaders) return false;
    const auto text = [&plain](std::string& out) {
      if (plain.size() < 4) return false;
      const uint32_t size = get32(plain, 0);
      plain.remove_prefix(4);
      if (size > plain.size()) return false;
      out = plain.substr(0, size);
      plain.remove_prefix(size);
      return true;
    };
    for (uint32_t i = 0; i < count; ++i) {
      std::string name, value;
      if (!text(name) || !text(value)) return false;
      headers.emplace_back(lower(name), std::move(value));
    }
    return true;
  }

  z_stream out_{}, in_{};
};

SpdyStream::SpdyStream(std::weak_ptr<SpdySession> session, uint32_t id, Headers headers)
    : session_(std::move(session)), id_(id), headers_(std::move(headers)), in_(kStreamBuffer) {}

std::string_view SpdyStream::header(std::string_view name) const {
  for (const auto& [key, value] : headers_) {
    if (equal_fold(key, name)) return value;
  }
  return {};
}

bool SpdyStream::write(std::string_view bytes) {
  const auto session = session_.lock();
  if (!session) return false;
  while (!bytes.empty()) {
    if (!session->send_data(*this, bytes.substr(0, kMaxDataFrame), false)) return false;
    bytes.remove_prefix(std::min(bytes.size(), kMaxDataFrame));
  }
  return true;
}

void SpdyStream::close_write() {
  if (const auto session = session_.lock()) session->send_data(*this, {}, true);
}

void SpdyStream::close() {
  close_write();
  in_.close();
}

void SpdyStream::reset() {
  in_.close();
  const auto session = session_.lock();
  if (!session) return;
  {
    const std::lock_guard lock(session->mutex_);
    write_closed_ = read_closed_ = true;
    session->release_if_done(*this);
    // The peer would take a reset before the answer to its opening for a refusal.
    const bool theirs = (id_ % 2 == 1) == (session->role_ == SpdySession::Role::kServer);
    if (theirs && !replied_) {
      reset_after_reply_ = true;
      return;
    }
  }
  session->send_reset(id_, kCancel);
}

SpdySession::SpdySession(std::shared_ptr<Stream> transport, Role role, OnStream on_stream,
                         std::function<void()> on_end)
    : transport_(std::move(transport)),
      role_(role),
      on_stream_(std::move(on_stream)),
      on_end_(std::move(on_end)),
      codec_(std::make_unique<Codec>()),
      next_id_(role == Role::kClient ? 1 : 2) {}

std::shared_ptr<SpdySession> SpdySession::start(std::shared_ptr<Stream> transport, Role role,
                                                OnStream on_stream, std::function<void()> on_end) {
  std::shared_ptr<SpdySession> inner(
      new SpdySession(std::move(transport), role, std::move(on_stream), std::move(on_end)));
  inner->reader_ = base::start_thread("spdy-reader", [inner] { inner->run(); });
  // The thread owns the session; the owners outside share an end of their own, at which the thread is
  // stopped.
  SpdySession* raw = inner.get();
  return {raw, [inner = std::move(inner)](SpdySession*) {
            inner->close();
            if (inner->reader_.get_id() == std::this_thread::get_id()) {
              inner->reader_.detach();  // let go of in a callback
            } else {
              inner->reader_.join();
            }
          }};
}

SpdySession::~SpdySession() = default;

bool SpdySession::closed() const {
  const std::lock_guard lock(mutex_);
  return closed_ || ended_;
}

void SpdySession::wait() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return ended_; });
}

void SpdySession::close() {
  {
    const std::lock_guard lock(mutex_);
    if (std::exchange(closed_, true)) return;
    // A reading thread that waits for room in a stream must come free.
    for (const auto& [id, stream] : streams_) stream->in_.end();
  }
  // Said only if nobody is stuck writing: closing must not wait for a peer that does not read.
  if (write_mutex_.try_lock()) {
    std::string frame = control_head(kGoAway, 0, 8);
    put32(frame, last_received_);
    put32(frame, 0);
    transport_->write(frame);
    write_mutex_.unlock();
  }
  transport_->close();
}

Result<std::shared_ptr<SpdyStream>> SpdySession::open(Headers headers, std::chrono::milliseconds timeout) {
  std::shared_ptr<SpdyStream> stream;
  {
    const std::lock_guard writing(write_mutex_);
    const uint32_t id = next_id_;
    next_id_ += 2;
    stream = std::make_shared<SpdyStream>(weak_from_this(), id, std::move(headers));
    {
      const std::lock_guard lock(mutex_);
      streams_[id] = stream;
    }
    const std::string block = codec_->compress(stream->headers());
    std::string frame = control_head(kSynStream, 0, block.size() + 10);
    put32(frame, id);
    put32(frame, 0);
    frame += {0, 0};
    frame += block;
    if (!transport_->write(frame)) return Status(Code::kServiceUnavailable, "the SPDY connection is closed");
  }
  std::unique_lock lock(mutex_);
  const bool came = changed_.wait_for(
      lock, timeout, [&] { return ended_ || closed_ || stream->replied_ || stream->read_closed_; });
  if (stream->replied_) return stream;
  if (!came) return Status(Code::kTimeout, "timed out waiting for a SPDY stream to be accepted");
  return Status(Code::kServiceUnavailable, "the SPDY stream was refused");
}

bool SpdySession::send(std::string_view frame) {
  const std::lock_guard lock(write_mutex_);
  return transport_->write(frame);
}

bool SpdySession::send_data(SpdyStream& stream, std::string_view bytes, bool fin) {
  {
    std::unique_lock lock(mutex_);
    // The peer would drop what comes before the answer to its opening.
    changed_.wait(lock, [&] { return stream.replied_ || stream.write_closed_ || ended_; });
    if (stream.write_closed_ || ended_) return false;
    stream.write_closed_ = fin;
    release_if_done(stream);
  }
  std::string frame;
  frame.reserve(bytes.size() + 8);
  put32(frame, stream.id());
  put32(frame, static_cast<uint32_t>(fin ? kFlagFin : 0) << 24 | static_cast<uint32_t>(bytes.size()));
  frame += bytes;
  return send(frame);
}

void SpdySession::send_reset(uint32_t id, uint32_t status) {
  std::string frame = control_head(kRstStream, 0, 8);
  put32(frame, id);
  put32(frame, status);
  send(frame);
}

void SpdySession::release_if_done(const SpdyStream& stream) {
  if (stream.read_closed_ && stream.write_closed_) streams_.erase(stream.id());
}

std::shared_ptr<SpdyStream> SpdySession::find(uint32_t id) {
  const std::lock_guard lock(mutex_);
  const auto found = streams_.find(id);
  return found == streams_.end() ? nullptr : found->second;
}

void SpdySession::run() {
  while (read_frame()) {
  }
  transport_->close();
  {
    const std::lock_guard lock(mutex_);
    ended_ = true;
    for (const auto& [id, stream] : streams_) {
      stream->read_closed_ = true;
      stream->in_.end();
    }
    streams_.clear();
    changed_.notify_all();
  }
  if (on_end_) on_end_();
  // They may hold what holds this session.
  on_stream_ = nullptr;
  on_end_ = nullptr;
}

bool SpdySession::read_exactly(char* to, size_t size) {
  while (size > 0) {
    const long n = transport_->read(to, size);
    if (n <= 0) return false;
    to += n;
    size -= static_cast<size_t>(n);
  }
  return true;
}

bool SpdySession::read_frame() {
  std::array<char, 8> raw;
  if (!read_exactly(raw.data(), raw.size())) return false;
  const std::string_view head(raw.data(), raw.size());
  const uint32_t first = get32(head, 0), second = get32(head, 4);
  const auto flags = static_cast<uint8_t>(second >> 24);
  const uint32_t size = second & 0xffffff;
  if ((first & 0x80000000) == 0) return read_data(first, flags, size);
  if ((first >> 16 & 0x7fff) != 3) return false;
  return read_control(static_cast<uint16_t>(first), flags, size);
}

bool SpdySession::read_control(uint16_t type, uint8_t flags, uint32_t size) {
  if (size > kMaxControlFrame) return false;
  std::string payload(size, '\0');
  if (!read_exactly(payload.data(), size)) return false;
  switch (type) {
    case kSynStream:
      return on_syn_stream(flags, payload);
    case kSynReply:
      return on_syn_reply(flags, payload);
    case kRstStream:
      if (size < 8) return false;
      on_reset(get32(payload, 0));
      return true;
    case kPing: {
      if (size < 4) return false;
      const uint32_t id = get32(payload, 0);
      // Ours have our parity, and none were sent: what comes with it is an answer to nothing.
      const bool theirs = (id % 2 == 1) == (role_ == Role::kServer);
      return !theirs || send(control_head(kPing, 0, 4) + payload.substr(0, 4));
    }
    case kHeaders: {
      Headers ignored;  // but for the compression's state
      return size >= 4 && codec_->expand(std::string_view(payload).substr(4), ignored);
    }
    case kGoAway:
      return false;
    default:
      return true;  // settings and window updates mean nothing here
  }
}

bool SpdySession::on_syn_stream(uint8_t flags, std::string_view payload) {
  Headers headers;
  if (payload.size() < 10 || !codec_->expand(payload.substr(10), headers)) return false;
  const uint32_t id = get32(payload, 0) & 0x7fffffff;
  if (id == 0 || id <= last_received_ || (id % 2 == 1) != (role_ == Role::kServer)) {
    send_reset(id, kProtocolError);
    return id != 0;
  }
  last_received_ = id;
  auto stream = std::make_shared<SpdyStream>(weak_from_this(), id, std::move(headers));
  stream->read_closed_ = (flags & kFlagFin) != 0;
  if (stream->read_closed_) stream->in_.end();
  {
    const std::lock_guard lock(mutex_);
    streams_[id] = stream;
  }
  const bool wanted = on_stream_ && on_stream_(stream);
  if (!wanted) {
    on_reset(id);
    send_reset(id, kRefused);
    return true;
  }
  {
    const std::lock_guard writing(write_mutex_);
    const std::string block = codec_->compress({});
    std::string frame = control_head(kSynReply, 0, block.size() + 4);
    put32(frame, id);
    if (!transport_->write(frame + block)) return false;
  }
  bool reset = false;
  {
    const std::lock_guard lock(mutex_);
    stream->replied_ = true;
    reset = stream->reset_after_reply_;
    changed_.notify_all();
  }
  if (reset) send_reset(id, kCancel);
  return true;
}

bool SpdySession::on_syn_reply(uint8_t flags, std::string_view payload) {
  Headers headers;
  if (payload.size() < 4 || !codec_->expand(payload.substr(4), headers)) return false;
  const auto stream = find(get32(payload, 0) & 0x7fffffff);
  if (!stream) return true;
  if ((flags & kFlagFin) != 0) stream->in_.end();
  const std::lock_guard lock(mutex_);
  stream->replied_ = true;
  stream->read_closed_ = stream->read_closed_ || (flags & kFlagFin) != 0;
  release_if_done(*stream);
  changed_.notify_all();
  return true;
}

void SpdySession::on_reset(uint32_t id) {
  const auto stream = find(id & 0x7fffffff);
  if (!stream) return;
  {
    const std::lock_guard lock(mutex_);
    stream->read_closed_ = stream->write_closed_ = true;
    release_if_done(*stream);
    changed_.notify_all();
  }
  stream->in_.end();  // last: whoever has read the end finds the stream closed for writing too
}

bool SpdySession::read_data(uint32_t id, uint8_t flags, uint32_t size) {
  const auto stream = find(id);
  std::array<char, 16U << 10> buffer;
  while (size > 0) {
    const size_t n = std::min<size_t>(size, buffer.size());
    if (!read_exactly(buffer.data(), n)) return false;
    if (stream) stream->in_.write({buffer.data(), n});
    size -= static_cast<uint32_t>(n);
  }
  if (stream && (flags & kFlagFin) != 0) {
    stream->in_.end();
    const std::lock_guard lock(mutex_);
    stream->read_closed_ = true;
    release_if_done(*stream);
  }
  return true;
}

}  // namespace orch::http
