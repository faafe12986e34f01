// Tokens of foreign issuers: keys, claims, configuration.
#include "server/auth/oidc.h"

#include "base/clock.h"
#include "base/json.h"
#include "pki/pki.h"
#include "tests/catch.h"
#include "tests/unit/server/auth/fakes.h"

using namespace orch;
using namespace orch::server;
using namespace orch::testing;

namespace {

// Made by Go's crypto/rsa.
const std::string kRsaKeys =
    R"({"keys":[{"kty":"RSA","kid":"r","use":"sig","n":"zKH32lVvrXp3bt_cdFbWXf_FEszeLAGRN5MJrZnNVkc2yFG)"
    R"(Rl5TAKLfEGloQQICAM_8RuaRhwICwnwjdjOSo9oe1TKXBRO95i7ScD0Xnjuiv2zzNLOT5qj0ooCF2npaUJqqRQZ5VblcpP33)"
    R"(XKefFDRnSXxM0zw7hPUYDI4cAo9AZRJZTwnRh0hYnhBbuOXfrwDe6WQcde2945uAfsoANBaApCnV5LeWw_fyGzyv3VCRlnFP)"
    R"(F70qAcnlAnRG0HRBDDkVXQbxuv1xyh9UnaXU6rG1mD6EzTuinr3TwRvfE8uUuvMMyRLvvqDRRmLDiXdT8Y1B2T-cE8Bv3MC9)"
    R"(0n9DOIw","e":"AQAB"}]})";
const std::string kRs256 =
    R"(eyJhbGciOiJSUzI1NiIsImtpZCI6InIifQ.eyJzdWIiOiJ4In0.wF79p7DYpaO8ZEO8HKOecz_0ah8VuYKJHn1FjZvAjsjUx)"
    R"(vWEBuBceF57LzXiay3g1d7PkKzoojxNgAjiDGrdGdJ0uc_nQTaVDNHlQoKzxlPLC0EexTTg6aKU35m267ioZ8MIT2bhg3sDY)"
    R"(FM-GZZLAN83-YV4_LvdOMtC44mORne7swecL-TuZUEtpgsfxqPOofLTqrSuk_iL8dvV1GqofcnXXcrbB-w7mEIzEx8zKDJYy)"
    R"(TaGL96hiCZirN9cGGo0oKazyboffLExg0cUUlPfaPxxc1PkPna2pMebL5jBm1z-uAeV3kP_x_KjRok05PnGPmtbDMGJLPiEx)"
    R"(Vv7sJgZCA)";
const std::string kPs256 =
    R"(eyJhbGciOiJQUzI1NiIsImtpZCI6InIifQ.eyJzdWIiOiJ4In0.ZXR4QjUHPfi5vH3tzDsm3_IoUbu04h3DYS6WozGV635Eu)"
    R"(QaeYDeIQu1m1ot3rCF7GTrsAtyAnH70-_PpASt85K4KHqDvC7cSOb0cNjhh0x2ke3r68TJG-4zFqxgcB4irygXWxS1YwZyo5)"
    R"(LaNIsNEMyCUYX4Ht9hsXufHvIuihhWY7C9HSnA8S5UThhvA2t-It69UbbeCi11112y8an9_3GLF0n2_bg1CKIUDzlEEVd3CC)"
    R"(gdumvo1-yCj2stSthgicVAyxEiENqBSnDKFjboSkS21_tzkxjZDAnjeHOtKHgL_V7c1N2XweHdvyC0SOiCITd-TbLyNTfsd3)"
    R"(MwHcedCNw)";

const std::string kIssuer = "https://issuer.example";

JwtIssuer issuer() {
  JwtIssuer i;
  i.url = kIssuer;
  i.audiences = {"me", "also-me"};
  i.username = {"sub", "o:"};
  i.groups = {"groups", "g:"};
  return i;
}

const base::WallTime kNow(std::chrono::seconds(1767225600));

Json claims(const char* more = "{}") {
  Json c = {{"iss", kIssuer}, {"aud", "me"}, {"sub", "alice"}, {"exp", 1767225600 + 60}};
  c.update(json(more));
  return c;
}

std::string who(const JwtIssuer& i, const Json& c) {
  auto user = user_of_claims(i, c, kNow);
  if (!user.ok()) return "!" + user.error().message();
  std::string out = user->name;
  for (const auto& g : user->groups) out += " " + g;
  return out + (user->uid.empty() ? "" : "/" + user->uid);
}

std::string config(const std::string& rest) {
  return "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthenticationConfiguration\n" + rest;
}

}  // namespace

