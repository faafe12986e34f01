#include "server/at_rest.h"

#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "datastore/kms/envelope.h"

namespace orch::server {

using base::Code;
using base::Result;
using base::Status;

AtRest::AtRest(AtRestOptions options, const base::Clock& clock)
    : options_(std::move(options)), clock_(clock), own_(options_.data_dir) {}

AtRest::~AtRest() { watch_.reset(); }

Result<std::shared_ptr<const datastore::Keyring>> AtRest::parse(std::string_view text) const {
  if (text.empty())
    return std::make_shared<const datastore::Keyring>(std::vector<datastore::EncryptionRule>());
  return parse_encryption_config(
      text,
      [this](const std::string&, const std::string& endpoint,
             base::Duration timeout) -> Result<std::shared_ptr<datastore::EnvelopeService>> {
        auto service = std::make_shared<datastore::KmsEnvelope>(
            datastore::make_grpc_kms_plugin(endpoint, timeout), clock_);
        ORCH_RETURN_IF_ERROR(service->start());
        return std::shared_ptr<datastore::EnvelopeService>(std::move(service));
      });
}

Result<std::unique_ptr<AtRest>> AtRest::open(datastore::Store& store, const AtRestOptions& options,
                                             const base::Clock& clock) {
  std::unique_ptr<AtRest> out(new AtRest(options, clock));
  const std::string& file = options.provider_config;
  if (!file.empty() && options.secrets_encryption)
    return Status(Code::kBadRequest,
                  "--secrets-encryption and --kube-apiserver-arg encryption-provider-config cannot be used "
                  "together");
  auto text = file.empty() ? out->own_.load(options.secrets_encryption) : base::read_file(file);
  if (!text.ok()) return Status(Code::kBadRequest, text.error().message());
  auto keyring = out->parse(*text);
  if (!keyring.ok()) return keyring.error().with_context(file.empty() ? out->own_.path() : file);
  out->text_ = std::move(*text);
  out->encrypted_ = std::make_unique<datastore::EncryptedStore>(store, std::move(*keyring));
  if (file.empty() || !options.automatic_reload) return out;
  auto watch = base::FileWatch::start(file, [rest = out.get()] { rest->reload_file(); });
  if (!watch.ok()) return watch.error();
  out->watch_ = std::move(*watch);
  return out;
}

void AtRest::reload_file() {
  std::lock_guard lock(mutex_);
  auto text = base::read_file(options_.provider_config);
  if (text.ok() && *text == text_) return;
  const Status status = text.ok() ? use(*text) : text.error();
  if (status.ok()) {
    base::log_info("encryption", "configuration loaded anew", {{"file", options_.provider_config}});
  } else {
    base::log_error("encryption", "the changed configuration is not used",
                    {{"file", options_.provider_config}, {"reason", status.message()}});
  }
}

Status AtRest::use(const std::string& text) {
  auto keyring = parse(text);
  if (!keyring.ok()) return keyring.error();
  ORCH_RETURN_IF_ERROR(encrypted_->reload(std::move(*keyring)));
  text_ = text;
  return {};
}

Status AtRest::reencrypt() {
  // What others write meanwhile is fresh already.
  while (!encrypted_->stale_keys().empty()) {
    auto written = encrypted_->rewrite_stale();
    if (!written.ok()) return written.error();
    base::log_info("encryption", "stored anew", {{"objects", std::to_string(*written)}});
    if (*written == 0) break;
  }
  if (!options_.provider_config.empty() || text_.empty()) return {};
  auto shortened = SecretsEncryption::with_first_key(text_);
  if (!shortened.ok()) return shortened.error();
  if (*shortened == text_) return {};
  // The keys left are enough before the others go from the disk.
  ORCH_RETURN_IF_ERROR(use(*shortened));
  return own_.save(*shortened);
}

Status AtRest::rotate() {
  if (!options_.provider_config.empty())
    return Status(
        Code::kBadRequest,
        "the keys are in the file of encryption-provider-config: change them there, then reencrypt");
  if (text_.empty())
    return Status(Code::kBadRequest, "secrets encryption is disabled (--secrets-encryption)");
  auto longer = SecretsEncryption::with_new_key(text_);
  if (!longer.ok()) return longer.error();
  // On disk before anything is stored under it.
  ORCH_RETURN_IF_ERROR(own_.save(*longer));
  ORCH_RETURN_IF_ERROR(use(*longer));
  return reencrypt();
}

Result<Json> AtRest::status() {
  const bool external = !options_.provider_config.empty();
  Json out = {{"enabled", !text_.empty()},
              {"config", external ? options_.provider_config : own_.path()},
              {"external", external},
              {"stale", encrypted_->stale_keys().size()}};
  if (text_.empty() || external) return out;
  auto keys = SecretsEncryption::keys_of(text_);
  if (!keys.ok()) return keys.error();
  out["provider"] = keys->provider;
  out["keys"] = keys->names;
  return out;
}

http::Response AtRest::handle(const http::Request& request, const UserInfo& user) {
  const auto refuse = [](const Status& status) { return http::Response::from_status(status); };
  if (!user.in_group(kGroupMasters))
    return refuse({Code::kForbidden, base::cat("user \"", user.name, "\" may not manage encryption")});
  const bool looks = request.path == "/v1-orch/encrypt";
  if (request.method != (looks ? "GET" : "POST")) return refuse({Code::kMethodNotAllowed, "wrong method"});
  std::lock_guard lock(mutex_);
  Status done;
  if (request.path == "/v1-orch/encrypt/rotate-keys") done = rotate();
  if (request.path == "/v1-orch/encrypt/reencrypt") done = reencrypt();
  if (!done.ok()) return refuse(done);
  auto now = status();
  if (!now.ok()) return refuse(now.error());
  return http::Response::json(base::dump_json(*now));
}

}  // namespace orch::server
