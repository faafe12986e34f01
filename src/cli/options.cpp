#include "cli/options.h"

#include <unistd.h>

#include <cstdlib>

#include "api/duration.h"
#include "api/names.h"
#include "base/file.h"
#include "cli/controller_manager_args.h"
#include "cli/scheduler_args.h"

namespace orch::cli {

using base::Code;
using base::Status;

namespace {

Status bad(std::string why) { return Status(Code::kBadRequest, std::move(why)); }

Status check_cidr(const char* flag, const std::string& cidr) {
  const size_t slash = cidr.find('/');
  if (slash == std::string::npos || slash == 0)
    return bad(base::cat("--", flag, " \"", cidr, "\" is not a CIDR such as 10.42.0.0/16"));
  return {};
}

Status check_node(Options& o) {
  if (o.node.node_name.empty()) {
    char host[256] = {};
    gethostname(host, sizeof host - 1);
    for (char* c = host; *c != 0; ++c) *c = static_cast<char>(std::tolower(static_cast<unsigned char>(*c)));
    o.node.node_name = host;
  }
  auto problems = api::check_dns1123_subdomain(o.node.node_name);
  if (!problems.empty())
    return bad(base::cat("--node-name \"", o.node.node_name, "\" cannot be a node's name: ", problems[0]));
  for (const auto& label : o.node.node_labels) {
    if (label.find('=') == std::string::npos)
      return bad(base::cat("--node-label \"", label, "\" is not KEY=VALUE"));
  }
  for (const auto& taint : o.node.node_taints) {
    if (taint.find(':') == std::string::npos)
      return bad(base::cat("--node-taint \"", taint, "\" is not KEY=VALUE:EFFECT"));
  }
  return {};
}

constexpr std::chrono::seconds kShortestLifetime{60};
/// Nodes send their heartbeat every 10 seconds.
constexpr std::chrono::seconds kShortestGrace{12};

Status check_lost_nodes(Options& o) {
  server::ServerConfig& s = o.server;
  auto grace = api::parse_duration(o.node_monitor_grace_period);
  if (!grace.ok() || *grace < kShortestGrace) {
    return bad(base::cat("--node-monitor-grace-period \"", o.node_monitor_grace_period,
                         "\" is not a duration of at least ", api::format_duration(kShortestGrace)));
  }
  s.node_monitor_grace_period = *grace;
  if (s.default_not_ready_toleration_seconds < 0 || s.default_unreachable_toleration_seconds < 0) {
    return bad(
        "--default-not-ready-toleration-seconds and --default-unreachable-toleration-seconds cannot be "
        "negative");
  }
  return {};
}

/// An environment variable holds several values as lines.
std::vector<std::string> split_lines(const std::vector<std::string>& values) {
  std::vector<std::string> out;
  for (const std::string& value : values) {
    for (size_t from = 0; from < value.size();) {
      const size_t end = std::min(value.find('\n', from), value.size());
      if (end > from) out.push_back(value.substr(from, end - from));
      from = end + 1;
    }
  }
  return out;
}

}  // namespace

std::vector<std::string> certificate_addresses(const Options& o) {
  return o.node.node_ips.empty() ? agent::machine_addresses() : o.node.node_ips;
}

Status check(Command command, Options& o) {
  if (o.data_dir.empty() || o.data_dir[0] != '/')
    return bad(base::cat("--data-dir \"", o.data_dir, "\" is not an absolute path"));
  ORCH_RETURN_IF_ERROR(check_node(o));
  if (!o.token_file.empty()) {
    if (!o.token.empty()) return bad("--token and --token-file cannot be used together");
    auto text = base::read_file(o.token_file);
    if (!text.ok()) return bad(base::cat("--token-file: ", text.error().message()));
    o.token = *text;
    while (!o.token.empty() && std::isspace(static_cast<unsigned char>(o.token.back()))) o.token.pop_back();
  }
  if (command == Command::kAgent) {
    if (o.server_url.empty())
      return bad("--server is required: the URL of an orch server, https://HOST:6443");
    if (o.server_url.rfind("https://", 0) != 0)
      return bad(base::cat("--server \"", o.server_url, "\" does not begin with https://"));
    while (o.server_url.back() == '/') o.server_url.pop_back();
    return {};
  }
  server::ServerConfig& s = o.server;
  auto api = server::parse_api_server_args(split_lines(o.kube_apiserver_args));
  if (!api.ok()) return api.error();
  s.api = std::move(*api);
  ORCH_RETURN_IF_ERROR(check_cidr("cluster-cidr", s.cluster_cidr));
  ORCH_RETURN_IF_ERROR(check_cidr("service-cidr", s.service_cidr));
  if (s.cluster_cidr == s.service_cidr)
    return bad("--cluster-cidr and --service-cidr are the same: pods and services need ranges of their own");
  char* end = nullptr;
  s.write_kubeconfig_mode = static_cast<unsigned>(std::strtoul(o.kubeconfig_mode.c_str(), &end, 8));
  if (o.kubeconfig_mode.empty() || *end != 0 || s.write_kubeconfig_mode > 0777) {
    return bad(
        base::cat("--write-kubeconfig-mode \"", o.kubeconfig_mode, "\" is not an octal mode such as 600"));
  }
  ORCH_RETURN_IF_ERROR(check_lost_nodes(o));
  ORCH_RETURN_IF_ERROR(apply_controller_manager_args(o.controller_manager_args, s));
  auto lifetime = api::parse_duration(o.cluster_signing_duration);
  if (!lifetime.ok() || *lifetime < kShortestLifetime) {
    return bad(base::cat("--cluster-signing-duration \"", o.cluster_signing_duration,
                         "\" is not a duration of at least ", api::format_duration(kShortestLifetime)));
  }
  s.cluster_signing_duration = std::chrono::duration_cast<std::chrono::seconds>(*lifetime);
  ORCH_RETURN_IF_ERROR(apply_scheduler_args(o.scheduler_args, s));
  s.data_dir = o.data_dir;
  s.token = o.token;
  s.hostname = o.node.node_name;
  s.node_ips = certificate_addresses(o);
  if (s.advertise_address.empty() && !s.node_ips.empty()) s.advertise_address = s.node_ips[0];
  return {};
}

}  // namespace orch::cli
