#include "server/auth/service_account_tokens.h"

#include "pki/pki.h"
#include "server/auth/token_issuer.h"
#include "tests/catch.h"
#include "tests/unit/server/auth/fakes.h"

using namespace orch;
using namespace orch::server;
using namespace orch::testing;

namespace {

constexpr const char* kIssuer = "https://kubernetes.default.svc.cluster.local";

struct Cluster {
  std::string key = pki::generate_key();
  FakeLookup lookup;
  base::FakeClock clock;
  std::vector<std::string> uses;
  TokenIssuer issuer{{kIssuer, key, {"api"}}, lookup, clock};
  ServiceAccountAuthenticator authenticator{options(), lookup, clock};

  Cluster() {
    lookup.put("serviceaccounts", simple_object("ServiceAccount", "a", "bot", "sa-uid"));
    lookup.put("nodes", simple_object("Node", "", "n1", "node-uid"));
    lookup.put("secrets", simple_object("Secret", "a", "s", "secret-uid"));
    lookup.put("pods",
               R"({"apiVersion":"v1","kind":"Pod","metadata":{"name":"p","namespace":"a","uid":"pod-uid"},
                           "spec":{"serviceAccountName":"bot","nodeName":"n1"}})");
  }
  ServiceAccountTokenOptions options() {
    ServiceAccountTokenOptions o;
    o.issuers = {kIssuer};
    o.audiences = {"api"};
    o.verifier = *pki::JwtVerifier::make({key});
    o.on_legacy_use = [this](const api::ObjectPtr& secret, const std::string& date) {
      uses.push_back(base::cat(secret->name(), " ", date));
    };
    return o;
  }
  /// The token, or the refusal's message.
  std::string request(std::string_view spec, const char* name = "bot") {
    auto made = issuer.request_token({{"spec", json(spec)}}, "a", name);
    return made.ok() ? std::string(base::string_at(*made, {"status", "token"})) : made.error().message();
  }
  std::string error(const std::string& token, const std::vector<std::string>& audiences = {}) {
    auto found = authenticator.authenticate_token(token, audiences);
    return found.ok() ? (found->has_value() ? "" : "not ours") : found.error().message();
  }
};

Json claims_of(const std::string& token) { return json(*pki::peek_jwt(token)); }

}  // namespace

TEST_CASE("a token request gives a token that authenticates") {
  Cluster c;
  auto made = c.issuer.request_token(json(R"({"kind":"TokenRequest","spec":{}})"), "a", "bot");
  REQUIRE(made.ok());
  CHECK((*made)["spec"]["audiences"] == Json::array({"api"}));
  CHECK((*made)["spec"]["expirationSeconds"] == 3600);
  CHECK((*made)["status"]["expirationTimestamp"] == "2026-01-01T01:00:00Z");
  CHECK((*made)["metadata"]["uid"] == "sa-uid");
  const std::string token = (*made)["status"]["token"];
  const Json claims = claims_of(token);
  CHECK(claims["iss"] == kIssuer);
  CHECK(claims["sub"] == "system:serviceaccount:a:bot");
  CHECK(claims["exp"].get<int64_t>() - claims["iat"].get<int64_t>() == 3600);
  CHECK(claims["kubernetes.io"] ==
        json(R"({"namespace":"a","serviceaccount":{"name":"bot","uid":"sa-uid"}})"));

  for (int round = 0; round < 2; ++round) {  // the second is from the cache
    auto found = c.authenticator.authenticate_token(token, {});
    REQUIRE(found.ok());
    REQUIRE(found->has_value());
    const TokenUser& u = **found;
    CHECK(u.user.name == "system:serviceaccount:a:bot");
    CHECK(u.user.uid == "sa-uid");
    CHECK(u.user.groups == std::vector<std::string>{"system:serviceaccounts", "system:serviceaccounts:a"});
    CHECK(u.user.extra.at("authentication.kubernetes.io/credential-id")[0] ==
          "JTI=" + claims["jti"].get<std::string>());
    CHECK(u.audiences == std::vector<std::string>{"api"});
  }
}

