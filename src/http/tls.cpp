#include "http/tls.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <ctime>
#include <set>

#include "pki/pki.h"

namespace orch::http {
namespace {

using base::Code;
using base::Result;
using base::Status;

struct BioFree {
  void operator()(BIO* bio) const { BIO_free_all(bio); }
};
struct CertFree {
  void operator()(X509* x) const { X509_free(x); }
};
struct KeyFree {
  void operator()(EVP_PKEY* k) const { EVP_PKEY_free(k); }
};
using BioPtr = std::unique_ptr<BIO, BioFree>;
using CertPtr = std::unique_ptr<X509, CertFree>;
using KeyPtr = std::unique_ptr<EVP_PKEY, KeyFree>;

BioPtr reader(const std::string& pem) {
  return BioPtr(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
}

/// Leaf, intermediates and key into the context.
Status use_key_pair(SSL_CTX* context, const std::string& certificate_pem, const std::string& key_pem) {
  const BioPtr certificates = reader(certificate_pem);
  const CertPtr leaf(PEM_read_bio_X509(certificates.get(), nullptr, nullptr, nullptr));
  if (!leaf || SSL_CTX_use_certificate(context, leaf.get()) != 1) {
    return tls_error(Code::kBadRequest, "reading the certificate");
  }
  while (X509* next = PEM_read_bio_X509(certificates.get(), nullptr, nullptr, nullptr)) {
    SSL_CTX_add0_chain_cert(context, next);
  }
  ERR_clear_error();  // the end of the text shows as an error
  char none[] = "";
  const KeyPtr key(PEM_read_bio_PrivateKey(reader(key_pem).get(), nullptr, nullptr, none));
  if (!key || SSL_CTX_use_PrivateKey(context, key.get()) != 1) {
    return tls_error(Code::kBadRequest, "reading the private key");
  }
  if (SSL_CTX_check_private_key(context) != 1) {
    return tls_error(Code::kBadRequest, "the private key does not belong to the certificate");
  }
  return {};
}

/// Every certificate of a bundle as a trust anchor; optionally named to clients as an acceptable issuer.
Status trust(SSL_CTX* context, const std::string& bundle, bool announce) {
  const BioPtr bio = reader(bundle);
  size_t count = 0;
  while (true) {
    const CertPtr ca(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
    if (!ca) break;
    ++count;
    X509_STORE_add_cert(SSL_CTX_get_cert_store(context), ca.get());
    if (announce) SSL_CTX_add_client_CA(context, ca.get());
  }
  ERR_clear_error();
  if (count == 0) return {Code::kBadRequest, "the CA bundle holds no certificate"};
  return {};
}

Result<TlsContext> new_context(const SSL_METHOD* method) {
  TlsContext context(SSL_CTX_new(method), [](SSL_CTX* c) { SSL_CTX_free(c); });
  if (!context) return tls_error(Code::kInternal, "making a TLS context");
  SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
  SSL_CTX_set_options(context.get(), SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET);
  // Idle connections hold no buffers; a retried write may come from another address (see OutQueue).
  SSL_CTX_set_mode(context.get(), SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                      SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_session_cache_mode(context.get(), SSL_SESS_CACHE_OFF);
  SSL_CTX_set_num_tickets(context.get(), 0);
  // One system call for a record instead of one for its header and one for the rest.
  SSL_CTX_set_read_ahead(context.get(), 1);
  SSL_CTX_set_cipher_list(context.get(), "ECDHE+AESGCM:ECDHE+CHACHA20");
  return context;
}

int choose_protocol(SSL* /*ssl*/, const unsigned char** out, unsigned char* out_size, const unsigned char* in,
                    unsigned int in_size, void* /*arg*/) {
  static constexpr unsigned char kHttp11[] = "\x08http/1.1";
  unsigned char* chosen = nullptr;
  if (SSL_select_next_proto(&chosen, out_size, kHttp11, sizeof kHttp11 - 1, in, in_size) !=
      OPENSSL_NPN_NEGOTIATED) {
    return SSL_TLSEXT_ERR_NOACK;
  }
  *out = chosen;
  return SSL_TLSEXT_ERR_OK;
}

/// The trust anchors of a server context by purpose, as DER; kept only when there are two purposes.
struct ClientRoots {
  std::set<std::string> clients, proxies;
};

std::string der_of(X509* certificate) {
  unsigned char* der = nullptr;
  const int size = i2d_X509(certificate, &der);
  if (size <= 0) return {};
  std::string out(reinterpret_cast<char*>(der), static_cast<size_t>(size));
  OPENSSL_free(der);
  return out;
}

std::set<std::string> all_der(const std::string& bundle) {
  std::set<std::string> out;
  const BioPtr bio = reader(bundle);
  while (const CertPtr ca{PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr)})
    out.insert(der_of(ca.get()));
  ERR_clear_error();
  return out;
}

/// Where a context keeps its ClientRoots, which it owns.
int roots_index() {
  static const int index = SSL_CTX_get_ex_new_index(
      0, nullptr, nullptr, nullptr, [](void* /*parent*/, void* roots, CRYPTO_EX_DATA*, int, long, void*) {
        delete static_cast<ClientRoots*>(roots);  // NOLINT: OpenSSL calls this when the context goes
      });
  return index;
}

/// Which of the two kinds of CA a verified certificate is of.
void tell_purpose(SSL* ssl, PeerIdentity& identity) {
  const auto* roots = static_cast<ClientRoots*>(SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), roots_index()));
  if (roots == nullptr) return;
  STACK_OF(X509)* chain = SSL_get0_verified_chain(ssl);
  const int size = chain != nullptr ? sk_X509_num(chain) : 0;
  if (size == 0) return;
  const std::string root = der_of(sk_X509_value(chain, size - 1));
  identity.client = roots->clients.count(root) != 0;
  identity.front_proxy = roots->proxies.count(root) != 0;
}

/// Where a connection keeps the RecordSecrets to fill.
int secrets_index() {
  static const int index = SSL_get_ex_new_index(0, nullptr, nullptr, nullptr, nullptr);
  return index;
}

std::string from_hex(std::string_view text) {
  std::string out(text.size() / 2, '\0');
  for (size_t i = 0; i < out.size(); ++i) {
    out[i] = static_cast<char>(OPENSSL_hexchar2int(static_cast<unsigned char>(text[2 * i])) * 16 +
                               OPENSSL_hexchar2int(static_cast<unsigned char>(text[2 * i + 1])));
  }
  return out;
}

/// OpenSSL names each secret in the form of a key log: label, client random, secret.
void take_secret(const SSL* ssl, const char* text) {
  auto* out = static_cast<RecordSecrets*>(SSL_get_ex_data(ssl, secrets_index()));
  if (out == nullptr) return;
  const std::string_view line = text;
  const std::string_view label = line.substr(0, line.find(' '));
  const std::string_view secret = line.substr(line.rfind(' ') + 1);
  if (label == "CLIENT_TRAFFIC_SECRET_0") out->read = from_hex(secret);
  if (label == "SERVER_TRAFFIC_SECRET_0") out->write = from_hex(secret);
}

/// Verifies as usual, but lets the connection stand: an unknown client is answered with 401, not cut.
int verify_client(X509_STORE_CTX* store, void* /*arg*/) {
  if (X509_verify_cert(store) <= 0 && X509_STORE_CTX_get_error(store) == X509_V_OK) {
    X509_STORE_CTX_set_error(store, X509_V_ERR_UNSPECIFIED);
  }
  return 1;
}

std::string verify_text(long result) {
  switch (result) {
    case X509_V_OK:
      return {};
    case X509_V_ERR_CERT_HAS_EXPIRED:
    case X509_V_ERR_CERT_NOT_YET_VALID:
      return "x509: certificate has expired or is not yet valid";
    case X509_V_ERR_INVALID_PURPOSE:
      return "x509: certificate specifies an incompatible key usage";
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_CERT_SIGNATURE_FAILURE:
      return "x509: certificate signed by unknown authority";
    default:
      return base::cat("x509: ", X509_verify_cert_error_string(result));
  }
}

std::string text_of(const ASN1_STRING* value) {
  unsigned char* utf8 = nullptr;
  const int size = ASN1_STRING_to_UTF8(&utf8, value);
  if (size < 0) return {};
  std::string out(reinterpret_cast<char*>(utf8), static_cast<size_t>(size));
  OPENSSL_free(utf8);
  return out;
}

}  // namespace

Status tls_error(Code code, std::string_view what) {
  const unsigned long error = ERR_get_error();
  ERR_clear_error();
  const char* reason = error != 0 ? ERR_reason_error_string(error) : nullptr;
  return {code, reason != nullptr ? base::cat(what, ": ", reason) : std::string(what)};
}

Result<TlsContext> make_server_context(const TlsConfig& config) {
  auto made = new_context(TLS_server_method());
  if (!made.ok()) return made;
  SSL_CTX* context = made->get();
  ORCH_RETURN_IF_ERROR(use_key_pair(context, config.certificate_pem, config.key_pem));
  SSL_CTX_set_alpn_select_cb(context, choose_protocol, nullptr);
  SSL_CTX_set_keylog_callback(context, take_secret);
  if (!config.client_ca_pem.empty()) {
    ORCH_RETURN_IF_ERROR(trust(context, config.client_ca_pem, true));
    if (!config.front_proxy_ca_pem.empty()) {
      ORCH_RETURN_IF_ERROR(trust(context, config.front_proxy_ca_pem, true));
      auto roots = std::make_unique<ClientRoots>(
          ClientRoots{all_der(config.client_ca_pem), all_der(config.front_proxy_ca_pem)});
      if (SSL_CTX_set_ex_data(context, roots_index(), roots.get()) == 1) (void)roots.release();
    }
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nullptr);
    SSL_CTX_set_cert_verify_callback(context, verify_client, nullptr);
  }
  return made;
}

