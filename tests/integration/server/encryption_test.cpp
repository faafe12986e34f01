// Secrets encrypted on disk: by the server's own key and by a user's configuration, rotated and missing.
#include <fstream>
#include <sstream>
#include <thread>

#include "tests/integration/server/fixture.h"

using namespace orch;
using namespace orch::testing;

namespace {

const std::string kSecrets = "/api/v1/namespaces/default/secrets";
const std::string kPlain = "c2VzYW1lb3BlbnNlc2FtZQ==";  // what a stored tree would hold

Json secret(const std::string& name) {
  return {
      {"apiVersion", "v1"}, {"kind", "Secret"}, {"metadata", {{"name", name}}}, {"data", {{"word", kPlain}}}};
}

/// Whether a text is anywhere in the store's files.
bool on_disk(const DataFolder& folder, const std::string& text) {
  for (const char* file : {"state.db", "state.db-wal"}) {
    std::ifstream in(folder.path() + "/server/db/" + file, std::ios::binary);
    std::ostringstream all;
    all << in.rdbuf();
    if (all.str().find(text) != std::string::npos) return true;
  }
  return false;
}

std::string word(const Control& control, const std::string& name) {
  return std::string(base::string_at(control.get(kSecrets + "/" + name).tree(), {"data", "word"}));
}

std::string provider_config(const std::string& providers) {
  return "kind: EncryptionConfiguration\napiVersion: apiserver.config.k8s.io/v1\nresources:\n- resources: "
         "[secrets]\n  providers:\n" +
         providers;
}

std::string key_line(const char* provider, const char* name, char fill) {
  return std::string("  - ") + provider + ": {keys: [{name: " + name +
         ", secret: " + pki::base64_encode(std::string(32, fill)) + "}]}\n";
}

}  // namespace

TEST_CASE("--secrets-encryption keeps secrets from the disk, and its key rotates") {
  DataFolder data;
  Control control(data);
  control.start();
  REQUIRE(control.post(kSecrets, secret("early")).status == 201);
  CHECK(on_disk(data, kPlain));
  control.stop();

  control.config().secrets_encryption = true;
  control.start();
  CHECK(word(control, "early") == kPlain);
  Json status = control.get("/v1-orch/encrypt").tree();
  CHECK(status["enabled"] == true);
  CHECK(status["stale"].get<int>() >= 1);
  CHECK(status["keys"].size() == 1);
  REQUIRE(control.post(kSecrets, secret("late")).status == 201);
  // A write that changes nothing stores anew what is stale, and nothing else.
  const Json early = control.get(kSecrets + "/early").tree();
  const Json renewed = control.put(kSecrets + "/early", early).tree();
  CHECK(renewed["metadata"]["resourceVersion"] != early["metadata"]["resourceVersion"]);
  CHECK(control.put(kSecrets + "/early", renewed).tree()["metadata"]["resourceVersion"] ==
        renewed["metadata"]["resourceVersion"]);
  const Answer rotated = control.send("POST", "/v1-orch/encrypt/rotate-keys");
  INFO(rotated.body);
  REQUIRE(rotated.status == 200);
  CHECK(rotated.tree()["stale"] == 0);
  REQUIRE(rotated.tree()["keys"].size() == 1);
  CHECK(rotated.tree()["keys"][0] != status["keys"][0]);
  CHECK(word(control, "early") == kPlain);
  control.stop();

  // Also without the flag: the data would be lost otherwise.
  control.config().secrets_encryption = false;
  control.start();
  CHECK(word(control, "early") == kPlain);
  CHECK(word(control, "late") == kPlain);
  control.check_alive();
  const Credentials node{
      *pki::issue(control.client_ca(), {"system:node:n", {"system:nodes"}, {}, {}, false, true},
                  base::SystemClock().now()),
      {}};
  CHECK(control.send_as(node, "GET", "/v1-orch/encrypt").status == 403);
  control.stop();

  // Without the key nothing starts, and the reason is said.
  REQUIRE(base::remove_all(data.path() + "/server/cred").ok());
  const auto failed = control.try_start();
  REQUIRE_FALSE(failed.ok());
  CHECK_THAT(failed.message(), contains("decrypting /registry/core/secrets/"));
}

TEST_CASE("a provider configuration is read, changed and read again") {
  DataFolder data, files;
  const std::string file = files.path() + "/encryption.yaml";
  REQUIRE(
      base::write_file_atomic(file, provider_config(key_line("secretbox", "one", '1') + "  - identity: {}\n"))
          .ok());
  Control control(data);
  control.config().api.encryption_provider_config = file;
  control.config().api.encryption_provider_config_automatic_reload = true;
  control.start();
  REQUIRE(control.post(kSecrets, secret("s")).status == 201);
  REQUIRE(control.post(kMaps, config_map("m", {{"word", kPlain + "map"}})).status == 201);
  CHECK(on_disk(data, "k8s:enc:secretbox:v1:one:"));
  CHECK_FALSE(on_disk(data, "\"" + kPlain + "\""));
  CHECK(on_disk(data, kPlain + "map"));
  // Kubernetes' way to rotate: a new key in front, everything written anew, the old one taken away.
  REQUIRE(
      base::write_file_atomic(file, provider_config(key_line("aesgcm", "two", '2') +
                                                    key_line("secretbox", "one", '1') + "  - identity: {}\n"))
          .ok());
  const auto stale = [&] { return control.get("/v1-orch/encrypt").tree()["stale"].get<int>(); };
  for (int i = 0; i < 200 && stale() == 0; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(25));
  CHECK(stale() >= 1);
  CHECK(control.send("POST", "/v1-orch/encrypt/rotate-keys").status == 400);
  CHECK(control.send("POST", "/v1-orch/encrypt/reencrypt").status == 200);
  CHECK(stale() == 0);
  control.stop();
  REQUIRE(base::write_file_atomic(file, provider_config(key_line("aesgcm", "two", '2'))).ok());
  control.start();
  CHECK(word(control, "s") == kPlain);
  CHECK(on_disk(data, "k8s:enc:aesgcm:v1:two:"));
}
