#include "datastore/encrypted/ciphers.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>

#include <array>
#include <bit>
#include <cstring>
#include <memory>

#include "pki/pki.h"

namespace orch::datastore {

using base::Code;
using base::Result;
using base::Status;

namespace {

constexpr size_t kGcmNonce = 12, kTag = 16, kCbcBlock = 16, kBoxNonce = 24, kBoxKey = 32;

template <auto Free>
struct Release {
  template <typename T>
  void operator()(T* p) const {
    Free(p);
  }
};
using CipherPtr = std::unique_ptr<EVP_CIPHER_CTX, Release<EVP_CIPHER_CTX_free>>;
using MacPtr = std::unique_ptr<EVP_MAC, Release<EVP_MAC_free>>;
using MacContextPtr = std::unique_ptr<EVP_MAC_CTX, Release<EVP_MAC_CTX_free>>;
using KdfPtr = std::unique_ptr<EVP_KDF, Release<EVP_KDF_free>>;
using KdfContextPtr = std::unique_ptr<EVP_KDF_CTX, Release<EVP_KDF_CTX_free>>;

Status failed(std::string_view what) {
  ERR_clear_error();
  return {Code::kInternal, std::string(what)};
}

const unsigned char* in(std::string_view s) { return reinterpret_cast<const unsigned char*>(s.data()); }
unsigned char* out(std::string& s, size_t at = 0) { return reinterpret_cast<unsigned char*>(s.data()) + at; }
int length(std::string_view s) { return static_cast<int>(s.size()); }

const EVP_CIPHER* aes(std::string_view key, bool gcm) {
  switch (key.size()) {
    case 16:
      return gcm ? EVP_aes_128_gcm() : EVP_aes_128_cbc();
    case 24:
      return gcm ? EVP_aes_192_gcm() : EVP_aes_192_cbc();
    case 32:
      return gcm ? EVP_aes_256_gcm() : EVP_aes_256_cbc();
    default:
      return nullptr;
  }
}

using Words = std::array<uint32_t, 16>;

uint32_t load(std::string_view bytes, size_t at) {
  uint32_t word = 0;
  std::memcpy(&word, bytes.data() + at, 4);
  if constexpr (std::endian::native == std::endian::big) word = __builtin_bswap32(word);
  return word;
}

void store(uint32_t word, char* to) {
  if constexpr (std::endian::native == std::endian::big) word = __builtin_bswap32(word);
  std::memcpy(to, &word, 4);
}

/// Salsa20's state: constants on the diagonal, the key around them, 16 bytes of input between.
Words state_of(std::string_view key, std::string_view input) {
  Words s{};
  constexpr uint32_t kSigma[] = {0x61707865, 0x3320646e, 0x79622d32, 0x6b206574};
  for (size_t i = 0; i < 4; ++i) {
    s[5 * i] = kSigma[i];
    s[1 + i] = load(key, 4 * i);
    s[11 + i] = load(key, 16 + 4 * i);
    s[6 + i] = load(input, 4 * i);
  }
  return s;
}

/// Twenty rounds, without the addition at the end.
void mix(Words& x) {
  const auto quarter = [&x](size_t a, size_t b, size_t c, size_t d) {
    x[b] ^= std::rotl(x[a] + x[d], 7);
    x[c] ^= std::rotl(x[b] + x[a], 9);
    x[d] ^= std::rotl(x[c] + x[b], 13);
    x[a] ^= std::rotl(x[d] + x[c], 18);
  };
  for (int round = 0; round < 10; ++round) {
    quarter(0, 4, 8, 12);
    quarter(5, 9, 13, 1);
    quarter(10, 14, 2, 6);
    quarter(15, 3, 7, 11);
    quarter(0, 1, 2, 3);
    quarter(5, 6, 7, 4);
    quarter(10, 11, 8, 9);
    quarter(15, 12, 13, 14);
  }
}

/// The key of a long nonce's first part.
std::string hsalsa(std::string_view key, std::string_view input) {
  Words x = state_of(key, input);
  mix(x);
  std::string derived(kBoxKey, '\0');
  constexpr size_t kTaken[] = {0, 5, 10, 15, 6, 7, 8, 9};
  for (size_t i = 0; i < 8; ++i) store(x[kTaken[i]], derived.data() + 4 * i);
  return derived;
}

/// `size` bytes of Salsa20's stream under a nonce of 8 bytes.
std::string salsa(std::string_view key, std::string_view nonce, size_t size) {
  std::string stream;
  for (uint64_t block = 0; stream.size() < size; ++block) {
    std::string input(nonce);
    input.resize(16);
    store(static_cast<uint32_t>(block), input.data() + 8);
    store(static_cast<uint32_t>(block >> 32), input.data() + 12);
    const Words before = state_of(key, input);
    Words x = before;
    mix(x);
    char bytes[64];
    for (size_t i = 0; i < 16; ++i) store(x[i] + before[i], bytes + 4 * i);
    stream.append(bytes, sizeof bytes);
  }
  return stream;
}

Result<std::string> poly1305(std::string_view key, std::string_view message) {
  const MacPtr mac(EVP_MAC_fetch(nullptr, "POLY1305", nullptr));
  const MacContextPtr context(mac ? EVP_MAC_CTX_new(mac.get()) : nullptr);
  std::string tag(kTag, '\0');
  size_t size = 0;
  if (!context || EVP_MAC_init(context.get(), in(key), key.size(), nullptr) != 1 ||
      EVP_MAC_update(context.get(), in(message), message.size()) != 1 ||
      EVP_MAC_final(context.get(), out(tag), &size, tag.size()) != 1)
    return failed("Poly1305 is not available");
  return tag;
}

}  // namespace

Result<std::string> seal_aes_gcm(std::string_view key, std::string_view plain, std::string_view context) {
  const EVP_CIPHER* cipher = aes(key, true);
  const CipherPtr c(EVP_CIPHER_CTX_new());
  std::string sealed = pki::random_bytes(kGcmNonce);
  sealed.resize(kGcmNonce + plain.size() + kTag);
  int n = 0;
  const bool done =
      cipher != nullptr && c && EVP_EncryptInit_ex(c.get(), cipher, nullptr, in(key), out(sealed)) == 1 &&
      EVP_EncryptUpdate(c.get(), nullptr, &n, in(context), length(context)) == 1 &&
      EVP_EncryptUpdate(c.get(), out(sealed, kGcmNonce), &n, in(plain), length(plain)) == 1 &&
      EVP_EncryptFinal_ex(c.get(), out(sealed, kGcmNonce + static_cast<size_t>(n)), &n) == 1 &&
      EVP_CIPHER_CTX_ctrl(c.get(), EVP_CTRL_AEAD_GET_TAG, kTag, out(sealed, kGcmNonce + plain.size())) == 1;
  if (!done) return failed("cannot encrypt with AES-GCM");
  return sealed;
}

Result<std::string> open_aes_gcm(std::string_view key, std::string_view sealed, std::string_view context) {
  const EVP_CIPHER* cipher = aes(key, true);
  const CipherPtr c(EVP_CIPHER_CTX_new());
  if (sealed.size() < kGcmNonce + kTag) return failed("the stored data was shorter than the required size");
  const std::string_view body = sealed.substr(kGcmNonce, sealed.size() - kGcmNonce - kTag);
  std::string tag(sealed.substr(sealed.size() - kTag));
  std::string plain(body.size() + kCbcBlock, '\0');
  int n = 0, rest = 0;
  const bool done = cipher != nullptr && c &&
                    EVP_DecryptInit_ex(c.get(), cipher, nullptr, in(key), in(sealed)) == 1 &&
                    EVP_DecryptUpdate(c.get(), nullptr, &n, in(context), length(context)) == 1 &&
                    EVP_DecryptUpdate(c.get(), out(plain), &n, in(body), length(body)) == 1 &&
                    EVP_CIPHER_CTX_ctrl(c.get(), EVP_CTRL_AEAD_SET_TAG, kTag, tag.data()) == 1 &&
                    EVP_DecryptFinal_ex(c.get(), out(plain, static_cast<size_t>(n)), &rest) == 1;
  if (!done) return failed("cipher: message authentication failed");
  plain.resize(static_cast<size_t>(n) + static_cast<size_t>(rest));
  return plain;
}

Result<std::string> seal_aes_cbc(std::string_view key, std::string_view plain) {
  const EVP_CIPHER* cipher = aes(key, false);
  const CipherPtr c(EVP_CIPHER_CTX_new());
  std::string sealed = pki::random_bytes(kCbcBlock);
  sealed.resize(kCbcBlock + plain.size() + kCbcBlock);
  int n = 0, rest = 0;
  const bool done = cipher != nullptr && c &&
                    EVP_EncryptInit_ex(c.get(), cipher, nullptr, in(key), out(sealed)) == 1 &&
                    EVP_EncryptUpdate(c.get(), out(sealed, kCbcBlock), &n, in(plain), length(plain)) == 1 &&
                    EVP_EncryptFinal_ex(c.get(), out(sealed, kCbcBlock + static_cast<size_t>(n)), &rest) == 1;
  if (!done) return failed("cannot encrypt with AES-CBC");
  sealed.resize(kCbcBlock + static_cast<size_t>(n + rest));
  return sealed;
}

Result<std::string> open_aes_cbc(std::string_view key, std::string_view sealed) {
  const EVP_CIPHER* cipher = aes(key, false);
  const CipherPtr c(EVP_CIPHER_CTX_new());
  if (sealed.size() < 2 * kCbcBlock || sealed.size() % kCbcBlock != 0)
    return failed("the stored data is not a multiple of the block size");
  const std::string_view body = sealed.substr(kCbcBlock);
  std::string plain(body.size() + kCbcBlock, '\0');
  int n = 0, rest = 0;
  const bool done = cipher != nullptr && c &&
                    EVP_DecryptInit_ex(c.get(), cipher, nullptr, in(key), in(sealed)) == 1 &&
                    EVP_DecryptUpdate(c.get(), out(plain), &n, in(body), length(body)) == 1 &&
                    EVP_DecryptFinal_ex(c.get(), out(plain, static_cast<size_t>(n)), &rest) == 1;
  if (!done) return failed("invalid padding on input");
  plain.resize(static_cast<size_t>(n) + static_cast<size_t>(rest));
  return plain;
}

Result<std::string> box(std::string_view key, std::string_view nonce, std::string_view plain) {
  if (key.size() != kBoxKey || nonce.size() != kBoxNonce)
    return failed("secretbox: wrong size of key or nonce");
  const std::string stream =
      salsa(hsalsa(key, nonce.substr(0, 16)), nonce.substr(16), kBoxKey + plain.size());
  std::string body(plain);
  for (size_t i = 0; i < body.size(); ++i) body[i] = static_cast<char>(body[i] ^ stream[kBoxKey + i]);
  auto tag = poly1305(std::string_view(stream).substr(0, kBoxKey), body);
  if (!tag.ok()) return tag;
  return *tag + body;
}

Result<std::string> seal_secretbox(std::string_view key, std::string_view plain) {
  const std::string nonce = pki::random_bytes(kBoxNonce);
  auto boxed = box(key, nonce, plain);
  if (!boxed.ok()) return boxed;
  return nonce + *boxed;
}

Result<std::string> open_secretbox(std::string_view key, std::string_view sealed) {
  if (sealed.size() < kBoxNonce + kTag) return failed("the stored data was shorter than the required size");
  const std::string_view body = sealed.substr(kBoxNonce + kTag);
  // Sealing twice under one nonce gives the message back, and the tag of what was stored.
  auto reversed = box(key, sealed.substr(0, kBoxNonce), body);
  if (!reversed.ok()) return reversed;
  std::string plain = reversed->substr(kTag);
  auto again = box(key, sealed.substr(0, kBoxNonce), plain);
  if (!again.ok()) return again;
  if (!pki::equal_constant_time(*again, sealed.substr(kBoxNonce)))
    return failed("invalid secretbox: message authentication failed");
  return plain;
}

Result<std::string> expand_key(std::string_view seed, std::string_view info, size_t size) {
  const KdfPtr kdf(EVP_KDF_fetch(nullptr, "HKDF", nullptr));
  const KdfContextPtr context(kdf ? EVP_KDF_CTX_new(kdf.get()) : nullptr);
  std::string key(size, '\0'), seed_copy(seed), info_copy(info);
  int mode = EVP_KDF_HKDF_MODE_EXPAND_ONLY;
  char digest[] = "SHA256";
  const OSSL_PARAM parameters[] = {
      OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode),
      OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0),
      OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, seed_copy.data(), seed_copy.size()),
      OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, info_copy.data(), info_copy.size()),
      OSSL_PARAM_construct_end()};
  if (!context || EVP_KDF_derive(context.get(), out(key), key.size(), parameters) != 1)
    return failed("cannot derive a key");
  return key;
}

}  // namespace orch::datastore
