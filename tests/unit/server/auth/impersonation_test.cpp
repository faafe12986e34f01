#include "server/auth/impersonation.h"

#include "server/auth/authenticators.h"
#include "tests/catch.h"
#include "tests/unit/server/auth/fakes.h"

using namespace orch;
using namespace orch::server;
using namespace orch::testing;

namespace {

/// Allows what was listed as "resource[/subresource] ns/name", remembers the rest.
class ListedAuthorizer final : public Authorizer {
 public:
  std::vector<std::string> allowed;
  Verdict authorize(const Attributes& a) override {
    const std::string asked = base::cat(a.verb, " ", a.resource, a.subresource.empty() ? "" : "/",
                                        a.subresource, " ", a.ns, "/", a.name);
    for (const std::string& one : allowed) {
      if (one == asked || one == "*") return {Decision::kAllow, {}};
    }
    return {Decision::kNoOpinion, asked};
  }
};

http::Request request(std::vector<std::pair<std::string, std::string>> headers) {
  http::Request r;
  r.headers = std::move(headers);
  r.path = "/api";
  return r;
}

}  // namespace

TEST_CASE("impersonation takes on what was asked and allowed") {
  ListedAuthorizer all;
  all.allowed = {"*"};
  const UserInfo admin = user("admin");
  struct Row {
    std::vector<std::pair<std::string, std::string>> headers;
    const char* expected;
  };
  const Row rows[] = {
      {{{"impersonate-user", "eve"}}, R"({"username":"eve","groups":["system:authenticated"]})"},
      {{{"Impersonate-User", "eve"}, {"Impersonate-Group", "g"}, {"Impersonate-Group", "h"}},
       R"({"username":"eve","groups":["g","h","system:authenticated"]})"},
      {{{"Impersonate-User", "system:serviceaccount:a:bot"}},
       R"({"username":"system:serviceaccount:a:bot","groups":["system:serviceaccounts","system:serviceaccounts:a",
           "system:authenticated"]})"},
      {{{"Impersonate-User", "system:serviceaccount:a:bot"}, {"Impersonate-Group", "g"}},
       R"({"username":"system:serviceaccount:a:bot","groups":["g","system:authenticated"]})"},
      {{{"Impersonate-User", "system:anonymous"}},
       R"({"username":"system:anonymous","groups":["system:unauthenticated"]})"},
      {{{"Impersonate-User", "eve"}, {"Impersonate-Group", "system:unauthenticated"}},
       R"({"username":"eve","groups":["system:unauthenticated"]})"},
      {{{"Impersonate-User", "eve"},
        {"Impersonate-Uid", "1"},
        {"Impersonate-Extra-A%2fB", "x"},
        {"Impersonate-Extra-a%2fb", "y"}},
       R"({"username":"eve","uid":"1","groups":["system:authenticated"],"extra":{"a/b":["x","y"]}})"},
  };
  for (const Row& r : rows) {
    auto got = impersonate(request(r.headers), admin, all);
    REQUIRE(got.ok());
    REQUIRE(got->has_value());
    CHECK(user_to_json(**got) == json(r.expected));
  }
  CHECK_FALSE(impersonate(request({{"Accept", "x"}}), admin, all)->has_value());
}

TEST_CASE("each part of an impersonation is authorized") {
  const UserInfo admin = user("admin");
  ListedAuthorizer some;
  some.allowed = {"impersonate users /eve", "impersonate serviceaccounts a/bot"};
  CHECK(impersonate(request({{"Impersonate-User", "eve"}}), admin, some).ok());
  CHECK(impersonate(request({{"Impersonate-User", "system:serviceaccount:a:bot"}}), admin, some).ok());
  const auto refusal = [&](std::vector<std::pair<std::string, std::string>> headers) {
    return impersonate(request(std::move(headers)), admin, some).status().message();
  };
  CHECK(
      refusal({{"Impersonate-User", "tom"}}) ==
      R"(users "tom" is forbidden: User "admin" cannot impersonate resource "users" in API group "" at the cluster scope: impersonate users /tom)");
  CHECK_THAT(refusal({{"Impersonate-User", "eve"}, {"Impersonate-Group", "g"}}),
             contains(R"(groups "g" is forbidden)"));
  CHECK_THAT(
      refusal({{"Impersonate-User", "eve"}, {"Impersonate-Extra-Scopes", "v"}}),
      contains(
          R"(userextras.authentication.k8s.io "v" is forbidden: User "admin" cannot impersonate resource "userextras/scopes")"));
  CHECK_THAT(refusal({{"Impersonate-User", "eve"}, {"Impersonate-Uid", "v"}}),
             contains(R"(uids.authentication.k8s.io "v")"));
  CHECK(refusal({{"Impersonate-Group", "g"}}) == "requested [{Group  g    }] without impersonating a user");
}

