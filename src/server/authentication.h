// How the API server tells who asks, put together from its arguments and the cluster's own keys.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "server/api_server_args.h"
#include "server/auth/authenticators.h"
#include "server/auth/authorization_config.h"
#include "server/auth/lookup.h"
#include "server/auth/pki_setup.h"
#include "server/auth/service_account_tokens.h"
#include "server/auth/token.h"
#include "server/auth/token_issuer.h"

namespace orch::server {

/// The bundles that client certificates are checked against.
struct ClientCas {
  std::string clients;  // the cluster's own CA and client-ca-file
  std::string proxies;  // requestheader-client-ca-file; "" when there is none
};
/// Reads the files anew: called at the start and when certificates are renewed. kBadRequest naming a file.
base::Result<ClientCas> read_client_cas(const ApiServerArgs& args, const ClusterPki& pki);

/// The authorizers of authorization-config, or those that the other arguments stand for.
base::Result<std::vector<AuthorizerConfig>> read_authorizers(const ApiServerArgs& args);
/// kBadRequest naming the file that cannot be used.
base::Result<std::unique_ptr<Authorizer>> make_webhook_authorizer(const WebhookAuthorizerConfig& config,
                                                                  const base::Clock& clock);

struct Authentication {
  std::vector<std::string> audiences;  // the API server's own
  std::unique_ptr<TokenIssuer> issuer;
  std::unique_ptr<RequestAuthenticator> authenticator;
  FrontProxies proxies;
};
/// kBadRequest naming what cannot be used. The issuers of authentication-config follow the file: one that is
/// not valid changes nothing. `on_legacy_use`: see ServiceAccountTokenOptions. `args`, `lookup` and `clock`
/// must outlive the result.
base::Result<Authentication> make_authentication(const ApiServerArgs& args, const ClusterPki& pki,
                                                 const std::vector<JoinToken>& join_tokens,
                                                 const std::string& cluster_domain, const Lookup& lookup,
                                                 const base::Clock& clock, LegacyTokenUse on_legacy_use);

}  // namespace orch::server
