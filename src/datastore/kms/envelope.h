// Envelope encryption with a KMS plugin (version 2): data is sealed under keys derived from a seed, and the
// seed is stored beside it, sealed by the plugin. So the plugin is asked once per seed, not once per object.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/status.h"
#include "datastore/encrypted/keyring.h"

namespace orch::datastore {

/// What a plugin can do; the calls wait for it, up to its time-out. Thread-safe.
class KmsPlugin {
 public:
  struct Sealed {
    std::string ciphertext, key_id;
    std::map<std::string, std::string> annotations;
  };
  virtual ~KmsPlugin() = default;
  /// The identity of the plugin's present key; an error when it is not healthy.
  virtual base::Result<std::string> key_id() = 0;
  virtual base::Result<Sealed> encrypt(std::string_view plain) = 0;
  virtual base::Result<std::string> decrypt(const Sealed& sealed) = 0;
};

/// A plugin behind a unix socket ("unix:///run/kms.sock"), over gRPC. Connects when first asked.
std::unique_ptr<KmsPlugin> make_grpc_kms_plugin(const std::string& endpoint, base::Duration timeout);

/// Thread-safe. The plugin's key is looked at when something is sealed and the last look is a minute ago: a
/// new key means a new seed. While the plugin does not answer, sealing goes on for three minutes with the old
/// seed; opening needs it only for seeds not seen since the start.
class KmsEnvelope final : public EnvelopeService {
 public:
  /// `clock` must outlive this.
  KmsEnvelope(std::unique_ptr<KmsPlugin> plugin, const base::Clock& clock);
  ~KmsEnvelope() override;
  /// Asks the plugin for the first time: an error when it does not answer.
  base::Status start();
  base::Result<std::string> seal(std::string_view plain, std::string_view context) override;
  base::Result<std::string> open(std::string_view sealed, std::string_view context, bool& stale) override;

 private:
  struct Seed {
    std::string secret;
    KmsPlugin::Sealed sealed;
  };
  base::Status refresh();  // under mutex_
  base::Result<std::string> unseal(const KmsPlugin::Sealed& sealed);

  const std::unique_ptr<KmsPlugin> plugin_;
  const base::Clock& clock_;
  std::mutex mutex_;
  std::shared_ptr<const Seed> seed_;          // under mutex_
  base::MonoTime looked_{}, healthy_{};       // under mutex_
  std::map<std::string, std::string> known_;  // under mutex_; sealed seed (with its key's id) -> seed
};

}  // namespace orch::datastore
