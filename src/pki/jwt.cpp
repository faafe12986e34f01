// Compact JWS (RFC 7515) with ES256, ES384, ES512 and RS256: the algorithms Kubernetes signs tokens with.
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>

#include <optional>

#include "base/json.h"
#include "pki/openssl.h"
#include "pki/pki.h"

namespace orch::pki {
namespace {

using base::Code;
using base::Result;
using base::Status;

struct Algorithm {
  std::string_view name;   // "alg"
  std::string_view curve;  // "crv", empty for RSA
  size_t number_size;      // bytes of r and of s
  const EVP_MD* (*digest)();
};
constexpr Algorithm kRsa{"RS256", "", 0, EVP_sha256};
constexpr Algorithm kP256{"ES256", "P-256", 32, EVP_sha256};
constexpr Algorithm kP384{"ES384", "P-384", 48, EVP_sha384};
constexpr Algorithm kP521{"ES512", "P-521", 66, EVP_sha512};

const Algorithm* algorithm_of(EVP_PKEY* key) {
  switch (EVP_PKEY_get_base_id(key)) {
    case EVP_PKEY_RSA:
      return &kRsa;
    case EVP_PKEY_EC:
      switch (EVP_PKEY_get_bits(key)) {
        case 256:
          return &kP256;
        case 384:
          return &kP384;
        case 521:
          return &kP521;
        default:
          return nullptr;
      }
    default:
      return nullptr;
  }
}

struct Key {
  KeyPtr key;
  const Algorithm* algorithm = nullptr;
  std::string id;
};

Result<Key> load(const std::string& pem) {
  auto key = read_key(pem);
  if (!key.ok()) return key.error();
  Key out;
  out.algorithm = algorithm_of(key->get());
  if (out.algorithm == nullptr) {
    return Status(Code::kBadRequest, "unknown key type, must be RSA or EC P-256, P-384 or P-521");
  }
  out.id = base64url_encode(sha256(public_der(key->get())));
  out.key = std::move(*key);
  return out;
}

const unsigned char* data_of(std::string_view bytes) {
  return reinterpret_cast<const unsigned char*>(bytes.data());
}

/// ASN.1 ECDSA signature -> r || s.
std::string to_raw(const std::string& der, size_t number_size) {
  const unsigned char* at = data_of(der);
  const OpensslPtr<ECDSA_SIG, ECDSA_SIG_free> sig(d2i_ECDSA_SIG(nullptr, &at, static_cast<long>(der.size())));
  if (!sig) return {};
  std::string out(number_size * 2, '\0');
  auto* bytes = reinterpret_cast<unsigned char*>(out.data());
  BN_bn2binpad(ECDSA_SIG_get0_r(sig.get()), bytes, static_cast<int>(number_size));
  BN_bn2binpad(ECDSA_SIG_get0_s(sig.get()), bytes + number_size, static_cast<int>(number_size));
  return out;
}

/// The inverse; empty when the length is wrong.
std::string to_der(std::string_view raw, size_t number_size) {
  if (raw.size() != number_size * 2) return {};
  const OpensslPtr<ECDSA_SIG, ECDSA_SIG_free> sig(ECDSA_SIG_new());
  BIGNUM* r = BN_bin2bn(data_of(raw), static_cast<int>(number_size), nullptr);
  BIGNUM* s = BN_bin2bn(data_of(raw) + number_size, static_cast<int>(number_size), nullptr);
  ECDSA_SIG_set0(sig.get(), r, s);
  unsigned char* der = nullptr;
  const int size = i2d_ECDSA_SIG(sig.get(), &der);
  if (size <= 0) return {};
  std::string out(reinterpret_cast<char*>(der), static_cast<size_t>(size));
  OPENSSL_free(der);
  return out;
}

bool verify_with(const Key& key, std::string_view signed_part, std::string_view signature) {
  std::string der;
  if (key.algorithm->number_size > 0) {
    der = to_der(signature, key.algorithm->number_size);
    signature = der;
  }
  const DigestPtr context(EVP_MD_CTX_new());
  const bool good =
      !signature.empty() &&
      EVP_DigestVerifyInit(context.get(), nullptr, key.algorithm->digest(), nullptr, key.key.get()) == 1 &&
      EVP_DigestVerify(context.get(), data_of(signature), signature.size(), data_of(signed_part),
                       signed_part.size()) == 1;
  ERR_clear_error();
  return good;
}

struct Parts {
  std::string_view header, payload, signature, signed_part;
};

std::optional<Parts> split(std::string_view token) {
  const size_t first = token.find('.');
  if (first == std::string_view::npos) return std::nullopt;
  const size_t second = token.find('.', first + 1);
  if (second == std::string_view::npos || token.find('.', second + 1) != std::string_view::npos) {
    return std::nullopt;
  }
  return Parts{token.substr(0, first), token.substr(first + 1, second - first - 1), token.substr(second + 1),
               token.substr(0, second)};
}

/// A big-endian number of a key, at least `size` bytes long.
std::string number(EVP_PKEY* key, const char* name, size_t size) {
  BIGNUM* raw = nullptr;
  if (EVP_PKEY_get_bn_param(key, name, &raw) != 1) return {};
  const BignumPtr value(raw);
  std::string out(std::max(size, static_cast<size_t>(BN_num_bytes(value.get()))), '\0');
  BN_bn2binpad(value.get(), reinterpret_cast<unsigned char*>(out.data()), static_cast<int>(out.size()));
  return out;
}

}  // namespace

struct JwtVerifier::Rep {
  std::vector<Key> keys;
};

Result<JwtVerifier> JwtVerifier::make(const std::vector<std::string>& keys_pem) {
  auto rep = std::make_shared<Rep>();
  for (const auto& pem : keys_pem) {
    auto key = load(pem);
    if (!key.ok()) return key.error();
    rep->keys.push_back(std::move(*key));
  }
  JwtVerifier out;
  out.rep_ = std::move(rep);
  return out;
}

Result<std::string> JwtVerifier::verify(std::string_view token) const {
  const auto refused = [](std::string_view why) { return Status(Code::kUnauthorized, std::string(why)); };
  const auto parts = split(token);
  if (!parts) return refused("compact JWS format must have three parts");
  auto header_text = base64url_decode(parts->header);
  auto payload = base64url_decode(parts->payload);
  auto signature = base64url_decode(parts->signature);
  if (!header_text.ok() || !payload.ok() || !signature.ok()) return refused("malformed token");
  auto header = base::parse_json(*header_text, {.max_depth = 8});
  if (!header.ok() || !header->is_object()) return refused("malformed token header");
  // Extensions we do not know must be understood by the reader (RFC 7515, 4.1.11): we know none.
  if (header->contains("crit")) return refused("unsupported critical header");
  const std::string_view algorithm = base::string_at(*header, {"alg"});
  const std::string_view id = base::string_at(*header, {"kid"});
  for (const auto& key : rep_->keys) {
    if (key.algorithm->name != algorithm || (!id.empty() && id != key.id)) continue;
    if (verify_with(key, parts->signed_part, *signature)) return std::move(*payload);
  }
  return refused("invalid signature, no keys found");
}

Result<std::string> verify_jwt(const std::vector<std::string>& keys_pem, std::string_view token) {
  auto verifier = JwtVerifier::make(keys_pem);
  if (!verifier.ok()) return verifier.error();
  return verifier->verify(token);
}

Result<std::string> sign_jwt(const std::string& key_pem, std::string_view payload_json) {
  auto key = load(key_pem);
  if (!key.ok()) return key.error();
  const std::string header = base::cat(R"({"alg":")", key->algorithm->name, R"(","kid":")", key->id, R"("})");
  std::string out = base::cat(base64url_encode(header), ".", base64url_encode(payload_json));
  const DigestPtr context(EVP_MD_CTX_new());
  std::string signature(static_cast<size_t>(EVP_PKEY_get_size(key->key.get())), '\0');
  size_t size = signature.size();
  if (EVP_DigestSignInit(context.get(), nullptr, key->algorithm->digest(), nullptr, key->key.get()) != 1 ||
      EVP_DigestSign(context.get(), reinterpret_cast<unsigned char*>(signature.data()), &size, data_of(out),
                     out.size()) != 1) {
    return openssl_error(Code::kBadRequest, "signing the token");
  }
  signature.resize(size);
  if (key->algorithm->number_size > 0) signature = to_raw(signature, key->algorithm->number_size);
  out += '.';
  out += base64url_encode(signature);
  return out;
}

Result<std::string> peek_jwt(std::string_view token) {
  const auto parts = split(token);
  if (!parts) return Status(Code::kBadRequest, "not a JWT");
  auto payload = base64url_decode(parts->payload);
  if (!payload.ok()) return Status(Code::kBadRequest, "not a JWT");
  return payload;
}

Result<std::string> key_id(const std::string& key_pem) {
  auto key = load(key_pem);
  if (!key.ok()) return key.error();
  return std::move(key->id);
}

Result<std::string> public_jwk(const std::string& key_pem) {
  auto key = load(key_pem);
  if (!key.ok()) return key.error();
  const Algorithm& algorithm = *key->algorithm;
  EVP_PKEY* raw = key->key.get();
  std::string out = base::cat(R"({"use":"sig","kty":")", algorithm.curve.empty() ? "RSA" : "EC",
                              R"(","kid":")", key->id, R"(",)");
  if (algorithm.curve.empty()) {
    out += base::cat(R"("alg":"RS256","n":")", base64url_encode(number(raw, OSSL_PKEY_PARAM_RSA_N, 0)),
                     R"(","e":")", base64url_encode(number(raw, OSSL_PKEY_PARAM_RSA_E, 0)), "\"}");
  } else {
    out += base::cat(R"("crv":")", algorithm.curve, R"(","alg":")", algorithm.name, R"(","x":")",
                     base64url_encode(number(raw, OSSL_PKEY_PARAM_EC_PUB_X, algorithm.number_size)),
                     R"(","y":")",
                     base64url_encode(number(raw, OSSL_PKEY_PARAM_EC_PUB_Y, algorithm.number_size)), "\"}");
  }
  return out;
}

}  // namespace orch::pki
