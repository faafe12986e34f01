// Private keys, certificate authorities, certificates and signing requests.
#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/pem.h>

#include <ctime>

#include "pki/openssl.h"
#include "pki/pki.h"

namespace orch::pki {
namespace {

using base::Code;
using base::Result;
using base::Status;

constexpr auto kClockSlack = std::chrono::hours(1);
constexpr auto kCaLifetime = std::chrono::hours(24 * 3652);  // ten years

int64_t to_unix(base::WallTime t) {
  return std::chrono::floor<std::chrono::seconds>(t).time_since_epoch().count();
}

std::string write_private(EVP_PKEY* key) {
  const BioPtr bio(BIO_new(BIO_s_mem()));
  PEM_write_bio_PKCS8PrivateKey(bio.get(), key, nullptr, nullptr, 0, nullptr, nullptr);
  return drain(bio.get());
}

std::string write_certificate(X509* certificate) {
  const BioPtr bio(BIO_new(BIO_s_mem()));
  PEM_write_bio_X509(bio.get(), certificate);
  return drain(bio.get());
}

bool add_name(X509_NAME* name, const char* field, const std::string& value) {
  if (value.empty()) return true;
  return X509_NAME_add_entry_by_txt(name, field, MBSTRING_UTF8,
                                    reinterpret_cast<const unsigned char*>(value.data()),
                                    static_cast<int>(value.size()), -1, 0) == 1;
}

Status fill_subject(X509_NAME* name, const CertificateRequest& request) {
  for (const auto& organization : request.organizations) {
    if (!add_name(name, "O", organization)) {
      return openssl_error(Code::kBadRequest, base::cat("invalid organization ", organization));
    }
  }
  if (!add_name(name, "CN", request.common_name)) {
    return openssl_error(Code::kBadRequest, base::cat("invalid common name ", request.common_name));
  }
  return {};
}

Result<NamesPtr> make_names(const CertificateRequest& request) {
  NamesPtr names(GENERAL_NAMES_new());
  const auto add = [&names](int type, const void* data, size_t size) {
    GENERAL_NAME* name = GENERAL_NAME_new();
    ASN1_STRING* value = ASN1_STRING_type_new(type == GEN_DNS ? V_ASN1_IA5STRING : V_ASN1_OCTET_STRING);
    ASN1_STRING_set(value, data, static_cast<int>(size));
    GENERAL_NAME_set0_value(name, type, value);
    sk_GENERAL_NAME_push(names.get(), name);
  };
  for (const auto& dns : request.dns_names) add(GEN_DNS, dns.data(), dns.size());
  for (const auto& text : request.ip_addresses) {
    unsigned char address[16];
    if (inet_pton(AF_INET, text.c_str(), address) == 1) {
      add(GEN_IPADD, address, 4);
    } else if (inet_pton(AF_INET6, text.c_str(), address) == 1) {
      add(GEN_IPADD, address, 16);
    } else {
      return Status(Code::kBadRequest, base::cat("invalid IP address ", text));
    }
  }
  return names;
}

/// One extension in OpenSSL's configuration syntax; the texts are constants of this file.
bool add_extension(X509* certificate, X509* issuer, int nid, const char* value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  const ExtensionPtr extension(X509V3_EXT_conf_nid(nullptr, &context, nid, value));
  return extension && X509_add_ext(certificate, extension.get(), -1) == 1;
}

Result<CertPtr> new_certificate(EVP_PKEY* key, base::WallTime from, base::WallTime until) {
  CertPtr certificate(X509_new());
  X509_set_version(certificate.get(), X509_VERSION_3);
  std::string serial = random_bytes(16);
  serial[0] = static_cast<char>((serial[0] & 0x3f) | 0x40);  // positive, and always of the same length
  const BignumPtr number(BN_bin2bn(reinterpret_cast<const unsigned char*>(serial.data()),
                                   static_cast<int>(serial.size()), nullptr));
  BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(certificate.get()));
  if (ASN1_TIME_set(X509_getm_notBefore(certificate.get()), to_unix(from)) == nullptr ||
      ASN1_TIME_set(X509_getm_notAfter(certificate.get()), to_unix(until)) == nullptr) {
    return openssl_error(Code::kBadRequest, "certificate lifetime out of range");
  }
  if (X509_set_pubkey(certificate.get(), key) != 1) return openssl_error(Code::kBadRequest, "unusable key");
  return certificate;
}

/// A leaf for `key` under `ca`: what issue() and sign_csr() have in common.
Result<std::string> sign_leaf(const KeyPair& ca, EVP_PKEY* key, const CertificateRequest& request,
                              base::WallTime now) {
  auto ca_certificate = read_certificate(ca.certificate_pem);
  if (!ca_certificate.ok()) return ca_certificate.error().with_context("CA certificate");
  auto ca_key = read_key(ca.key_pem);
  if (!ca_key.ok()) return ca_key.error().with_context("CA key");
  X509* issuer = ca_certificate->get();
  if (X509_check_private_key(issuer, ca_key->get()) != 1) {
    ERR_clear_error();
    return Status(Code::kBadRequest, "the CA key does not belong to the CA certificate");
  }
  auto made = new_certificate(key, now - kClockSlack, now + request.lifetime);
  if (!made.ok()) return made.error();
  X509* leaf = made->get();
  X509_set_issuer_name(leaf, X509_get_subject_name(issuer));
  ORCH_RETURN_IF_ERROR(fill_subject(X509_get_subject_name(leaf), request));
  const char* usage = EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA ? "critical,digitalSignature,keyEncipherment"
                                                                : "critical,digitalSignature";
  bool done = add_extension(leaf, issuer, NID_key_usage, usage) &&
              add_extension(leaf, issuer, NID_basic_constraints, "critical,CA:FALSE");
  if (request.server || request.client) {
    const char* extended = !request.client   ? "serverAuth"
                           : !request.server ? "clientAuth"
                                             : "serverAuth,clientAuth";
    done = done && add_extension(leaf, issuer, NID_ext_key_usage, extended);
  }
  done = done && add_extension(leaf, issuer, NID_authority_key_identifier, "keyid");
  auto names = make_names(request);
  if (!names.ok()) return names.error();
  if (sk_GENERAL_NAME_num(names->get()) > 0) {
    done = done && X509_add1_ext_i2d(leaf, NID_subject_alt_name, names->get(), 0, X509V3_ADD_DEFAULT) == 1;
  }
  if (!done || X509_sign(leaf, ca_key->get(), EVP_sha256()) == 0) {
    return openssl_error(Code::kInternal, "signing the certificate");
  }
  return write_certificate(leaf);
}

std::string text_of(const ASN1_STRING* value) {
  unsigned char* utf8 = nullptr;
  const int size = ASN1_STRING_to_UTF8(&utf8, value);
  if (size < 0) {
    ERR_clear_error();
    return {};
  }
  std::string out(reinterpret_cast<char*>(utf8), static_cast<size_t>(size));
  OPENSSL_free(utf8);
  return out;
}

void read_subject(X509_NAME* subject, CertificateInfo& info) {
  for (int i = 0; i < X509_NAME_entry_count(subject); ++i) {
    const X509_NAME_ENTRY* entry = X509_NAME_get_entry(subject, i);
    const int nid = OBJ_obj2nid(X509_NAME_ENTRY_get_object(entry));
    const std::string value = text_of(X509_NAME_ENTRY_get_data(entry));
    if (nid == NID_commonName) info.common_name = value;
    if (nid == NID_organizationName) info.organizations.push_back(value);
  }
}

void read_names(const GENERAL_NAMES* names, CertificateInfo& info) {
  for (int i = 0; i < sk_GENERAL_NAME_num(names); ++i) {
    int type = 0;
    const void* value = GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(names, i), &type);
    if (type != GEN_DNS && type != GEN_IPADD && type != GEN_EMAIL && type != GEN_URI) continue;
    const auto* string = static_cast<const ASN1_STRING*>(value);
    const std::string bytes(reinterpret_cast<const char*>(ASN1_STRING_get0_data(string)),
                            static_cast<size_t>(ASN1_STRING_length(string)));
    if (type == GEN_DNS) info.dns_names.push_back(bytes);
    if (type == GEN_EMAIL) info.email_addresses.push_back(bytes);
    if (type == GEN_URI) info.uris.push_back(bytes);
    char text[INET6_ADDRSTRLEN] = {};
    if (type == GEN_IPADD && (bytes.size() == 4 || bytes.size() == 16)) {
      inet_ntop(bytes.size() == 4 ? AF_INET : AF_INET6, bytes.data(), text, sizeof text);
      info.ip_addresses.emplace_back(text);
    }
  }
}

