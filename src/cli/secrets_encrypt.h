// `orch secrets-encrypt status|rotate-keys|reencrypt`: asks the server on this machine, as its administrator.
#pragma once

#include <string>

namespace orch::cli {

struct SecretsEncryptOptions {
  std::string action;  // status, rotate-keys, reencrypt
  std::string server = "https://127.0.0.1:6443";
  std::string data_dir = "/var/lib/orch";
};

/// Prints the answer as k3s does; gives the exit code.
int secrets_encrypt(const SecretsEncryptOptions& options);

}  // namespace orch::cli
