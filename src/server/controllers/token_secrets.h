// Secrets that are tokens: those of service accounts are filled in, and go with their account; bootstrap
// tokens go when they expire.
#pragma once

#include <functional>

#include "server/controllers/controller.h"

namespace orch::server {

/// Signs the token of a Secret (TokenIssuer::secret_token).
using SecretTokenSigner =
    std::function<base::Result<std::string>(const api::Object& account, std::string_view secret_name)>;

/// Secrets of type kubernetes.io/service-account-token, named for an account by annotation: token, namespace,
/// ca.crt and the account's uid are set; a Secret whose account is gone is deleted.
Controller make_token_secret_controller(SecretTokenSigner sign, std::string root_ca_pem);

/// Deletes expired Secrets of type bootstrap.kubernetes.io/token in kube-system, at the time they expire.
Controller make_token_cleaner_controller();

}  // namespace orch::server
