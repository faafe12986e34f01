#include "pki/jwk.h"

#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>

#include <algorithm>

#include "base/json.h"
#include "base/status.h"
#include "pki/openssl.h"
#include "pki/pki.h"

namespace orch::pki {

using base::Code;
using base::Result;
using base::Status;

namespace {

using BuilderPtr = OpensslPtr<OSSL_PARAM_BLD, OSSL_PARAM_BLD_free>;
using ParamsPtr = OpensslPtr<OSSL_PARAM, OSSL_PARAM_free>;
using ContextPtr = OpensslPtr<EVP_PKEY_CTX, EVP_PKEY_CTX_free>;
using SignaturePtr = OpensslPtr<ECDSA_SIG, ECDSA_SIG_free>;

const unsigned char* bytes_of(std::string_view s) { return reinterpret_cast<const unsigned char*>(s.data()); }

std::string member(const Json& key, const char* name) {
  auto value = base64url_decode(base::string_at(key, {name}));
  return value.ok() ? std::move(*value) : std::string();
}

BignumPtr number(const std::string& bytes) {
  return BignumPtr(BN_bin2bn(bytes_of(bytes), static_cast<int>(bytes.size()), nullptr));
}

KeyPtr from_parameters(const char* type, OSSL_PARAM_BLD* builder) {
  const ParamsPtr params(OSSL_PARAM_BLD_to_param(builder));
  const ContextPtr context(EVP_PKEY_CTX_new_from_name(nullptr, type, nullptr));
  EVP_PKEY* key = nullptr;
  if (!params || !context || EVP_PKEY_fromdata_init(context.get()) != 1 ||
      EVP_PKEY_fromdata(context.get(), &key, EVP_PKEY_PUBLIC_KEY, params.get()) != 1)
    ERR_clear_error();
  return KeyPtr(key);
}

KeyPtr rsa_key(const Json& jwk) {
  const std::string n = member(jwk, "n"), e = member(jwk, "e");
  if (n.size() < 128 || e.empty()) return nullptr;  // weaker than 1024 bits is none
  const BuilderPtr builder(OSSL_PARAM_BLD_new());
  const BignumPtr modulus = number(n), exponent = number(e);
  OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_N, modulus.get());
  OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_E, exponent.get());
  return from_parameters("RSA", builder.get());
}

struct Curve {
  std::string_view name;
  const char* group;
  size_t size;  // of a coordinate
};
constexpr Curve kCurves[] = {
    {"P-256", "prime256v1", 32}, {"P-384", "secp384r1", 48}, {"P-521", "secp521r1", 66}};

KeyPtr ec_key(const Json& jwk) {
  const std::string_view name = base::string_at(jwk, {"crv"});
  const std::string x = member(jwk, "x"), y = member(jwk, "y");
  for (const Curve& curve : kCurves) {
    if (curve.name != name || x.size() != curve.size || y.size() != curve.size) continue;
    const std::string point = base::cat("\x04", x, y);
    const BuilderPtr builder(OSSL_PARAM_BLD_new());
    OSSL_PARAM_BLD_push_utf8_string(builder.get(), OSSL_PKEY_PARAM_GROUP_NAME, curve.group, 0);
    OSSL_PARAM_BLD_push_octet_string(builder.get(), OSSL_PKEY_PARAM_PUB_KEY, point.data(), point.size());
    return from_parameters("EC", builder.get());
  }
  return nullptr;
}

struct Algorithm {
  std::string_view name;
  const EVP_MD* (*digest)();
  bool pss;
  int curve_bits;  // 0: RSA
  size_t number_size;
};
constexpr Algorithm kAlgorithms[] = {
    {"RS256", EVP_sha256, false, 0, 0},    {"RS384", EVP_sha384, false, 0, 0},
    {"RS512", EVP_sha512, false, 0, 0},    {"PS256", EVP_sha256, true, 0, 0},
    {"PS384", EVP_sha384, true, 0, 0},     {"PS512", EVP_sha512, true, 0, 0},
    {"ES256", EVP_sha256, false, 256, 32}, {"ES384", EVP_sha384, false, 384, 48},
    {"ES512", EVP_sha512, false, 521, 66}};

