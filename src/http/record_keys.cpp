#include "http/record_keys.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <string>

namespace orch::http {
namespace {

constexpr size_t kTag = 16;

struct ContextFree {
  void operator()(EVP_CIPHER_CTX* c) const { EVP_CIPHER_CTX_free(c); }
};
struct CipherFree {
  void operator()(EVP_CIPHER* c) const { EVP_CIPHER_free(c); }
};
using Context = std::unique_ptr<EVP_CIPHER_CTX, ContextFree>;

unsigned char* bytes(char* text) { return reinterpret_cast<unsigned char*>(text); }
const unsigned char* bytes(const char* text) { return reinterpret_cast<const unsigned char*>(text); }

/// A suite's cipher. Looked up once: OpenSSL takes longer for that than for a short record.
const EVP_CIPHER* cipher(RecordSuite suite) {
  using Cipher = std::unique_ptr<EVP_CIPHER, CipherFree>;
  static const std::array<Cipher, 3> ciphers = {
      Cipher(EVP_CIPHER_fetch(nullptr, "AES-128-GCM", nullptr)),
      Cipher(EVP_CIPHER_fetch(nullptr, "AES-256-GCM", nullptr)),
      Cipher(EVP_CIPHER_fetch(nullptr, "ChaCha20-Poly1305", nullptr)),
  };
  return ciphers.at(static_cast<size_t>(suite)).get();
}

/// This thread's context of a cipher and direction, with key and nonce set; null when OpenSSL fails.
EVP_CIPHER_CTX* begin(RecordSuite suite, bool seal, const unsigned char* key, const unsigned char* nonce) {
  thread_local std::array<Context, 6> contexts;
  Context& context = contexts.at((static_cast<size_t>(suite) * 2) + (seal ? 1 : 0));
  const EVP_CIPHER* fresh = nullptr;
  if (!context) {
    context.reset(EVP_CIPHER_CTX_new());
    fresh = cipher(suite);
    if (fresh == nullptr) context.reset();
    if (!context) return nullptr;
  }
  if (EVP_CipherInit_ex(context.get(), fresh, nullptr, key, nonce, seal ? 1 : 0) == 1) return context.get();
  context.reset();
  return nullptr;
}

/// HKDF-Expand-Label with an empty context (RFC 8446, section 7.1), for what one hash gives.
void expand_label(RecordSuite suite, const unsigned char* secret, std::string_view label, unsigned char* out,
                  size_t size) {
  const bool sha384 = suite == RecordSuite::kAes256GcmSha384;
  std::string info = {'\0', static_cast<char>(size), static_cast<char>(label.size() + 6)};
  info.append("tls13 ").append(label).push_back('\0');  // an empty context
  info.push_back('\1');                                 // the first block of HKDF-Expand
  std::array<unsigned char, EVP_MAX_MD_SIZE> block;
  HMAC(sha384 ? EVP_sha384() : EVP_sha256(), secret, sha384 ? 48 : 32, bytes(info.data()), info.size(),
       block.data(), nullptr);
  std::copy_n(block.begin(), size, out);
  OPENSSL_cleanse(block.data(), block.size());
}

}  // namespace

std::optional<RecordSuite> record_suite(uint16_t number) {
  switch (number) {
    case 0x1301:
      return RecordSuite::kAes128GcmSha256;
    case 0x1302:
      return RecordSuite::kAes256GcmSha384;
    case 0x1303:
      return RecordSuite::kChaCha20Poly1305Sha256;
    default:
      return std::nullopt;
  }
}

RecordKeys::~RecordKeys() {
  OPENSSL_cleanse(secret_.data(), secret_.size());
  OPENSSL_cleanse(key_.data(), key_.size());
  OPENSSL_cleanse(iv_.data(), iv_.size());
}

size_t RecordKeys::secret_size() const { return suite_ == RecordSuite::kAes256GcmSha384 ? 48 : 32; }
size_t RecordKeys::key_size() const { return suite_ == RecordSuite::kAes128GcmSha256 ? 16 : 32; }

bool RecordKeys::set(RecordSuite suite, std::string_view secret) {
  suite_ = suite;
  if (secret.size() != secret_size()) return false;
  std::memcpy(secret_.data(), secret.data(), secret.size());
  derive();
  return true;
}

void RecordKeys::derive() {
  expand_label(suite_, secret_.data(), "key", key_.data(), key_size());
  expand_label(suite_, secret_.data(), "iv", iv_.data(), iv_.size());
  sequence_ = 0;
}

void RecordKeys::update() {
  expand_label(suite_, secret_.data(), "traffic upd", secret_.data(), secret_size());
  derive();
}

std::array<unsigned char, RecordKeys::kIv> RecordKeys::nonce() const {
  std::array<unsigned char, kIv> out = iv_;
  for (size_t i = 0; i < 8; ++i) out[kIv - 1 - i] ^= static_cast<unsigned char>(sequence_ >> (8 * i));
  return out;
}

size_t RecordKeys::seal(RecordType type, std::string_view content, char* out) {
  const size_t body = content.size() + 1 + kTag;
  unsigned char* to = bytes(out);
  to[0] = static_cast<unsigned char>(RecordType::kApplicationData);
  to[1] = to[2] = 3;
  to[3] = static_cast<unsigned char>(body >> 8);
  to[4] = static_cast<unsigned char>(body);
  const auto kind = static_cast<unsigned char>(type);
  const auto iv = nonce();
  EVP_CIPHER_CTX* context = begin(suite_, true, key_.data(), iv.data());
  unsigned char* sealed = to + kRecordHeader;
  unsigned char* tag = sealed + content.size() + 1;
  int n = 0;
  const bool good = context != nullptr && EVP_EncryptUpdate(context, nullptr, &n, to, kRecordHeader) == 1 &&
                    (content.empty() || EVP_EncryptUpdate(context, sealed, &n, bytes(content.data()),
                                                          static_cast<int>(content.size())) == 1) &&
                    EVP_EncryptUpdate(context, sealed + content.size(), &n, &kind, 1) == 1 &&
                    EVP_EncryptFinal_ex(context, tag, &n) == 1 &&
                    EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, kTag, tag) == 1;
  if (!good) return 0;
  ++sequence_;
  return kRecordHeader + body;
}

