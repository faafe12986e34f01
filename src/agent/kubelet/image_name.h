// Names of images, and which pull secret fits which. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "agent/cri/runtime.h"
#include "base/json_fwd.h"
#include "base/status.h"

namespace orch::agent {

struct ImageName {
  std::string domain;       // "docker.io", "registry:5000"
  std::string repository;   // "library/busybox"
  std::string tag, digest;  // "latest" when neither is given

  /// "docker.io/library/busybox:latest"
  std::string full() const;
};

/// kBadRequest `couldn't parse image name "x": invalid reference format` otherwise.
base::Result<ImageName> parse_image_name(std::string_view text);

/// One entry of a dockerconfigjson: its registry pattern and credentials.
struct RegistryAuth {
  std::string pattern;  // "registry:5000/team", "*.example.com"
  ImageAuth auth;
};

/// Entries of secrets of type kubernetes.io/dockerconfigjson and kubernetes.io/dockercfg.
std::vector<RegistryAuth> registry_auths(const Json& secret);

/// Those that fit the image, the most specific first.
std::vector<ImageAuth> matching_auths(const ImageName& image, const std::vector<RegistryAuth>& auths);

}  // namespace orch::agent
