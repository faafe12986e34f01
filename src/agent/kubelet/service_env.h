// ServiceEnv: the variables of services, and what they were when the server was last there.
#pragma once

#include <map>
#include <mutex>
#include <string>

#include "agent/kubelet/kept_files.h"
#include "agent/kubelet/pod.h"
#include "base/status.h"
#include "client/informer.h"

namespace orch::agent {

/// Thread-safe.
class ServiceEnv {
 public:
  /// `folder` holds one file for each pod.
  ServiceEnv(client::Informer& services, KeptFiles& files, std::string folder)
      : services_(services), files_(files), folder_(std::move(folder)) {}
  /// Of the services now; while they could not be read yet, those the pod had before; kServiceUnavailable
  /// when there are none of either.
  base::Result<std::map<std::string, std::string>> variables(const Pod& pod);
  void forget(const std::string& uid);

 private:
  std::string file_of(std::string_view uid) const { return base::cat(folder_, "/", uid, ".json"); }
  client::Informer& services_;
  KeptFiles& files_;
  const std::string folder_;
  std::mutex mutex_;
  std::map<std::string, std::map<std::string, std::string>> kept_;  // under mutex_; by uid
};

}  // namespace orch::agent
