// --kube-apiserver-arg on a whole control plane.
#include "server/api_server_args.h"

#include "tests/integration/server/fixture.h"

using namespace orch;
using namespace orch::testing;

namespace {

struct Files {
  DataFolder folder;
  std::string put(const std::string& name, const std::string& text) const {
    const std::string path = folder.path() + "/" + name;
    REQUIRE(base::write_file_atomic(path, text).ok());
    return path;
  }
};

void set(Control& control, const std::vector<std::string>& args) {
  auto parsed = server::parse_api_server_args(args);
  INFO(parsed.status().message());
  REQUIRE(parsed.ok());
  control.config().api = *parsed;
}

Credentials by_token(const std::string& token) { return {{}, token}; }

std::string user_of(const Answer& review) {
  return std::string(base::string_at(review.tree(), {"status", "userInfo", "username"}));
}

const Json kSelfReview = {{"apiVersion", "authentication.k8s.io/v1"}, {"kind", "SelfSubjectReview"}};
const std::string kSelfReviews = "/apis/authentication.k8s.io/v1/selfsubjectreviews";

}  // namespace

TEST_CASE("static tokens, foreign CAs, front proxies and anonymous users") {
  Files files;
  const auto now = base::SystemClock().now();
  const pki::KeyPair users = *pki::make_ca("users", now), proxies = *pki::make_ca("proxies", now);
  DataFolder data;
  Control control(data);
  set(control, {"token-auth-file=" + files.put("tokens", "sesame,alice,1,\"system:masters\"\n"),
                "client-ca-file=" + files.put("users.crt", users.certificate_pem),
                "requestheader-client-ca-file=" + files.put("proxies.crt", proxies.certificate_pem),
                "requestheader-allowed-names=edge", "requestheader-username-headers=X-Remote-User",
                "requestheader-group-headers=X-Remote-Group", "anonymous-auth=false"});
  control.start();
  const auto who = [&](const Credentials& as, const std::vector<std::string>& headers = {}) {
    const Answer answer =
        control.send_as(as, "POST", kSelfReviews, kSelfReview.dump(), {"application/json", headers});
    return answer.status == 201 ? user_of(answer) : std::to_string(answer.status);
  };
  CHECK(who(by_token("sesame")) == "alice");
  CHECK(who(by_token("other")) == "401");
  CHECK(who({}) == "401");
  CHECK(control.send_as({}, "GET", "/livez").status == 401);
  const auto issue = [&](const pki::KeyPair& ca, const char* name, const char* group) {
    return Credentials{*pki::issue(ca, {name, {group}, {}, {}, false, true}, now), {}};
  };
  CHECK(who(issue(users, "carol", "system:masters")) == "carol");
  CHECK(who(issue(control.client_ca(), "dave", "system:masters")) == "dave");
  CHECK(who(issue(*pki::make_ca("others", now), "eve", "system:masters")) == "401");
  const std::vector<std::string> headers = {"X-Remote-User: frank", "X-Remote-Group: system:masters"};
  CHECK(who(issue(proxies, "edge", "x"), headers) == "frank");
  CHECK(who(issue(proxies, "edge", "system:masters")) == "401");
  CHECK(who(issue(proxies, "stranger", "system:masters"), headers) == "401");
  CHECK(who(issue(users, "carol", "system:masters"), headers) == "carol");
  const Answer map =
      control.get("/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication");
  CHECK_THAT(std::string(base::string_at(map.tree(), {"data", "client-ca-file"})),
             contains(users.certificate_pem));
}

TEST_CASE("modes of authorization, anonymous everywhere") {
  DataFolder data;
  Control control(data);
  set(control, {"authorization-mode=AlwaysAllow", "anonymous-auth=true"});
  control.start();
  CHECK(control.send_as({}, "GET", "/api/v1/secrets").status == 200);
}

TEST_CASE("AlwaysDeny leaves the masters") {
  DataFolder data;
  Control control(data);
  set(control, {"authorization-mode=AlwaysDeny"});
  control.start();
  CHECK(control.get("/api/v1/secrets").status == 200);
  const Credentials node{
      *pki::issue(control.client_ca(), {"system:node:n", {"system:nodes"}, {}, {}, false, true},
                  base::SystemClock().now()),
      {}};
  const Answer refused = control.send_as(node, "GET", "/api/v1/nodes/n");
  check_error(refused, 403, "Forbidden", "Everything is forbidden.");
}

