// Join and bootstrap tokens: how a node or a person introduces itself before it has a certificate.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/json_fwd.h"
#include "base/status.h"
#include "server/auth/authenticators.h"
#include "server/auth/lookup.h"

namespace orch::server {

/// A token in k3s form: `K10<SHA-256 of the CA certificate>::<user>:<secret>`, the same with a bootstrap
/// token
/// `<id>.<secret>` behind the colons, or either without the K10 part (then the server cannot be checked).
struct JoinToken {
  std::string ca_hash;  // 64 hex digits, "" when not given
  std::string user;     // "server" or "node"; "" for a bootstrap token
  std::string secret;   // the password, or the whole bootstrap token

  /// What is sent to the server once it is trusted: value of an Authorization header.
  std::string authorization() const;
  std::string text() const;
};

/// kBadRequest naming what is wrong. A bare password is user "node".
base::Result<JoinToken> parse_join_token(std::string_view text);
/// kUnauthorized unless the CA certificate the server shows has the token's hash; OK when the token has none.
base::Status check_ca(const JoinToken& token, const std::string& ca_pem);

/// `[a-z0-9]{6}.[a-z0-9]{16}`.
bool is_bootstrap_token(std::string_view text);

struct BootstrapTokenOptions {
  base::Duration ttl = base::Duration::zero();  // zero: no expiry
  std::string description;
  std::vector<std::string> groups;  // besides system:bootstrappers; must begin with "system:bootstrappers:"
  bool authentication = true, signing = true;
};
/// The Secret bootstrap-token-<id> in kube-system that makes `token` valid. kInvalid for a malformed token or
/// group.
base::Result<Json> bootstrap_token_secret(std::string_view token, const BootstrapTokenOptions& options,
                                          base::WallTime now);

/// Bootstrap tokens by the Secrets in kube-system: user system:bootstrap:<id>, group system:bootstrappers.
/// Thread-safe.
class BootstrapTokenAuthenticator final : public TokenAuthenticator {
 public:
  /// Both must outlive this.
  BootstrapTokenAuthenticator(const Lookup& lookup, const base::Clock& clock)
      : lookup_(lookup), clock_(clock) {}
  base::Result<std::optional<TokenUser>> authenticate_token(
      std::string_view token, const std::vector<std::string>& audiences) override;

 private:
  const Lookup& lookup_;
  const base::Clock& clock_;
};

/// The user of the server's own join tokens: may ask for node certificates, nothing else.
inline constexpr std::string_view kUserNodeJoin = "system:bootstrap:node-join";

/// The passwords of the tokens files, sent as `Basic <base64 of user:password>`: user
/// system:bootstrap:node-join, groups system:bootstrappers and system:bootstrappers:<token user>.
/// Thread-safe.
class JoinTokenAuthenticator final : public TokenAuthenticator {
 public:
  explicit JoinTokenAuthenticator(std::vector<JoinToken> accepted) : accepted_(std::move(accepted)) {}
  base::Result<std::optional<TokenUser>> authenticate_token(
      std::string_view token, const std::vector<std::string>& audiences) override;

 private:
  const std::vector<JoinToken> accepted_;
};

/// Makes `<data_dir>/server/token` (user "server") and `node-token` (user "node", same password), 0600. A
/// `wanted` token (--token; a password, or a whole token whose password is taken) replaces another one; else
/// what is there stays, and a first start makes a random one. Returns both tokens, complete with the CA's
/// hash.
base::Result<std::vector<JoinToken>> ensure_token_files(const std::string& data_dir,
                                                        const std::string& ca_pem, const std::string& wanted);

}  // namespace orch::server
