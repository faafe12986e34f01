// What files configMap, secret, projected and downwardAPI volumes hold. Reads objects and tokens through
// their sources; else pure.
#pragma once

#include <optional>

#include "agent/kubelet/atomic_writer.h"
#include "agent/kubelet/downward.h"
#include "agent/kubelet/object_source.h"
#include "agent/kubelet/pod.h"

namespace orch::agent {

/// Bound service-account tokens; keeps them until they near their end.
class TokenSource {
 public:
  virtual ~TokenSource() = default;
  struct Token {
    std::string text;
    base::WallTime refresh_at;  // when to ask again
  };
  virtual base::Result<Token> token(const Pod& pod, const std::string& audience,
                                    int64_t expiration_seconds) = 0;
};

struct PayloadInput {
  ObjectSource& objects;
  TokenSource& tokens;
  PodAddresses addresses;
  NodeResources node;
};

struct VolumePayload {
  Payload files;
  /// When the content has to be looked at again even if no object changed (tokens).
  std::optional<base::WallTime> refresh_at;
};

/// `volume` has one of configMap, secret, projected, downwardAPI. Errors as the kubelet words them
/// ("references non-existent config key: x").
base::Result<VolumePayload> volume_payload(const Pod& pod, const Json& volume, const PayloadInput& input);

/// The user that every container of the pod runs as, if it is one and the same: owns token files.
std::optional<int64_t> common_user(const Pod& pod);

}  // namespace orch::agent