TEST_CASE("issuer, audiences, keys and lifetimes of service account tokens") {
  Files files;
  const std::string key = pki::generate_key();
  DataFolder data;
  Control control(data);
  set(control,
      {"service-account-issuer=https://issuer.example", "service-account-issuer=https://old.example",
       "api-audiences=api", "service-account-signing-key-file=" + files.put("sa.key", key),
       "service-account-jwks-uri=https://issuer.example/keys", "service-account-max-token-expiration=1h"});
  control.start();
  const Json body = {{"apiVersion", "authentication.k8s.io/v1"},
                     {"kind", "TokenRequest"},
                     {"spec", {{"expirationSeconds", 86400}}}};
  const Answer made = control.default_token(body);
  REQUIRE(made.status == 201);
  CHECK_THAT(made.headers, contains("requested expiration of 86400 seconds shortened to 3600 seconds"));
  const std::string token(base::string_at(made.tree(), {"status", "token"}));
  const Json claims = *base::parse_json(*pki::peek_jwt(token));
  CHECK(claims["iss"] == "https://issuer.example");
  CHECK(claims["aud"] == Json({"api"}));
  CHECK(claims["exp"].get<int64_t>() - claims["iat"].get<int64_t>() == 3600);
  CHECK(pki::verify_jwt({key}, token).ok());
  const Answer self = control.send_as(by_token(token), "POST", kSelfReviews, kSelfReview.dump());
  CHECK(user_of(self) == "system:serviceaccount:default:default");

  const Json document = control.get("/.well-known/openid-configuration").tree();
  CHECK(document["issuer"] == "https://issuer.example");
  CHECK(document["jwks_uri"] == "https://issuer.example/keys");
  // The cluster's own key goes on being good for tokens that pods hold already.
  CHECK(control.get("/openid/v1/jwks").tree()["keys"].size() == 2);
}

TEST_CASE("tokens of another cluster, by OpenID Connect") {
  DataFolder issuer_data, data;
  Files files;
  uint16_t port = 0;
  {
    Control probe(issuer_data);
    probe.start();
    port = probe.server().port();
  }
  const std::string url = "https://127.0.0.1:" + std::to_string(port);
  Control issuer(issuer_data, port);
  set(issuer, {"service-account-issuer=" + url, "anonymous-auth=true", "authorization-mode=AlwaysAllow",
               "service-account-jwks-uri=" + url + "/openid/v1/jwks"});
  issuer.start();
  Control control(data);
  set(control,
      {"oidc-issuer-url=" + url, "oidc-client-id=theirs", "oidc-ca-file=" + files.put("ca", issuer.ca()),
       "oidc-username-prefix=far:", "oidc-signing-algs=ES256"});
  control.start();
  const auto token_for = [&](const char* audience) {
    const Json body = {{"apiVersion", "authentication.k8s.io/v1"},
                       {"kind", "TokenRequest"},
                       {"spec", {{"audiences", {audience}}}}};
    const Answer made = issuer.default_token(body);
    REQUIRE(made.status == 201);
    return std::string(base::string_at(made.tree(), {"status", "token"}));
  };
  const Answer self =
      control.send_as(by_token(token_for("theirs")), "POST", kSelfReviews, kSelfReview.dump());
  INFO(self.body);
  CHECK(user_of(self) == "far:system:serviceaccount:default:default");
  CHECK(control.send_as(by_token(token_for("others")), "GET", "/api").status == 401);
}

