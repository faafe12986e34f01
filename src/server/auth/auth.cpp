#include "server/auth/auth.h"

#include <algorithm>

#include "base/json.h"

namespace orch::server {

bool UserInfo::in_group(std::string_view group) const {
  return std::find(groups.begin(), groups.end(), group) != groups.end();
}

std::string service_account_user_name(std::string_view ns, std::string_view name) {
  return base::cat("system:serviceaccount:", ns, ":", name);
}

std::optional<std::string_view> node_identity(const UserInfo& user) {
  constexpr std::string_view kPrefix = "system:node:";
  if (!user.name.starts_with(kPrefix) || !user.in_group(kGroupNodes)) return std::nullopt;
  return std::string_view(user.name).substr(kPrefix.size());
}

Json user_to_json(const UserInfo& user) {
  Json out = Json::object();
  if (!user.name.empty()) out["username"] = user.name;
  if (!user.uid.empty()) out["uid"] = user.uid;
  if (!user.groups.empty()) out["groups"] = user.groups;
  if (!user.extra.empty()) out["extra"] = user.extra;
  return out;
}

}  // namespace orch::server