base::WallTime to_wall(const ASN1_TIME* time) {
  std::tm tm{};
  ASN1_TIME_to_tm(time, &tm);
  return base::WallTime(std::chrono::seconds(timegm(&tm)));
}

Result<CsrPtr> read_csr(const std::string& pem) {
  const BioPtr bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  CsrPtr csr(PEM_read_bio_X509_REQ(bio.get(), nullptr, nullptr, nullptr));
  if (!csr) {
    constexpr const char* kNoBlock = "PEM block type must be CERTIFICATE REQUEST";
    if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
      return openssl_error(Code::kBadRequest, kNoBlock);
    ERR_clear_error();
    return Status(Code::kBadRequest, kNoBlock);
  }
  EVP_PKEY* key = X509_REQ_get0_pubkey(csr.get());
  if (key == nullptr || X509_REQ_verify(csr.get(), key) != 1) {
    return openssl_error(Code::kBadRequest, "the certificate request's signature does not verify");
  }
  return csr;
}

}  // namespace

Status openssl_error(Code code, std::string_view what) {
  const unsigned long error = ERR_get_error();
  ERR_clear_error();
  if (error == 0) return {code, std::string(what)};
  const char* reason = ERR_reason_error_string(error);
  return {code, base::cat(what, ": ", reason != nullptr ? reason : "unknown OpenSSL error")};
}

