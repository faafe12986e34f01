// Records and their ends as the tests of TLS records need them.
#pragma once

#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "http/record_layer.h"
#include "tests/catch.h"

namespace orch::http::testing {

inline std::string hex(std::string_view text) {
  std::string out;
  for (size_t i = 0; i + 1 < text.size(); i += 2) {
    out += static_cast<char>(std::stoi(std::string(text.substr(i, 2)), nullptr, 16));
  }
  return out;
}

/// Two connected sockets; the first is ours and does not block.
struct Sockets {
  int fd = -1, other = -1;
  Sockets() {
    int both[2];
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, both) == 0);
    fd = both[0];
    other = both[1];
  }
  ~Sockets() {
    if (fd >= 0) ::close(fd);
    if (other >= 0) ::close(other);
  }
  Sockets(const Sockets&) = delete;
  void deliver(std::string_view bytes) const {
    REQUIRE(::send(other, bytes.data(), bytes.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(bytes.size()));
  }
  std::string sent() const {
    std::string out;
    std::array<char, 65536> buffer;
    ssize_t n = 0;
    while ((n = recv(other, buffer.data(), buffer.size(), 0)) > 0)
      out.append(buffer.data(), static_cast<size_t>(n));
    return out;
  }
};

/// A layer, and the keys that its peer has: records of any kind can be made for it.
struct Bare {
  Sockets sockets;
  RecordSecrets secrets;
  std::unique_ptr<RecordLayer> layer;
  RecordKeys seals, opens;

  explicit Bare(uint64_t records_per_key = RecordLayer::kRecordsPerKey) {
    secrets.suite = RecordSuite::kAes256GcmSha384;
    secrets.read = std::string(48, 'r');
    secrets.write = std::string(48, 'w');
    layer = RecordLayer::make(secrets, records_per_key);
    REQUIRE(layer);
    REQUIRE(seals.set(secrets.suite, secrets.read));
    REQUIRE(opens.set(secrets.suite, secrets.write));
  }
  std::string record(RecordType type, std::string_view content) {
    std::string out(content.size() + kRecordOverhead, '\0');
    REQUIRE(seals.seal(type, content, out.data()) == out.size());
    return out;
  }
  std::string data(std::string_view content) { return record(RecordType::kApplicationData, content); }
  std::string handshake(std::string_view content) { return record(RecordType::kHandshake, content); }
  /// What one read gives: bytes, or "want", "end", "error".
  std::string read(size_t size = 20000) const {
    std::string buffer(size, '\0');
    size_t got = 0;
    switch (layer->read(sockets.fd, buffer.data(), size, got)) {
      case Io::kOk:
        return buffer.substr(0, got);
      case Io::kWantRead:
      case Io::kWantWrite:
        return "want";
      case Io::kEnd:
        return "end";
      default:
        return "error";
    }
  }
  /// The records that the layer sent: type and content of each; goes on to new keys at a KeyUpdate.
  std::vector<std::pair<RecordType, std::string>> answers() {
    std::vector<std::pair<RecordType, std::string>> out;
    std::string bytes = sockets.sent();
    while (!bytes.empty()) {
      const size_t size = kRecordHeader + (static_cast<size_t>(static_cast<unsigned char>(bytes[3])) << 8U) +
                          static_cast<unsigned char>(bytes[4]);
      REQUIRE(size <= bytes.size());
      const auto opened = opens.open(bytes.data(), size);
      REQUIRE_FALSE(opened.alert);
      out.emplace_back(opened.type, opened.content);
      if (opened.type == RecordType::kHandshake) opens.update();
      bytes.erase(0, size);
    }
    return out;
  }
  /// The alert that was sent last, or -1.
  int alert() {
    const auto all = answers();
    if (all.empty() || all.back().first != RecordType::kAlert) return -1;
    return static_cast<unsigned char>(all.back().second.at(1));
  }
};

/// In this order: operands of + have none.
inline std::string join(std::initializer_list<std::string> parts) {
  std::string out;
  for (const auto& part : parts) out += part;
  return out;
}

constexpr std::string_view kUpdate("\x18\0\0\1\0", 5), kUpdateRequest("\x18\0\0\1\1", 5);

inline std::string noise(size_t size) {
  std::mt19937 random(7);
  std::string out(size, '\0');
  for (auto& c : out) c = static_cast<char>(random());
  return out;
}

}  // namespace orch::http::testing