Result<TlsContext> make_client_context(const ClientTls& config) {
  auto made = new_context(TLS_client_method());
  if (!made.ok()) return made;
  SSL_CTX* context = made->get();
  if (!config.certificate_pem.empty()) {
    ORCH_RETURN_IF_ERROR(use_key_pair(context, config.certificate_pem, config.key_pem));
  }
  if (config.insecure) return made;
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nullptr);
  if (!config.ca_pem.empty()) {
    ORCH_RETURN_IF_ERROR(trust(context, config.ca_pem, false));
  } else if (SSL_CTX_set_default_verify_paths(context) != 1) {
    return tls_error(Code::kInternal, "loading the system's certificate authorities");
  }
  return made;
}

void collect_secrets(SSL* ssl, RecordSecrets* out) { SSL_set_ex_data(ssl, secrets_index(), out); }

std::shared_ptr<const PeerCertificate> peer_certificate(SSL* ssl) {
  X509* certificate = SSL_get0_peer_certificate(ssl);
  if (certificate == nullptr) return nullptr;
  auto out = std::make_shared<PeerCertificate>();
  std::tm tm{};
  ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &tm);
  out->not_after = base::WallTime(std::chrono::seconds(timegm(&tm)));
  out->identity.error = verify_text(SSL_get_verify_result(ssl));
  if (!out->identity.error.empty()) return out;

  X509_NAME* subject = X509_get_subject_name(certificate);
  for (int i = 0; i < X509_NAME_entry_count(subject); ++i) {
    const X509_NAME_ENTRY* entry = X509_NAME_get_entry(subject, i);
    const int nid = OBJ_obj2nid(X509_NAME_ENTRY_get_object(entry));
    if (nid == NID_commonName) out->identity.common_name = text_of(X509_NAME_ENTRY_get_data(entry));
    if (nid == NID_organizationName) {
      out->identity.organizations.push_back(text_of(X509_NAME_ENTRY_get_data(entry)));
    }
  }
  out->identity.credential_id = pki::sha256_hex(der_of(certificate));
  tell_purpose(ssl, out->identity);
  return out;
}

}  // namespace orch::http
