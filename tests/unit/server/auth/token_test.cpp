#include "server/auth/token.h"

#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "pki/pki.h"
#include "tests/catch.h"
#include "tests/unit/server/auth/fakes.h"

using namespace orch;
using namespace orch::server;
using namespace orch::testing;

TEST_CASE("join tokens are parsed") {
  const std::string hash(64, 'a');
  struct Row {
    std::string text, ca, user, secret;
  };
  const Row rows[] = {
      {"K10" + hash + "::server:pw", hash, "server", "pw"},
      {"K10" + hash + "::node:p:w\n", hash, "node", "p:w"},
      {"K10" + hash + "::abcdef.0123456789abcdef", hash, "", "abcdef.0123456789abcdef"},
      {"abcdef.0123456789abcdef", "", "", "abcdef.0123456789abcdef"},
      {"secret", "", "node", "secret"},
      {"server:secret", "", "server", "secret"},
      {"K10secret", "", "node", "K10secret"},
  };
  for (const Row& r : rows) {
    INFO(r.text);
    auto token = parse_join_token(r.text);
    REQUIRE(token.ok());
    CHECK(token->ca_hash == r.ca);
    CHECK(token->user == r.user);
    CHECK(token->secret == r.secret);
    CHECK(parse_join_token(token->text())->secret == r.secret);
  }
  for (const std::string& bad : std::vector<std::string>{
           "", "K10abc::node:pw",
           "K10" + hash + "::", "K10" + hash + "::node:", "K10" + std::string(64, 'Z') + "::node:pw"}) {
    INFO(bad);
    CHECK_FALSE(parse_join_token(bad).ok());
  }
  CHECK(parse_join_token("server:pw")->authorization() == "Basic c2VydmVyOnB3");
  CHECK(parse_join_token("abcdef.0123456789abcdef")->authorization() == "Bearer abcdef.0123456789abcdef");
}

TEST_CASE("a join token knows its server") {
  const base::FakeClock clock;
  const std::string ca = pki::make_ca("one", clock.now())->certificate_pem;
  const std::string other = pki::make_ca("two", clock.now())->certificate_pem;
  const JoinToken token{*pki::ca_hash(ca), "node", "pw"};
  CHECK(check_ca(token, ca).ok());
  CHECK(check_ca(token, other).code() == base::Code::kUnauthorized);
  CHECK(check_ca(JoinToken{"", "node", "pw"}, other).ok());
}

TEST_CASE("token files are made once, and follow --token") {
  char folder[] = "/var/tmp/orch-token-XXXXXX";
  REQUIRE(mkdtemp(folder) != nullptr);
  const base::FakeClock clock;
  const std::string ca = pki::make_ca("ca", clock.now())->certificate_pem;
  auto first = ensure_token_files(folder, ca, "");
  REQUIRE(first.ok());
  REQUIRE(first->size() == 2);
  CHECK((*first)[0].secret.size() == 32);
  CHECK((*first)[0].ca_hash == *pki::ca_hash(ca));
  auto again = ensure_token_files(folder, ca, "");
  REQUIRE(again.ok());
  CHECK((*again)[1].secret == (*first)[0].secret);
  const std::string path = std::string(folder) + "/server/token";
  struct stat info {};
  REQUIRE(stat(path.c_str(), &info) == 0);
  CHECK((info.st_mode & 0777) == 0600);
  CHECK(*base::read_file(path) == (*first)[0].text() + "\n");
  CHECK(ensure_token_files(folder, ca, "mine").ok());
  CHECK((*ensure_token_files(folder, ca, ""))[0].secret == "mine");
  CHECK(ensure_token_files(folder, ca, "K10" + std::string(64, '0') + "::server:x").status().code() ==
        base::Code::kUnauthorized);

  JoinTokenAuthenticator join(*ensure_token_files(folder, ca, ""));
  CHECK((*join.authenticate_token("server:mine", {}))->user.name == "system:bootstrap:node-join");
  CHECK((*join.authenticate_token("node:mine", {}))->user.groups[1] == "system:bootstrappers:node");
  CHECK_FALSE(join.authenticate_token("node:other", {})->has_value());
  CHECK_FALSE(join.authenticate_token("mine", {})->has_value());
  CHECK(base::remove_all(folder).ok());
}

TEST_CASE("bootstrap tokens are secrets in kube-system") {
  FakeLookup lookup;
  base::FakeClock clock;
  BootstrapTokenAuthenticator authenticator(lookup, clock);
  BootstrapTokenOptions options;
  options.ttl = std::chrono::hours(1);
  options.groups = {"system:bootstrappers:b", "system:bootstrappers:a"};
  const std::string token = "abcdef.0123456789abcdef";
  auto secret = bootstrap_token_secret(token, options, clock.now());
  REQUIRE(secret.ok());
  CHECK((*secret)["metadata"]["name"] == "bootstrap-token-abcdef");
  CHECK((*secret)["type"] == "bootstrap.kubernetes.io/token");
  const auto valid = [&](const Json& tree, const std::string& text) {
    lookup.put("secrets", object(tree));
    auto found = authenticator.authenticate_token(text, {});
    return found.ok() && found->has_value();
  };
  CHECK(valid(*secret, token));
  CHECK((*authenticator.authenticate_token(token, {}))->user.name == "system:bootstrap:abcdef");
  CHECK((*authenticator.authenticate_token(token, {}))->user.groups ==
        std::vector<std::string>{"system:bootstrappers", "system:bootstrappers:a", "system:bootstrappers:b"});
  CHECK_FALSE(valid(*secret, "abcdef.0123456789abcdee"));
  CHECK_FALSE(valid(*secret, "abcdeg.0123456789abcdef"));
  CHECK_FALSE(valid(*secret, "abcdef.0123456789ABCDEF"));
  for (const auto& [key, value] :
       std::vector<std::pair<std::string, std::string>>{{"usage-bootstrap-authentication", "false"},
                                                        {"token-id", "zzzzzz"},
                                                        {"expiration", "rubbish"},
                                                        {"auth-extra-groups", "system:masters"}}) {
    Json broken = *secret;
    broken["data"][key] = pki::base64_encode(value);
    INFO(key);
    CHECK_FALSE(valid(broken, token));
  }
  Json opaque = *secret;
  opaque["type"] = "Opaque";
  CHECK_FALSE(valid(opaque, token));
  CHECK(valid(*secret, token));
  clock.advance(std::chrono::hours(1));
  CHECK_FALSE(valid(*secret, token));
  CHECK_FALSE(bootstrap_token_secret("short", options, clock.now()).ok());
  options.groups = {"system:masters"};
  CHECK_FALSE(bootstrap_token_secret(token, options, clock.now()).ok());
}
