#include "datastore/encrypted/keyring.h"

#include "datastore/encrypted/ciphers.h"

namespace orch::datastore {

using base::Code;
using base::Result;
using base::Status;

namespace {

using Kind = EncryptionProvider::Kind;

constexpr std::string_view kAny = "k8s:enc:";

struct Format {
  std::string_view prefix, title;  // title: as Kubernetes' errors call it
};

Format format_of(Kind kind) {
  switch (kind) {
    case Kind::kAesGcm:
      return {"k8s:enc:aesgcm:v1:", "AES"};
    case Kind::kAesCbc:
      return {"k8s:enc:aescbc:v1:", "AES"};
    case Kind::kSecretbox:
      return {"k8s:enc:secretbox:v1:", "Secretbox"};
    case Kind::kKms:
      return {"k8s:enc:kms:v2:", "KMSv2"};
    case Kind::kIdentity:
      break;
  }
  return {"", "identity"};
}

/// Group and plural of "/registry/GROUP/PLURAL/…", where the core group is "core"; false for other keys.
bool split_key(std::string_view key, std::string_view& group, std::string_view& plural) {
  constexpr std::string_view kRoot = "/registry/";
  if (key.substr(0, kRoot.size()) != kRoot) return false;
  key.remove_prefix(kRoot.size());
  const size_t a = key.find('/');
  if (a == std::string_view::npos) return false;
  group = key.substr(0, a);
  if (group == "core") group = {};
  plural = key.substr(a + 1, key.find('/', a + 1) - a - 1);
  return true;
}

bool matches(std::string_view resource, std::string_view group, std::string_view plural) {
  if (resource == "*.*") return true;
  const size_t dot = resource.find('.');
  const std::string_view name = resource.substr(0, dot);
  const std::string_view of = dot == std::string_view::npos ? std::string_view() : resource.substr(dot + 1);
  return of == group && (name == "*" || name == plural);
}

Result<std::string> seal_with(Kind kind, std::string_view secret, std::string_view plain,
                              std::string_view context) {
  if (kind == Kind::kAesGcm) return seal_aes_gcm(secret, plain, context);
  if (kind == Kind::kAesCbc) return seal_aes_cbc(secret, plain);
  return seal_secretbox(secret, plain);
}

Result<std::string> open_with(Kind kind, std::string_view secret, std::string_view sealed,
                              std::string_view context) {
  if (kind == Kind::kAesGcm) return open_aes_gcm(secret, sealed, context);
  if (kind == Kind::kAesCbc) return open_aes_cbc(secret, sealed);
  return open_secretbox(secret, sealed);
}

/// What is stored, without the provider's prefix; `first` tells whether its first key sealed it.
Result<std::string> open_body(const EncryptionProvider& p, std::string_view body, std::string_view context,
                              bool& first) {
  const Status failure(Code::kInternal, base::cat("no matching key was found for the provided ",
                                                  format_of(p.kind).title, " transformer"));
  // Names may hold colons: what is there is compared with each name, not taken apart.
  const auto behind = [body](const std::string& name) -> std::string_view {
    const bool named =
        body.size() > name.size() && body.substr(0, name.size()) == name && body[name.size()] == ':';
    return named ? body.substr(name.size() + 1) : std::string_view();
  };
  if (p.kind == Kind::kKms) {
    const std::string_view sealed = behind(p.kms_name);
    if (sealed.empty()) return failure;
    bool stale = false;
    auto plain = p.service->open(sealed, context, stale);
    first = !stale;
    return plain;
  }
  // Several keys may have had one name at different times: the first that opens it is it.
  Status last = failure;
  for (size_t i = 0; i < p.keys.size(); ++i) {
    const std::string_view sealed = behind(p.keys[i].name);
    if (sealed.empty()) continue;
    auto plain = open_with(p.kind, p.keys[i].secret, sealed, context);
    first = i == 0;
    if (plain.ok()) return plain;
    last = plain.error();
  }
  return last;
}

}  // namespace

const EncryptionRule* Keyring::rule_of(std::string_view key) const {
  if (rules_.empty()) return nullptr;
  std::string_view group, plural;
  const bool resource_key = split_key(key, group, plural);
  for (const EncryptionRule& rule : rules_) {
    for (const std::string& resource : rule.resources) {
      if (resource_key ? matches(resource, group, plural) : resource == "*.*") return &rule;
    }
  }
  return nullptr;
}

Result<std::string> Keyring::seal(std::string_view key, std::string_view plain) const {
  const EncryptionRule* rule = rule_of(key);
  if (rule == nullptr || rule->providers[0].kind == Kind::kIdentity) return std::string(plain);
  const EncryptionProvider& p = rule->providers[0];
  const std::string_view prefix = format_of(p.kind).prefix;
  auto sealed =
      p.kind == Kind::kKms ? p.service->seal(plain, key) : seal_with(p.kind, p.keys[0].secret, plain, key);
  if (!sealed.ok()) return sealed.error().with_context(base::cat("encrypting ", key));
  return base::cat(prefix, p.kind == Kind::kKms ? p.kms_name : p.keys[0].name, ":", *sealed);
}

Result<Keyring::Opened> Keyring::open(std::string_view key, std::string_view stored) const {
  const bool sealed = stored.substr(0, kAny.size()) == kAny;
  const EncryptionRule* rule = rule_of(key);
  if (!sealed) {
    if (rule == nullptr) return Opened{std::string(stored), false};
    for (size_t i = 0; i < rule->providers.size(); ++i) {
      if (rule->providers[i].kind == Kind::kIdentity) return Opened{std::string(stored), i != 0};
    }
    return Status(Code::kInternal, base::cat("decrypting ", key, ": no matching prefix found"));
  }
  if (rule == nullptr)
    return Status(Code::kInternal,
                  base::cat("decrypting ", key, ": identity transformer tried to read encrypted data"));
  Status last(Code::kInternal, "no matching prefix found");
  for (size_t i = 0; i < rule->providers.size(); ++i) {
    const EncryptionProvider& p = rule->providers[i];
    const std::string_view prefix = format_of(p.kind).prefix;
    if (prefix.empty() || stored.substr(0, prefix.size()) != prefix) continue;
    bool first = false;
    auto plain = open_body(p, stored.substr(prefix.size()), key, first);
    if (plain.ok()) return Opened{std::move(*plain), i != 0 || !first};
    last = plain.error();
  }
  return last.with_context(base::cat("decrypting ", key));
}

}  // namespace orch::datastore
