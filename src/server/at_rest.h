// AtRest: what the server keeps encrypted on disk, over its life: the configuration read at the start,
// changes of it, and the rotation of keys that --secrets-encryption keeps itself.
#pragma once

#include <memory>
#include <mutex>
#include <string>

#include "base/clock.h"
#include "base/file_watch.h"
#include "base/json_fwd.h"
#include "base/status.h"
#include "datastore/encrypted/encrypted_store.h"
#include "http/message.h"
#include "server/auth/auth.h"
#include "server/encryption.h"

namespace orch::server {

struct AtRestOptions {
  std::string data_dir;
  bool secrets_encryption = false;  // --secrets-encryption
  std::string provider_config;      // or a file of the user's
  bool automatic_reload = false;    // of that file
};

/// Thread-safe.
class AtRest {
 public:
  /// kBadRequest for a configuration that cannot be used. `store` and `clock` must outlive this. Once made by
  /// --secrets-encryption, its configuration is in use also without the flag: data would be lost otherwise.
  static base::Result<std::unique_ptr<AtRest>> open(datastore::Store& store, const AtRestOptions& options,
                                                    const base::Clock& clock);
  ~AtRest();
  datastore::Store& store() { return *encrypted_; }
  bool stale(std::string_view key) const { return encrypted_->stale(key); }

  /// GET /v1-orch/encrypt: what is encrypted with which keys, and how much is stored in another way still.
  /// POST /v1-orch/encrypt/reencrypt: stores that anew; keys without use go. POST
  /// /v1-orch/encrypt/rotate-keys: makes a new key first. For members of system:masters.
  http::Response handle(const http::Request& request, const UserInfo& user);

 private:
  AtRest(AtRestOptions options, const base::Clock& clock);
  base::Result<std::shared_ptr<const datastore::Keyring>> parse(std::string_view text) const;
  void reload_file();
  base::Status use(const std::string& text);  // under mutex_
  base::Status reencrypt();                   // under mutex_
  base::Status rotate();                      // under mutex_
  base::Result<Json> status();                // under mutex_

  const AtRestOptions options_;
  const base::Clock& clock_;
  SecretsEncryption own_;
  std::mutex mutex_;  // one change at a time
  std::string text_;  // under mutex_; the configuration in use
  std::unique_ptr<datastore::EncryptedStore> encrypted_;
  std::unique_ptr<base::FileWatch> watch_;
};

}  // namespace orch::server
