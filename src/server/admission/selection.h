// Which admission plugins run, and with what configuration: --enable-admission-plugins,
// --disable-admission-plugins and --admission-control-config-file of kube-apiserver.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "server/admission/pod_security_policy.h"

namespace orch::server {

struct AdmissionSelection {
  std::vector<std::string> enable, disable;
  pod_security::Settings pod_security;

  /// Whether the plugin of this name runs: as asked for, else as it does by default. A plugin that Kubernetes
  /// does not know by name (checks that sit in its storage) always runs.
  bool runs(std::string_view plugin) const;
  /// kBadRequest in Kubernetes' words for names nobody knows or that are in both lists, and for plugins that
  /// are Kubernetes' but not part of Orch.
  base::Status check() const;
};

/// Reads the AdmissionConfiguration (apiserver.config.k8s.io/v1) at `path` and the files it names, relative
/// to its folder, into `selection`. kBadRequest naming the file for anything that cannot be used: no setting
/// is passed over in silence.
base::Status read_admission_config(const std::string& path, AdmissionSelection& selection);

}  // namespace orch::server
