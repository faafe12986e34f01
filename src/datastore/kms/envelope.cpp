#include "datastore/kms/envelope.h"

#include "datastore/encrypted/ciphers.h"
#include "kms/kms.pb.h"
#include "pki/pki.h"

namespace orch::datastore {

using base::Code;
using base::Result;
using base::Status;

namespace {

constexpr std::chrono::minutes kLook{1}, kTrusted{3};
constexpr size_t kSeedSize = 32, kInfoSize = 32, kKeySize = 32, kMaxKnown = 1000;
constexpr auto kSeeded = ::v2::HKDF_SHA256_XNONCE_AES_GCM_SEED;

std::string cache_key(const KmsPlugin::Sealed& s) {
  std::string key = base::cat(s.key_id, "\n", s.ciphertext);
  for (const auto& [name, value] : s.annotations) key += base::cat("\n", name, "=", value);
  return pki::sha256_hex(key);
}

/// As Kubernetes bounds what a plugin may say.
Status check(const KmsPlugin::Sealed& s) {
  constexpr size_t kMaxKeyId = 1024, kMaxSource = 1024, kMaxAnnotations = 32 << 10;
  if (s.key_id.empty()) return {Code::kInternal, "failed to validate key id: keyID is empty"};
  if (s.key_id.size() > kMaxKeyId) return {Code::kInternal, "failed to validate key id: keyID is too long"};
  if (s.ciphertext.empty() || s.ciphertext.size() > kMaxSource)
    return {Code::kInternal, "encrypted DEK source is empty or too long"};
  size_t size = 0;
  for (const auto& [name, value] : s.annotations) size += name.size() + value.size();
  if (size > kMaxAnnotations) return {Code::kInternal, "annotations are too large"};
  return {};
}

}  // namespace

KmsEnvelope::KmsEnvelope(std::unique_ptr<KmsPlugin> plugin, const base::Clock& clock)
    : plugin_(std::move(plugin)), clock_(clock) {}

KmsEnvelope::~KmsEnvelope() = default;

Status KmsEnvelope::start() {
  std::lock_guard lock(mutex_);
  return refresh();
}

Status KmsEnvelope::refresh() {
  looked_ = clock_.mono();
  auto id = plugin_->key_id();
  if (!id.ok()) return id.error();
  if (!seed_ || seed_->sealed.key_id != *id) {
    Seed next;
    next.secret = pki::random_bytes(kSeedSize);
    auto sealed = plugin_->encrypt(next.secret);
    if (!sealed.ok()) return sealed.error().with_context("failed to encrypt DEK");
    ORCH_RETURN_IF_ERROR(check(*sealed));
    next.sealed = std::move(*sealed);
    known_[cache_key(next.sealed)] = next.secret;
    seed_ = std::make_shared<const Seed>(std::move(next));
  }
  healthy_ = clock_.mono();
  return {};
}

Result<std::string> KmsEnvelope::seal(std::string_view plain, std::string_view context) {
  std::shared_ptr<const Seed> seed;
  {
    std::lock_guard lock(mutex_);
    Status status;
    if (!seed_ || clock_.mono() - looked_ >= kLook) status = refresh();
    if (!seed_) return status;
    if (!status.ok() && clock_.mono() - healthy_ > kTrusted) return status;
    seed = seed_;
  }
  const std::string info = pki::random_bytes(kInfoSize);
  auto key = expand_key(seed->secret, info, kKeySize);
  if (!key.ok()) return key;
  auto data = seal_aes_gcm(*key, plain, context);
  if (!data.ok()) return data;
  ::v2::EncryptedObject object;
  object.set_encrypteddata(info + *data);
  object.set_keyid(seed->sealed.key_id);
  object.set_encrypteddeksource(seed->sealed.ciphertext);
  for (const auto& [name, value] : seed->sealed.annotations) (*object.mutable_annotations())[name] = value;
  object.set_encrypteddeksourcetype(kSeeded);
  return object.SerializeAsString();
}

Result<std::string> KmsEnvelope::unseal(const KmsPlugin::Sealed& sealed) {
  const std::string id = cache_key(sealed);
  {
    std::lock_guard lock(mutex_);
    if (auto it = known_.find(id); it != known_.end()) return it->second;
  }
  auto seed = plugin_->decrypt(sealed);
  if (!seed.ok()) return seed.error().with_context("failed to decrypt DEK, error");
  std::lock_guard lock(mutex_);
  if (known_.size() >= kMaxKnown) known_.clear();  // rare, and only costs asking again
  known_[id] = *seed;
  return seed;
}

Result<std::string> KmsEnvelope::open(std::string_view sealed, std::string_view context, bool& stale) {
  ::v2::EncryptedObject object;
  if (!object.ParseFromArray(sealed.data(), static_cast<int>(sealed.size())))
    return Status(Code::kInternal, "what is stored is no encrypted object of a KMS provider");
  KmsPlugin::Sealed source{object.encrypteddeksource(), object.keyid(), {}};
  for (const auto& [name, value] : object.annotations()) source.annotations[name] = value;
  auto secret = unseal(source);
  if (!secret.ok()) return secret;
  const bool seeded = object.encrypteddeksourcetype() == kSeeded;
  {
    std::lock_guard lock(mutex_);
    stale = !seeded || !seed_ || seed_->sealed.key_id != source.key_id;
  }
  const std::string_view data = object.encrypteddata();
  if (!seeded) return open_aes_gcm(*secret, data, context);
  if (data.size() < kInfoSize)
    return Status(Code::kInternal, "the stored data was shorter than the required size");
  auto key = expand_key(*secret, data.substr(0, kInfoSize), kKeySize);
  if (!key.ok()) return key;
  return open_aes_gcm(*key, data.substr(kInfoSize), context);
}

}  // namespace orch::datastore
