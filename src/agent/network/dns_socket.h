// Socket addresses and the length prefixes of DNS over TCP, for the files of the DNS server.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <cstring>
#include <string>
#include <string_view>

#include "agent/network/address.h"

namespace orch::agent {

class SocketAddress {
 public:
  SocketAddress() = default;
  SocketAddress(const IpRange& ip, uint16_t port) {
    if (ip.v6) {
      auto* a = reinterpret_cast<sockaddr_in6*>(&storage_);
      a->sin6_family = AF_INET6;
      a->sin6_port = htons(port);
      std::memcpy(&a->sin6_addr, ip.bytes.data(), 16);
      size_ = sizeof(sockaddr_in6);
    } else {
      auto* a = reinterpret_cast<sockaddr_in*>(&storage_);
      a->sin_family = AF_INET;
      a->sin_port = htons(port);
      std::memcpy(&a->sin_addr, ip.bytes.data(), 4);
      size_ = sizeof(sockaddr_in);
    }
  }
  int family() const { return storage_.ss_family; }
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage_); }
  sockaddr* out() { return reinterpret_cast<sockaddr*>(&storage_); }
  socklen_t size() const { return size_; }
  /// For calls that fill in an address.
  socklen_t* out_size() {
    size_ = sizeof(storage_);
    return &size_;
  }

 private:
  sockaddr_storage storage_{};
  socklen_t size_ = sizeof(sockaddr_storage);
};

inline std::string with_length_prefix(std::string_view message) {
  std::string out{static_cast<char>(message.size() >> 8), static_cast<char>(message.size())};
  return out.append(message);
}

/// Moves the first whole message out of `buffer`; false when it is not complete yet.
inline bool take_prefixed(std::string& buffer, std::string& message) {
  if (buffer.size() < 2) return false;
  const size_t size =
      static_cast<size_t>(static_cast<uint8_t>(buffer[0])) << 8 | static_cast<uint8_t>(buffer[1]);
  if (buffer.size() < 2 + size) return false;
  message = buffer.substr(2, size);
  buffer.erase(0, 2 + size);
  return true;
}

}  // namespace orch::agent
