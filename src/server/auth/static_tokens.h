// Static bearer tokens: the file of --token-auth-file.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "base/status.h"
#include "server/auth/authenticators.h"

namespace orch::server {

/// Tokens of lines `token,user,uid,"group1,group2"` (CSV, RFC 4180). Immutable, thread-safe.
class StaticTokenAuthenticator final : public TokenAuthenticator {
 public:
  /// kBadRequest naming `path`, without a token in it, when a line has fewer than three columns.
  static base::Result<std::unique_ptr<StaticTokenAuthenticator>> parse(std::string_view text,
                                                                       const std::string& path);
  base::Result<std::optional<TokenUser>> authenticate_token(
      std::string_view token, const std::vector<std::string>& audiences) override;

 private:
  std::map<std::string, UserInfo> users_;  // by SHA-256 of the token: a look-up tells nothing by its time
};

}  // namespace orch::server