RecordKeys::Opened RecordKeys::open(char* record, size_t size) {
  Opened out;
  const auto refuse = [&](Alert alert) {
    out.alert = alert;
    return out;
  };
  if (static_cast<unsigned char>(record[0]) != static_cast<unsigned char>(RecordType::kApplicationData)) {
    return refuse(Alert::kUnexpectedMessage);
  }
  if (size - kRecordHeader > kMaxRecordBody) return refuse(Alert::kRecordOverflow);
  if (size < kRecordOverhead) return refuse(Alert::kBadRecordMac);
  const size_t inner = size - kRecordHeader - kTag;
  unsigned char* body = bytes(record + kRecordHeader);
  const auto iv = nonce();
  EVP_CIPHER_CTX* context = begin(suite_, false, key_.data(), iv.data());
  int n = 0;
  if (context == nullptr || EVP_DecryptUpdate(context, nullptr, &n, bytes(record), kRecordHeader) != 1 ||
      EVP_DecryptUpdate(context, body, &n, body, static_cast<int>(inner)) != 1 ||
      EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, kTag, body + inner) != 1) {
    return refuse(Alert::kInternalError);
  }
  if (EVP_DecryptFinal_ex(context, body + inner, &n) != 1) return refuse(Alert::kBadRecordMac);
  ++sequence_;
  if (inner > kMaxRecordContent + 1) return refuse(Alert::kRecordOverflow);
  // The type is the last byte that is not zero; zeros after it are padding.
  size_t end = inner;
  while (end > 0 && body[end - 1] == 0) --end;
  if (end == 0) return refuse(Alert::kUnexpectedMessage);
  out.type = static_cast<RecordType>(body[end - 1]);
  out.content = std::string_view(record + kRecordHeader, end - 1);
  return out;
}

}  // namespace orch::http
