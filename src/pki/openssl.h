// OpenSSL objects as values that clean up after themselves, for the sources of this folder only.
#pragma once

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <memory>
#include <string>
#include <string_view>

#include "base/status.h"

namespace orch::pki {

template <auto Free>
struct OpensslFree {
  template <typename T>
  void operator()(T* p) const {
    Free(p);
  }
};
template <typename T, auto Free>
using OpensslPtr = std::unique_ptr<T, OpensslFree<Free>>;

using BioPtr = OpensslPtr<BIO, BIO_free_all>;
using KeyPtr = OpensslPtr<EVP_PKEY, EVP_PKEY_free>;
using CertPtr = OpensslPtr<X509, X509_free>;
using CsrPtr = OpensslPtr<X509_REQ, X509_REQ_free>;
using NamesPtr = OpensslPtr<GENERAL_NAMES, GENERAL_NAMES_free>;
using ExtensionPtr = OpensslPtr<X509_EXTENSION, X509_EXTENSION_free>;
using BignumPtr = OpensslPtr<BIGNUM, BN_free>;
using DigestPtr = OpensslPtr<EVP_MD_CTX, EVP_MD_CTX_free>;

/// `what` with the first queued OpenSSL error, and the queue emptied.
base::Status openssl_error(base::Code code, std::string_view what);
/// A private or public key from PEM of any usual form; kBadRequest.
base::Result<KeyPtr> read_key(const std::string& pem);
/// The first certificate of a PEM text; kBadRequest.
base::Result<CertPtr> read_certificate(const std::string& pem);
std::string drain(BIO* bio);
/// DER SubjectPublicKeyInfo.
std::string public_der(EVP_PKEY* key);
std::string sha256(std::string_view bytes);

}  // namespace orch::pki
