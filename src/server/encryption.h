// Encryption at rest: reading an EncryptionConfiguration, and the one that --secrets-encryption keeps itself.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/json_fwd.h"
#include "base/status.h"
#include "datastore/encrypted/encrypted_store.h"
#include "datastore/encrypted/keyring.h"

namespace orch::server {

/// Makes the service of a KMS provider, given its name, endpoint ("unix:///…") and time-out.
using KmsMaker = std::function<base::Result<std::shared_ptr<datastore::EnvelopeService>>(
    const std::string& name, const std::string& endpoint, base::Duration timeout)>;

/// From the text (YAML or JSON) of an EncryptionConfiguration of apiserver.config.k8s.io/v1. kBadRequest in
/// Kubernetes' words for anything that is not valid; a key's secret is never part of them.
base::Result<std::shared_ptr<const datastore::Keyring>> parse_encryption_config(std::string_view text,
                                                                                const KmsMaker& make_kms);

/// The configuration that --secrets-encryption keeps in <data-dir>/server/cred/encryption-config.json, as k3s
/// does: Secrets under one key, and plain ones readable. Nothing here is thread-safe.
class SecretsEncryption {
 public:
  explicit SecretsEncryption(const std::string& data_dir);
  const std::string& path() const { return path_; }
  /// The file's text; with `enable`, made with a new key when there is none. "" when there is none.
  base::Result<std::string> load(bool enable) const;
  /// The text with a new key in front of those there.
  static base::Result<std::string> with_new_key(const std::string& text);
  /// The text with its first key only, still able to read what is plain.
  static base::Result<std::string> with_first_key(const std::string& text);
  base::Status save(const std::string& text) const;
  /// Names of the keys, the one that writes first; and the provider: "aescbc".
  struct Keys {
    std::string provider;
    std::vector<std::string> names;
  };
  static base::Result<Keys> keys_of(const std::string& text);

 private:
  const std::string path_;
};

}  // namespace orch::server
