// Keyring: which values are stored encrypted, and how: an EncryptionConfiguration
// (apiserver.config.k8s.io/v1) made ready for use.
//
// Stored values carry a prefix that names provider and key, "k8s:enc:aesgcm:v1:KEY:", as in etcd under
// kube-apiserver; plain ones carry none. The first provider of a rule writes, each of them may read.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace orch::datastore {

struct EncryptionKey {
  std::string name, secret;
};

/// Encrypts elsewhere: what a KMS plugin does with data encryption keys. Thread-safe; may wait for the
/// plugin.
class EnvelopeService {
 public:
  virtual ~EnvelopeService() = default;
  virtual base::Result<std::string> seal(std::string_view plain, std::string_view context) = 0;
  /// `stale`: the plugin has another key by now.
  virtual base::Result<std::string> open(std::string_view sealed, std::string_view context, bool& stale) = 0;
};

struct EncryptionProvider {
  enum class Kind : uint8_t { kIdentity, kAesGcm, kAesCbc, kSecretbox, kKms };
  Kind kind = Kind::kIdentity;
  std::vector<EncryptionKey> keys;           // the first writes
  std::string kms_name;                      // kKms only
  std::shared_ptr<EnvelopeService> service;  // kKms only
};

struct EncryptionRule {
  /// "secrets", "deployments.apps", "*.apps", "*." (core), "*.*".
  std::vector<std::string> resources;
  std::vector<EncryptionProvider> providers;
};

/// Immutable, thread-safe.
class Keyring {
 public:
  explicit Keyring(std::vector<EncryptionRule> rules) : rules_(std::move(rules)) {}

  /// Whether anything is said of the resource of a datastore key ("/registry/core/secrets/ns/name").
  bool covers(std::string_view key) const { return rule_of(key) != nullptr; }
  /// The bytes to store under `key`.
  base::Result<std::string> seal(std::string_view key, std::string_view plain) const;
  struct Opened {
    std::string value;
    bool stale = false;  // would be stored in another way now
  };
  /// kInternal when no provider knows the prefix, the key is missing or the bytes are not what they claim to
  /// be. Resources without a rule are plain.
  base::Result<Opened> open(std::string_view key, std::string_view stored) const;
  const std::vector<EncryptionRule>& rules() const { return rules_; }

 private:
  const EncryptionRule* rule_of(std::string_view key) const;

  const std::vector<EncryptionRule> rules_;
};

}  // namespace orch::datastore
