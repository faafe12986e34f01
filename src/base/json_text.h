// How JSON text is stepped through by those who look for the ends of its strings only.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>

namespace orch::base {

/// The first quote or backslash in [at, end), or end: eight bytes at a time.
inline const char* find_quote_or_backslash(const char* at, const char* end) {
  constexpr uint64_t kOnes = 0x0101010101010101ULL;
  constexpr uint64_t kHighs = 0x8080808080808080ULL;
  // Has its high bit set in the lowest byte of `word` that equals `c` (higher bytes may be false alarms).
  const auto bytes_equal = [](uint64_t word, char c) {
    const uint64_t x = word ^ (kOnes * static_cast<unsigned char>(c));
    return (x - kOnes) & ~x & kHighs;
  };
  if constexpr (std::endian::native == std::endian::little) {
    while (end - at >= 8) {
      uint64_t word;
      std::memcpy(&word, at, 8);
      const uint64_t hit = bytes_equal(word, '"') | bytes_equal(word, '\\');
      if (hit != 0) return at + (std::countr_zero(hit) >> 3);
      at += 8;
    }
  }
  while (at != end && *at != '"' && *at != '\\') ++at;
  return at;
}

}  // namespace orch::base
