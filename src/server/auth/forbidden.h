// The 403 and 500 answers of authorization and admission, worded as Kubernetes words them.
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"
#include "server/auth/auth.h"

namespace orch::server {

/// `deployments.apps "x" is forbidden: <reason>`; without name and resource correspondingly shorter.
/// `resource` is the plural.
base::Status forbidden(std::string_view group, std::string_view resource, std::string_view name,
                       std::string_view reason);

/// The refusal of a whole request: `pods is forbidden: User "x" cannot list resource "pods" in API group ""
/// in the namespace "default"`, followed by `: <reason>` if there is one.
base::Status forbidden_status(const Attributes& attributes, std::string_view reason = {});

/// A message without what a browser might take for HTML.
std::string without_markup(std::string_view text);

}  // namespace orch::server
