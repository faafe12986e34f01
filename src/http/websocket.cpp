#include "http/websocket.h"

#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "pki/pki.h"

namespace orch::http {
namespace {

using base::Code;
using base::Result;
using base::Status;

constexpr size_t kMaxControl = 125;
constexpr uint16_t kProtocolError = 1002, kTooBig = 1009;

/// What the server proves with that it understood the handshake (RFC 6455, 1.3).
std::string accept_key(std::string_view key) {
  const std::string text = base::cat(key, "258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
  unsigned int size = 0;
  EVP_Digest(text.data(), text.size(), digest.data(), &size, EVP_sha1(), nullptr);
  return pki::base64_encode({reinterpret_cast<char*>(digest.data()), size});
}

void mask(std::string& payload, size_t from, const char* key) {
  for (size_t i = from; i < payload.size(); ++i)
    payload[i] = static_cast<char>(payload[i] ^ key[(i - from) % 4]);
}

}  // namespace

bool is_websocket_request(const Request& request) {
  if (!equal_fold(request.header("Upgrade"), "websocket")) return false;
  const auto connections = request.header_values("Connection");
  return std::any_of(connections.begin(), connections.end(),
                     [](std::string_view value) { return has_token(value, "upgrade"); });
}

std::vector<std::string> websocket_protocols(const Request& request) {
  std::vector<std::string> out;
  for (std::string_view list : request.header_values("Sec-WebSocket-Protocol")) {
    while (!list.empty()) {
      const size_t comma = list.find(',');
      std::string_view item = list.substr(0, comma);
      while (!item.empty() && item.front() == ' ') item.remove_prefix(1);
      while (!item.empty() && item.back() == ' ') item.remove_suffix(1);
      if (!item.empty()) out.emplace_back(item);
      list.remove_prefix(comma == std::string_view::npos ? list.size() : comma + 1);
    }
  }
  return out;
}

Result<std::string> websocket_accept(const Request& request, std::string_view protocol) {
  const std::string_view key = request.header("Sec-WebSocket-Key");
  auto decoded = pki::base64_decode(key);
  if (request.method != "GET" || !is_websocket_request(request) || !decoded.ok() || decoded->size() != 16) {
    return Status(Code::kBadRequest, "bad websocket handshake");
  }
  if (request.header("Sec-WebSocket-Version") != "13") {
    return Status(Code::kBadRequest, "missing or bad WebSocket Version");
  }
  Headers headers{
      {"Upgrade", "websocket"}, {"Connection", "Upgrade"}, {"Sec-WebSocket-Accept", accept_key(key)}};
  if (!protocol.empty()) headers.emplace_back("Sec-WebSocket-Protocol", protocol);
  return format_response_head(101, headers);
}

WebSocket::WebSocket(std::shared_ptr<Stream> stream, Role role, size_t max_message)
    : stream_(std::move(stream)), role_(role), max_message_(max_message) {}

/// At least `size` bytes in in_.
bool WebSocket::fill(size_t size) {
  std::array<char, 16U << 10> buffer;
  while (in_.size() < size) {
    const long n = stream_->read(buffer.data(), buffer.size());
    if (n <= 0) return false;
    in_.append(buffer.data(), static_cast<size_t>(n));
  }
  return true;
}

bool WebSocket::fail(uint16_t code, std::string_view reason) {
  close(code, reason);
  return false;
}

bool WebSocket::read_frame(Frame& frame, size_t room) {
  if (!fill(2)) return false;
  const auto first = static_cast<uint8_t>(in_[0]), second = static_cast<uint8_t>(in_[1]);
  frame.final = (first & 0x80) != 0;
  frame.opcode = first & 0x0f;
  if ((first & 0x70) != 0) return fail(kProtocolError, "reserved bits are set");
  const bool control = frame.opcode >= kClose;
  const bool masked = (second & 0x80) != 0;
  if (masked != (role_ == Role::kServer)) return fail(kProtocolError, "bad mask");
  uint64_t size = second & 0x7f;
  if (control && (!frame.final || size > kMaxControl)) return fail(kProtocolError, "bad control frame");
  const size_t extra = size == 126 ? 2 : size == 127 ? 8 : 0;
  const size_t head = 2 + extra + (masked ? 4 : 0);
  if (!fill(2 + extra)) return false;
  if (extra > 0) {
    size = 0;
    for (size_t i = 0; i < extra; ++i) size = size << 8 | static_cast<uint8_t>(in_[2 + i]);
  }
  if (!control && size > room) return fail(kTooBig, "message too big");
  if (!fill(head + size)) return false;
  frame.payload = in_.substr(head, size);
  if (masked) mask(frame.payload, 0, in_.data() + head - 4);
  in_.erase(0, head + size);
  return true;
}

/// False when the connection ends.
bool WebSocket::handle_control(const Frame& frame) {
  switch (frame.opcode) {
    case kPing:
      return send(kPong, frame.payload);
    case kPong:
      return true;
    case kClose: {
      uint16_t code = 1000;
      if (frame.payload.size() >= 2) {
        code = static_cast<uint16_t>(static_cast<uint8_t>(frame.payload[0]) << 8 |
                                     static_cast<uint8_t>(frame.payload[1]));
      }
      close(code);
      return false;
    }
    default:
      return fail(kProtocolError, "unknown opcode");
  }
}

std::optional<WebSocket::Message> WebSocket::read() {
  Message message;
  bool started = false;
  while (true) {
    Frame frame;
    if (!read_frame(frame, max_message_ - message.data.size())) return std::nullopt;
    if (frame.opcode >= kClose) {
      if (!handle_control(frame)) return std::nullopt;
      continue;
    }
    if ((frame.opcode == kContinuation) != started || frame.opcode > kBinary) {
      fail(kProtocolError, "unexpected frame");
      return std::nullopt;
    }
    if (!started) message.binary = frame.opcode == kBinary;
    started = true;
    if (message.data.empty()) {
      message.data = std::move(frame.payload);
    } else {
      message.data += frame.payload;
    }
    if (frame.final) return message;
  }
}

std::string WebSocket::encode(uint8_t opcode, std::string_view payload) const {
  std::string out;
  out.reserve(payload.size() + 14);
  out += static_cast<char>(0x80 | opcode);
  const uint8_t mask_bit = role_ == Role::kClient ? 0x80 : 0;
  const size_t extra = payload.size() < 126 ? 0 : payload.size() < 65536 ? 2 : 8;
  const size_t short_size = extra == 0 ? payload.size() : extra == 2 ? 126 : 127;
  out += static_cast<char>(mask_bit | short_size);
  for (size_t i = extra; i > 0; --i) out += static_cast<char>(payload.size() >> (8 * (i - 1)));
  if (mask_bit != 0) {
    const std::string key = pki::random_bytes(4);
    out += key;
    const size_t from = out.size();
    out += payload;
    mask(out, from, key.data());
  } else {
    out += payload;
  }
  return out;
}

bool WebSocket::send(uint8_t opcode, std::string_view payload) {
  const std::string frame = encode(opcode, payload);
  const std::lock_guard lock(mutex_);
  return !closing_ && stream_->write(frame);
}

bool WebSocket::write(std::string_view data, bool binary) { return send(binary ? kBinary : kText, data); }

bool WebSocket::ping(std::string_view data) { return send(kPing, data.substr(0, kMaxControl)); }

void WebSocket::close(uint16_t code, std::string_view reason) {
  std::string payload{static_cast<char>(code >> 8), static_cast<char>(code)};
  payload += reason.substr(0, kMaxControl - 2);
  // Said only if nobody is stuck writing: closing must not wait for a peer that does not read.
  if (!closing_.exchange(true) && mutex_.try_lock()) {
    stream_->write(encode(kClose, payload));
    mutex_.unlock();
  }
  stream_->close();
}

long WebSocketStream::read(char* buffer, size_t size) {
  while (rest_.empty()) {
    auto message = socket_->read();
    if (!message) return 0;
    rest_ = std::move(message->data);
  }
  const size_t n = std::min(size, rest_.size());
  std::memcpy(buffer, rest_.data(), n);
  rest_.erase(0, n);
  return static_cast<long>(n);
}

Result<WebSocketConnection> websocket_connect(const DialOptions& options, const std::string& target,
                                              const std::vector<std::string>& protocols,
                                              const Headers& headers, std::chrono::milliseconds timeout) {
  const std::string key = pki::base64_encode(pki::random_bytes(16));
  ClientRequest request;
  request.target = target;
  request.headers = headers;
  request.headers.emplace_back("Upgrade", "websocket");
  request.headers.emplace_back("Connection", "Upgrade");
  request.headers.emplace_back("Sec-WebSocket-Version", "13");
  request.headers.emplace_back("Sec-WebSocket-Key", key);
  std::string list;
  for (const auto& protocol : protocols) list += base::cat(list.empty() ? "" : ", ", protocol);
  if (!list.empty()) request.headers.emplace_back("Sec-WebSocket-Protocol", list);
  auto exchange = ClientExchange::start(options, request, timeout);
  if (!exchange.ok()) return exchange.error();
  if ((*exchange)->status() != 101) {
    auto body = (*exchange)->read_all(1U << 20);
    return Status::from_response((*exchange)->status(), body.ok() ? *body : "");
  }
  if ((*exchange)->header("Sec-WebSocket-Accept") != accept_key(key)) {
    return Status(Code::kInternal, "bad websocket handshake: the server's key is wrong");
  }
  WebSocketConnection out;
  out.protocol = (*exchange)->header("Sec-WebSocket-Protocol");
  out.socket = std::make_unique<WebSocket>((*exchange)->upgraded(), WebSocket::Role::kClient);
  return out;
}

}  // namespace orch::http
