// Tokens of Secrets that nobody uses any more: the API server notes since when uses are written down (and
// writes them at the request of auth/service_account_tokens.h), a controller invalidates and then deletes
// what is unused.
#pragma once

#include "base/clock.h"
#include "server/controllers/controller.h"

namespace orch::server {

/// Keeps the config map kube-apiserver-legacy-service-account-token-tracking in kube-system, whose date
/// "since" says from when on uses of such tokens are written down. A date that cannot be is replaced by
/// today's; a map that is deleted comes back, at most one in 30 minutes. A controller of the API server: it
/// runs without the others too.
Controller make_legacy_token_tracking_controller(const base::Clock& clock);

/// Labels a token Secret with the day it was used (a LegacyTokenUse). What fails is tried at its next use.
void mark_token_used(client::Client& client, const api::Object& secret, const std::string& date);

/// Once a day, of the token Secrets that Kubernetes made by itself (the account lists them) and no pod uses:
/// those unused for `period` are labelled kubernetes.io/legacy-token-invalid-since, and deleted when they
/// have been that for `period`. Nothing happens before uses have been written down for so long.
Controller make_legacy_token_cleaner_controller(base::Duration period);

}  // namespace orch::server
