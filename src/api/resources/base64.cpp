#include "api/resources/base64.h"

#include <array>
#include <cstdint>

namespace orch::api {
namespace {

constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

constexpr std::array<int8_t, 256> make_values() {
  std::array<int8_t, 256> values{};
  for (auto& v : values) v = -1;
  for (size_t i = 0; i < kAlphabet.size(); ++i)
    values[static_cast<uint8_t>(kAlphabet[i])] = static_cast<int8_t>(i);
  return values;
}
constexpr auto kValues = make_values();

}  // namespace

std::string base64_encode(std::string_view bytes) {
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (size_t i = 0; i < bytes.size(); i += 3) {
    const size_t left = bytes.size() - i;
    uint32_t v = static_cast<uint8_t>(bytes[i]) << 16;
    if (left > 1) v |= static_cast<uint32_t>(static_cast<uint8_t>(bytes[i + 1])) << 8;
    if (left > 2) v |= static_cast<uint8_t>(bytes[i + 2]);
    out += kAlphabet[v >> 18];
    out += kAlphabet[(v >> 12) & 63];
    out += left > 1 ? kAlphabet[(v >> 6) & 63] : '=';
    out += left > 2 ? kAlphabet[v & 63] : '=';
  }
  return out;
}

std::optional<std::string> base64_decode(std::string_view text) {
  std::string out;
  out.reserve(text.size() / 4 * 3);
  uint32_t v = 0;
  int count = 0;
  int padding = 0;
  for (const char c : text) {
    if (c == '\n' || c == '\r') continue;
    if (c == '=') {
      ++padding;
      v <<= 6;
    } else {
      const int8_t value = kValues[static_cast<uint8_t>(c)];
      if (value < 0 || padding > 0) return std::nullopt;
      v = (v << 6) | static_cast<uint32_t>(value);
    }
    if (++count == 4) {
      if (padding > 2) return std::nullopt;
      out += static_cast<char>(v >> 16);
      if (padding < 2) out += static_cast<char>(v >> 8);
      if (padding < 1) out += static_cast<char>(v);
      v = 0;
      count = 0;
    }
  }
  if (count != 0) return std::nullopt;
  return out;
}

size_t base64_decoded_size(std::string_view text) {
  size_t symbols = 0;
  for (const char c : text) symbols += kValues[static_cast<uint8_t>(c)] >= 0;
  return symbols * 3 / 4;
}

}  // namespace orch::api
