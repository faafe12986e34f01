#include "pki/key_pair.h"

#include <openssl/err.h>
#include <openssl/pem.h>

#include <string_view>
#include <vector>

#include "pki/openssl.h"

namespace orch::pki {
namespace {

struct Block {
  std::string type, der;
};

/// The PEM blocks in a text, whatever stands between them.
std::vector<Block> blocks_of(const std::string& pem) {
  std::vector<Block> out;
  const BioPtr bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  char* name = nullptr;
  char* header = nullptr;
  unsigned char* data = nullptr;
  long size = 0;
  while (PEM_read_bio(bio.get(), &name, &header, &data, &size) == 1) {
    out.push_back({name, std::string(reinterpret_cast<const char*>(data), static_cast<size_t>(size))});
    OPENSSL_free(name);
    OPENSSL_free(header);
    OPENSSL_free(data);
  }
  ERR_clear_error();
  return out;
}

/// As Go prints a list: [A B].
std::string types_of(const std::vector<Block>& blocks) {
  std::string out = "[";
  for (const Block& block : blocks) out += (out.size() > 1 ? " " : "") + block.type;
  return out + "]";
}

bool is_key(const Block& block) {
  return block.type == "PRIVATE KEY" || std::string_view(block.type).ends_with(" PRIVATE KEY");
}

const Block* first(const std::vector<Block>& blocks, bool (*wanted)(const Block&)) {
  for (const Block& block : blocks) {
    if (wanted(block)) return &block;
  }
  return nullptr;
}

std::string missing_certificate(const std::vector<Block>& others) {
  if (others.empty()) return "tls: failed to find any PEM data in certificate input";
  if (others.size() == 1 && std::string_view(others[0].type).ends_with("PRIVATE KEY")) {
    return "tls: failed to find certificate PEM data in certificate input, but did find a private key; PEM "
           "inputs may have been switched";
  }
  return "tls: failed to find \"CERTIFICATE\" PEM block in certificate input after skipping PEM blocks of "
         "the "
         "following types: " +
         types_of(others);
}

std::string missing_key(const std::vector<Block>& others) {
  if (others.empty()) return "tls: failed to find any PEM data in key input";
  if (others.size() == 1 && others[0].type == "CERTIFICATE")
    return "tls: found a certificate rather than a key in the PEM for the private key";
  return "tls: failed to find PEM block with type ending in \"PRIVATE KEY\" in key input after skipping PEM "
         "blocks of the following types: " +
         types_of(others);
}

std::string mismatch(const Block& certificate, const Block& key) {
  const auto* bytes = reinterpret_cast<const unsigned char*>(certificate.der.data());
  const CertPtr x509(d2i_X509(nullptr, &bytes, static_cast<long>(certificate.der.size())));
  if (!x509) return "x509: malformed certificate";
  bytes = reinterpret_cast<const unsigned char*>(key.der.data());
  const KeyPtr own(d2i_AutoPrivateKey(nullptr, &bytes, static_cast<long>(key.der.size())));
  if (!own) return "tls: failed to parse private key";
  const EVP_PKEY* named = X509_get0_pubkey(x509.get());
  if (named == nullptr) return "tls: unknown public key algorithm";
  if (EVP_PKEY_base_id(named) != EVP_PKEY_base_id(own.get()))
    return "tls: private key type does not match public key type";
  return EVP_PKEY_eq(named, own.get()) == 1 ? "" : "tls: private key does not match public key";
}

}  // namespace

std::string key_pair_problem(const std::string& certificate_pem, const std::string& key_pem) {
  const std::vector<Block> certificates = blocks_of(certificate_pem);
  const Block* certificate = first(certificates, [](const Block& b) { return b.type == "CERTIFICATE"; });
  if (certificate == nullptr) return missing_certificate(certificates);
  const std::vector<Block> keys = blocks_of(key_pem);
  const Block* key = first(keys, is_key);
  if (key == nullptr) return missing_key(keys);
  std::string problem = mismatch(*certificate, *key);
  ERR_clear_error();
  return problem;
}

}  // namespace orch::pki