TEST_CASE("an AuthenticationConfiguration with expressions, followed while the server runs") {
  DataFolder issuer_data, data;
  Files files;
  uint16_t port = 0;
  {
    Control probe(issuer_data);
    probe.start();
    port = probe.server().port();
  }
  const std::string url = "https://127.0.0.1:" + std::to_string(port);
  Control issuer(issuer_data, port);
  set(issuer, {"service-account-issuer=" + url, "anonymous-auth=true", "authorization-mode=AlwaysAllow",
               "service-account-jwks-uri=" + url + "/openid/v1/jwks"});
  issuer.start();
  const auto config = [&](const std::string& prefix) {
    Json tree = {
        {"apiVersion", "apiserver.config.k8s.io/v1"},
        {"kind", "AuthenticationConfiguration"},
        {"jwt",
         {{{"issuer", {{"url", url}, {"audiences", {"theirs"}}, {"certificateAuthority", issuer.ca()}}},
           {"claimMappings",
            {{"username", {{"expression", "'" + prefix + "' + claims.sub.split(':')[3]"}}},
             {"groups", {{"expression", "['ns-' + claims[\"kubernetes.io\"].namespace]"}}}}},
           {"userValidationRules",
            {{{"expression", "!user.username.startsWith('bad')"}, {"message", "no such names"}}}}}}}};
    return tree.dump();
  };
  const std::string file = files.put("authn", config("far-"));
  Control control(data);
  set(control, {"authentication-config=" + file});
  control.start();
  const Json body = {{"apiVersion", "authentication.k8s.io/v1"},
                     {"kind", "TokenRequest"},
                     {"spec", {{"audiences", {"theirs"}}}}};
  const Answer made = issuer.default_token(body);
  REQUIRE(made.status == 201);
  const auto token = by_token(std::string(base::string_at(made.tree(), {"status", "token"})));
  const auto self = [&] { return control.send_as(token, "POST", kSelfReviews, kSelfReview.dump()); };
  const Answer first = self();
  INFO(first.body);
  CHECK(user_of(first) == "far-default");
  CHECK_THAT(first.body, contains("\"ns-default\""));
  files.put("authn", config("near-"));
  CHECK(soon([&] { return user_of(self()) == "near-default"; }));
  files.put("authn", "nonsense");
  files.put("authn", config("bad-"));
  CHECK(soon([&] { return self().status == 401; }));
}

TEST_CASE("an AuthorizationConfiguration, followed while the server runs") {
  const auto config = [](const std::string& type) {
    return "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthorizationConfiguration\nauthorizers: [{type: " +
           type + ", name: x}]";
  };
  Files files;
  const std::string file = files.put("authz", config("AlwaysDeny"));
  DataFolder data;
  Control control(data);
  set(control, {"authorization-config=" + file, "anonymous-auth=true"});
  control.start();
  CHECK(control.send_as({}, "GET", "/api/v1/secrets").status == 403);
  files.put("authz", config("Nonsense"));
  files.put("authz", config("AlwaysAllow"));
  CHECK(soon([&] { return control.send_as({}, "GET", "/api/v1/secrets").status == 200; }));
  files.put("authz", config("Nonsense"));
  CHECK(control.send_as({}, "GET", "/api/v1/secrets").status == 200);
}

TEST_CASE("a request that the authorization webhook could not be asked about fails") {
  Files files;
  const std::string hook = files.put("hook", R"(apiVersion: v1
kind: Config
clusters: [{name: hook, cluster: {server: "https://127.0.0.1:1/"}}]
users: [{name: us, user: {}}]
contexts: [{name: hook, context: {cluster: hook, user: us}}]
current-context: hook
)");
  DataFolder data;
  Control control(data);
  set(control, {"authorization-config=" + files.put("authz", R"(apiVersion: apiserver.config.k8s.io/v1
kind: AuthorizationConfiguration
authorizers:
- type: Webhook
  name: away
  webhook:
    timeout: 1s
    subjectAccessReviewVersion: v1
    matchConditionSubjectAccessReviewVersion: v1
    failurePolicy: NoOpinion
    connectionInfo: {type: KubeConfigFile, kubeConfigFile: )" + hook +
                                                                 "}\n- {type: RBAC, name: rbac}\n"),
                "anonymous-auth=true"});
  control.start();
  CHECK(control.send_as({}, "GET", "/version").status == 200);
  const Answer failed = control.send_as({}, "GET", "/api/v1/secrets?a=<b>&c");
  CHECK(failed.status == 500);
  CHECK(failed.content_type == "text/plain; charset=utf-8");
  CHECK_THAT(failed.body, contains("Internal Server Error: \"/api/v1/secrets?a=&lt;b&gt;&amp;c\": "));
  const Json review = {
      {"apiVersion", "authorization.k8s.io/v1"},
      {"kind", "SubjectAccessReview"},
      {"spec", {{"user", "bob"}, {"nonResourceAttributes", {{"path", "/x"}, {"verb", "get"}}}}}};
  const Json status =
      control.post("/apis/authorization.k8s.io/v1/subjectaccessreviews", review).tree()["status"];
  CHECK(status["allowed"] == false);
  CHECK_FALSE(status["evaluationError"].get<std::string>().empty());
}

