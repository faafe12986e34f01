// Protobuf's wire format: varints, tags and lengths.
#pragma once

#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>

namespace orch::api::schema {

enum class WireType : uint8_t {
  kVarint = 0,
  kFixed64 = 1,
  kBytes = 2,
  kGroup = 3,
  kEndGroup = 4,
  kFixed32 = 5
};

/// Writes a message from its last byte to its first, so that the length of a part is known when it is to be
/// written in front of it.
class BackWriter {
 public:
  size_t size() const { return capacity_ - begin_; }
  std::string_view view() const { return {buffer_.get() + begin_, size()}; }

  void bytes(std::string_view data) {
    if (data.size() > begin_) grow(data.size());
    begin_ -= data.size();
    if (!data.empty()) std::memcpy(buffer_.get() + begin_, data.data(), data.size());
  }
  void varint(uint64_t value) {
    char out[10];
    size_t count = 0;
    for (; value >= 0x80; value >>= 7) out[count++] = static_cast<char>(value | 0x80);
    out[count++] = static_cast<char>(value);
    bytes({out, count});
  }
  void fixed64(uint64_t value) {
    char out[8];
    for (char& c : out) {
      c = static_cast<char>(value);
      value >>= 8;
    }
    bytes({out, sizeof out});
  }
  void tag(uint32_t number, WireType type) { varint(uint64_t{number} << 3 | static_cast<uint8_t>(type)); }
  /// Puts tag and length before all that was written since the writer had `size_before`.
  void close(uint32_t number, size_t size_before) {
    varint(size() - size_before);
    tag(number, WireType::kBytes);
  }

 private:
  void grow(size_t need) {
    size_t capacity = (capacity_ + need) * 2 + 256;
    auto larger = std::make_unique<char[]>(capacity);
    if (size() != 0) std::memcpy(larger.get() + capacity - size(), buffer_.get() + begin_, size());
    begin_ = capacity - size();
    capacity_ = capacity;
    buffer_ = std::move(larger);
  }

  std::unique_ptr<char[]> buffer_;
  size_t capacity_ = 0, begin_ = 0;
};

/// Reads a message from untrusted bytes. Each reader returns false at an error and says in error() what
/// Go's generated code would.
class WireReader {
 public:
  explicit WireReader(std::string_view data) : rest_(data) {}
  bool done() const { return rest_.empty(); }
  const std::string& error() const { return error_; }

  bool varint(uint64_t& out) {
    out = 0;
    for (unsigned shift = 0;; shift += 7) {
      if (shift >= 64) return fail("proto: integer overflow");
      if (rest_.empty()) return fail("unexpected EOF");
      auto byte = static_cast<uint8_t>(rest_[0]);
      rest_.remove_prefix(1);
      out |= uint64_t{byte & 0x7fu} << shift;
      if (byte < 0x80) return true;
    }
  }
  bool fixed(uint64_t& out, size_t width) {
    if (rest_.size() < width) return fail("unexpected EOF");
    out = 0;
    for (size_t i = width; i-- > 0;) out = out << 8 | static_cast<uint8_t>(rest_[i]);
    rest_.remove_prefix(width);
    return true;
  }
  bool bytes(std::string_view& out) {
    uint64_t length = 0;
    if (!varint(length)) return false;
    if (length > INT64_MAX) return fail("proto: negative length found during unmarshaling");
    if (length > rest_.size()) return fail("unexpected EOF");
    out = rest_.substr(0, length);
    rest_.remove_prefix(length);
    return true;
  }
  bool tag(uint32_t& number, WireType& type) {
    uint64_t raw = 0;
    if (!varint(raw)) return false;
    type = static_cast<WireType>(raw & 7);
    if (type == WireType::kEndGroup) return fail("proto: wiretype end group for non-group");
    if (raw >> 3 == 0 || raw >> 3 > INT32_MAX) {
      return fail("proto: illegal tag " + std::to_string(static_cast<int32_t>(raw >> 3)) + " (wire type " +
                  std::to_string(raw) + ")");
    }
    number = static_cast<uint32_t>(raw >> 3);
    return true;
  }
  /// Passes over a value whose tag was read; groups are followed by counting, not by recursion.
  bool skip(WireType type) {
    size_t open = 0;
    for (;;) {
      uint64_t number = 0;
      std::string_view data;
      switch (type) {
        case WireType::kVarint:
          if (!varint(number)) return false;
          break;
        case WireType::kFixed64:
          if (!fixed(number, 8)) return false;
          break;
        case WireType::kFixed32:
          if (!fixed(number, 4)) return false;
          break;
        case WireType::kBytes:
          if (!bytes(data)) return false;
          break;
        case WireType::kGroup:
          ++open;
          break;
        case WireType::kEndGroup:
          if (open == 0) return fail("proto: unexpected end of group");
          --open;
          break;
        default:
          return fail("proto: illegal wireType " + std::to_string(static_cast<int>(type)));
      }
      if (open == 0) return true;
      if (!varint(number)) return false;
      type = static_cast<WireType>(number & 7);
    }
  }
  bool fail(std::string message) {
    if (error_.empty()) error_ = std::move(message);
    return false;
  }

 private:
  std::string_view rest_;
  std::string error_;
};

}  // namespace orch::api::schema
