#include "server/authentication.h"

#include <algorithm>

#include "base/file.h"
#include "base/file_watch.h"
#include "base/latest.h"
#include "base/log.h"
#include "client/kubeconfig.h"
#include "client/remote_client.h"
#include "pki/pki.h"
#include "server/auth/oidc.h"
#include "server/auth/static_tokens.h"
#include "server/auth/webhooks.h"

namespace orch::server {

using base::Code;
using base::Result;
using base::Status;

namespace {

Status bad(std::string_view argument, std::string_view why) {
  return {Code::kBadRequest, base::cat("--kube-apiserver-arg ", argument, ": ", why)};
}

Result<std::string> read_argument_file(std::string_view argument, const std::string& path) {
  auto text = base::read_file(path);
  if (!text.ok()) return bad(argument, text.error().message());
  return text;
}

/// Appends a file of certificates to a bundle.
Status add_bundle(std::string_view argument, const std::string& path, std::string& bundle) {
  auto text = read_argument_file(argument, path);
  if (!text.ok()) return text.error();
  if (auto parsed = pki::parse_certificate(*text); !parsed.ok())
    return bad(argument, base::cat(path, " holds no PEM certificate"));
  bundle += *text;
  if (bundle.back() != '\n') bundle += '\n';
  return {};
}

/// The PEM blocks of a text, each with its own lines.
std::vector<std::string> pem_blocks(std::string_view text) {
  std::vector<std::string> out;
  for (size_t from = text.find("-----BEGIN "); from != std::string_view::npos;) {
    const size_t next = text.find("-----BEGIN ", from + 1);
    const std::string_view block = text.substr(from, next == std::string_view::npos ? next : next - from);
    if (block.find("EC PARAMETERS") == std::string_view::npos) out.emplace_back(block);
    from = next;
  }
  return out;
}

/// The keys service-account tokens may be signed with: the first signs.
struct AccountKeys {
  std::string signing;
  std::vector<std::string> verifying;
};

Result<AccountKeys> read_account_keys(const ApiServerArgs& args, const ClusterPki& pki) {
  AccountKeys keys;
  keys.signing = pki.service_account_key;
  if (const std::string& file = args.service_account_signing_key_file; !file.empty()) {
    auto text = read_argument_file("service-account-signing-key-file", file);
    if (!text.ok()) return text.error();
    if (auto probe = pki::sign_jwt(*text, "{}"); !probe.ok())
      return bad("service-account-signing-key-file", base::cat(file, " holds no private key to sign with"));
    keys.signing = std::move(*text);
    // Tokens that pods hold already were signed with the cluster's own key.
    if (args.service_account_key_files.empty()) keys.verifying.push_back(pki.service_account_key);
  }
  keys.verifying.push_back(keys.signing);
  for (const std::string& file : args.service_account_key_files) {
    auto text = read_argument_file("service-account-key-file", file);
    if (!text.ok()) return text.error();
    const std::vector<std::string> blocks = pem_blocks(*text);
    for (const std::string& block : blocks) {
      if (!pki::public_jwk(block).ok())
        return bad("service-account-key-file", base::cat(file, " holds something that is no RSA or EC key"));
      keys.verifying.push_back(block);
    }
    if (blocks.empty()) return bad("service-account-key-file", base::cat(file, " holds no key"));
  }
  return keys;
}

JwtIssuer issuer_of(const OidcArgs& o, std::string ca_pem) {
  JwtIssuer out;
  out.url = o.issuer_url;
  out.ca_pem = std::move(ca_pem);
  out.audiences = {o.client_id};
  out.algorithms = o.signing_algs.empty() ? std::vector<std::string>{"RS256"} : o.signing_algs;
  out.required_claims = o.required_claims;
  out.username.claim = o.username_claim;
  out.username.prefix = o.username_prefix;
  // Names that are not unique by themselves are told apart by their issuer.
  if (o.username_prefix == "-") out.username.prefix.clear();
  if (o.username_prefix.empty() && o.username_claim != "email") out.username.prefix = o.issuer_url + "#";
  out.groups = {o.groups_claim, o.groups_prefix};
  return out;
}

Result<AuthenticationConfig> read_issuers(const ApiServerArgs& args) {
  AuthenticationConfig config;
  if (args.oidc.given) {
    std::string ca;
    if (!args.oidc.ca_file.empty()) ORCH_RETURN_IF_ERROR(add_bundle("oidc-ca-file", args.oidc.ca_file, ca));
    config.issuers.push_back(issuer_of(args.oidc, std::move(ca)));
  }
  if (const std::string& file = args.authentication_config; !file.empty()) {
    auto text = read_argument_file("authentication-config", file);
    if (!text.ok()) return text.error();
    auto parsed = parse_authentication_config(*text);
    if (!parsed.ok()) return bad("authentication-config", base::cat(file, ": ", parsed.error().message()));
    config = std::move(*parsed);
  }
  return config;
}

/// The authorities this machine trusts, where its distribution keeps them.
std::string system_authorities() {
  for (const char* path :
       {"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"}) {
    if (auto text = base::read_file(path); text.ok()) return std::move(*text);
  }
  return {};
}

Result<std::string> fetch(const std::string& url, const std::string& ca_pem) {
  client::RemoteOptions options;
  options.server = url;
  options.ca_pem = ca_pem.empty() ? system_authorities() : ca_pem;
  options.connect_timeout = std::chrono::seconds(5);
  options.request_timeout = std::chrono::seconds(10);
  auto answer = client::raw_request(options, "GET", "", "", "");
  if (!answer.ok()) return answer.error();
  return std::move(answer->body);
}

Result<Post> webhook(std::string_view argument, const std::string& config_file,
                     base::Duration timeout = std::chrono::seconds(30)) {
  auto remote = client::read_kubeconfig(config_file);
  if (!remote.ok()) return bad(argument, remote.error().message());
  remote->request_timeout =
      std::max(std::chrono::duration_cast<std::chrono::seconds>(timeout), std::chrono::seconds(1));
  return Post([options = std::move(*remote)](const std::string& body) -> Result<std::string> {
    auto answer = client::raw_request(options, "POST", "", "application/json", body);
    if (!answer.ok()) return answer.error();
    return std::move(answer->body);
  });
}

/// The foreign issuers, which may change while the server runs. Of several with one URL, and of a token of
/// none of them, each says for itself.
class JwtIssuers final : public TokenAuthenticator {
 public:
  using List = std::vector<std::unique_ptr<OidcAuthenticator>>;
  void set(std::shared_ptr<List> list) { list_.set(std::move(list)); }
  Result<std::optional<TokenUser>> authenticate_token(std::string_view token,
                                                      const std::vector<std::string>& audiences) override {
    const auto list = list_.get();
    for (const auto& issuer : *list) {
      auto user = issuer->authenticate_token(token, audiences);
      if (!user.ok() || *user) return user;
    }
    return std::optional<TokenUser>();
  }

