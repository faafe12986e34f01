#include "server/auth/reviews.h"

#include "server/auth/authorizers.h"
#include "tests/catch.h"
#include "tests/unit/server/auth/fakes.h"

using namespace orch;
using namespace orch::server;
using namespace orch::testing;

namespace {

/// eve may list pods in a and get /metrics.
struct Cluster {
  RbacAuthorizer rbac;
  MastersAuthorizer masters;
  UnionAuthorizer authorizer{{&masters, &rbac}};
  Cluster() {
    rbac.on_role(nullptr, object(R"({"apiVersion":"rbac.authorization.k8s.io/v1","kind":"Role",
      "metadata":{"name":"r","namespace":"a"},
      "rules":[{"verbs":["list"],"apiGroups":[""],"resources":["pods"],"resourceNames":["x"]},
               {"verbs":["list"],"apiGroups":[""],"resources":["pods"]}]})"));
    rbac.on_role_binding(nullptr, object(R"({"apiVersion":"rbac.authorization.k8s.io/v1","kind":"RoleBinding",
      "metadata":{"name":"b","namespace":"a"},"roleRef":{"kind":"Role","name":"r"},
      "subjects":[{"kind":"User","name":"eve"}]})"));
    rbac.on_cluster_role(nullptr, object(R"({"apiVersion":"rbac.authorization.k8s.io/v1","kind":"ClusterRole",
      "metadata":{"name":"m"},"rules":[{"verbs":["get"],"nonResourceURLs":["/metrics"]}]})"));
    rbac.on_cluster_role_binding(nullptr, object(R"({"apiVersion":"rbac.authorization.k8s.io/v1",
      "kind":"ClusterRoleBinding","metadata":{"name":"m"},"roleRef":{"kind":"ClusterRole","name":"m"},
      "subjects":[{"kind":"User","name":"eve"},{"kind":"Group","name":"g"}]})"));
  }
};

class OneToken final : public Authenticator {
 public:
  base::Result<std::optional<UserInfo>> authenticate(const http::Request&) override {
    return std::optional<UserInfo>();
  }
  base::Result<std::optional<TokenUser>> authenticate_token(
      std::string_view token, const std::vector<std::string>& audiences) override {
    if (token != "good") return base::Status(base::Code::kUnauthorized, "invalid bearer token");
    TokenUser u{user("eve", {"g"}), audiences};
    u.user.extra["k"] = {"v"};
    return std::optional<TokenUser>(std::move(u));
  }
};

}  // namespace

TEST_CASE("subject access reviews") {
  Cluster c;
  struct Row {
    const char* spec;
    bool allowed;
  };
  const Row rows[] = {
      {R"({"user":"eve","resourceAttributes":{"verb":"list","resource":"pods","namespace":"a"}})", true},
      {R"({"user":"eve","resourceAttributes":{"verb":"list","resource":"pods","namespace":"b"}})", false},
      {R"({"user":"tom","groups":["g"],"nonResourceAttributes":{"verb":"get","path":"/metrics"}})", true},
      {R"({"user":"tom","nonResourceAttributes":{"verb":"get","path":"/metrics"}})", false},
      {R"({"groups":["system:masters"],"resourceAttributes":{"verb":"*","resource":"*"}})", true},
  };
  for (const Row& r : rows) {
    INFO(r.spec);
    auto out = review_subject_access({{"spec", json(r.spec)}}, c.authorizer);
    REQUIRE(out.ok());
    CHECK((*out)["status"]["allowed"] == r.allowed);
    CHECK((*out)["spec"] == json(r.spec));
  }
  auto out = review_subject_access(
      {{"spec",
        json(R"({"user":"eve","resourceAttributes":{"verb":"list","resource":"pods","namespace":"a"}})")}},
      c.authorizer);
  CHECK((*out)["status"]["reason"] == R"(RBAC: allowed by RoleBinding "b/a" of Role "r" to User "eve")");
}

TEST_CASE("subject access reviews that ask nothing") {
  Cluster c;
  const auto message = [&](const char* review) {
    return review_subject_access(json(review), c.authorizer).status().message();
  };
  CHECK_THAT(message(R"({"spec":{"user":"x"}})"),
             contains("spec.resourceAttributes: Invalid value: null: exactly one of nonResourceAttributes or "
                      "resourceAttributes must be specified"));
  CHECK_THAT(message(R"({"spec":{"nonResourceAttributes":{},"resourceAttributes":{},"user":"x"}})"),
             contains("cannot be specified in combination with resourceAttributes"));
  CHECK_THAT(message(R"({"spec":{"resourceAttributes":{}}})"),
             contains("at least one of user or group must be specified"));
  CHECK(
      message(
          R"({"metadata":{"name":"","generation":0,"labels":{}},"spec":{"user":"x","resourceAttributes":{}}})")
          .empty());
  CHECK_THAT(message(R"({"metadata":{"name":"n"},"spec":{"user":"x","resourceAttributes":{}}})"),
             contains("metadata: Invalid value"));
  auto local = json(R"({"metadata":{"namespace":"a"},"spec":{"user":"eve","resourceAttributes":
                        {"verb":"list","resource":"pods","namespace":"a"}}})");
  CHECK((*review_local_subject_access(local, "a", c.authorizer))["status"]["allowed"] == true);
  CHECK(review_local_subject_access(local, "b", c.authorizer).status().code() == base::Code::kBadRequest);
  local["spec"]["resourceAttributes"]["namespace"] = "b";
  CHECK_THAT(review_local_subject_access(local, "a", c.authorizer).status().message(),
             contains("must match metadata.namespace"));
}

