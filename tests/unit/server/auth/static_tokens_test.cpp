// The file of --token-auth-file, and users whom a proxy vouches for.
#include "server/auth/static_tokens.h"

#include "tests/catch.h"

using namespace orch;
using namespace orch::server;
using orch::testing::contains;

namespace {

std::string who(StaticTokenAuthenticator& a, std::string_view token) {
  auto found = a.authenticate_token(token, {});
  REQUIRE(found.ok());
  if (!found->has_value()) return "nobody";
  const UserInfo& u = (*found)->user;
  std::string out = u.name + "/" + u.uid;
  for (const auto& g : u.groups) out += " " + g;
  return out;
}

}  // namespace

TEST_CASE("token files are CSV") {
  auto made = StaticTokenAuthenticator::parse(
      "t1,alice,1\r\n\nt2,bob,2,\"g1,g2\"\n\"t,3\",\"ca\"\"rol\",3,g\n,nobody,4\nt1,again,5", "f");
  REQUIRE(made.ok());
  CHECK(who(**made, "t1") == "again/5");
  CHECK(who(**made, "t2") == "bob/2 g1 g2");
  CHECK(who(**made, "t,3") == "ca\"rol/3 g");
  CHECK(who(**made, "") == "nobody");
  CHECK(who(**made, "t") == "nobody");
}

TEST_CASE("a token file that is none names the file and no token") {
  for (const char* text : {"secret,alice", "secret,\"alice,1", "secret,\"a\"b,1", "secret,al\"ice,1"}) {
    INFO(text);
    auto made = StaticTokenAuthenticator::parse(text, "/etc/tokens");
    REQUIRE_FALSE(made.ok());
    CHECK_THAT(made.error().message(), contains("/etc/tokens"));
    CHECK(made.error().message().find("secret") == std::string::npos);
  }
}

TEST_CASE("a front proxy names the user by headers") {
  FrontProxies proxies{
      {"edge"}, {"X-Remote-User"}, {"X-Remote-Uid"}, {"X-Remote-Group"}, {"X-Remote-Extra-"}};
  http::Request request;
  request.headers = {{"x-remote-user", "alice"},
                     {"X-Remote-Group", "a"},
                     {"X-Remote-Group", "b"},
                     {"X-Remote-Uid", "7"},
                     {"X-Remote-Extra-Acme%2fTeam", "x"},
                     {"Accept", "*/*"}};
  CHECK_FALSE(proxies.user(request).has_value());
  request.peer.common_name = "edge";
  CHECK_FALSE(proxies.user(request).has_value());
  request.peer.front_proxy = true;
  const auto user = proxies.user(request);
  REQUIRE(user.has_value());
  CHECK(user->name == "alice");
  CHECK(user->uid == "7");
  CHECK(user->groups == std::vector<std::string>{"a", "b"});
  CHECK(user->extra.at("acme/team") == std::vector<std::string>{"x"});
  request.peer.common_name = "other";
  CHECK_FALSE(proxies.user(request).has_value());
  proxies.strip(request);
  REQUIRE(request.headers.size() == 1);
  CHECK(request.headers[0].first == "Accept");
}

TEST_CASE("a proxy's certificate is no user's") {
  RequestAuthenticator a({}, {}, FrontProxies{{}, {"X-Remote-User"}, {}, {}, {}});
  http::Request request;
  request.peer.common_name = "edge";
  request.peer.front_proxy = true;
  request.peer.client = false;
  CHECK(a.authenticate(request).error().code() == base::Code::kUnauthorized);
  request.headers = {{"X-Remote-User", "alice"}};
  const auto user = a.authenticate(request);
  REQUIRE(user.ok());
  CHECK((**user).name == "alice");
  CHECK((**user).in_group(kGroupAuthenticated));
}