 private:
  base::Latest<List> list_{std::make_shared<List>()};
};

/// Reads the issuers' file again when it changes.
class FollowedIssuers final : public TokenAuthenticator {
 public:
  FollowedIssuers(const ApiServerArgs& args, std::vector<std::string> own_issuers,
                  std::vector<std::string> audiences, const base::Clock& clock)
      : args_(args), own_issuers_(std::move(own_issuers)), audiences_(std::move(audiences)), clock_(clock) {}

  Status open() {
    const std::string& file = args_.authentication_config;
    if (!file.empty()) {
      if (auto text = base::read_file(file); text.ok()) text_ = std::move(*text);
    }
    auto config = read();
    if (!config.ok()) return config.error();
    anonymous_ = config->anonymous;
    use(std::move(*config));
    if (file.empty()) return {};
    auto watch = base::FileWatch::start(file, [this] { changed(); });
    if (!watch.ok()) return watch.error();
    watch_ = std::move(*watch);
    return {};
  }
  const std::optional<AnonymousOptions>& anonymous() const { return anonymous_; }
  Result<std::optional<TokenUser>> authenticate_token(std::string_view token,
                                                      const std::vector<std::string>& audiences) override {
    return issuers_.authenticate_token(token, audiences);
  }

 private:
  Result<AuthenticationConfig> read() const {
    auto config = read_issuers(args_);
    if (!config.ok()) return config.error();
    for (const JwtIssuer& jwt : config->issuers) {
      if (std::find(own_issuers_.begin(), own_issuers_.end(), jwt.url) != own_issuers_.end())
        return bad("authentication-config", base::cat(jwt.url, " is an issuer of service account tokens"));
    }
    return config;
  }
  void use(AuthenticationConfig config) {
    auto list = std::make_shared<JwtIssuers::List>();
    for (JwtIssuer& jwt : config.issuers)
      list->push_back(std::make_unique<OidcAuthenticator>(std::move(jwt), audiences_, fetch, clock_));
    issuers_.set(std::move(list));
  }
  void changed() {
    auto text = base::read_file(args_.authentication_config);
    if (!text.ok() || *text == text_) return;
    text_ = std::move(*text);
    auto config = read();
    const auto same = [](const auto& a, const auto& b) {
      return a.has_value() == b.has_value() && (!a || (a->enabled == b->enabled && a->paths == b->paths));
    };
    if (config.ok() && !same(config->anonymous, anonymous_))
      config = bad("authentication-config", "anonymous: Forbidden: changed from initial configuration file");
    if (!config.ok()) {
      base::log_error("auth", "the changed authentication configuration is not used",
                      {{"reason", config.error().message()}});
      return;
    }
    use(std::move(*config));
    base::log_info("auth", "authentication configuration read anew", {{"file", args_.authentication_config}});
  }

