// EncryptionConfiguration: what is valid, in Kubernetes' words, and the file of --secrets-encryption.
#include <stdlib.h>

#include "base/file.h"
#include "base/json.h"
#include "server/encryption.h"
#include "tests/catch.h"

using namespace orch;
using namespace orch::server;
using orch::testing::contains;

namespace {

const std::string kKey = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";  // 32 bytes

std::string config(const std::string& resources) {
  return "kind: EncryptionConfiguration\napiVersion: apiserver.config.k8s.io/v1\nresources:\n" + resources;
}

std::string outcome(const std::string& text) {
  auto made = parse_encryption_config(
      text,
      [](const std::string&, const std::string&,
         base::Duration) -> base::Result<std::shared_ptr<datastore::EnvelopeService>> {
        return std::shared_ptr<datastore::EnvelopeService>();
      });
  return made.status().message();
}

std::string one(const std::string& resources, const std::string& provider) {
  return outcome(config("- resources: [" + resources + "]\n  providers:\n  - " + provider + "\n"));
}

}  // namespace

TEST_CASE("encryption configurations are judged as Kubernetes does") {
  const std::string key = "{keys: [{name: a, secret: " + kKey + "}]}";
  CHECK(one("secrets", "aescbc: " + key).empty());
  CHECK(one("secrets, configmaps, pandas.awesome.bears.example", "secretbox: " + key).empty());
  CHECK(one("'*.*'", "identity: {}").empty());
  CHECK(
      one("secrets", "kms: {apiVersion: v2, name: k, endpoint: 'unix:///run/k.sock', timeout: 3s}").empty());
  struct Row {
    std::string resources, provider;
    const char* part;
  };
  const std::vector<Row> rows = {
      {"", "identity: {}", "resources[0].resources: Required value"},
      {"Secrets", "identity: {}", "resource name should not contain capital letters"},
      {"'*'", "identity: {}", "use '*.' to encrypt all the resources from core API group"},
      {"secrets, secrets", "identity: {}", "the same resource cannot be specified multiple times"},
      {"secrets, '*.'", "identity: {}", "using overlapping resources such as 'secrets' and '*.'"},
      {"'*.*', jobs.batch", "identity: {}", "using overlapping resources"},
      {"events.events.k8s.io", "identity: {}", "Use 'events' instead"},
      {"secrets.*", "identity: {}", "encrypting the same resource across groups is not supported"},
      {"secrets", "{}", "provider does not contain any of the expected providers"},
      {"secrets", "{identity: {}, aescbc: " + key + "}",
       "more than one provider specified in a single element"},
      {"secrets", "aescbc: {keys: []}", "resources[0].providers[0].aescbc.keys: Required value"},
      {"secrets", "aescbc: {keys: [{name: a, secret: '###'}]}", "secrets must be base64 encoded"},
      {"secrets", "aesgcm: {keys: [{name: a, secret: c2hvcnQ=}]}", "got 5, expected one of [16 24 32]"},
      {"secrets", "secretbox: {keys: [{name: a, secret: MDEyMzQ1Njc4OWFiY2RlZg==}]}",
       "got 16, expected one of [32]"},
      {"secrets", "aescbc: {keys: [{secret: " + kKey + "}]}", "name is a mandatory field for a key"},
      {"secrets", "kms: {apiVersion: v2, name: 'a:b', endpoint: 'unix:///x'}", "must not contain ':'"},
      {"secrets", "kms: {apiVersion: v2, name: a, endpoint: 'http://x'}", "only unix is supported"},
      {"secrets", "kms: {apiVersion: v3, name: a, endpoint: 'unix:///x'}", "unsupported apiVersion v3"},
      {"secrets", "kms: {name: a, endpoint: 'unix:///x'}", "only v2 is supported"},
      {"secrets", "kms: {apiVersion: v2, name: a, endpoint: 'unix:///x', timeout: -1s}",
       "timeout should be a positive value"},
  };
  for (const Row& row : rows) {
    INFO(row.resources << " " << row.provider);
    const std::string said = one(row.resources, row.provider);
    CHECK_THAT(said, contains(row.part));
    CHECK(said.find(kKey) == std::string::npos);
  }
  CHECK_THAT(outcome("kind: Pod\n"), contains("not an EncryptionConfiguration"));
  CHECK_THAT(outcome(config("  []\n")), contains("resources: Required value"));
}

TEST_CASE("the file of --secrets-encryption is made once, and its keys rotate") {
  std::string folder = "/var/tmp/orch-enc-XXXXXX";
  REQUIRE(::mkdtemp(folder.data()) != nullptr);
  const SecretsEncryption own(folder);
  CHECK(own.load(false)->empty());
  const std::string made = *own.load(true);
  CHECK(outcome(made).empty());
  CHECK(*own.load(true) == made);
  CHECK(*own.load(false) == made);
  const auto first = SecretsEncryption::keys_of(made);
  REQUIRE(first.ok());
  CHECK(first->provider == "aescbc");
  REQUIRE(first->names.size() == 1);
  const std::string longer = *SecretsEncryption::with_new_key(made);
  const auto both = *SecretsEncryption::keys_of(longer);
  REQUIRE(both.names.size() == 2);
  CHECK(both.names[1] == first->names[0]);
  CHECK(outcome(longer).empty());
  const std::string shorter = *SecretsEncryption::with_first_key(longer);
  CHECK(SecretsEncryption::keys_of(shorter)->names == std::vector<std::string>{both.names[0]});
  CHECK_FALSE(SecretsEncryption::with_new_key("{}").ok());
  (void)base::remove_all(folder);
}
