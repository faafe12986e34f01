// Keys, X.509 certificates and token signatures, over OpenSSL. Everything is PEM or plain bytes; no OpenSSL
// type leaves this folder. All functions are thread-safe.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/status.h"

namespace orch::pki {

struct KeyPair {
  std::string certificate_pem;
  std::string key_pem;
};

struct CertificateRequest {
  std::string common_name;
  std::vector<std::string> organizations;
  std::vector<std::string> dns_names;
  std::vector<std::string> ip_addresses;
  bool server = false;  // extended key usages
  bool client = false;
  std::chrono::seconds lifetime = std::chrono::hours(24 * 365);
};

/// EC P-256 private key, PKCS#8 PEM.
std::string generate_key();
/// Self-signed CA, 10 years.
base::Result<KeyPair> make_ca(const std::string& common_name, base::WallTime now);
/// A key and a certificate signed by `ca`. notBefore is an hour before `now` (clocks of edge machines).
base::Result<KeyPair> issue(const KeyPair& ca, const CertificateRequest& request, base::WallTime now);
/// PKCS#10 request for an existing key, and signing one under a CA.
base::Result<std::string> make_csr(const std::string& key_pem, const CertificateRequest& request);
base::Result<std::string> sign_csr(const KeyPair& ca, const std::string& csr_pem,
                                   const CertificateRequest& granted, base::WallTime now);

struct CertificateInfo {
  std::string common_name;
  std::vector<std::string> organizations, dns_names, ip_addresses, email_addresses, uris;
  base::WallTime not_before, not_after;
  bool is_ca = false;
};
base::Result<CertificateInfo> parse_certificate(const std::string& pem);
/// When a certificate that was issued here should be replaced: two thirds of its life after it was issued.
base::WallTime renewal_time(const CertificateInfo& info);
/// The same for a request: subject and alternative names, signature checked.
base::Result<CertificateInfo> parse_csr(const std::string& csr_pem);

/// The public half of a private key (or of a public key, unchanged in meaning) as "PUBLIC KEY" PEM.
base::Result<std::string> public_key(const std::string& key_pem);

/// Hex SHA-256; of a PEM certificate's DER form for ca_hash (the K10 token form).
std::string sha256_hex(std::string_view bytes);
base::Result<std::string> ca_hash(const std::string& certificate_pem);

/// Compact JWS (ES256 for EC keys, RS256 for RSA) over a JSON payload; key id as Kubernetes derives it.
base::Result<std::string> sign_jwt(const std::string& key_pem, std::string_view payload_json);
/// Payload JSON if the signature verifies under one of the keys (private or public PEM); kUnauthorized else.
/// Expiry and audience are the caller's to judge. Parses the keys anew; see JwtVerifier.
base::Result<std::string> verify_jwt(const std::vector<std::string>& keys_pem, std::string_view token);

/// verify_jwt with the keys parsed once, for the path of every request. Immutable, thread-safe.
class JwtVerifier {
 public:
  /// kBadRequest when a key is not PEM of an EC (P-256, P-384, P-521) or RSA key.
  static base::Result<JwtVerifier> make(const std::vector<std::string>& keys_pem);
  base::Result<std::string> verify(std::string_view token) const;

 private:
  struct Rep;
  std::shared_ptr<const Rep> rep_;
};

/// "kid" of tokens signed with this key: base64url SHA-256 of the public key's DER form.
base::Result<std::string> key_id(const std::string& key_pem);
/// RFC 7517 JSON of the public key ("use": "sig", "kty", "kid", "alg" and numbers), for /openid/v1/jwks.
base::Result<std::string> public_jwk(const std::string& key_pem);
/// Payload without any verification (to look at the issuer); kBadRequest if it is not a JWT.
base::Result<std::string> peek_jwt(std::string_view token);

std::string random_bytes(size_t n);
/// Lower-case letters and digits, from the system's generator.
std::string random_token(size_t length);
/// Standard alphabet with padding (RFC 4648, section 4). Decoding skips line breaks, as Go's decoder does;
/// anything else that does not belong is kBadRequest.
std::string base64_encode(std::string_view bytes);
base::Result<std::string> base64_decode(std::string_view text);
/// URL alphabet without padding, as in JWTs.
std::string base64url_encode(std::string_view bytes);
base::Result<std::string> base64url_decode(std::string_view text);
/// Random version-4 UUID text.
std::string make_uuid();
/// Comparison in constant time.
bool equal_constant_time(std::string_view a, std::string_view b);

}  // namespace orch::pki