TEST_CASE("reviews of oneself") {
  Cluster c;
  const UserInfo eve = user("eve", {"g", "system:authenticated"});
  auto access = review_self_subject_access(
      json(R"({"spec":{"resourceAttributes":{"verb":"list","resource":"pods","namespace":"a"}}})"), eve,
      c.authorizer);
  REQUIRE(access.ok());
  CHECK((*access)["status"]["allowed"] == true);

  auto rules = review_self_subject_rules(json(R"({"spec":{"namespace":"a"}})"), eve, c.rbac);
  REQUIRE(rules.ok());
  CHECK((*rules)["status"]["resourceRules"].size() == 2);
  CHECK((*rules)["status"]["nonResourceRules"] ==
        json(R"([{"nonResourceURLs":["/metrics"],"verbs":["get"]}])"));
  CHECK((*rules)["status"]["incomplete"] == false);
  CHECK(review_self_subject_rules(json("{}"), eve, c.rbac).status().message() == "no namespace on request");
  const UserInfo node = user("system:node:n", {"system:nodes"});
  CHECK((*review_self_subject_rules(json(R"({"spec":{"namespace":"a"}})"), node,
                                    c.rbac))["status"]["incomplete"] == true);

  const Json self =
      review_self_subject(json(R"({"kind":"SelfSubjectReview"})"), eve, base::FakeClock().now());
  CHECK(self["status"]["userInfo"] == json(R"({"username":"eve","groups":["g","system:authenticated"]})"));
}

TEST_CASE("token reviews") {
  OneToken tokens;
  auto good = review_token(json(R"({"spec":{"token":"good"}})"), tokens, {"api"});
  REQUIRE(good.ok());
  CHECK((*good)["status"] == json(R"({"authenticated":true,"audiences":["api"],
                                      "user":{"username":"eve","groups":["g"],"extra":{"k":["v"]}}})"));
  auto bad = review_token(json(R"({"spec":{"token":"bad"}})"), tokens, {"api"});
  REQUIRE(bad.ok());
  CHECK((*bad)["status"] == json(R"({"error":"invalid bearer token","user":{}})"));
  auto said = review_token(json(R"({"spec":{"token":"bad"},"status":{"authenticated":true,
                                     "user":{"username":"x"}}})"),
                           tokens, {"api"});
  REQUIRE(said.ok());
  CHECK((*said)["status"] == json(R"({"error":"invalid bearer token","user":{"username":"x"}})"));
  CHECK(review_token(json(R"({"spec":{}})"), tokens, {}).status().message() ==
        "token is required for TokenReview in authentication");
}

TEST_CASE("selectors in subject access reviews") {
  Cluster c;
  const auto ask = [&](const char* selectors) {
    Json review = {{"spec", {{"user", "eve"}, {"resourceAttributes", json(selectors)}}}};
    return review_subject_access(review, c.authorizer);
  };
  struct Row {
    const char* selectors;
    const char* error;
  };
  const Row ignored[] = {
      {R"x({"fieldSelector":{"rawSelector":"a=b"},"labelSelector":{"rawSelector":"a in (b)"}})x", ""},
      {R"({"fieldSelector":{"rawSelector":"x"}})",
       "spec.resourceAttributes.fieldSelector ignored due to parse error"},
      {R"({"labelSelector":{"rawSelector":"a=b=c"}})",
       "spec.resourceAttributes.labelSelector ignored due to parse error"},
      {R"({"fieldSelector":{"requirements":[{"key":"a","operator":"Exists"}]},
           "labelSelector":{"requirements":[{"key":"a","operator":"Later"},{"key":"b","operator":"Exists"}]}})",
       "spec.resourceAttributes.fieldSelector ignored due to parse error; "
       "spec.resourceAttributes.labelSelector partially ignored due to parse error"},
      {R"({"fieldSelector":{"requirements":[{"key":"a","operator":"In","values":["b"]},
                                             {"key":"a","operator":"In","values":["b","c"]}]}})",
       "spec.resourceAttributes.fieldSelector partially ignored due to parse error"},
  };
  for (const Row& row : ignored) {
    INFO(row.selectors);
    auto out = ask(row.selectors);
    REQUIRE(out.ok());
    CHECK((*out)["status"].value("evaluationError", "") == row.error);
  }
  const Row refused[] = {
      {R"({"fieldSelector":{"requirements":[{"operator":"In"}]}})",
       "[spec.resourceAttributes.fieldSelector.requirements[0].key: Required value: must be specified, "
       "spec.resourceAttributes.fieldSelector.requirements[0].values: Required value: must be specified when "
       "`operator` is 'In' or 'NotIn']"},
      {R"({"labelSelector":{"requirements":[{"key":"a","operator":"Exists","values":["b"]}]}})",
       "spec.resourceAttributes.labelSelector.requirements[0].values: Forbidden: may not be specified when "
       "`operator` is 'Exists' or 'DoesNotExist'"},
      {R"({"labelSelector":{"requirements":[{"key":"a","operator":"In","values":["b c"]}]}})",
       "labelSelector.requirements[0].values[0]: Invalid value: \"b c\""},
      {R"({"labelSelector":{"requirements":[{"key":"a b","operator":"Exists"}]}})",
       "labelSelector.requirements[0].key: Invalid value: \"a b\""},
  };
  for (const Row& row : refused) {
    INFO(row.selectors);
    CHECK_THAT(ask(row.selectors).status().message(), contains(row.error));
  }
}