TEST_CASE("bound tokens live and die with what they are bound to") {
  Cluster c;
  const std::string pod =
      c.request(R"({"boundObjectRef":{"apiVersion":"v1","kind":"Pod","name":"p","uid":"pod-uid"}})");
  auto found = c.authenticator.authenticate_token(pod, {});
  REQUIRE((found.ok() && found->has_value()));
  const auto& extra = (*found)->user.extra;
  CHECK(extra.at("authentication.kubernetes.io/pod-name")[0] == "p");
  CHECK(extra.at("authentication.kubernetes.io/pod-uid")[0] == "pod-uid");
  CHECK(extra.at("authentication.kubernetes.io/node-name")[0] == "n1");
  CHECK(extra.at("authentication.kubernetes.io/node-uid")[0] == "node-uid");
  const std::string secret =
      c.request(R"({"boundObjectRef":{"apiVersion":"v1","kind":"Secret","name":"s"}})");
  const std::string node = c.request(R"({"boundObjectRef":{"apiVersion":"v1","kind":"Node","name":"n1"}})");
  CHECK(c.error(secret).empty());
  CHECK(c.error(node).empty());

  c.lookup.erase("secrets", "a", "s");
  c.lookup.put("nodes", simple_object("Node", "", "n1", "other"));
  CHECK(c.error(secret) == "service account token has been invalidated");
  CHECK(c.error(node) == "node UID (other) does not match service account node ref claim (node-uid)");
  CHECK(c.error(pod).empty());  // its node is information only
  c.lookup.erase("pods", "a", "p");
  CHECK(c.error(pod) == "service account token has been invalidated");
  const std::string plain = c.request("{}");
  c.lookup.put("serviceaccounts", simple_object("ServiceAccount", "a", "bot", "again"));
  CHECK(c.error(plain) == "service account UID (again) does not match claim (sa-uid)");
}

TEST_CASE("tokens have their time and their audiences") {
  Cluster c;
  const std::string token = c.request(R"({"expirationSeconds":600})");
  c.clock.advance(std::chrono::seconds(650));
  CHECK(c.error(token).empty());
  c.clock.advance(std::chrono::seconds(20));
  CHECK(c.error(token) == "service account token has expired");
  const std::string later = c.request("{}");
  c.clock.advance(-std::chrono::minutes(5));
  CHECK(c.error(later) == "service account token is not valid yet");
  c.clock.advance(std::chrono::minutes(5));
  const std::string vault = c.request(R"({"audiences":["vault","x"]})");
  CHECK(c.error(vault) == R"(token audiences ["vault" "x"] is invalid for the target audiences ["api"])");
  CHECK(c.error(vault, {"vault"}).empty());
  auto found = c.authenticator.authenticate_token(vault, {"vault", "other"});
  REQUIRE((found.ok() && found->has_value()));
  CHECK((*found)->audiences == std::vector<std::string>{"vault"});
}

TEST_CASE("the kubelet's tokens outlive their rotation") {
  Cluster c;
  const char* ref = R"("boundObjectRef":{"apiVersion":"v1","kind":"Pod","name":"p"})";
  const Json claims = claims_of(c.request(base::cat("{", ref, ",\"expirationSeconds\":3607}")));
  CHECK(claims["exp"].get<int64_t>() - claims["iat"].get<int64_t>() == 365 * 24 * 3600);
  CHECK(claims["kubernetes.io"]["warnafter"].get<int64_t>() - claims["iat"].get<int64_t>() == 3607);
  const Json other =
      claims_of(c.request(base::cat("{", ref, R"(,"expirationSeconds":3607,"audiences":["x"]})")));
  CHECK(other["exp"].get<int64_t>() - other["iat"].get<int64_t>() == 3607);
}

TEST_CASE("token requests that cannot be") {
  Cluster c;
  CHECK(c.request("{}", "nobody") == R"(serviceaccounts "nobody" not found)");
  CHECK(
      c.request(R"({"expirationSeconds":599})") ==
      R"(TokenRequest.authentication.k8s.io "" is invalid: spec.expirationSeconds: Invalid value: 599: may not specify a duration less than 10 minutes)");
  CHECK_THAT(c.request(R"({"expirationSeconds":4294967297})"), contains("larger than 2^32 seconds"));
  CHECK(c.request(R"({"boundObjectRef":{"apiVersion":"v1","kind":"Pod","name":"none"}})") ==
        R"(pods "none" not found)");
  CHECK(c.request(R"({"boundObjectRef":{"apiVersion":"apps/v1","kind":"Deployment","name":"d"}})") ==
        "cannot bind token to object of type apps/v1, Kind=Deployment");
  CHECK_THAT(c.request(R"({"boundObjectRef":{"apiVersion":"v1","kind":"Pod","name":"p","uid":"old"}})"),
             contains("The object might have been deleted and then recreated"));
  c.lookup.put("serviceaccounts", simple_object("ServiceAccount", "a", "other", "o"));
  CHECK_THAT(c.request(R"({"boundObjectRef":{"apiVersion":"v1","kind":"Pod","name":"p"}})", "other"),
             contains("to pod running with different serviceaccount name."));
  auto wrong = c.issuer.request_token(json(R"({"metadata":{"name":"x"},"spec":{}})"), "a", "bot");
  CHECK_THAT(wrong.error().message(), contains("must match the service account name if specified"));
}

