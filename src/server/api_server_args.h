// Arguments of kube-apiserver that Orch understands (`--kube-apiserver-arg=NAME=VALUE`, as k3s has it), as
// plain values. One table in api_server_args.cpp says which there are and what each sets; a name that it does
// not hold is refused, because an argument without effect would be a promise not kept.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/status.h"

namespace orch::server {

/// Users whom a proxy in front of the API vouches for by headers (requestheader-*).
struct RequestHeaderArgs {
  std::string client_ca_file;              // that signed the proxy's certificate; "": nobody is believed
  std::vector<std::string> allowed_names;  // common names of proxies; empty: any of that CA
  std::vector<std::string> username_headers, uid_headers, group_headers, extra_prefixes;
};

/// One issuer of OpenID Connect tokens (oidc-*).
struct OidcArgs {
  std::string issuer_url, client_id, ca_file, username_claim = "sub", username_prefix, groups_claim,
                                              groups_prefix;
  std::vector<std::string> signing_algs;  // empty: RS256
  std::map<std::string, std::string> required_claims;
  bool given = false;  // any of them
};

/// The names of the members are those of the arguments. Files are paths.
struct ApiServerArgs {
  // --- Who asks
  std::optional<bool> anonymous_auth;
  std::string client_ca_file, token_auth_file;
  RequestHeaderArgs request_header;
  OidcArgs oidc;
  std::string authentication_config;
  std::string authentication_token_webhook_config_file, authentication_token_webhook_version = "v1beta1";
  std::optional<base::Duration> authentication_token_webhook_cache_ttl;
  // --- Tokens of service accounts
  std::vector<std::string> service_account_issuers, service_account_key_files, api_audiences;
  std::string service_account_signing_key_file, service_account_jwks_uri;
  bool service_account_extend_token_expiration = true;
  base::Duration service_account_max_token_expiration{0};  // 0: no bound
  // --- May they
  std::string authorization_config;
  std::vector<std::string> authorization_modes;  // empty: Node, RBAC
  std::string authorization_webhook_config_file, authorization_webhook_version = "v1beta1";
  std::optional<base::Duration> authorization_webhook_cache_authorized_ttl,
      authorization_webhook_cache_unauthorized_ttl;
  // --- Admission
  std::vector<std::string> enable_admission_plugins, disable_admission_plugins;
  std::string admission_control_config_file;
  // --- Audit
  std::string audit_policy_file, audit_log_path, audit_webhook_config_file;
  std::optional<int64_t> audit_log_maxage, audit_log_maxbackup, audit_log_maxsize;
  std::optional<int64_t> audit_webhook_batch_buffer_size, audit_webhook_batch_max_size,
      audit_webhook_batch_throttle_qps, audit_webhook_batch_throttle_burst;
  std::optional<base::Duration> audit_webhook_batch_max_wait, audit_webhook_initial_backoff;
  // --- What is served and kept
  std::string encryption_provider_config;
  bool encryption_provider_config_automatic_reload = false;
  std::optional<base::Duration> event_ttl;
  std::optional<int64_t> default_not_ready_toleration_seconds, default_unreachable_toleration_seconds;
  std::string service_node_port_range;
  bool enable_priority_and_fairness = true;
  std::optional<int64_t> max_requests_inflight, max_mutating_requests_inflight;
  std::map<std::string, bool> runtime_config;
};

/// Each of `args` is NAME=VALUE, with or without leading dashes; NAME alone sets a switch. Repeated lists add
/// up, other repeated arguments replace what was said before. kBadRequest with one line for people.
base::Result<ApiServerArgs> parse_api_server_args(const std::vector<std::string>& args);

/// The names it knows, sorted.
std::vector<std::string_view> api_server_arg_names();

}  // namespace orch::server
