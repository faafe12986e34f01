// Random values, encodings and digests.
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <sys/random.h>

#include <array>
#include <cstdlib>

#include "pki/openssl.h"
#include "pki/pki.h"

namespace orch::pki {
namespace {

constexpr std::string_view kStandard = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::string_view kUrl = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
constexpr char kHex[] = "0123456789abcdef";

constexpr std::array<int8_t, 256> reverse(std::string_view alphabet) {
  std::array<int8_t, 256> table{};
  for (auto& entry : table) entry = -1;
  for (size_t i = 0; i < alphabet.size(); ++i) {
    table[static_cast<uint8_t>(alphabet[i])] = static_cast<int8_t>(i);
  }
  return table;
}
constexpr auto kStandardReverse = reverse(kStandard);
constexpr auto kUrlReverse = reverse(kUrl);

std::string encode(std::string_view in, std::string_view alphabet, bool pad) {
  std::string out;
  out.reserve((in.size() + 2) / 3 * 4);
  for (size_t i = 0; i < in.size(); i += 3) {
    const size_t n = std::min<size_t>(3, in.size() - i);
    uint32_t group = 0;
    for (size_t k = 0; k < 3; ++k) group = group << 8 | (k < n ? static_cast<uint8_t>(in[i + k]) : 0U);
    for (size_t k = 0; k < 4; ++k) {
      if (k <= n) {
        out += alphabet[group >> (18 - 6 * k) & 63];
      } else if (pad) {
        out += '=';
      }
    }
  }
  return out;
}

base::Result<std::string> decode(std::string_view in, const std::array<int8_t, 256>& table, bool padded) {
  const auto bad = [](size_t at) {
    return base::Status(base::Code::kBadRequest, base::cat("illegal base64 data at input byte ", at));
  };
  std::string out;
  out.reserve(in.size() / 4 * 3 + 3);
  uint32_t group = 0;
  size_t digits = 0, pads = 0;
  for (size_t i = 0; i < in.size(); ++i) {
    const char c = in[i];
    if (padded && (c == '\n' || c == '\r')) continue;
    if (padded && c == '=' && (digits % 4 == 2 || digits % 4 == 3)) {
      if (++pads + digits % 4 > 4) return bad(i);
      continue;
    }
    const int8_t value = table[static_cast<uint8_t>(c)];
    if (value < 0 || pads > 0) return bad(i);
    group = group << 6 | static_cast<uint32_t>(value);
    if (++digits % 4 == 0) {
      out += static_cast<char>(group >> 16);
      out += static_cast<char>(group >> 8);
      out += static_cast<char>(group);
      group = 0;
    }
  }
  const size_t rest = digits % 4;
  if (rest == 1 || (padded && rest != 0 && rest + pads != 4)) return bad(in.size());
  if (rest >= 2) out += static_cast<char>(rest == 2 ? group >> 4 : group >> 10);
  if (rest == 3) out += static_cast<char>(group >> 2);
  return out;
}

std::string hex(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size() * 2);
  for (const char c : bytes) {
    out += kHex[static_cast<uint8_t>(c) >> 4];
    out += kHex[static_cast<uint8_t>(c) & 15];
  }
  return out;
}

}  // namespace

std::string sha256(std::string_view bytes) {
  std::string out(32, '\0');
  unsigned int size = 0;
  EVP_Digest(bytes.data(), bytes.size(), reinterpret_cast<unsigned char*>(out.data()), &size, EVP_sha256(),
             nullptr);
  return out;
}

std::string sha256_hex(std::string_view bytes) { return hex(sha256(bytes)); }

std::string random_bytes(size_t n) {
  std::string out(n, '\0');
  size_t done = 0;
  while (done < n) {
    const ssize_t got = getrandom(out.data() + done, n - done, 0);
    if (got > 0) {
      done += static_cast<size_t>(got);
    } else if (errno != EINTR) {
      std::abort();  // no kernel that can run this lacks it; a predictable key would be worse
    }
  }
  return out;
}

std::string random_token(size_t length) {
  static constexpr std::string_view kAlphabet = "abcdefghijklmnopqrstuvwxyz0123456789";
  constexpr uint8_t kFair = 256 / kAlphabet.size() * kAlphabet.size();  // beyond it, some would be likelier
  std::string out;
  while (out.size() < length) {
    for (const char c : random_bytes(length - out.size() + 8)) {
      const auto value = static_cast<uint8_t>(c);
      if (value < kFair && out.size() < length) out += kAlphabet[value % kAlphabet.size()];
    }
  }
  return out;
}

std::string make_uuid() {
  std::string raw = random_bytes(16);
  raw[6] = static_cast<char>((raw[6] & 0x0f) | 0x40);
  raw[8] = static_cast<char>((raw[8] & 0x3f) | 0x80);
  std::string out = hex(raw);
  for (const size_t at : {8U, 13U, 18U, 23U}) out.insert(at, 1, '-');
  return out;
}

std::string base64_encode(std::string_view bytes) { return encode(bytes, kStandard, true); }
std::string base64url_encode(std::string_view bytes) { return encode(bytes, kUrl, false); }
base::Result<std::string> base64_decode(std::string_view text) {
  return decode(text, kStandardReverse, true);
}
base::Result<std::string> base64url_decode(std::string_view text) { return decode(text, kUrlReverse, false); }

bool equal_constant_time(std::string_view a, std::string_view b) {
  // The length is not the secret; the bytes are.
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace orch::pki