TEST_CASE("key sets verify what their keys signed") {
  const auto rsa = *pki::JwkSet::parse(kRsaKeys);
  CHECK(*rsa.verify(kRs256, {"RS256"}) == R"({"sub":"x"})");
  CHECK(*rsa.verify(kPs256, {"PS256"}) == R"({"sub":"x"})");
  CHECK_FALSE(rsa.verify(kPs256, {"RS256"}).ok());
  std::string damaged = kRs256;
  damaged[damaged.find('.') + 3] ^= 1;
  CHECK_FALSE(rsa.verify(damaged, {"RS256"}).ok());
  const std::string key = pki::generate_key();
  const auto ec =
      *pki::JwkSet::parse("{\"keys\":[{\"kty\":\"oct\",\"k\":\"x\"}," + *pki::public_jwk(key) + "]}");
  const std::string token = *pki::sign_jwt(key, "{}");
  CHECK(*ec.verify(token, {"RS256", "ES256"}) == "{}");
  CHECK_FALSE(ec.verify(token, {"ES384"}).ok());
  CHECK_FALSE(ec.verify(*pki::sign_jwt(pki::generate_key(), "{}"), {"ES256"}).ok());
  CHECK_FALSE(ec.verify("eyJhbGciOiJub25lIn0.e30.", {"none"}).ok());
  CHECK_FALSE(ec.verify("a.b", {"ES256"}).ok());
  CHECK_FALSE(pki::JwkSet::parse("[]").ok());
}

TEST_CASE("claims name a user") {
  CHECK(who(issuer(), claims()) == "o:alice");
  CHECK(who(issuer(), claims(R"({"groups":["a","b"]})")) == "o:alice g:a g:b");
  CHECK(who(issuer(), claims(R"({"groups":"a"})")) == "o:alice g:a");
  CHECK(who(issuer(), claims(R"({"groups":7})")).substr(0, 1) == "!");
  CHECK(who(issuer(), claims(R"({"aud":["x","also-me"]})")) == "o:alice");
  CHECK_THAT(who(issuer(), claims(R"({"aud":"x"})")), contains("expected audience in [me also-me]"));
  CHECK_THAT(who(issuer(), claims(R"({"iss":"x"})")), contains("issued by a different provider"));
  CHECK_THAT(who(issuer(), claims(R"({"exp":1767225599})")), contains("token is expired"));
  CHECK_THAT(who(issuer(), claims(R"({"nbf":1767226000})")), contains("nbf"));
  CHECK(who(issuer(), claims(R"({"nbf":1767225700})")) == "o:alice");
  CHECK_THAT(who(issuer(), claims(R"({"sub":null})")), contains("claim not present"));
  JwtIssuer i = issuer();
  i.username = {"email", ""};
  i.required_claims = {{"hd", "example.com"}};
  i.uid_claim = "sub";
  const char* mail = R"({"email":"a@example.com","hd":"example.com"})";
  CHECK(who(i, claims(mail)) == "a@example.com/alice");
  CHECK_THAT(who(i, claims(R"({"email":"a","hd":"example.com","email_verified":false})")),
             contains("email not verified"));
  CHECK_THAT(who(i, claims(R"({"email":"a"})")), contains("required claim hd not present in ID token"));
  CHECK_THAT(who(i, claims(R"({"email":"a","hd":"x"})")), contains("required claim hd value does not match"));
}

