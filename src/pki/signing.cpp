#include "pki/signing.h"

#include <openssl/err.h>
#include <openssl/pem.h>

#include <ctime>

#include "pki/openssl.h"

namespace orch::pki {

using base::Code;
using base::Result;
using base::Status;

namespace {

using UsagesPtr = OpensslPtr<EXTENDED_KEY_USAGE, EXTENDED_KEY_USAGE_free>;
using BitsPtr = OpensslPtr<ASN1_BIT_STRING, ASN1_BIT_STRING_free>;

bool set_time(ASN1_TIME* out, base::WallTime t) {
  return ASN1_TIME_set(out, std::chrono::floor<std::chrono::seconds>(t).time_since_epoch().count()) !=
         nullptr;
}

bool add_usages(X509* leaf, const SigningPolicy& policy) {
  if (policy.key_usage != 0) {
    const BitsPtr bits(ASN1_BIT_STRING_new());
    for (int bit = 0; bit < 9; ++bit) {
      if ((policy.key_usage >> bit & 1U) != 0) ASN1_BIT_STRING_set_bit(bits.get(), bit, 1);
    }
    if (X509_add1_ext_i2d(leaf, NID_key_usage, bits.get(), 1, X509V3_ADD_DEFAULT) != 1) return false;
  }
  if (policy.extended_usage.empty()) return true;
  const UsagesPtr usages(sk_ASN1_OBJECT_new_null());
  for (const std::string& oid : policy.extended_usage) {
    ASN1_OBJECT* object = OBJ_txt2obj(oid.c_str(), 1);
    if (object == nullptr || sk_ASN1_OBJECT_push(usages.get(), object) == 0) return false;
  }
  return X509_add1_ext_i2d(leaf, NID_ext_key_usage, usages.get(), 0, X509V3_ADD_DEFAULT) == 1;
}

/// The names of the request that a certificate may carry.
bool add_names(X509* leaf, X509_REQ* csr) {
  STACK_OF(X509_EXTENSION)* extensions = X509_REQ_get_extensions(csr);
  const NamesPtr asked(
      static_cast<GENERAL_NAMES*>(X509V3_get_d2i(extensions, NID_subject_alt_name, nullptr, nullptr)));
  sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
  const NamesPtr names(GENERAL_NAMES_new());
  for (int i = 0; asked && i < sk_GENERAL_NAME_num(asked.get()); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(asked.get(), i);
    if (name->type != GEN_DNS && name->type != GEN_EMAIL && name->type != GEN_URI && name->type != GEN_IPADD)
      continue;
    sk_GENERAL_NAME_push(names.get(), GENERAL_NAME_dup(name));
  }
  if (sk_GENERAL_NAME_num(names.get()) == 0) return true;
  const int critical = X509_NAME_entry_count(X509_get_subject_name(leaf)) == 0 ? 1 : 0;
  return X509_add1_ext_i2d(leaf, NID_subject_alt_name, names.get(), critical, X509V3_ADD_DEFAULT) == 1;
}

bool add_extension(X509* leaf, X509* issuer, int nid, const char* value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, leaf, nullptr, nullptr, 0);
  const ExtensionPtr extension(X509V3_EXT_conf_nid(nullptr, &context, nid, value));
  return extension && X509_add_ext(leaf, extension.get(), -1) == 1;
}

}  // namespace

Result<std::string> sign_request(const KeyPair& ca, const std::string& csr_pem, const SigningPolicy& policy) {
  auto issuer = read_certificate(ca.certificate_pem);
  if (!issuer.ok()) return issuer.error().with_context("CA certificate");
  auto ca_key = read_key(ca.key_pem);
  if (!ca_key.ok()) return ca_key.error().with_context("CA key");
  const BioPtr bio(BIO_new_mem_buf(csr_pem.data(), static_cast<int>(csr_pem.size())));
  const CsrPtr csr(PEM_read_bio_X509_REQ(bio.get(), nullptr, nullptr, nullptr));
  if (!csr) return openssl_error(Code::kBadRequest, "unable to parse certificate request");
  EVP_PKEY* key = X509_REQ_get0_pubkey(csr.get());
  if (key == nullptr || X509_REQ_verify(csr.get(), key) != 1)
    return openssl_error(Code::kBadRequest, "unable to verify certificate request signature");

  const CertPtr leaf(X509_new());
  X509_set_version(leaf.get(), X509_VERSION_3);
  std::string serial = random_bytes(16);
  serial[0] = static_cast<char>((serial[0] & 0x3f) | 0x40);  // positive, and always of the same length
  const BignumPtr number(BN_bin2bn(reinterpret_cast<const unsigned char*>(serial.data()),
                                   static_cast<int>(serial.size()), nullptr));
  BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(leaf.get()));
  const bool done =
      set_time(X509_getm_notBefore(leaf.get()), policy.not_before) &&
      set_time(X509_getm_notAfter(leaf.get()), policy.not_after) && X509_set_pubkey(leaf.get(), key) == 1 &&
      X509_set_subject_name(leaf.get(), X509_REQ_get_subject_name(csr.get())) == 1 &&
      X509_set_issuer_name(leaf.get(), X509_get_subject_name(issuer->get())) == 1 &&
      add_usages(leaf.get(), policy) &&
      add_extension(leaf.get(), issuer->get(), NID_basic_constraints, "critical,CA:FALSE") &&
      add_extension(leaf.get(), issuer->get(), NID_authority_key_identifier, "keyid") &&
      add_names(leaf.get(), csr.get()) && X509_sign(leaf.get(), ca_key->get(), EVP_sha256()) != 0;
  if (!done) return openssl_error(Code::kBadRequest, "failed to sign certificate");
  const BioPtr out(BIO_new(BIO_s_mem()));
  PEM_write_bio_X509(out.get(), leaf.get());
  return drain(out.get());
}

Status check_certificates(const std::string& pem) {
  const BioPtr bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  int blocks = 0;
  Status status;
  while (status.ok()) {
    char *name = nullptr, *header = nullptr;
    unsigned char* data = nullptr;
    long size = 0;
    if (PEM_read_bio(bio.get(), &name, &header, &data, &size) != 1) break;
    ++blocks;
    if (std::string_view(name) != "CERTIFICATE") {
      status = {Code::kBadRequest,
                base::cat("only CERTIFICATE PEM blocks are allowed, found \"", name, "\"")};
    } else if (header[0] != 0) {
      status = {Code::kBadRequest, "no PEM block headers are permitted"};
    } else {
      const unsigned char* at = data;
      const CertPtr certificate(d2i_X509(nullptr, &at, size));
      if (!certificate) status = openssl_error(Code::kBadRequest, "x509: malformed certificate");
    }
    OPENSSL_free(name);
    OPENSSL_free(header);
    OPENSSL_free(data);
  }
  ERR_clear_error();
  if (status.ok() && blocks == 0)
    return {Code::kBadRequest, "must contain at least one CERTIFICATE PEM block"};
  return status;
}

}  // namespace orch::pki