std::string drain(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  return size > 0 ? std::string(data, static_cast<size_t>(size)) : std::string();
}

std::string public_der(EVP_PKEY* key) {
  unsigned char* der = nullptr;
  const int size = i2d_PUBKEY(key, &der);
  if (size <= 0) return {};
  std::string out(reinterpret_cast<char*>(der), static_cast<size_t>(size));
  OPENSSL_free(der);
  return out;
}

Result<KeyPtr> read_key(const std::string& pem) {
  // An empty pass phrase, so that an encrypted key is refused instead of asked for on the terminal.
  char none[] = "";
  BioPtr bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  KeyPtr key(PEM_read_bio_PrivateKey(bio.get(), nullptr, nullptr, none));
  if (!key) {
    ERR_clear_error();
    bio.reset(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
    key.reset(PEM_read_bio_PUBKEY(bio.get(), nullptr, nullptr, none));
  }
  if (!key) {
    // A certificate stands for its public key, as --service-account-key-file allows.
    ERR_clear_error();
    auto certificate = read_certificate(pem);
    if (certificate.ok()) key.reset(X509_get_pubkey(certificate->get()));
  }
  if (!key) return openssl_error(Code::kBadRequest, "not a PEM key");
  return key;
}

Result<CertPtr> read_certificate(const std::string& pem) {
  const BioPtr bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  CertPtr certificate(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
  if (!certificate) return openssl_error(Code::kBadRequest, "not a PEM certificate");
  return certificate;
}

std::string generate_key() {
  const KeyPtr key(EVP_EC_gen("P-256"));
  return key ? write_private(key.get()) : std::string();
}

Result<KeyPair> make_ca(const std::string& common_name, base::WallTime now) {
  const KeyPtr key(EVP_EC_gen("P-256"));
  if (!key) return openssl_error(Code::kInternal, "making a key");
  auto made = new_certificate(key.get(), now - kClockSlack, now + kCaLifetime);
  if (!made.ok()) return made.error();
  X509* certificate = made->get();
  CertificateRequest subject;
  subject.common_name = common_name;
  ORCH_RETURN_IF_ERROR(fill_subject(X509_get_subject_name(certificate), subject));
  X509_set_issuer_name(certificate, X509_get_subject_name(certificate));
  const bool done = add_extension(certificate, certificate, NID_key_usage,
                                  "critical,digitalSignature,keyCertSign,cRLSign") &&
                    add_extension(certificate, certificate, NID_basic_constraints, "critical,CA:TRUE") &&
                    add_extension(certificate, certificate, NID_subject_key_identifier, "hash") &&
                    X509_sign(certificate, key.get(), EVP_sha256()) != 0;
  if (!done) return openssl_error(Code::kInternal, "signing the CA certificate");
  return KeyPair{write_certificate(certificate), write_private(key.get())};
}

Result<KeyPair> issue(const KeyPair& ca, const CertificateRequest& request, base::WallTime now) {
  const KeyPtr key(EVP_EC_gen("P-256"));
  if (!key) return openssl_error(Code::kInternal, "making a key");
  auto certificate = sign_leaf(ca, key.get(), request, now);
  if (!certificate.ok()) return certificate.error();
  return KeyPair{std::move(*certificate), write_private(key.get())};
}

Result<std::string> make_csr(const std::string& key_pem, const CertificateRequest& request) {
  auto key = read_key(key_pem);
  if (!key.ok()) return key.error();
  const CsrPtr csr(X509_REQ_new());
  X509_REQ_set_version(csr.get(), X509_REQ_VERSION_1);
  ORCH_RETURN_IF_ERROR(fill_subject(X509_REQ_get_subject_name(csr.get()), request));
  auto names = make_names(request);
  if (!names.ok()) return names.error();
  if (sk_GENERAL_NAME_num(names->get()) > 0) {
    STACK_OF(X509_EXTENSION)* extensions = sk_X509_EXTENSION_new_null();
    X509V3_add1_i2d(&extensions, NID_subject_alt_name, names->get(), 0, X509V3_ADD_DEFAULT);
    X509_REQ_add_extensions(csr.get(), extensions);
    sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
  }
  if (X509_REQ_set_pubkey(csr.get(), key->get()) != 1 ||
      X509_REQ_sign(csr.get(), key->get(), EVP_sha256()) == 0) {
    return openssl_error(Code::kBadRequest, "signing the certificate request");
  }
  const BioPtr bio(BIO_new(BIO_s_mem()));
  PEM_write_bio_X509_REQ(bio.get(), csr.get());
  return drain(bio.get());
}

Result<std::string> sign_csr(const KeyPair& ca, const std::string& csr_pem, const CertificateRequest& granted,
                             base::WallTime now) {
  auto csr = read_csr(csr_pem);
  if (!csr.ok()) return csr.error();
  return sign_leaf(ca, X509_REQ_get0_pubkey(csr->get()), granted, now);
}

base::WallTime renewal_time(const CertificateInfo& info) {
  const base::WallTime issued = info.not_before + kClockSlack;
  return info.not_after - (info.not_after - issued) / 3;
}

Result<CertificateInfo> parse_certificate(const std::string& pem) {
  auto certificate = read_certificate(pem);
  if (!certificate.ok()) return certificate.error();
  X509* x509 = certificate->get();
  CertificateInfo info;
  read_subject(X509_get_subject_name(x509), info);
  const NamesPtr names(
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(x509, NID_subject_alt_name, nullptr, nullptr)));
  read_names(names.get(), info);
  info.not_before = to_wall(X509_get0_notBefore(x509));
  info.not_after = to_wall(X509_get0_notAfter(x509));
  info.is_ca = X509_check_ca(x509) == 1;
  ERR_clear_error();
  return info;
}

Result<CertificateInfo> parse_csr(const std::string& csr_pem) {
  auto csr = read_csr(csr_pem);
  if (!csr.ok()) return csr.error();
  CertificateInfo info;
  read_subject(X509_REQ_get_subject_name(csr->get()), info);
  STACK_OF(X509_EXTENSION)* extensions = X509_REQ_get_extensions(csr->get());
  const NamesPtr names(
      static_cast<GENERAL_NAMES*>(X509V3_get_d2i(extensions, NID_subject_alt_name, nullptr, nullptr)));
  read_names(names.get(), info);
  sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
  ERR_clear_error();
  return info;
}

Result<std::string> public_key(const std::string& key_pem) {
  auto key = read_key(key_pem);
  if (!key.ok()) return key.error();
  const BioPtr bio(BIO_new(BIO_s_mem()));
  PEM_write_bio_PUBKEY(bio.get(), key->get());
  return drain(bio.get());
}

Result<std::string> ca_hash(const std::string& certificate_pem) {
  auto certificate = read_certificate(certificate_pem);
  if (!certificate.ok()) return certificate.error();
  unsigned char* der = nullptr;
  const int size = i2d_X509(certificate->get(), &der);
  if (size <= 0) return openssl_error(Code::kInternal, "encoding the certificate");
  std::string out = sha256_hex({reinterpret_cast<char*>(der), static_cast<size_t>(size)});
  OPENSSL_free(der);
  return out;
}

}  // namespace orch::pki
