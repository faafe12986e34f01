// Extenders over HTTP (k8s.io/kube-scheduler/extender/v1): programs that filter, score, bind and preempt
// together with the scheduler.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "server/scheduler/framework.h"

namespace orch::server::scheduler {

/// kubescheduler.config.k8s.io/v1 Extender.
struct ExtenderConfig {
  std::string url;
  std::string filter_verb, preempt_verb, prioritize_verb, bind_verb;  // "": does not
  int64_t weight = 0;
  bool https = false;
  base::Duration timeout = std::chrono::seconds(5);
  bool node_cache_capable = false;  // knows the nodes: names are enough
  bool ignorable = false;
  std::vector<std::string> managed_resources;  // only pods that ask for one of them; empty: all pods
  std::vector<std::string> ignored_by_scheduler;
  bool insecure = false;
  std::string cert_file, key_file, ca_file, cert_data, key_data, ca_data;  // data: base64
};

/// Sends a request body to the verb of an extender and gives its answer's body; an error is worded for
/// people.
using ExtenderPost = std::function<base::Result<std::string>(
    const ExtenderConfig& config, const std::string& verb, const std::string& body)>;
/// By libcurl. Blocks for the extender's timeout at most; thread-safe.
ExtenderPost post_over_http();

std::unique_ptr<Extender> make_extender(ExtenderConfig config, ExtenderPost post);

}  // namespace orch::server::scheduler
