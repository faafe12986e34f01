// Tokens: bound service-account tokens of pods, renewed at 80 % of their life, kept on disk so that pods
// start again while the server is away.
#pragma once

#include <map>
#include <mutex>
#include <string>

#include "agent/kubelet/kept_files.h"
#include "agent/kubelet/volume_payload.h"
#include "base/clock.h"
#include "client/client.h"

namespace orch::agent {

/// Thread-safe.
class Tokens final : public TokenSource {
 public:
  /// `folder` holds the tokens (0600), one file for each pod.
  Tokens(client::Client& client, const base::Clock& clock, KeptFiles& files, std::string folder);
  base::Result<Token> token(const Pod& pod, const std::string& audience, int64_t expiration_seconds) override;
  /// The pod is gone.
  void forget(const std::string& uid);

 private:
  struct Held {
    std::string text;
    base::WallTime issued, expires;
  };
  using Key = std::pair<std::string, std::string>;  // uid, "audience/seconds"
  base::Result<Held> request(const Pod& pod, const std::string& audience, int64_t seconds);
  void load(const std::string& uid);
  void store(const std::string& uid);

  client::Client& client_;
  const base::Clock& clock_;
  KeptFiles& files_;
  const std::string folder_;
  std::mutex mutex_;
  std::map<Key, Held> held_;            // under mutex_
  std::map<std::string, bool> loaded_;  // under mutex_; uids whose file was read
};

}  // namespace orch::agent
