#include "server/api_server_args.h"

#include <algorithm>
#include <charconv>
#include <variant>

#include "api/duration.h"
#include "server/feature_gates.h"

namespace orch::server {

using base::Code;
using base::Result;
using base::Status;

namespace {

using Strings = std::vector<std::string>;

/// Why a value is wrong, without the argument's name; empty when it is right.
using Custom = std::string (*)(ApiServerArgs& args, const std::string& value);
/// A list whose every value is one item, commas or not.
struct Array {
  Strings ApiServerArgs::*member;
};
/// A switch that Orch does not have: the value it stands at anyway is accepted, the other is not.
struct Fixed {
  bool value;
};
/// A choice of which Orch has one.
struct Only {
  std::string_view value;
};
using Target =
    std::variant<bool ApiServerArgs::*, std::optional<bool> ApiServerArgs::*, std::string ApiServerArgs::*,
                 Strings ApiServerArgs::*, Array, Fixed, Only, std::optional<int64_t> ApiServerArgs::*,
                 base::Duration ApiServerArgs::*, std::optional<base::Duration> ApiServerArgs::*, Custom>;

struct Row {
  std::string_view name;
  Target target;
};

Strings split(std::string_view text) {
  Strings out;
  while (!text.empty()) {
    const std::string_view item = text.substr(0, text.find(','));
    text.remove_prefix(std::min(item.size() + 1, text.size()));
    if (!item.empty()) out.emplace_back(item);
  }
  return out;
}

void append(Strings& list, Strings more) {
  list.insert(list.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
}

/// As strconv.ParseBool.
std::optional<bool> parse_bool(std::string_view v) {
  for (const char* yes : {"1", "t", "T", "true", "TRUE", "True"}) {
    if (v == yes) return true;
  }
  for (const char* no : {"0", "f", "F", "false", "FALSE", "False"}) {
    if (v == no) return false;
  }
  return std::nullopt;
}

template <Strings RequestHeaderArgs::*kMember>
std::string header_list(ApiServerArgs& args, const std::string& value) {
  append(args.request_header.*kMember, split(value));
  return {};
}

std::string header_ca(ApiServerArgs& args, const std::string& value) {
  args.request_header.client_ca_file = value;
  return {};
}

template <std::string OidcArgs::*kMember>
std::string oidc_text(ApiServerArgs& args, const std::string& value) {
  args.oidc.given = true;
  args.oidc.*kMember = value;
  return {};
}

std::string oidc_signing_algs(ApiServerArgs& args, const std::string& value) {
  args.oidc.given = true;
  append(args.oidc.signing_algs, split(value));
  return {};
}

std::string oidc_required_claim(ApiServerArgs& args, const std::string& value) {
  const size_t eq = value.find('=');
  if (eq == std::string::npos) return base::cat("\"", value, "\" is not CLAIM=VALUE");
  args.oidc.given = true;
  args.oidc.required_claims[value.substr(0, eq)] = value.substr(eq + 1);
  return {};
}

std::string feature_gates(ApiServerArgs& /*args*/, const std::string& value) {
  return check_feature_gates(value).message();
}

std::string runtime_config(ApiServerArgs& args, const std::string& value) {
  for (const std::string& item : split(value)) {
    const size_t eq = item.find('=');
    const std::string text = eq == std::string::npos ? "true" : item.substr(eq + 1);
    const std::optional<bool> on = text.empty() ? true : parse_bool(text);
    if (!on) return base::cat("\"", item, "\" says neither true nor false");
    args.runtime_config[item.substr(0, eq)] = *on;
  }
  return {};
}

std::string authorization_mode(ApiServerArgs& args, const std::string& value) {
  for (std::string& mode : split(value)) {
    if (mode != "Node" && mode != "RBAC" && mode != "AlwaysAllow" && mode != "AlwaysDeny" &&
        mode != "Webhook")
      return base::cat("\"", mode,
                       "\" is not a mode that orch has: AlwaysAllow, AlwaysDeny, Node, RBAC, Webhook");
    if (std::find(args.authorization_modes.begin(), args.authorization_modes.end(), mode) !=
        args.authorization_modes.end())
      return base::cat("mode \"", mode, "\" is named twice");
    args.authorization_modes.push_back(std::move(mode));
  }
  return {};
}

using A = ApiServerArgs;

/// Sorted by name.
const Row kRows[] = {
    {"admission-control-config-file", &A::admission_control_config_file},
    {"allow-privileged", Fixed{true}},
    {"anonymous-auth", &A::anonymous_auth},
    {"api-audiences", &A::api_audiences},
    {"audit-log-format", Only{"json"}},
    {"audit-log-maxage", &A::audit_log_maxage},
    {"audit-log-maxbackup", &A::audit_log_maxbackup},
    {"audit-log-maxsize", &A::audit_log_maxsize},
    {"audit-log-mode", Only{"blocking"}},
    {"audit-log-path", &A::audit_log_path},
    {"audit-log-version", Only{"audit.k8s.io/v1"}},
    {"audit-policy-file", &A::audit_policy_file},
    {"audit-webhook-batch-buffer-size", &A::audit_webhook_batch_buffer_size},
    {"audit-webhook-batch-max-size", &A::audit_webhook_batch_max_size},
    {"audit-webhook-batch-max-wait", &A::audit_webhook_batch_max_wait},
    {"audit-webhook-batch-throttle-burst", &A::audit_webhook_batch_throttle_burst},
    {"audit-webhook-batch-throttle-qps", &A::audit_webhook_batch_throttle_qps},
    {"audit-webhook-config-file", &A::audit_webhook_config_file},
    {"audit-webhook-initial-backoff", &A::audit_webhook_initial_backoff},
    {"audit-webhook-mode", Only{"batch"}},
    {"audit-webhook-version", Only{"audit.k8s.io/v1"}},
    {"authentication-config", &A::authentication_config},
    {"authentication-token-webhook-cache-ttl", &A::authentication_token_webhook_cache_ttl},
    {"authentication-token-webhook-config-file", &A::authentication_token_webhook_config_file},
    {"authentication-token-webhook-version", &A::authentication_token_webhook_version},
    {"authorization-config", &A::authorization_config},
    {"authorization-mode", Custom(authorization_mode)},
    {"authorization-webhook-cache-authorized-ttl", &A::authorization_webhook_cache_authorized_ttl},
    {"authorization-webhook-cache-unauthorized-ttl", &A::authorization_webhook_cache_unauthorized_ttl},
    {"authorization-webhook-config-file", &A::authorization_webhook_config_file},
    {"authorization-webhook-version", &A::authorization_webhook_version},
    {"client-ca-file", &A::client_ca_file},
    {"default-not-ready-toleration-seconds", &A::default_not_ready_toleration_seconds},
    {"default-unreachable-toleration-seconds", &A::default_unreachable_toleration_seconds},
    {"disable-admission-plugins", &A::disable_admission_plugins},
    {"enable-admission-plugins", &A::enable_admission_plugins},
    {"enable-aggregator-routing", Fixed{true}},
    {"enable-bootstrap-token-auth", Fixed{true}},
    {"enable-garbage-collector", Fixed{true}},
    {"enable-priority-and-fairness", &A::enable_priority_and_fairness},
    {"encryption-provider-config", &A::encryption_provider_config},
    {"encryption-provider-config-automatic-reload", &A::encryption_provider_config_automatic_reload},
    {"event-ttl", &A::event_ttl},
    {"feature-gates", Custom(feature_gates)},
    {"max-mutating-requests-inflight", &A::max_mutating_requests_inflight},
    {"max-requests-inflight", &A::max_requests_inflight},
    {"oidc-ca-file", Custom(oidc_text<&OidcArgs::ca_file>)},
    {"oidc-client-id", Custom(oidc_text<&OidcArgs::client_id>)},
    {"oidc-groups-claim", Custom(oidc_text<&OidcArgs::groups_claim>)},
    {"oidc-groups-prefix", Custom(oidc_text<&OidcArgs::groups_prefix>)},
    {"oidc-issuer-url", Custom(oidc_text<&OidcArgs::issuer_url>)},
    {"oidc-required-claim", Custom(oidc_required_claim)},
    {"oidc-signing-algs", Custom(oidc_signing_algs)},
    {"oidc-username-claim", Custom(oidc_text<&OidcArgs::username_claim>)},
    {"oidc-username-prefix", Custom(oidc_text<&OidcArgs::username_prefix>)},
    {"profiling", Fixed{false}},
    {"requestheader-allowed-names", Custom(header_list<&RequestHeaderArgs::allowed_names>)},
    {"requestheader-client-ca-file", Custom(header_ca)},
    {"requestheader-extra-headers-prefix", Custom(header_list<&RequestHeaderArgs::extra_prefixes>)},
    {"requestheader-group-headers", Custom(header_list<&RequestHeaderArgs::group_headers>)},
    {"requestheader-uid-headers", Custom(header_list<&RequestHeaderArgs::uid_headers>)},
    {"requestheader-username-headers", Custom(header_list<&RequestHeaderArgs::username_headers>)},
    {"runtime-config", Custom(runtime_config)},
    {"service-account-extend-token-expiration", &A::service_account_extend_token_expiration},
    {"service-account-issuer", Array{&A::service_account_issuers}},
    {"service-account-jwks-uri", &A::service_account_jwks_uri},
    {"service-account-key-file", Array{&A::service_account_key_files}},
    {"service-account-lookup", Fixed{true}},
    {"service-account-max-token-expiration", &A::service_account_max_token_expiration},
    {"service-account-signing-key-file", &A::service_account_signing_key_file},
    {"service-node-port-range", &A::service_node_port_range},
    {"token-auth-file", &A::token_auth_file},
};

/// What Orch has as a flag of its own.
constexpr std::pair<std::string_view, std::string_view> kOwnFlags[] = {
    {"advertise-address", "--advertise-address"},
    {"bind-address", "--bind-address"},
    {"secure-port", "--https-listen-port"},
    {"service-cluster-ip-range", "--service-cidr"},
};

/// Puts one value where it belongs; gives why not, empty when done.
class Setter {
 public:
  Setter(ApiServerArgs& args, const std::string& value) : args_(args), value_(value) {}

  std::string operator()(bool A::*member) {
    const std::optional<bool> b = parse_bool(value_);
    if (!b) return base::cat("\"", value_, "\" is neither true nor false");
    args_.*member = *b;
    return {};
  }
  std::string operator()(std::optional<bool> A::*member) {
    const std::optional<bool> b = parse_bool(value_);
    if (!b) return base::cat("\"", value_, "\" is neither true nor false");
    args_.*member = *b;
    return {};
  }
  std::string operator()(std::string A::*member) {
    args_.*member = value_;
    return {};
  }
  std::string operator()(Strings A::*member) {
    append(args_.*member, split(value_));
    return {};
  }
  std::string operator()(Array array) {
    (args_.*array.member).push_back(value_);
    return {};
  }
  std::string operator()(Fixed fixed) {
    const std::optional<bool> b = parse_bool(value_);
    if (!b) return base::cat("\"", value_, "\" is neither true nor false");
    if (*b == fixed.value) return {};
    return base::cat("orch has it ", fixed.value ? "true" : "false", " and does not switch it");
  }
  std::string operator()(Only only) {
    return value_ == only.value ? std::string() : base::cat("orch has ", only.value, " only");
  }
  std::string operator()(std::optional<int64_t> A::*member) {
    int64_t n = 0;
    const auto [end, error] = std::from_chars(value_.data(), value_.data() + value_.size(), n);
    if (error != std::errc() || end != value_.data() + value_.size() || n < 0)
      return base::cat("\"", value_, "\" is not a number of 0 or more");
    args_.*member = n;
    return {};
  }
  std::string operator()(base::Duration A::*member) { return duration(args_.*member); }
  std::string operator()(std::optional<base::Duration> A::*member) {
    base::Duration d{};
    std::string why = duration(d);
    if (why.empty()) args_.*member = d;
    return why;
  }
  std::string operator()(Custom custom) { return custom(args_, value_); }

 private:
  std::string duration(base::Duration& out) {
    auto d = api::parse_duration(value_);
    if (!d.ok() || *d < base::Duration::zero())
      return base::cat("\"", value_, "\" is not a duration such as 30s or 1h");
    out = *d;
    return {};
  }

  ApiServerArgs& args_;
  const std::string& value_;
};

Status bad(std::string why) { return Status(Code::kBadRequest, std::move(why)); }

Status unknown(std::string_view name) {
  for (const auto& [theirs, ours] : kOwnFlags) {
    if (name == theirs)
      return bad(base::cat("--kube-apiserver-arg ", name, ": use orch's own flag ", ours, " instead"));
  }
  return bad(
      base::cat("--kube-apiserver-arg ", name, ": orch does not have this argument of kube-apiserver"));
}

bool is_switch(const Target& target) {
  return std::holds_alternative<bool A::*>(target) ||
         std::holds_alternative<std::optional<bool> A::*>(target) || std::holds_alternative<Fixed>(target);
}

/// What no single argument can see.
Status check(const ApiServerArgs& a) {
  Strings issuers = a.service_account_issuers;
  std::sort(issuers.begin(), issuers.end());
  if (!issuers.empty() && issuers.front().empty())
    return bad("--kube-apiserver-arg service-account-issuer should not be an empty string");
  if (const auto twice = std::adjacent_find(issuers.begin(), issuers.end()); twice != issuers.end())
    return bad(
        base::cat("--kube-apiserver-arg service-account-issuer \"", *twice, "\" is already specified"));
  if (!a.service_account_jwks_uri.empty() && a.service_account_jwks_uri.rfind("https://", 0) != 0)
    return bad(base::cat("--kube-apiserver-arg service-account-jwks-uri requires https scheme, parsed as: ",
                         a.service_account_jwks_uri));
  if (a.encryption_provider_config_automatic_reload && a.encryption_provider_config.empty())
    return bad(
        "--kube-apiserver-arg encryption-provider-config-automatic-reload must be set with "
        "encryption-provider-config");
  const base::Duration max = a.service_account_max_token_expiration;
  if (max != base::Duration::zero() &&
      (max < std::chrono::hours(1) || max > std::chrono::seconds(int64_t{1} << 32)))
    return bad(
        "--kube-apiserver-arg service-account-max-token-expiration must be between 1 hour and 2^32 seconds");
  for (const std::string* version :
       {&a.authentication_token_webhook_version, &a.authorization_webhook_version}) {
    if (*version != "v1" && *version != "v1beta1")
      return bad(
          base::cat("--kube-apiserver-arg: webhook version \"", *version, "\" is neither v1 nor v1beta1"));
  }
  const auto& modes = a.authorization_modes;
  const bool asks = std::find(modes.begin(), modes.end(), "Webhook") != modes.end();
  if (asks && a.authorization_webhook_config_file.empty())
    return bad(
        "--kube-apiserver-arg authorization-mode Webhook: the authorization mode Webhook requires an "
        "authorization "
        "config file (authorization-webhook-config-file)");
  if (!asks && !a.authorization_webhook_config_file.empty())
    return bad(
        "--kube-apiserver-arg authorization-webhook-config-file: cannot specify it without mode Webhook");
  const OidcArgs& oidc = a.oidc;
  if (oidc.given && (oidc.issuer_url.empty() || oidc.client_id.empty()))
    return bad(
        "--kube-apiserver-arg oidc-issuer-url and oidc-client-id must be specified together when any oidc-* "
        "flags are set");
  if (oidc.given && oidc.issuer_url.rfind("https://", 0) != 0)
    return bad(base::cat("--kube-apiserver-arg oidc-issuer-url: invalid value: ", oidc.issuer_url,
                         ": URL scheme must be https"));
  if (oidc.given && !a.authentication_config.empty())
    return bad("--kube-apiserver-arg authentication-config file and oidc-* flags are mutually exclusive");
  const RequestHeaderArgs& h = a.request_header;
  if (h.client_ca_file.empty() != h.username_headers.empty())
    return bad(
        "--kube-apiserver-arg requestheader-client-ca-file and requestheader-username-headers go together: "
        "one is missing");
  if (!h.client_ca_file.empty() && h.client_ca_file == a.client_ca_file && h.allowed_names.empty())
    return bad(
        "--kube-apiserver-arg requestheader-client-ca-file and client-ca-file contain overlapping "
        "certificates; requestheader-allowed-names must be specified");
  return {};
}

}  // namespace

Result<ApiServerArgs> parse_api_server_args(const std::vector<std::string>& args) {
  ApiServerArgs out;
  for (const std::string& arg : args) {
    std::string_view text = arg;
    while (!text.empty() && text.front() == '-') text.remove_prefix(1);
    const size_t eq = text.find('=');
    const std::string_view name = text.substr(0, eq);
    const auto* row = std::lower_bound(std::begin(kRows), std::end(kRows), name,
                                       [](const Row& r, std::string_view n) { return r.name < n; });
    if (name.empty()) return bad(base::cat("--kube-apiserver-arg \"", arg, "\" is not NAME=VALUE"));
    if (row == std::end(kRows) || row->name != name) return unknown(name);
    if (eq == std::string_view::npos && !is_switch(row->target))
      return bad(base::cat("--kube-apiserver-arg \"", arg, "\" is not NAME=VALUE"));
    const std::string value(eq == std::string_view::npos ? std::string_view("true") : text.substr(eq + 1));
    if (std::string why = std::visit(Setter(out, value), row->target); !why.empty())
      return bad(base::cat("--kube-apiserver-arg ", name, ": ", why));
  }
  ORCH_RETURN_IF_ERROR(check(out));
  return out;
}

std::vector<std::string_view> api_server_arg_names() {
  std::vector<std::string_view> names;
  for (const Row& row : kRows) names.push_back(row.name);
  return names;
}

}  // namespace orch::server
