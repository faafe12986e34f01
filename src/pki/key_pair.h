// Certificates and keys that belong together.
#pragma once

#include <string>

namespace orch::pki {

/// Why the PEM texts are not a certificate (the first; its chain may follow) and its private key, in the
/// words of Go's crypto/tls; "" if they are. Of what cannot be decoded it is not said where.
std::string key_pair_problem(const std::string& certificate_pem, const std::string& key_pem);

}  // namespace orch::pki