  const ApiServerArgs& args_;
  const std::vector<std::string> own_issuers_, audiences_;
  const base::Clock& clock_;
  std::string text_;  // of the file; open(), then the watch's thread
  std::optional<AnonymousOptions> anonymous_;
  JwtIssuers issuers_;
  std::unique_ptr<base::FileWatch> watch_;  // last: it calls the others
};

}  // namespace

Result<std::vector<AuthorizerConfig>> read_authorizers(const ApiServerArgs& args) {
  if (const std::string& file = args.authorization_config; !file.empty()) {
    if (!args.authorization_modes.empty() || !args.authorization_webhook_config_file.empty())
      return bad("authorization-config",
                 "can not be specified when authorization-mode or authorization-webhook-* are");
    auto text = read_argument_file("authorization-config", file);
    if (!text.ok()) return text.error();
    auto parsed = parse_authorization_config(*text);
    if (!parsed.ok()) return bad("authorization-config", base::cat(file, ": ", parsed.error().message()));
    return parsed;
  }
  std::vector<std::string> modes = args.authorization_modes;
  if (modes.empty()) modes = {"Node", "RBAC"};
  std::vector<AuthorizerConfig> out;
  for (const std::string& mode : modes) {
    using Type = AuthorizerConfig::Type;
    AuthorizerConfig one;
    one.type = mode == "Node"          ? Type::kNode
               : mode == "RBAC"        ? Type::kRbac
               : mode == "Webhook"     ? Type::kWebhook
               : mode == "AlwaysAllow" ? Type::kAlwaysAllow
                                       : Type::kAlwaysDeny;
    if (one.type == Type::kWebhook) {
      one.webhook.kubeconfig = args.authorization_webhook_config_file;
      one.webhook.version = args.authorization_webhook_version;
      one.webhook.timeout = std::chrono::seconds(30);
      one.webhook.allowed_ttl =
          args.authorization_webhook_cache_authorized_ttl.value_or(std::chrono::minutes(5));
      one.webhook.refused_ttl =
          args.authorization_webhook_cache_unauthorized_ttl.value_or(std::chrono::seconds(30));
    }
    out.push_back(std::move(one));
  }
  return out;
}

Result<std::unique_ptr<Authorizer>> make_webhook_authorizer(const WebhookAuthorizerConfig& config,
                                                            const base::Clock& clock) {
  if (config.kubeconfig.empty())
    return bad("authorization-config",
               "unable to load in-cluster configuration, KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT "
               "must be defined");
  auto post = webhook("authorization webhook", config.kubeconfig, config.timeout);
  if (!post.ok()) return post.error();
  return std::unique_ptr<Authorizer>(std::make_unique<WebhookAuthorizer>(
      std::move(*post), config.version, config.allowed_ttl, config.refused_ttl, clock,
      WebhookBehavior{config.deny_on_failure, config.conditions}));
}

Result<ClientCas> read_client_cas(const ApiServerArgs& args, const ClusterPki& pki) {
  ClientCas cas;
  cas.clients = pki.client_ca.certificate_pem;
  if (!args.client_ca_file.empty())
    ORCH_RETURN_IF_ERROR(add_bundle("client-ca-file", args.client_ca_file, cas.clients));
  if (const std::string& file = args.request_header.client_ca_file; !file.empty())
    ORCH_RETURN_IF_ERROR(add_bundle("requestheader-client-ca-file", file, cas.proxies));
  return cas;
}

Result<Authentication> make_authentication(const ApiServerArgs& args, const ClusterPki& pki,
                                           const std::vector<JoinToken>& join_tokens,
                                           const std::string& cluster_domain, const Lookup& lookup,
                                           const base::Clock& clock, LegacyTokenUse on_legacy_use) {
  Authentication out;
  const std::string own_issuer = "https://kubernetes.default.svc." + cluster_domain;
  std::vector<std::string> issuers = args.service_account_issuers;
  if (issuers.empty()) issuers = {own_issuer};
  out.audiences = args.api_audiences;
  if (out.audiences.empty()) out.audiences = {issuers[0], "orch"};
  auto keys = read_account_keys(args, pki);
  if (!keys.ok()) return keys.error();
  TokenIssuerOptions issuer{
      issuers[0],
      keys->signing,
      out.audiences,
      keys->verifying,
      args.service_account_extend_token_expiration,
      std::chrono::duration_cast<std::chrono::seconds>(args.service_account_max_token_expiration).count()};
  out.issuer = std::make_unique<TokenIssuer>(std::move(issuer), lookup, clock);

  std::vector<std::unique_ptr<TokenAuthenticator>> tokens;
  if (const std::string& file = args.token_auth_file; !file.empty()) {
    auto text = read_argument_file("token-auth-file", file);
    if (!text.ok()) return text.error();
    auto known = StaticTokenAuthenticator::parse(*text, file);
    if (!known.ok()) return known.error();
    tokens.push_back(std::move(*known));
  }
  tokens.push_back(std::make_unique<JoinTokenAuthenticator>(join_tokens));
  tokens.push_back(std::make_unique<BootstrapTokenAuthenticator>(lookup, clock));
  auto verifier = pki::JwtVerifier::make(keys->verifying);
  if (!verifier.ok()) return verifier.error();
  ServiceAccountTokenOptions options{issuers, out.audiences, *verifier, std::move(on_legacy_use)};
  tokens.push_back(std::make_unique<ServiceAccountAuthenticator>(std::move(options), lookup, clock));

  auto foreign = std::make_unique<FollowedIssuers>(args, issuers, out.audiences, clock);
  ORCH_RETURN_IF_ERROR(foreign->open());
  const std::optional<AnonymousOptions> configured = foreign->anonymous();
  tokens.push_back(std::move(foreign));

  if (const std::string& file = args.authentication_token_webhook_config_file; !file.empty()) {
    auto post = webhook("authentication-token-webhook-config-file", file);
    if (!post.ok()) return post.error();
    tokens.push_back(std::make_unique<WebhookTokenAuthenticator>(
        std::move(*post), args.authentication_token_webhook_version,
        args.authentication_token_webhook_cache_ttl.value_or(std::chrono::minutes(2)), out.audiences, clock));
  }

  AnonymousOptions anonymous;
  // Unless told, strangers see whether the server is well, and nothing else.
  if (configured) {
    if (args.anonymous_auth)
      return bad("anonymous-auth", "authentication-config configures anonymous requests already");
    anonymous = *configured;
  } else if (args.anonymous_auth) {
    anonymous.enabled = *args.anonymous_auth;
  } else {
    anonymous.paths = {"/healthz", "/livez", "/readyz", "/version"};
  }
  const RequestHeaderArgs& h = args.request_header;
  out.proxies = {h.allowed_names, h.username_headers, h.uid_headers, h.group_headers, h.extra_prefixes};
  out.authenticator = std::make_unique<RequestAuthenticator>(std::move(tokens), anonymous, out.proxies);
  return out;
}

}  // namespace orch::server