TEST_CASE("tokens of secrets") {
  Cluster c;
  const auto account = c.lookup.get("serviceaccounts", "a", "bot");
  const std::string token = *c.issuer.secret_token(*account, "legacy");
  CHECK(c.error(token) == "Token has been invalidated");
  Json secret = {{"apiVersion", "v1"},
                 {"kind", "Secret"},
                 {"metadata", {{"name", "legacy"}, {"namespace", "a"}, {"uid", "u"}}},
                 {"data", {{"token", pki::base64_encode(token)}}}};
  c.lookup.put("secrets", object(secret));
  CHECK(c.error(token).empty());
  CHECK(c.uses == std::vector<std::string>{"legacy 2026-01-01"});
  secret["metadata"]["labels"]["kubernetes.io/legacy-token-last-used"] = "2026-01-01";
  c.lookup.put("secrets", object(secret));
  CHECK(c.error(token).empty());
  CHECK(c.uses.size() == 1);
  for (const auto& [last, told] : {std::pair("2026-01-02", false), std::pair("2025-12-31", true),
                                   std::pair("2026-01-03", true), std::pair("soon", true)}) {
    INFO(last);
    c.uses.clear();
    secret["metadata"]["labels"]["kubernetes.io/legacy-token-last-used"] = last;
    c.lookup.put("secrets", object(secret));
    CHECK(c.error(token).empty());
    CHECK(c.uses == (told ? std::vector<std::string>{"legacy 2026-01-01"} : std::vector<std::string>()));
  }
  c.uses.clear();
  secret["metadata"]["labels"]["kubernetes.io/legacy-token-invalid-since"] = "2025-12-01";
  c.lookup.put("secrets", object(secret));
  CHECK_THAT(c.error(token), contains("has been marked invalid"));
  CHECK(c.uses.size() == 1);  // whoever takes the label off has time to use it
  secret["data"]["token"] = pki::base64_encode("changed");
  c.lookup.put("secrets", object(secret));
  CHECK(c.error(token) == "Token does not match server's copy");
}

TEST_CASE("a clock that is not set dates no use of a token") {
  Cluster c;
  const auto account = c.lookup.get("serviceaccounts", "a", "bot");
  const std::string token = *c.issuer.secret_token(*account, "legacy");
  c.lookup.put("secrets", object(Json{{"apiVersion", "v1"},
                                      {"kind", "Secret"},
                                      {"metadata", {{"name", "legacy"}, {"namespace", "a"}, {"uid", "u"}}},
                                      {"data", {{"token", pki::base64_encode(token)}}}}));
  base::FakeClock early(base::WallTime(std::chrono::hours(1)));
  ServiceAccountAuthenticator authenticator(c.options(), c.lookup, early);
  CHECK(authenticator.authenticate_token(token, {}).ok());
  CHECK(c.uses.empty());
}

TEST_CASE("tokens of others") {
  Cluster c, other;
  CHECK(c.error("abc") == "not ours");
  CHECK(c.error("a.b.c") == "not ours");
  const std::string foreign = *pki::sign_jwt(c.key, R"({"iss":"https://elsewhere","sub":"x"})");
  CHECK(c.error(foreign) == "not ours");
  CHECK(other.error(c.request("{}")) == "invalid signature, no keys found");
  const std::string good = c.request("{}");
  std::string forged = good;
  forged[good.find('.') + 5] = forged[good.find('.') + 5] == 'A' ? 'B' : 'A';
  CHECK_FALSE(c.error(forged).empty());
}

TEST_CASE("what verifiers of tokens need is published") {
  Cluster c;
  const Json keys = json(*c.issuer.jwks());
  REQUIRE(keys["keys"].size() == 1);
  CHECK(keys["keys"][0]["kty"] == "EC");
  CHECK(keys["keys"][0]["use"] == "sig");
  const Json config = json(*c.issuer.openid_configuration("https://host:6443/openid/v1/jwks"));
  CHECK(config == json(R"({"id_token_signing_alg_values_supported":["ES256"],
    "issuer":"https://kubernetes.default.svc.cluster.local","jwks_uri":"https://host:6443/openid/v1/jwks",
    "response_types_supported":["id_token"],"subject_types_supported":["public"]})"));
}