TEST_CASE("admission plugins and their configuration") {
  Files files;
  DataFolder data;
  Control control(data);
  set(control,
      {"enable-admission-plugins=AlwaysPullImages,DenyServiceExternalIPs",
       "disable-admission-plugins=LimitRanger", "default-not-ready-toleration-seconds=11",
       "service-node-port-range=31000-31010",
       "admission-control-config-file=" +
           files.put(
               "admission.yaml",
               "apiVersion: apiserver.config.k8s.io/v1\nkind: AdmissionConfiguration\nplugins:\n- name: "
               "PodSecurity\n  configuration:\n    apiVersion: pod-security.admission.config.k8s.io/v1\n    "
               "kind: PodSecurityConfiguration\n    defaults: {enforce: baseline}\n")});
  control.start();
  Json pod = {{"apiVersion", "v1"},
              {"kind", "Pod"},
              {"metadata", {{"name", "p"}}},
              {"spec", {{"containers", Json::array({{{"name", "c"}, {"image", "i"}}})}}}};
  const Answer made = control.post("/api/v1/namespaces/default/pods", pod);
  REQUIRE(made.status == 201);
  CHECK(made.tree()["spec"]["containers"][0]["imagePullPolicy"] == "Always");
  CHECK(made.tree()["spec"]["tolerations"][0]["tolerationSeconds"] == 11);
  pod["metadata"]["name"] = "q";
  pod["spec"]["hostNetwork"] = true;
  check_error(control.post("/api/v1/namespaces/default/pods", pod), 403, "Forbidden",
              "violates PodSecurity \"baseline:latest\"");
  Json service = {{"apiVersion", "v1"},
                  {"kind", "Service"},
                  {"metadata", {{"name", "s"}}},
                  {"spec", {{"type", "NodePort"}, {"ports", Json::array({{{"port", 80}}})}}}};
  const Answer served = control.post("/api/v1/namespaces/default/services", service);
  REQUIRE(served.status == 201);
  const auto port = served.tree()["spec"]["ports"][0]["nodePort"].get<int>();
  CHECK((port >= 31000 && port <= 31010));
  service["metadata"]["name"] = "t";
  service["spec"]["externalIPs"] = {"1.2.3.4"};
  check_error(control.post("/api/v1/namespaces/default/services", service), 403, "Forbidden",
              "Use of external IPs is denied by admission control");
}

TEST_CASE("what cannot be used is said before anything starts") {
  struct Row {
    const char *argument, *part;
  };
  for (const Row& row :
       {Row{"token-auth-file=/none", "--kube-apiserver-arg token-auth-file"},
        Row{"client-ca-file=/none", "--kube-apiserver-arg client-ca-file"},
        Row{"enable-admission-plugins=Nonsense", "plugins \"Nonsense\" are unknown"},
        Row{"admission-control-config-file=/none", "/none"}, Row{"encryption-provider-config=/none", "/none"},
        Row{"service-node-port-range=9", "service node port range \"9\" is not LOW-HIGH"},
        Row{"authorization-config=/none", "--kube-apiserver-arg authorization-config"},
        Row{"runtime-config=x/v1=true", "runtime-config x/v1: orch does not serve it"}}) {
    INFO(row.argument);
    DataFolder data;
    Control control(data);
    set(control, {row.argument});
    const auto status = control.try_start();
    REQUIRE_FALSE(status.ok());
    CHECK_THAT(status.message(), contains(row.part));
  }
}
