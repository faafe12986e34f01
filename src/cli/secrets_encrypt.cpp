#include "cli/secrets_encrypt.h"

#include <cstdio>

#include "base/file.h"
#include "base/json.h"
#include "client/remote_client.h"

namespace orch::cli {

namespace {

base::Result<client::RemoteOptions> administrator(const SecretsEncryptOptions& o) {
  client::RemoteOptions r;
  r.server = o.server;
  const std::string folder = o.data_dir + "/server/tls/";
  for (const auto& [name, target] :
       {std::pair{"server-ca.crt", &r.ca_pem}, std::pair{"client-admin.crt", &r.certificate_pem},
        std::pair{"client-admin.key", &r.key_pem}}) {
    auto text = base::read_file(folder + name);
    if (!text.ok()) return text.error();
    *target = std::move(*text);
  }
  return r;
}

void print(const Json& status) {
  const bool enabled = base::bool_at(status, {"enabled"});
  const auto stale = base::int_at(status, {"stale"});
  std::printf("Encryption Status: %s\n", enabled ? "Enabled" : "Disabled");
  if (!enabled) return;
  std::printf("Configuration: %s\n", std::string(base::string_at(status, {"config"})).c_str());
  std::printf("Stored in another way: %lld\n", static_cast<long long>(stale));
  const Json& keys = base::array_at(status, {"keys"});
  if (keys.empty()) return;
  std::printf("\nActive  Key Type  Name\n------  --------  ----\n");
  for (size_t i = 0; i < keys.size(); ++i) {
    std::printf(" %s      %-8s  %s\n", i == 0 ? "*" : " ",
                std::string(base::string_at(status, {"provider"})).c_str(),
                keys[i].get_ref<const std::string&>().c_str());
  }
}

}  // namespace

int secrets_encrypt(const SecretsEncryptOptions& options) {
  auto admin = administrator(options);
  base::Status status = admin.status();
  if (status.ok()) {
    const bool looks = options.action == "status";
    auto answer = client::raw_request(*admin, looks ? "GET" : "POST",
                                      looks ? "/v1-orch/encrypt" : "/v1-orch/encrypt/" + options.action,
                                      "application/json", "");
    status = answer.status();
    if (answer.ok()) {
      auto tree = base::parse_json(answer->body);
      status = tree.status();
      if (tree.ok()) print(*tree);
    }
  }
  if (status.ok()) return 0;
  std::fprintf(stderr, "orch: %s\n", status.message().c_str());
  return 1;
}

}  // namespace orch::cli