namespace {

class OneToken final : public TokenAuthenticator {
 public:
  base::Result<std::optional<TokenUser>> authenticate_token(
      std::string_view token, const std::vector<std::string>& audiences) override {
    if (token == "broken") return base::Status(base::Code::kUnauthorized, "token has expired");
    if (token != "good" && token != "server:pw") return std::optional<TokenUser>();
    return std::optional(TokenUser{user("eve", {"g"}), audiences});
  }
};

RequestAuthenticator authenticator(AnonymousOptions anonymous = {}) {
  std::vector<std::unique_ptr<TokenAuthenticator>> tokens;
  tokens.push_back(std::make_unique<OneToken>());
  return {std::move(tokens), std::move(anonymous)};
}

}  // namespace

TEST_CASE("requests are authenticated by certificate, token or not at all") {
  RequestAuthenticator a = authenticator();
  struct Row {
    const char *name, *value, *who;
  };
  const Row rows[] = {
      {"Authorization", "Bearer good", "eve"},
      {"authorization", "bearer   good ", "eve"},
      {"Authorization", "Bearer bad", ""},
      {"Authorization", "Bearer broken", ""},
      {"Authorization", "Basic c2VydmVyOnB3", "eve"},
      {"Authorization", "Basic ????", "system:anonymous"},
      {"Authorization", "Bearer", "system:anonymous"},
      {"Authorization", "Digest x", "system:anonymous"},
      {"Sec-WebSocket-Protocol", "v5.channel.k8s.io, base64url.bearer.authorization.k8s.io.Z29vZA", "eve"},
      {"Accept", "*/*", "system:anonymous"},
  };
  for (const Row& r : rows) {
    INFO(r.name << ": " << r.value);
    auto got = a.authenticate(request({{r.name, r.value}}));
    CHECK(got.ok() == (*r.who != '\0'));
    if (!got.ok()) {
      CHECK(got.error().code() == base::Code::kUnauthorized);
      CHECK(got.error().message() == "Unauthorized");
      continue;
    }
    CHECK((*got)->name == r.who);
    const bool anonymous = (*got)->name == "system:anonymous";
    CHECK((*got)->in_group(kGroupAuthenticated) == !anonymous);
    CHECK((*got)->in_group(kGroupUnauthenticated) == anonymous);
  }
  http::Request with_cert = request({{"Authorization", "Bearer bad"}});
  with_cert.peer.common_name = "admin";
  with_cert.peer.organizations = {"system:masters"};
  with_cert.peer.credential_id = "ab12";
  auto got = a.authenticate(with_cert);
  REQUIRE(got.ok());
  CHECK(user_to_json(**got) == json(R"({"username":"admin","groups":["system:masters","system:authenticated"],
                 "extra":{"authentication.kubernetes.io/credential-id":["X509SHA256=ab12"]}})"));

  http::Request stranger = request({});
  stranger.peer.error = "x509: certificate signed by unknown authority";
  CHECK(a.authenticate(stranger).status().code() == base::Code::kUnauthorized);
  stranger.headers = {{"Authorization", "Bearer good"}};
  CHECK((*a.authenticate(stranger))->name == "eve");
}

TEST_CASE("anonymous requests may be limited to paths or refused") {
  RequestAuthenticator some = authenticator({true, {"/livez", "/version"}});
  http::Request r = request({});
  CHECK_FALSE(some.authenticate(r).ok());
  r.path = "/livez";
  CHECK((*some.authenticate(r))->name == "system:anonymous");
  RequestAuthenticator none = authenticator({false, {}});
  CHECK_FALSE(none.authenticate(r).ok());
}
