// Certificates for requests of others (certificates.k8s.io): the subject and names asked for, under limits
// the signer sets. All functions are thread-safe.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "pki/pki.h"

namespace orch::pki {

/// RFC 5280 key usage bits, bit 0 being digitalSignature.
enum KeyUsage : unsigned {
  kDigitalSignature = 1U << 0,
  kContentCommitment = 1U << 1,
  kKeyEncipherment = 1U << 2,
  kDataEncipherment = 1U << 3,
  kKeyAgreement = 1U << 4,
  kCertSign = 1U << 5,
  kCrlSign = 1U << 6,
  kEncipherOnly = 1U << 7,
  kDecipherOnly = 1U << 8,
};

struct SigningPolicy {
  unsigned key_usage = 0;                   // KeyUsage bits; 0: no such extension
  std::vector<std::string> extended_usage;  // dotted object identifiers, in order; empty: no such extension
  base::WallTime not_before, not_after;
};

/// A certificate (PEM) with the request's key, subject, and DNS, IP, e-mail and URI names; never a CA's. All
/// other extensions that the request asks for are left out. kBadRequest when the request does not parse or is
/// not signed by its key, or the CA cannot sign.
base::Result<std::string> sign_request(const KeyPair& ca, const std::string& csr_pem,
                                       const SigningPolicy& policy);

/// OK for PEM that holds certificates and nothing else, at least one, each of which parses; kBadRequest in
/// Kubernetes' words otherwise.
base::Status check_certificates(const std::string& pem);

}  // namespace orch::pki