TEST_CASE("keys are fetched once, and again for a key not known") {
  base::FakeClock clock(kNow);
  std::string key = pki::generate_key();
  int fetches = 0;
  bool away = false;
  OidcAuthenticator a(
      issuer(), {"api"},
      [&](const std::string& url, const std::string&) -> base::Result<std::string> {
        ++fetches;
        if (away) return base::Status(base::Code::kServiceUnavailable, "away");
        if (url == kIssuer + "/.well-known/openid-configuration")
          return std::string(R"({"issuer":"https://issuer.example","jwks_uri":"https://keys.example/k"})");
        CHECK(url == "https://keys.example/k");
        return "{\"keys\":[" + *pki::public_jwk(key) + "]}";
      },
      clock);
  const auto ask = [&](const std::string& token,
                       const std::vector<std::string>& audiences = {}) -> std::string {
    auto found = a.authenticate_token(token, audiences);
    if (!found.ok()) return "!" + found.error().message();
    return found->has_value() ? (*found)->user.name : "nobody";
  };
  const auto token = [&] { return *pki::sign_jwt(key, claims().dump()); };
  away = true;
  CHECK_THAT(ask(token()), contains("away"));
  CHECK_THAT(ask(token()), contains("away"));
  CHECK(fetches == 1);
  away = false;
  clock.advance(std::chrono::seconds(11));
  CHECK(ask(token()) == "o:alice");
  CHECK(ask(token(), {"api"}) == "o:alice");
  CHECK(ask(token(), {"other"}) == "nobody");
  CHECK(ask("no-jwt") == "nobody");
  CHECK(ask(*pki::sign_jwt(key, R"({"iss":"https://other"})")) == "nobody");
  CHECK(fetches == 3);
  key = pki::generate_key();
  CHECK(ask(token()).substr(0, 1) == "!");
  CHECK(fetches == 3);
  clock.advance(std::chrono::seconds(11));
  CHECK(ask(token()) == "o:alice");
  CHECK(fetches == 5);
}

TEST_CASE("authentication configurations") {
  auto parsed = parse_authentication_config(config(R"(
jwt:
- issuer: {url: https://a, audiences: [x, z], audienceMatchPolicy: MatchAny, discoveryURL: https://d}
  claimValidationRules: [{claim: hd, requiredValue: z}]
  claimMappings: {username: {claim: sub, prefix: ""}, groups: {claim: roles, prefix: "r:"}, uid: {claim: id}}
- issuer: {url: https://b, audiences: [x]}
  claimMappings: {username: {claim: email, prefix: "b:"}}
anonymous: {enabled: true, conditions: [{path: /livez}]}
)"));
  INFO(parsed.status().message());
  REQUIRE(parsed.ok());
  REQUIRE(parsed->issuers.size() == 2);
  const JwtIssuer& first = parsed->issuers[0];
  CHECK(first.audiences == std::vector<std::string>{"x", "z"});
  CHECK(first.discovery_url == "https://d");
  CHECK(first.required_claims.at("hd") == "z");
  CHECK(first.groups.claim == "roles");
  CHECK(first.groups.prefix == "r:");
  CHECK(first.uid_claim == "id");
  REQUIRE(parsed->anonymous.has_value());
  CHECK(parsed->anonymous->paths == std::vector<std::string>{"/livez"});
  struct Row {
    const char *rest, *part;
  };
  const std::string good =
      "{issuer: {url: https://a, audiences: [x]}, claimMappings: {username: {claim: sub, prefix: ''}}}";
  CHECK(parse_authentication_config(config("jwt: [" + good + "]")).ok());
  CHECK_THAT(parse_authentication_config(config("jwt: [" + good + "," + good + "]")).error().message(),
             contains("jwt[1].issuer.url: Duplicate value"));
  for (const Row& row : {
           Row{"jwt: [{issuer: {audiences: [x]}, claimMappings: {username: {claim: s, prefix: ''}}}]",
               "URL is required"},
           Row{"jwt: [{issuer: {url: http://a, audiences: [x]}, claimMappings: {username: {claim: s, prefix: "
               "''}}}]",
               "URL scheme must be https"},
           Row{"jwt: [{issuer: {url: https://a}, claimMappings: {username: {claim: s, prefix: ''}}}]",
               "audiences"},
           Row{"jwt: [{issuer: {url: https://a, audiences: [x, z]}, claimMappings: {username: {claim: s, "
               "prefix: ''}}}]",
               "must be MatchAny"},
           Row{"jwt: [{issuer: {url: https://a, audiences: [x]}, claimMappings: {username: {claim: s}}}]",
               "prefix is required when claim is set"},
           Row{"jwt: [{issuer: {url: https://a, audiences: [x]}, claimMappings: {}}]",
               "claim or expression is required"},
           Row{"jwt: [{issuer: {url: https://a, audiences: [x]}, claimMappings: {username: {expression: "
               "claims.sub +}}}]",
               "jwt[0].claimMappings.username.expression: Invalid value: \"claims.sub +\": compilation "
               "failed"},
           Row{"jwt: [{issuer: {url: https://a, audiences: [x]}, claimMappings: {username: {expression: "
               "claims.email}}}]",
               "claims.email_verified must be used"},
           Row{"jwt: [{issuer: {url: https://a, audiences: [x]}, claimMappings: {username: {expression: "
               "claims.sub, claim: s}}}]",
               "claim and expression can't both be set"},
           Row{"jwt: [{issuer: {url: https://a, audiences: [x]}, claimMappings: {username: {expression: "
               "claims.sub}}, claimValidationRules: [{expression: '1'}]}]",
               "jwt[0].claimValidationRules[0].expression: Invalid value: \"1\": must evaluate to bool"},
           Row{"jwt: [{issuer: {url: https://a, audiences: [x]}, claimMappings: {username: {expression: "
               "claims.sub}, extra: [{key: a.kubernetes.io/x, valueExpression: claims.x}]}}]",
               "are reserved for Kubernetes use"},
           Row{"jwt: [{issuer: {url: https://a, audiences: [x]}, claimMappings: {username: {expression: "
               "claims.sub}}, userValidationRules: [{expression: user.nme == ''}]}]",
               "undefined field 'nme'"},
           Row{"anonymous: {enabled: false, conditions: [{path: /a}]}", "enabled should be set to true"},
       }) {
    INFO(row.rest);
    auto bad = parse_authentication_config(config(row.rest));
    REQUIRE_FALSE(bad.ok());
    CHECK_THAT(bad.error().message(), contains(row.part));
  }
}

TEST_CASE("claims become a user by expressions") {
  auto parsed = parse_authentication_config(R"yaml(
apiVersion: apiserver.config.k8s.io/v1
kind: AuthenticationConfiguration
jwt:
- issuer: {url: "https://issuer.example", audiences: [me]}
  claimMappings:
    username: {expression: "claims.email_verified ? claims.email : 'nobody:' + claims.sub"}
    groups: {expression: "claims.roles.split(',').filter(r, r != 'none')"}
    uid: {expression: "claims.sub"}
    extra:
    - {key: example.org/tenant, valueExpression: "claims.tenant"}
    - {key: example.org/odd, valueExpression: "claims.odd__dash__name"}
  claimValidationRules:
  - {expression: "claims.exp - claims.nbf <= 86400", message: "lasts too long"}
  - {claim: hd, requiredValue: example.com}
  userValidationRules:
  - {expression: "!user.username.startsWith('system:')", message: "that name is not yours"}
  - {expression: "user.groups.all(g, g != 'admin') || user.extra['example.org/tenant'][0] == 'main'", message: never}
)yaml");
  INFO((parsed.ok() ? "" : parsed.error().message()));
  REQUIRE(parsed.ok());
  const JwtIssuer& i = parsed->issuers[0];
  const auto with = [](const char* more) {
    Json c = claims(R"({"nbf":1767225600,"hd":"example.com","email":"a@example.com","email_verified":true,
                        "roles":"dev,none,ops","tenant":"t","odd-name":["x",""]})");
    c.update(json(more));
    return c;
  };
  auto user = user_of_claims(i, with("{}"), kNow);
  INFO((user.ok() ? "" : user.error().message()));
  REQUIRE(user.ok());
  CHECK(user->name == "a@example.com");
  CHECK(user->uid == "alice");
  CHECK(user->groups == std::vector<std::string>{"dev", "ops"});
  CHECK(user->extra.at("example.org/tenant") == std::vector<std::string>{"t"});
  CHECK(user->extra.at("example.org/odd") == std::vector<std::string>{"x"});
  CHECK(who(i, with(R"({"email_verified":false,"roles":"dev"})")) == "nobody:alice dev/alice");
  CHECK(who(i, with(R"({"exp":1777225600})")) ==
        "!oidc: error evaluating claim validation expression: validation expression 'claims.exp - claims.nbf "
        "<= "
        "86400' failed: lasts too long");
  CHECK(who(i, with(R"({"hd":"other"})")) == "!oidc: required claim hd value does not match");
  CHECK(who(i, with(R"({"email":"system:admin"})")) ==
        "!oidc: error evaluating user info validation rule: validation expression "
        "'!user.username.startsWith('system:')' failed: that name is not yours");
  CHECK_THAT(who(i, with(R"({"roles":"admin"})")), contains("failed: never"));
  CHECK_THAT(who(i, with(R"({"roles":"admin","tenant":"main"})")), contains("a@example.com admin"));
  CHECK(who(i, with(R"({"email":7})")) ==
        "!oidc: error evaluating username claim expression: username claim expression must return a string");
  CHECK(who(i, with(R"({"email":""})")) == "!oidc: empty username via CEL expression is not allowed");
  CHECK(who(i, with(R"({"roles":3})"))
            .find("!oidc: error evaluating group claim expression: expression 'claims.roles.split(',')") ==
        0);
  CHECK(who(i, with(R"({"tenant":{"a":1}})")) ==
        "!oidc: error evaluating extra claim expression: claims.tenant: expression must return a string or a "
        "list of strings");
}
