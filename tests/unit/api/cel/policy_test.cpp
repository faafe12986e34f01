// Expressions of admission policies: what is said of those that do not compile, and what the others decide.
#include "api/cel/policy.h"

#include "base/json.h"
#include "tests/catch.h"

namespace orch::api::cel {
namespace {

struct Reader final : Authorizer {
  Decision authorize(const Query& q) const override { return {q.verb == "get", "", ""}; }
};

struct Input {
  Json object = Json::parse(R"x({"metadata":{"name":"web","labels":{"a":"b"}},"spec":{"replicas":7}})x");
  Json old_object, params;
  Json request = Json::parse(
      R"x({"operation":"CREATE","name":"web","namespace":"prod","userInfo":{"username":"alice"}, "resource":{"group":"apps","version":"v1","resource":"deployments"}})x");
  Json ns = Json::parse(R"x({"metadata":{"name":"prod","labels":{"env":"prod"}}})x");
  Reader authorizer;
};

void report_all(const PolicyExpressions& policy, const Json& spec, FieldErrors& errors) {
  const auto report = [&](const char* list, PolicyPart part) {
    for (size_t i = 0; i < base::array_at(spec, {list}).size(); ++i)
      policy.report(part, i, FieldPath("spec"), errors);
  };
  report("variables", PolicyPart::kVariable);
  report("validations", PolicyPart::kValidation);
  report("validations", PolicyPart::kMessage);
  report("auditAnnotations", PolicyPart::kAuditAnnotation);
}

PolicyOutcome evaluate(const char* text, const Input& in = {}) {
  const Json spec = Json::parse(text);
  const auto policy = PolicyExpressions::compile(spec);
  FieldErrors errors;
  report_all(*policy, spec, errors);
  INFO(errors.text());
  return policy->evaluate({in.object, in.old_object, in.request, in.params, in.ns, in.authorizer, {}});
}

std::string problems(const char* text) {
  const Json spec = Json::parse(text);
  FieldErrors errors;
  report_all(*PolicyExpressions::compile(spec), spec, errors);
  return errors.empty() ? std::string() : errors.text();
}

TEST_CASE("what does not compile is told of its field") {
  CHECK(problems(R"x({"validations":[{"expression":"object.x == 1"}]})x").empty());
  CHECK(problems(R"x({"validations":[{"expression":"object.x +"}]})x")
            .starts_with("spec.validations[0].expression: Invalid value: \"object.x +\": compilation failed: "
                         "ERROR: <input>:1:11: "
                         "Syntax error: mismatched input '<EOF>' expecting"));
  CHECK(problems(R"x({"validations":[{"expression":"1"}]})x") ==
        "spec.validations[0].expression: Invalid value: \"1\": must evaluate to bool but got int");
  CHECK(problems(R"x({"validations":[{"expression":"true","messageExpression":"1 == 1"}]})x") ==
        "spec.validations[0].messageExpression: Invalid value: \"1 == 1\": must evaluate to string but got "
        "bool");
  CHECK(
      problems(R"x({"auditAnnotations":[{"key":"k","valueExpression":"duration('1s')" }] })x") ==
      "spec.auditAnnotations[0].valueExpression: Invalid value: \"duration('1s')\": must evaluate to one of "
      "[string null_type] but got google.protobuf.Duration");
  CHECK(problems(R"x({"validations":[{"expression":"params.x == 1"}]})x")
            .find("undeclared reference to 'params' (in container '')") != std::string::npos);
  CHECK(
      problems(
          R"x({"paramKind":{"apiVersion":"v1","kind":"ConfigMap"},"validations":[{"expression":"params.x == 1"}]})x")
          .empty());
  CHECK(problems(R"x({"variables":[{"name":"a","expression":"b"}]})x")
            .starts_with("spec.variables[0].expression: Invalid value: \"b\": compilation failed: ERROR: "));
  CHECK(problems(R"x({"validations":[{"expression":"variables.nope"}]})x")
            .find("undeclared reference to 'variables'") != std::string::npos);
  CHECK(
      problems(
          R"x({"variables":[{"name":"a","expression":"1"}],"validations":[{"expression":"variables.nope"}]})x")
          .find("undefined field 'nope'") != std::string::npos);
  CHECK(problems(R"x({"validations":[{"expression":"int('x') == 1"}]})x")
            .starts_with("spec.validations[0].expression: Internal error: program instantiation failed: "));
  CHECK(
      problems(
          R"x({"validations":[{"expression":"true","messageExpression":"authorizer.path('/').check('get').reason()" }] })x")
          .find("undeclared reference to 'authorizer'") != std::string::npos);
}

TEST_CASE("a validation that is false denies, with its message and reason") {
  auto out = evaluate(R"x({"validations":[{"expression":"object.spec.replicas <= 5"}]})x");
  REQUIRE(out.decisions.size() == 1);
  CHECK(out.decisions[0].denied);
  CHECK(out.decisions[0].message == "failed expression: object.spec.replicas <= 5");
  CHECK(out.decisions[0].reason == "Invalid");
  out = evaluate(
      R"x({"validations":[{"expression":"object.spec.replicas <= 5","message":" too many ","reason":"Forbidden"}, {"expression":"object.spec.replicas > 0"}]})x");
  REQUIRE(out.decisions.size() == 2);
  CHECK(out.decisions[0].message == "too many");
  CHECK(out.decisions[0].reason == "Forbidden");
  CHECK_FALSE(out.decisions[1].denied);
  out = evaluate(
      R"x({"validations":[{"expression":"object.spec.replicas <= 5","message":"m", "messageExpression":"'replicas: ' + string(object.spec.replicas)" }] })x");
  CHECK(out.decisions[0].message == "replicas: 7");
  out = evaluate(
      R"x({"validations":[{"expression":"false","message":"m","messageExpression":"object.nope"}]})x");
  CHECK(out.decisions[0].message == "m");  // its message cannot be worked out
}

TEST_CASE("variables are shared and evaluated when needed") {
  auto out = evaluate(
      R"x({"variables":[{"name":"n","expression":"object.spec.replicas"}, {"name":"twice","expression":"variables.n * 2"}, {"name":"broken","expression":"object.nope"}], "validations":[{"expression":"variables.twice == 14"}, {"expression":"variables.broken == 1"}, {"expression":"true || variables.broken == 1"}]})x");
  REQUIRE(out.decisions.size() == 3);
  CHECK_FALSE(out.decisions[0].denied);
  CHECK(out.decisions[1].denied);
  CHECK(out.decisions[1].failed);
  CHECK(out.decisions[1].message ==
        "expression 'variables.broken == 1' resulted in error: composited variable \"broken\" fails to "
        "evaluate: "
        "no such key: nope");
  CHECK_FALSE(out.decisions[2].denied);
}

TEST_CASE("failures are denials or not, as the failure policy says") {
  auto out = evaluate(R"x({"validations":[{"expression":"object.nope == 1"}]})x");
  CHECK(out.decisions[0].denied);
  out = evaluate(R"x({"failurePolicy":"Ignore","validations":[{"expression":"object.nope == 1"}]})x");
  CHECK_FALSE(out.decisions[0].denied);
  CHECK(out.decisions[0].failed);
}

TEST_CASE("match conditions keep a policy from what it does not concern") {
  CHECK(
      evaluate(
          R"x({"matchConditions":[{"name":"x","expression":"request.userInfo.username == 'bob'"}], "validations":[{"expression":"false"}]})x")
          .decisions.empty());
  CHECK(
      evaluate(
          R"x({"matchConditions":[{"name":"x","expression":"request.userInfo.username == 'alice'"}], "validations":[{"expression":"false"}]})x")
          .decisions.size() == 1);
  auto out = evaluate(
      R"x({"matchConditions":[{"name":"x","expression":"object.nope == 1"}], "validations":[{"expression":"true"}]})x");
  REQUIRE(out.decisions.size() == 1);
  CHECK(out.decisions[0].denied);
  CHECK(out.decisions[0].message == "expression 'object.nope == 1' resulted in error: no such key: nope");
  CHECK(
      evaluate(
          R"x({"failurePolicy":"Ignore","matchConditions":[{"name":"x","expression":"object.nope == 1"}], "validations":[{"expression":"false"}]})x")
          .decisions.empty());
  // One that is false settles it, whatever another says.
  CHECK(
      evaluate(
          R"x({"matchConditions":[{"name":"x","expression":"object.nope == 1"},{"name":"y","expression":"false"}], "validations":[{"expression":"false"}]})x")
          .decisions.empty());
}

TEST_CASE("policies see parameters, the namespace and the authorizer") {
  Input in;
  in.params = Json::parse(R"x({"data":{"max":"5"}})x");
  const auto out = evaluate(
      R"x({"paramKind":{"apiVersion":"v1","kind":"ConfigMap"}, "validations":[{"expression":"object.spec.replicas <= int(params.data.max)" }, {"expression":"namespaceObject.metadata.labels.env == 'prod'"}, {"expression":"authorizer.group('').resource('pods').check('get').allowed()"}, {"expression":"authorizer.requestResource.check('delete').allowed()"}, {"expression":"oldObject == null"}] })x",
      in);
  REQUIRE(out.decisions.size() == 5);
  CHECK(out.decisions[0].denied);
  CHECK_FALSE(out.decisions[1].denied);
  CHECK_FALSE(out.decisions[2].denied);
  CHECK(out.decisions[3].denied);
  CHECK_FALSE(out.decisions[4].denied);
}

TEST_CASE("audit annotations are text, nothing, or errors") {
  const auto out = evaluate(
      R"x({"auditAnnotations":[ {"key":"name","valueExpression":"' ' + object.metadata.name"}, {"key":"none","valueExpression":"null"}, {"key":"empty","valueExpression":"'  '"}, {"key":"broken","valueExpression":"string(object.nope)"}] })x");
  REQUIRE(out.annotations.size() == 2);
  CHECK(out.annotations[0].key == "name");
  CHECK(out.annotations[0].value == "web");
  CHECK(out.annotations[1].error == "expression 'string(object.nope)' resulted in error: no such key: nope");
}

TEST_CASE("a policy that costs too much fails as a whole") {
  // A check costs 350,000; a validation may cost a million, all together ten.
  std::string spec = R"x({"validations":[)x";
  for (int i = 0; i < 15; ++i) {
    spec += i > 0 ? "," : "";
    spec +=
        R"x({"expression":"authorizer.path('/').check('post').allowed() || authorizer.path('/').check('get').allowed()" })x";
    std::erase(spec, '\n');
  }
  const auto out = evaluate((spec + "]}").c_str());
  REQUIRE(out.decisions.size() == 1);
  CHECK(out.decisions[0].denied);
  CHECK(out.decisions[0].message ==
        "validation failed due to running out of cost budget, no further validation rules will be run");
}

TEST_CASE("type checking warns of what no object of the kind can have") {
  const auto schema = std::make_shared<const Json>(Json::parse(
      R"x({"type":"object","properties":{"spec":{"type":"object","properties":{"replicas":{"type":"integer"}}}}})x"));
  const std::vector<PolicyKind> kinds = {{"apps", "v1", "Deployment", openapi_type(schema, true)}};
  const auto warnings = check_policy_types(
      Json::parse(
          R"x({"variables":[{"name":"n","expression":"object.spec.replicas"}], "validations":[{"expression":"object.spec.replicas <= 5"}, {"expression":"object.spec.replicas <= '5'"}, {"expression":"variables.n > 1","messageExpression":"object.x"}]})x"),
      kinds, nullptr);
  REQUIRE(warnings.size() == 2);
  CHECK(warnings[0].field_ref == "spec.validations[1].expression");
  CHECK(warnings[0].warning ==
        "apps/v1, Kind=Deployment: ERROR: <input>:1:22: found no matching overload for "
        "'_<=_' "
        "applied to '(int, string)'\n | object.spec.replicas <= '5'\n | .....................^\n");
  CHECK(warnings[1].field_ref == "spec.validations[2].messageExpression");
  CHECK(warnings[1].warning.find("undefined field 'x'") != std::string::npos);
  const auto more = check_policy_types(
      Json::parse(R"x({"validations":[{"expression":"authorizer.requestResource.check('get').allowed()"},
                        {"expression":"int('x') == 1"},{"expression":"params.x == 1"}]})x"),
      {{"", "v1", "Pod", kinds[0].type}}, nullptr);
  REQUIRE(more.size() == 2);
  CHECK(more[0].warning ==
        "/v1, Kind=Pod: ERROR: <input>:1:11: unexpected failed resolution of "
        "'kubernetes.authorization.Authorizer'\n | authorizer.requestResource.check('get').allowed()\n | "
        "..........^\n");
  CHECK(more[1].warning.find("undeclared reference to 'params'") != std::string::npos);
}

}  // namespace
}  // namespace orch::api::cel
