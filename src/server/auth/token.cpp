#include "server/auth/token.h"

#include <algorithm>
#include <set>

#include "api/field_error.h"
#include "base/file.h"
#include "base/json.h"
#include "pki/pki.h"

namespace orch::server {
namespace {

constexpr std::string_view kPrefix = "K10";
constexpr std::string_view kSecretPrefix = "bootstrap-token-";
constexpr size_t kHashSize = 64, kIdSize = 6, kSecretSize = 16;

bool is_token_char(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }

bool is_hex(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

base::Status bad(std::string message) { return {base::Code::kBadRequest, std::move(message)}; }

/// `system:bootstrappers:[a-z0-9:-]{0,255}[a-z0-9]`.
bool is_bootstrap_group(std::string_view group) {
  constexpr std::string_view kGroupPrefix = "system:bootstrappers:";
  if (!group.starts_with(kGroupPrefix)) return false;
  group.remove_prefix(kGroupPrefix.size());
  return !group.empty() && group.size() <= 256 && is_token_char(group.back()) &&
         std::all_of(group.begin(), group.end(),
                     [](char c) { return is_token_char(c) || c == ':' || c == '-'; });
}

std::string secret_value(const Json& secret, const char* key) {
  const base::Result<std::string> value = pki::base64_decode(base::string_at(secret, {"data", key}));
  return value.ok() ? *value : std::string();
}

/// Nothing when a group is malformed: the token is then not valid.
std::optional<std::vector<std::string>> groups_of(const Json& secret) {
  std::set<std::string> groups = {std::string(kGroupBootstrappers)};
  const std::string extra = secret_value(secret, "auth-extra-groups");
  for (size_t from = 0; from < extra.size();) {
    const size_t comma = std::min(extra.find(',', from), extra.size());
    const std::string group = extra.substr(from, comma - from);
    if (!is_bootstrap_group(group)) return std::nullopt;
    groups.insert(group);
    from = comma + 1;
  }
  return std::vector<std::string>(groups.begin(), groups.end());
}

bool expired(const Json& secret, base::WallTime now) {
  const std::string text = secret_value(secret, "expiration");
  if (text.empty()) return false;
  const base::Result<base::WallTime> when = base::parse_time(text);
  return !when.ok() || *when <= now;
}

}  // namespace

bool is_bootstrap_token(std::string_view text) {
  return text.size() == kIdSize + 1 + kSecretSize && text[kIdSize] == '.' &&
         std::all_of(text.begin(), text.begin() + kIdSize, is_token_char) &&
         std::all_of(text.begin() + kIdSize + 1, text.end(), is_token_char);
}

std::string JoinToken::authorization() const {
  if (user.empty()) return "Bearer " + secret;
  return "Basic " + pki::base64_encode(base::cat(user, ":", secret));
}

std::string JoinToken::text() const {
  const std::string credentials = user.empty() ? secret : base::cat(user, ":", secret);
  return ca_hash.empty() ? credentials : base::cat(kPrefix, ca_hash, "::", credentials);
}

base::Result<JoinToken> parse_join_token(std::string_view text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r' || text.back() == ' '))
    text.remove_suffix(1);
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  JoinToken token;
  if (text.starts_with(kPrefix) && text.find("::") != std::string_view::npos) {
    const size_t colons = text.find("::");
    token.ca_hash = text.substr(kPrefix.size(), colons - kPrefix.size());
    if (token.ca_hash.size() != kHashSize || !is_hex(token.ca_hash)) {
      return bad("invalid token: the CA hash must be 64 hexadecimal digits");
    }
    text.remove_prefix(colons + 2);
  }
  if (is_bootstrap_token(text)) {
    token.secret = text;
    return token;
  }
  const size_t colon = text.find(':');
  token.user = colon == std::string_view::npos ? std::string_view("node") : text.substr(0, colon);
  token.secret = colon == std::string_view::npos ? text : text.substr(colon + 1);
  if (token.user.empty() || token.secret.empty()) {
    return bad("invalid token: expected K10<CA hash>::<user>:<secret> or K10<CA hash>::<id>.<secret>");
  }
  return token;
}

base::Status check_ca(const JoinToken& token, const std::string& ca_pem) {
  if (token.ca_hash.empty()) return {};
  const base::Result<std::string> hash = pki::ca_hash(ca_pem);
  if (!hash.ok()) return hash.error();
  if (pki::equal_constant_time(*hash, token.ca_hash)) return {};
  return {base::Code::kUnauthorized,
          base::cat("the server's CA certificate has SHA-256 ", *hash, ", the token says ", token.ca_hash,
                    ": this is another server, or its CA was renewed")};
}

base::Result<Json> bootstrap_token_secret(std::string_view token, const BootstrapTokenOptions& options,
                                          base::WallTime now) {
  if (!is_bootstrap_token(token)) return bad("a bootstrap token has the form [a-z0-9]{6}.[a-z0-9]{16}");
  Json data = Json::object();
  const auto put = [&](const char* key, std::string_view value) { data[key] = pki::base64_encode(value); };
  put("token-id", token.substr(0, kIdSize));
  put("token-secret", token.substr(kIdSize + 1));
  if (!options.description.empty()) put("description", options.description);
  if (options.ttl > base::Duration::zero()) {
    put("expiration",
        base::format_time(now + std::chrono::duration_cast<std::chrono::microseconds>(options.ttl)));
  }
  if (options.authentication) put("usage-bootstrap-authentication", "true");
  if (options.signing) put("usage-bootstrap-signing", "true");
  std::string groups;
  for (const std::string& group : options.groups) {
    if (!is_bootstrap_group(group)) {
      return bad(
          base::cat("group \"", group, "\" must match system:bootstrappers:[a-z0-9:-]{0,255}[a-z0-9]"));
    }
    groups += (groups.empty() ? "" : ",") + group;
  }
  if (!groups.empty()) put("auth-extra-groups", groups);
  return Json{{"apiVersion", "v1"},
              {"kind", "Secret"},
              {"metadata",
               {{"name", base::cat(kSecretPrefix, token.substr(0, kIdSize))}, {"namespace", "kube-system"}}},
              {"type", "bootstrap.kubernetes.io/token"},
              {"data", std::move(data)}};
}

base::Result<std::optional<TokenUser>> BootstrapTokenAuthenticator::authenticate_token(
    std::string_view token, const std::vector<std::string>& audiences) {
  const std::optional<TokenUser> nobody;
  if (!is_bootstrap_token(token)) return nobody;
  const std::string id(token.substr(0, kIdSize));
  const api::ObjectPtr object = lookup_.get("secrets", "kube-system", base::cat(kSecretPrefix, id));
  if (!object || object->deleting()) return nobody;
  const Json secret = object->tree();
  if (base::string_at(secret, {"type"}) != "bootstrap.kubernetes.io/token") return nobody;
  if (!pki::equal_constant_time(secret_value(secret, "token-secret"), token.substr(kIdSize + 1)))
    return nobody;
  if (secret_value(secret, "token-id") != id || expired(secret, clock_.now())) return nobody;
  if (secret_value(secret, "usage-bootstrap-authentication") != "true") return nobody;
  std::optional<std::vector<std::string>> groups = groups_of(secret);
  if (!groups) return nobody;
  TokenUser user;
  user.user.name = "system:bootstrap:" + id;
  user.user.groups = std::move(*groups);
  user.audiences = audiences;
  return std::optional(std::move(user));
}

base::Result<std::optional<TokenUser>> JoinTokenAuthenticator::authenticate_token(
    std::string_view token, const std::vector<std::string>& audiences) {
  const JoinToken* match = nullptr;
  for (const JoinToken& candidate : accepted_) {
    if (pki::equal_constant_time(base::cat(candidate.user, ":", candidate.secret), token)) match = &candidate;
  }
  if (match == nullptr) return std::optional<TokenUser>();
  TokenUser user;
  user.user.name = kUserNodeJoin;
  user.user.groups = {std::string(kGroupBootstrappers), base::cat(kGroupBootstrappers, ":", match->user)};
  user.audiences = audiences;
  return std::optional(std::move(user));
}

base::Result<std::vector<JoinToken>> ensure_token_files(const std::string& data_dir,
                                                        const std::string& ca_pem,
                                                        const std::string& wanted) {
  const base::Result<std::string> hash = pki::ca_hash(ca_pem);
  if (!hash.ok()) return hash.error();
  const std::string folder = data_dir + "/server";
  ORCH_RETURN_IF_ERROR(base::make_dirs(folder, 0700));
  std::string secret;
  if (!wanted.empty()) {
    const base::Result<JoinToken> given = parse_join_token(wanted);
    if (!given.ok()) return given.error();
    ORCH_RETURN_IF_ERROR(check_ca(*given, ca_pem));
    secret = given->secret;
  } else if (const base::Result<std::string> old = base::read_file(folder + "/token"); old.ok()) {
    const base::Result<JoinToken> stored = parse_join_token(*old);
    if (!stored.ok()) return stored.error().with_context(folder + "/token");
    secret = stored->secret;
  } else if (old.error().code() != base::Code::kNotFound) {
    return old.error();
  } else {
    secret = pki::random_token(32);
  }
  std::vector<JoinToken> tokens = {{*hash, "server", secret}, {*hash, "node", secret}};
  const char* names[] = {"/token", "/node-token"};
  for (size_t i = 0; i < tokens.size(); ++i) {
    const std::string text = tokens[i].text() + "\n";
    const base::Result<std::string> old = base::read_file(folder + names[i]);
    if (old.ok() && *old == text) continue;  // an idle restart writes nothing
    ORCH_RETURN_IF_ERROR(base::write_file_atomic(folder + names[i], text, 0600));
  }
  return tokens;
}

}  // namespace orch::server
