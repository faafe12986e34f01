// Impersonation: acting as somebody else by Impersonate-* headers, when authorized to.
#pragma once

#include <optional>

#include "base/status.h"
#include "http/message.h"
#include "server/auth/auth.h"

namespace orch::server {

/// The user to go on as, or nothing when the request carries no Impersonate-* header. Each of the requested
/// user, service account, group, extra value and uid is authorized on its own (verb "impersonate").
/// kBadRequest when there is a group, extra or uid without a user; kForbidden when not allowed.
base::Result<std::optional<UserInfo>> impersonate(const http::Request& request, const UserInfo& requestor,
                                                  Authorizer& authorizer);

/// Namespace and name of "system:serviceaccount:<namespace>:<name>", nothing for other users and malformed
/// names.
std::optional<std::pair<std::string_view, std::string_view>> split_service_account(
    std::string_view user_name);

}  // namespace orch::server