/// r || s as ASN.1; empty when the length is wrong.
std::string ecdsa_der(std::string_view raw, size_t size) {
  if (raw.size() != 2 * size) return {};
  const SignaturePtr signature(ECDSA_SIG_new());
  ECDSA_SIG_set0(signature.get(), BN_bin2bn(bytes_of(raw), static_cast<int>(size), nullptr),
                 BN_bin2bn(bytes_of(raw) + size, static_cast<int>(size), nullptr));
  unsigned char* der = nullptr;
  const int n = i2d_ECDSA_SIG(signature.get(), &der);
  if (n <= 0) return {};
  std::string out(reinterpret_cast<char*>(der), static_cast<size_t>(n));
  OPENSSL_free(der);
  return out;
}

bool verifies(EVP_PKEY* key, const Algorithm& a, std::string_view text, const std::string& signature) {
  const bool rsa = EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA;
  if (rsa != (a.curve_bits == 0) || (!rsa && EVP_PKEY_get_bits(key) != a.curve_bits)) return false;
  const std::string given = rsa ? signature : ecdsa_der(signature, a.number_size);
  const DigestPtr context(EVP_MD_CTX_new());
  EVP_PKEY_CTX* inner = nullptr;
  bool good = !given.empty() && EVP_DigestVerifyInit(context.get(), &inner, a.digest(), nullptr, key) == 1;
  if (good && a.pss) {
    good = EVP_PKEY_CTX_set_rsa_padding(inner, RSA_PKCS1_PSS_PADDING) == 1 &&
           EVP_PKEY_CTX_set_rsa_pss_saltlen(inner, RSA_PSS_SALTLEN_DIGEST) == 1;
  }
  good = good &&
         EVP_DigestVerify(context.get(), bytes_of(given), given.size(), bytes_of(text), text.size()) == 1;
  ERR_clear_error();
  return good;
}

}  // namespace

struct JwkSet::Rep {
  struct Key {
    std::string id;
    KeyPtr key;
  };
  std::vector<Key> keys;
};

Result<JwkSet> JwkSet::parse(std::string_view json) {
  auto tree = base::parse_json(json);
  if (!tree.ok() || !tree->is_object() || !tree->contains("keys"))
    return Status(Code::kBadRequest, "not a JSON Web Key Set");
  auto rep = std::make_shared<Rep>();
  for (const Json& jwk : base::array_at(*tree, {"keys"})) {
    const std::string_view use = base::string_at(jwk, {"use"}, "sig"), type = base::string_at(jwk, {"kty"});
    if (use != "sig") continue;
    KeyPtr key = type == "RSA" ? rsa_key(jwk) : type == "EC" ? ec_key(jwk) : nullptr;
    if (key) rep->keys.push_back({std::string(base::string_at(jwk, {"kid"})), std::move(key)});
  }
  JwkSet out;
  out.rep_ = std::move(rep);
  return out;
}

Result<std::string> JwkSet::verify(std::string_view token, const std::vector<std::string>& algorithms) const {
  const auto refused = [](std::string_view why) { return Status(Code::kUnauthorized, std::string(why)); };
  const size_t first = token.find('.'), second = token.rfind('.');
  if (first == std::string_view::npos || second == first || token.find('.', first + 1) != second)
    return refused("compact JWS format must have three parts");
  auto header_text = base64url_decode(token.substr(0, first));
  auto payload = base64url_decode(token.substr(first + 1, second - first - 1));
  auto signature = base64url_decode(token.substr(second + 1));
  if (!header_text.ok() || !payload.ok() || !signature.ok()) return refused("malformed token");
  auto header = base::parse_json(*header_text, {.max_depth = 8});
  if (!header.ok() || !header->is_object() || header->contains("crit"))
    return refused("malformed token header");
  const std::string_view name = base::string_at(*header, {"alg"}), id = base::string_at(*header, {"kid"});
  const auto* algorithm = std::find_if(std::begin(kAlgorithms), std::end(kAlgorithms),
                                       [&](const Algorithm& a) { return a.name == name; });
  if (algorithm == std::end(kAlgorithms) ||
      std::find(algorithms.begin(), algorithms.end(), name) == algorithms.end())
    return refused(base::cat("id token signed with unsupported algorithm, got ", name));
  for (const Rep::Key& key : rep_->keys) {
    if (!id.empty() && key.id != id) continue;
    if (verifies(key.key.get(), *algorithm, token.substr(0, second), *signature)) return std::move(*payload);
  }
  return refused("failed to verify signature: no key found");
}

}  // namespace orch::pki
