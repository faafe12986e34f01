#include "pki/pki.h"

#include <openssl/pem.h>
#include <openssl/rsa.h>

#include "base/json.h"
#include "pki/key_pair.h"
#include "pki/openssl.h"
#include "tests/catch.h"

namespace {

using namespace orch;
using base::Code;
using base::WallTime;

const WallTime kNow(std::chrono::seconds(1767225600));

TEST_CASE("a certificate and its key, or what is wrong with them") {
  const auto ca = pki::make_ca("a", kNow);
  const auto other = pki::make_ca("b", kNow);
  REQUIRE(ca.ok());
  REQUIRE(other.ok());
  const std::string& cert = ca->certificate_pem;
  const std::string& key = ca->key_pem;
  const std::string odd = "-----BEGIN ODD-----\nAAEC\n-----END ODD-----\n";
  const std::string empty_cert = "-----BEGIN CERTIFICATE-----\nAAEC\n-----END CERTIFICATE-----\n";
  const std::string empty_key = "-----BEGIN PRIVATE KEY-----\nAAEC\n-----END PRIVATE KEY-----\n";
  struct Row {
    std::string certificate, key, problem;
  };
  const Row rows[] = {
      {cert, key, ""},
      {odd + cert + other->certificate_pem, "text\n" + odd + key, ""},
      {"", key, "tls: failed to find any PEM data in certificate input"},
      {key, key,
       "tls: failed to find certificate PEM data in certificate input, but did find a private key; PEM "
       "inputs "
       "may have been switched"},
      {odd + key, key,
       "tls: failed to find \"CERTIFICATE\" PEM block in certificate input after skipping PEM blocks of the "
       "following types: [ODD PRIVATE KEY]"},
      {cert, "x", "tls: failed to find any PEM data in key input"},
      {cert, cert, "tls: found a certificate rather than a key in the PEM for the private key"},
      {cert, odd + odd,
       "tls: failed to find PEM block with type ending in \"PRIVATE KEY\" in key input after skipping PEM "
       "blocks of the following types: [ODD ODD]"},
      {empty_cert, key, "x509: malformed certificate"},
      {cert, empty_key, "tls: failed to parse private key"},
      {cert, other->key_pem, "tls: private key does not match public key"},
  };
  for (const Row& row : rows) {
    INFO(row.problem);
    CHECK(pki::key_pair_problem(row.certificate, row.key) == row.problem);
  }
}

TEST_CASE("encodings round-trip and refuse what does not belong") {
  struct Row {
    std::string bytes, standard, url;
  };
  const Row rows[] = {
      {"", "", ""},
      {"f", "Zg==", "Zg"},
      {"fo", "Zm8=", "Zm8"},
      {"foo", "Zm9v", "Zm9v"},
      {"foob", "Zm9vYg==", "Zm9vYg"},
      {"\xfb\xff\xfe", "+//+", "-__-"},
      {std::string("\0\0", 2), "AAA=", "AAA"},
  };
  for (const auto& row : rows) {
    CAPTURE(row.standard);
    CHECK(pki::base64_encode(row.bytes) == row.standard);
    CHECK(pki::base64url_encode(row.bytes) == row.url);
    REQUIRE(pki::base64_decode(row.standard).ok());
    CHECK(*pki::base64_decode(row.standard) == row.bytes);
    REQUIRE(pki::base64url_decode(row.url).ok());
    CHECK(*pki::base64url_decode(row.url) == row.bytes);
  }
  CHECK(*pki::base64_decode("Zm9v\r\nYmFy\n") == "foobar");
  for (const char* bad : {"Z", "Zg", "Zg=", "Zg===", "=", "Zm=v", "Zm9v!", "-__-", "Zm8=Zm8="}) {
    CAPTURE(bad);
    CHECK(pki::base64_decode(bad).status().code() == Code::kBadRequest);
  }
  for (const char* bad : {"Z", "Zg==", "+//+", "Zm 9v"}) {
    CAPTURE(bad);
    CHECK(pki::base64url_decode(bad).status().code() == Code::kBadRequest);
  }
}

TEST_CASE("random values have their form and do not repeat") {
  CHECK(pki::random_bytes(33).size() == 33);
  CHECK(pki::random_bytes(16) != pki::random_bytes(16));
  const std::string token = pki::random_token(500);
  CHECK(token.size() == 500);
  CHECK(token.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789") == std::string::npos);
  const std::string uuid = pki::make_uuid();
  REQUIRE(uuid.size() == 36);
  CHECK(uuid[14] == '4');
  CHECK(std::string("89ab").find(uuid[19]) != std::string::npos);
  CHECK(uuid != pki::make_uuid());
  CHECK(pki::equal_constant_time("abc", "abc"));
  CHECK_FALSE(pki::equal_constant_time("abc", "abd"));
  CHECK_FALSE(pki::equal_constant_time("abc", "abcd"));
  CHECK(pki::sha256_hex("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST_CASE("a CA issues certificates that say what was asked") {
  const auto ca = pki::make_ca("orch-server-ca", kNow);
  REQUIRE(ca.ok());
  const auto ca_info = pki::parse_certificate(ca->certificate_pem);
  REQUIRE(ca_info.ok());
  CHECK(ca_info->is_ca);
  CHECK(ca_info->common_name == "orch-server-ca");
  CHECK(ca_info->not_before == kNow - std::chrono::hours(1));
  CHECK(ca_info->not_after == kNow + std::chrono::hours(24 * 3652));
  CHECK(pki::ca_hash(ca->certificate_pem)->size() == 64);

  pki::CertificateRequest request;
  request.common_name = "system:node:eins";
  request.organizations = {"system:nodes", "zweite"};
  request.dns_names = {"eins", "eins.example"};
  request.ip_addresses = {"10.0.0.7", "fd00::7"};
  request.server = request.client = true;
  const auto leaf = pki::issue(*ca, request, kNow);
  REQUIRE(leaf.ok());
  const auto info = pki::parse_certificate(leaf->certificate_pem);
  REQUIRE(info.ok());
  CHECK(info->common_name == "system:node:eins");
  CHECK(info->organizations == request.organizations);
  CHECK(info->dns_names == request.dns_names);
  CHECK(info->ip_addresses == request.ip_addresses);
  CHECK_FALSE(info->is_ca);
  CHECK(info->not_before == kNow - std::chrono::hours(1));
  CHECK(info->not_after == kNow + std::chrono::hours(24 * 365));

  request.ip_addresses = {"10.0.0.777"};
  CHECK(pki::issue(*ca, request, kNow).status().code() == Code::kBadRequest);
  const pki::KeyPair mixed{ca->certificate_pem, pki::generate_key()};
  request.ip_addresses.clear();
  CHECK(pki::issue(mixed, request, kNow).status().code() == Code::kBadRequest);
}

TEST_CASE("requests carry a subject and are granted as the signer decides") {
  const auto ca = pki::make_ca("ca", kNow);
  const std::string key = pki::generate_key();
  CHECK_THAT(key, testing::contains("BEGIN PRIVATE KEY"));
  pki::CertificateRequest asked;
  asked.common_name = "system:node:eins";
  asked.organizations = {"system:nodes"};
  asked.dns_names = {"eins"};
  asked.ip_addresses = {"10.0.0.7"};
  const auto csr = pki::make_csr(key, asked);
  REQUIRE(csr.ok());
  const auto seen = pki::parse_csr(*csr);
  REQUIRE(seen.ok());
  CHECK(seen->common_name == "system:node:eins");
  CHECK(seen->organizations == asked.organizations);
  CHECK(seen->dns_names == asked.dns_names);
  CHECK(seen->ip_addresses == asked.ip_addresses);

  pki::CertificateRequest granted;
  granted.common_name = "other";
  granted.client = true;
  granted.lifetime = std::chrono::hours(2);
  const auto certificate = pki::sign_csr(*ca, *csr, granted, kNow);
  REQUIRE(certificate.ok());
  const auto info = pki::parse_certificate(*certificate);
  CHECK(info->common_name == "other");
  CHECK(info->dns_names.empty());
  CHECK(info->not_after == kNow + std::chrono::hours(2));
  CHECK(*pki::public_key(*certificate) == *pki::public_key(key));

  std::string tampered = *csr;
  const size_t middle = tampered.size() / 2;
  tampered[middle] = tampered[middle] == 'A' ? 'B' : 'A';
  CHECK(pki::parse_csr(tampered).status().code() == Code::kBadRequest);
}

TEST_CASE("garbage is refused, not crashed on") {
  const std::string long_lines(100000, 'A');
  const std::string rows[] = {"",
                              "x",
                              "-----BEGIN CERTIFICATE-----\n",
                              "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
                              "-----BEGIN PRIVATE KEY-----\n" + long_lines + "\n-----END PRIVATE KEY-----\n",
                              "-----BEGIN CERTIFICATE REQUEST-----\n-----END CERTIFICATE REQUEST-----\n",
                              std::string("\0\0\0", 3)};
  for (const auto& row : rows) {
    CHECK_FALSE(pki::parse_certificate(row).ok());
    CHECK_FALSE(pki::parse_csr(row).ok());
    CHECK_FALSE(pki::ca_hash(row).ok());
    CHECK_FALSE(pki::public_key(row).ok());
    CHECK_FALSE(pki::sign_jwt(row, "{}").ok());
    CHECK_FALSE(pki::make_csr(row, {}).ok());
    CHECK_FALSE(pki::issue({row, row}, {}, kNow).ok());
  }
}

std::string pem_of(EVP_PKEY* key) {
  const pki::KeyPtr owner(key);
  const pki::BioPtr bio(BIO_new(BIO_s_mem()));
  PEM_write_bio_PKCS8PrivateKey(bio.get(), key, nullptr, nullptr, 0, nullptr, nullptr);
  return pki::drain(bio.get());
}

TEST_CASE("tokens verify under their key and no other") {
  const std::string payload = R"({"iss":"https://kubernetes.default.svc","sub":"x"})";
  const std::string keys[] = {pki::generate_key(), pem_of(EVP_RSA_gen(2048)), pem_of(EVP_EC_gen("P-384"))};
  const char* algorithms[] = {"ES256", "RS256", "ES384"};
  for (size_t i = 0; i < 3; ++i) {
    CAPTURE(algorithms[i]);
    const auto token = pki::sign_jwt(keys[i], payload);
    REQUIRE(token.ok());
    CHECK(*pki::peek_jwt(*token) == payload);
    const auto verified = pki::verify_jwt({keys[(i + 1) % 3], *pki::public_key(keys[i])}, *token);
    REQUIRE(verified.ok());
    CHECK(*verified == payload);
    CHECK(pki::verify_jwt({keys[(i + 1) % 3]}, *token).status().code() == Code::kUnauthorized);
    const auto header = base::parse_json(*pki::base64url_decode(token->substr(0, token->find('.'))));
    CHECK(base::string_at(*header, {"alg"}) == algorithms[i]);
    CHECK(base::string_at(*header, {"kid"}) == *pki::key_id(keys[i]));
    const auto jwk = base::parse_json(*pki::public_jwk(keys[i]));
    REQUIRE(jwk.ok());
    CHECK(base::string_at(*jwk, {"alg"}) == algorithms[i]);
    CHECK(base::string_at(*jwk, {"kid"}) == *pki::key_id(keys[i]));
    CHECK(base::string_at(*jwk, {"kty"}) == (i == 1 ? "RSA" : "EC"));
  }
}

TEST_CASE("forged and malformed tokens are unauthorized") {
  const std::string key = pki::generate_key();
  const std::string token = *pki::sign_jwt(key, R"({"sub":"a"})");
  const size_t dot = token.find('.'), last = token.rfind('.');
  const std::string payload = token.substr(dot + 1, last - dot - 1);
  const std::string signature = token.substr(last + 1);
  const auto with_header = [&](const std::string& header) {
    return pki::base64url_encode(header) + "." + payload + "." + signature;
  };
  const std::string rows[] = {
      "",
      ".",
      "..",
      "a.b",
      "a.b.c.d",
      token + ".",
      token + "=",
      token.substr(0, last + 1),
      token.substr(0, last),
      with_header(R"({"alg":"none"})"),
      with_header(R"({"alg":"HS256"})"),
      with_header(R"({"alg":"RS256"})"),
      with_header(R"({"alg":"ES256","crit":["x"]})"),
      with_header(R"({"alg":5})"),
      with_header("[]"),
      with_header(std::string(10000, '[')),
      token.substr(0, dot + 1) + pki::base64url_encode(R"({"sub":"b"})") + "." + signature,
      token.substr(0, last + 1) + pki::base64url_encode(std::string(64, '\0')),
      token.substr(0, last + 1) + pki::base64url_encode(std::string(63, '\1')),
  };
  for (const auto& row : rows) {
    CAPTURE(row);
    CHECK(pki::verify_jwt({key}, row).status().code() == Code::kUnauthorized);
  }
  CHECK(pki::peek_jwt("a.b").status().code() == Code::kBadRequest);
  CHECK(pki::JwtVerifier::make({"junk"}).status().code() == Code::kBadRequest);
}

}  // namespace
