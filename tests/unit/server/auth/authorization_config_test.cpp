// AuthorizationConfiguration: what is read, what is refused, when a webhook is asked.
#include "server/auth/authorization_config.h"

#include "server/auth/webhooks.h"
#include "tests/catch.h"
#include "tests/unit/server/auth/fakes.h"

using namespace orch;
using namespace orch::server;
using namespace orch::testing;

namespace {

std::string config(const std::string& authorizers) {
  return "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthorizationConfiguration\nauthorizers: " +
         authorizers;
}

std::string webhook(const std::string& more, const std::string& policy = "Deny") {
  return "{type: Webhook, name: w, webhook: {timeout: 3s, subjectAccessReviewVersion: v1, failurePolicy: " +
         policy + ", connectionInfo: {type: InClusterConfig}" + (more.empty() ? "" : ", " + more) + "}}";
}

Attributes attributes(const UserInfo& user, const std::string& verb, const std::string& ns) {
  Attributes a;
  a.user = &user;
  a.resource_request = true;
  a.verb = verb;
  a.version = "v1";
  a.resource = "pods";
  a.ns = ns;
  return a;
}

}  // namespace

TEST_CASE("authorizers in their order") {
  auto parsed = parse_authorization_config(
      config("[{type: Node, name: node}, " + webhook("authorizedTTL: 1m, cacheUnauthorizedRequests: false") +
             ", {type: RBAC, name: r}]"));
  INFO((parsed.ok() ? "" : parsed.error().message()));
  REQUIRE(parsed.ok());
  REQUIRE(parsed->size() == 3);
  CHECK((*parsed)[0].type == AuthorizerConfig::Type::kNode);
  const WebhookAuthorizerConfig& w = (*parsed)[1].webhook;
  CHECK(w.timeout == std::chrono::seconds(3));
  CHECK(w.allowed_ttl == std::chrono::minutes(1));
  CHECK(w.refused_ttl.count() == 0);
  CHECK(w.deny_on_failure);
  CHECK(w.conditions == nullptr);
}

TEST_CASE("what an AuthorizationConfiguration must not say") {
  struct Row {
    std::string authorizers, part;
  };
  for (const Row& row : {
           Row{"[]", "authorizers: Required value: at least one authorization mode must be defined"},
           Row{"[{name: x}]", "authorizers[0].type: Required value"},
           Row{"[{type: ABAC, name: x}]",
               "authorizers[0].type: Unsupported value: \"ABAC\": supported values: \"AlwaysAllow\", "
               "\"AlwaysDeny\", \"Node\", \"RBAC\", \"Webhook\""},
           Row{"[{type: RBAC, name: x}, {type: RBAC, name: y}]",
               "authorizers[1].type: Duplicate value: \"RBAC\""},
           Row{"[{type: RBAC, name: x}, {type: Node, name: x}]",
               "authorizers[1].name: Duplicate value: \"x\""},
           Row{"[{type: RBAC, name: X}]", "authorizer name is invalid"},
           Row{"[{type: RBAC, name: x, webhook: {}}]", "may only be specified when type=Webhook"},
           Row{"[{type: Webhook, name: x}]",
               "authorizers[0].webhook: Required value: required when type=Webhook"},
           Row{"[" + webhook("timeout: 31s") + "]", "must be > 0s and <= 30s"},
           Row{"[" + webhook("", "Allow") + "]",
               "failurePolicy: Unsupported value: \"Allow\": supported values: \"NoOpinion\", \"Deny\""},
           Row{"[" + webhook("matchConditions: [{expression: 'true'}]") + "]",
               "matchConditionSubjectAccessReviewVersion: Required value: required if match conditions are "
               "specified"},
           Row{"[" +
                   webhook("matchConditionSubjectAccessReviewVersion: v1, matchConditions: [{expression: "
                           "request.nobody}]") +
                   "]",
               "authorizers[0].matchConditions[0].expression: Invalid value: \"request.nobody\": compilation "
               "failed"},
           Row{"[" +
                   webhook("matchConditionSubjectAccessReviewVersion: v1, matchConditions: [{expression: "
                           "request.user}]") +
                   "]",
               "must evaluate to bool but got string"},
       }) {
    INFO(row.authorizers);
    auto bad = parse_authorization_config(config(row.authorizers));
    REQUIRE_FALSE(bad.ok());
    CHECK_THAT(bad.error().message(), contains(row.part));
  }
}

TEST_CASE("a webhook is asked about what its conditions match, and failing counts as configured") {
  base::FakeClock clock;
  for (const bool deny : {true, false}) {
    auto parsed = parse_authorization_config(config(
        "[" +
        webhook(
            "matchConditionSubjectAccessReviewVersion: v1, matchConditions: [{expression: "
            "'has(request.resourceAttributes) && request.resourceAttributes.namespace == \"kube-system\"'},"
            " {expression: '!(\"system:masters\" in request.groups)'}]",
            deny ? "Deny" : "NoOpinion") +
        "]"));
    INFO((parsed.ok() ? "" : parsed.error().message()));
    REQUIRE(parsed.ok());
    const WebhookAuthorizerConfig& w = (*parsed)[0].webhook;
    int asked = 0;
    bool away = false;
    WebhookAuthorizer authorizer(
        [&](const std::string& body) -> base::Result<std::string> {
          ++asked;
          if (away) return base::Status(base::Code::kServiceUnavailable, "away");
          Json review = json(body);
          review["status"] = {{"allowed", true}};
          return review.dump();
        },
        w.version, w.allowed_ttl, w.refused_ttl, clock, {w.deny_on_failure, w.conditions});
    UserInfo user;
    user.name = "u";
    CHECK(authorizer.authorize(attributes(user, "get", "default")).decision == Decision::kNoOpinion);
    CHECK(asked == 0);
    CHECK(authorizer.authorize(attributes(user, "get", "kube-system")).decision == Decision::kAllow);
    CHECK(asked == 1);
    UserInfo master = user;
    master.groups = {"system:masters"};
    CHECK(authorizer.authorize(attributes(master, "get", "kube-system")).decision == Decision::kNoOpinion);
    CHECK(asked == 1);
    away = true;
    CHECK(authorizer.authorize(attributes(user, "list", "kube-system")).decision ==
          (deny ? Decision::kDeny : Decision::kNoOpinion));
    CHECK(asked == 2);
  }
}
