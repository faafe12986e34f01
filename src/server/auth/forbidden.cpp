#include "server/auth/forbidden.h"

#include "api/go_text.h"
#include "server/auth/rbac_rule.h"

namespace orch::server {
std::string without_markup(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

namespace {

std::string refusal(const Attributes& a) {
  const std::string user = api::go_quote(a.user != nullptr ? std::string_view(a.user->name) : "");
  if (!a.resource_request) {
    return base::cat("User ", user, " cannot ", a.verb, " path ", api::go_quote(a.path));
  }
  std::string text = base::cat("User ", user, " cannot ", a.verb, " resource ",
                               api::go_quote(resource_path(a)), " in API group ", api::go_quote(a.group));
  return a.ns.empty() ? text + " at the cluster scope"
                      : base::cat(text, " in the namespace ", api::go_quote(a.ns));
}

}  // namespace

base::Status forbidden(std::string_view group, std::string_view resource, std::string_view name,
                       std::string_view reason) {
  const std::string what = group.empty() ? std::string(resource) : base::cat(resource, ".", group);
  std::string message;
  if (resource.empty() && group.empty()) {
    message = base::cat("forbidden: ", reason);
  } else if (name.empty()) {
    message = base::cat(what, " is forbidden: ", reason);
  } else {
    message = base::cat(what, " ", api::go_quote(name), " is forbidden: ", reason);
  }
  base::StatusDetails details;
  details.group = group;
  details.kind = resource;
  details.name = name;
  return {base::Code::kForbidden, std::move(message), std::move(details)};
}

base::Status forbidden_status(const Attributes& a, std::string_view reason) {
  std::string text = without_markup(refusal(a));
  if (!reason.empty()) text += base::cat(": ", reason);
  return forbidden(a.group, a.resource, a.name, text);
}

}  // namespace orch::server
