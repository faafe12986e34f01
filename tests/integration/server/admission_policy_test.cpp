// ValidatingAdmissionPolicies against a whole server: from the write that makes one to the refusals, warnings
// and annotations it brings, with built-in and custom resources as targets and as params.
#include <chrono>
#include <sstream>
#include <thread>

#include "tests/integration/server/fixture.h"

namespace orch::testing {
namespace {

const std::string kPolicies = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies";
const std::string kBindings = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings";
const std::string kDefinitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

std::string message(const Answer& answer) { return std::string(base::string_at(answer.tree(), {"message"})); }

Json rule(const char* group, const char* version, const char* resource) {
  return {
      {"operations", {"*"}}, {"apiGroups", {group}}, {"apiVersions", {version}}, {"resources", {resource}}};
}

/// A policy and its binding "<name>-b" as long as this lives.
class Policy {
 public:
  Policy(const Control& c, std::string name, Json spec, Json binding) : control_(c), name_(std::move(name)) {
    binding["policyName"] = name_;
    create(kPolicies, "ValidatingAdmissionPolicy", name_, std::move(spec));
    create(kBindings, "ValidatingAdmissionPolicyBinding", name_ + "-b", std::move(binding));
  }
  ~Policy() {
    (void)control_.send("DELETE", base::cat(kBindings, "/", name_, "-b"));
    (void)control_.send("DELETE", base::cat(kPolicies, "/", name_));
  }
  Json get() const { return control_.get(base::cat(kPolicies, "/", name_)).tree(); }
  /// Once the controller has looked at it.
  Json checked() const {
    for (int i = 0; i < 300; ++i) {
      Json policy = get();
      if (policy["status"].contains("typeChecking")) return policy["status"];
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return {};
  }

 private:
  void create(const std::string& path, const char* kind, const std::string& name, Json spec) {
    const Answer made = control_.post(path, {{"apiVersion", "admissionregistration.k8s.io/v1"},
                                             {"kind", kind},
                                             {"metadata", {{"name", name}}},
                                             {"spec", std::move(spec)}});
    INFO(made.body);
    REQUIRE(made.status == 201);
  }
  const Control& control_;
  const std::string name_;
};

Json spec_for(Json rules, Json validations) {
  return {{"matchConstraints", {{"resourceRules", std::move(rules)}}},
          {"validations", std::move(validations)}};
}

void establish(const Control& c, const std::string& plural, const std::string& kind, const Json& schema) {
  const std::string name = plural + ".policy.example.com";
  const Answer made = c.post(kDefinitions, {{"apiVersion", "apiextensions.k8s.io/v1"},
                                            {"kind", "CustomResourceDefinition"},
                                            {"metadata", {{"name", name}}},
                                            {"spec",
                                             {{"group", "policy.example.com"},
                                              {"scope", "Namespaced"},
                                              {"names", {{"plural", plural}, {"kind", kind}}},
                                              {"versions",
                                               {{{"name", "v1"},
                                                 {"served", true},
                                                 {"storage", true},
                                                 {"schema", {{"openAPIV3Schema", schema}}}}}}}}});
  INFO(made.body);
  REQUIRE(made.status == 201);
  for (int i = 0; i < 300; ++i) {
    const Json crd = c.get(base::cat(kDefinitions, "/", name)).tree();
    for (const Json& condition : base::array_at(crd, {"status", "conditions"})) {
      if (condition["type"] == "Established" && condition["status"] == "True") return;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  FAIL("not established");
}

TEST_CASE("a policy refuses what its expression is false for, from its own creation on") {
  Control& c = shared();
  const Policy policy(
      c, "maps",
      spec_for({rule("", "v1", "configmaps")}, {{{"expression", "!('bad' in object.data)"},
                                                 {"messageExpression", "'no ' + object.data.bad"},
                                                 {"reason", "Forbidden"}}}),
      {{"validationActions", {"Deny"}},
       {"matchResources", {{"objectSelector", {{"matchLabels", {{"watched", "yes"}}}}}}}});
  Json map = config_map("judged");
  map["data"] = {{"bad", "luck"}};
  map["metadata"]["labels"] = {{"watched", "yes"}};
  const Answer refused = c.post(kMaps, map);
  CHECK(refused.status == 403);
  const Json status = refused.tree();
  const std::string text = "ValidatingAdmissionPolicy 'maps' with binding 'maps-b' denied request: no luck";
  CHECK(status["message"] == "configmaps \"judged\" is forbidden: " + text);
  CHECK(status["reason"] == "Forbidden");
  CHECK(status["details"]["name"] == "judged");
  CHECK(status["details"]["kind"] == "configmaps");
  CHECK(status["details"]["causes"] == Json::parse(base::cat("[{\"message\":\"", text, "\"}]")));
  map["metadata"].erase("labels");
  CHECK(c.post(kMaps, map).status == 201);
  // An update may not bring it under the policy either; its deletion has no object to look at.
  const Answer patched =
      c.patch(kMaps + "/judged", "merge-patch+json", {{"metadata", {{"labels", {{"watched", "yes"}}}}}});
  CHECK(patched.status == 403);
  CHECK(c.send("DELETE", kMaps + "/judged").status == 200);
}

TEST_CASE("a warning is sent, an expression that fails is a refusal or not") {
  Control& c = shared();
  {
    const Policy policy(c, "warned", spec_for({rule("", "v1", "configmaps")}, {{{"expression", "false"}}}),
                        {{"validationActions", {"Warn"}}});
    const Answer made = c.post(kMaps, config_map("warned"));
    CHECK(made.status == 201);
    CHECK_THAT(made.headers, contains("Validation failed for ValidatingAdmissionPolicy 'warned' with binding "
                                      "'warned-b': failed expression: false"));
  }
  for (const char* failure_policy : {"Fail", "Ignore"}) {
    Json spec = spec_for({rule("", "v1", "configmaps")}, {{{"expression", "object.nope == 1"}}});
    spec["failurePolicy"] = failure_policy;
    const Policy policy(c, "failing", spec, {{"validationActions", {"Deny"}}});
    const Answer made = c.post(kMaps + "?dryRun=All", config_map("failing"));
    if (failure_policy[0] == 'F') {
      CHECK(made.status == 422);
      CHECK_THAT(message(made),
                 contains("expression 'object.nope == 1' resulted in error: no such key: nope"));
    } else {
      CHECK(made.status == 201);
    }
  }
  (void)c.send("DELETE", kMaps + "/warned");
}

TEST_CASE("custom resources are judged, and are params") {
  Control& c = shared();
  const Json schema = Json::parse(R"({"type":"object","properties":{"spec":{"type":"object",
    "properties":{"max":{"type":"integer"},"count":{"type":"integer"}}}}})");
  establish(c, "limits", "Limit", schema);
  establish(c, "things", "Thing", schema);
  const std::string limits = "/apis/policy.example.com/v1/namespaces/default/limits";
  const std::string things = "/apis/policy.example.com/v1/namespaces/default/things";
  Json spec = spec_for({rule("policy.example.com", "v1", "things")},
                       {{{"expression", "object.spec.count <= params.spec.max"},
                         {"messageExpression", "'at most ' + string(params.spec.max)"}}});
  spec["paramKind"] = {{"apiVersion", "policy.example.com/v1"}, {"kind", "Limit"}};
  const Policy policy(c, "things", spec,
                      {{"validationActions", {"Deny"}},
                       {"paramRef", {{"name", "most"}, {"parameterNotFoundAction", "Deny"}}}});
  const auto thing = [&](int count) {
    return c.post(things + "?dryRun=All", {{"apiVersion", "policy.example.com/v1"},
                                           {"kind", "Thing"},
                                           {"metadata", {{"name", "t"}}},
                                           {"spec", {{"count", count}}}});
  };
  CHECK_THAT(message(thing(1)),
             contains("failed to configure binding: no params found for policy binding with "
                      "`Deny` parameterNotFoundAction"));
  REQUIRE(c.post(limits, {{"apiVersion", "policy.example.com/v1"},
                          {"kind", "Limit"},
                          {"metadata", {{"name", "most"}}},
                          {"spec", {{"max", 3}}}})
              .status == 201);
  CHECK(thing(3).status == 201);
  const Answer refused = thing(4);
  CHECK(refused.status == 422);
  CHECK_THAT(message(refused), contains("denied request: at most 3"));
  CHECK(policy.checked() == Json::parse(R"({"observedGeneration":1,"typeChecking":{}})"));
  // Without its kind the policy cannot work: it fails closed.
  CHECK(c.send("DELETE", kDefinitions + "/limits.policy.example.com").status == 200);
  for (int i = 0; i < 300 && c.get(limits).status != 404; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  CHECK_THAT(message(thing(1)), contains("failed to configure policy: failed to find resource referenced by "
                                         "paramKind: 'policy.example.com/v1, Kind=Limit'"));
  (void)c.send("DELETE", kDefinitions + "/things.policy.example.com");
}

TEST_CASE("types of expressions are checked, and what does not compile is refused") {
  Control& c = shared();
  const Policy policy(
      c, "typed",
      spec_for({rule("apps", "v1", "deployments")}, {{{"expression", "object.spec.replicas > '1'"}},
                                                     {{"expression", "object.spec.maxRetries > 1"}}}),
      {{"validationActions", {"Audit"}}});
  const Json status = policy.checked();
  CHECK(status["observedGeneration"] == 1);
  const Json& warnings = base::array_at(status, {"typeChecking", "expressionWarnings"});
  REQUIRE(warnings.size() == 2);
  CHECK(warnings[0]["fieldRef"] == "spec.validations[0].expression");
  CHECK_THAT(warnings[0]["warning"].get<std::string>(), contains("found no matching overload"));
  CHECK_THAT(warnings[1]["warning"].get<std::string>(), contains("undefined field 'maxRetries'"));
  const Answer broken =
      c.post(kPolicies, {{"apiVersion", "admissionregistration.k8s.io/v1"},
                         {"kind", "ValidatingAdmissionPolicy"},
                         {"metadata", {{"name", "broken"}}},
                         {"spec", spec_for({rule("", "v1", "configmaps")}, {{{"expression", "object."}}})}});
  CHECK(broken.status == 422);
  CHECK_THAT(message(broken),
             contains("spec.validations[0].expression: Invalid value: \"object.\": compilation "
                      "failed: ERROR: <input>:1:8: Syntax error: "));
}

TEST_CASE("audit events tell what policies found") {
  DataFolder data, files;
  const std::string rules = files.path() + "/policy.yaml", log = files.path() + "/audit.log";
  REQUIRE(base::write_file_atomic(rules,
                                  "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n"
                                  "- {level: Metadata, omitStages: [RequestReceived], verbs: [create], "
                                  "resources: [{group: '', resources: [configmaps]}]}\n")
              .ok());
  Control c(data);
  c.config().api.audit_policy_file = rules;
  c.config().api.audit_log_path = log;
  c.start();
  Json spec = spec_for({rule("", "v1", "configmaps")}, {{{"expression", "false"}, {"message", "told"}}});
  spec["auditAnnotations"] = {{{"key", "name"}, {"valueExpression", "'of ' + object.metadata.name"}}};
  const Policy policy(c, "audited", spec, {{"validationActions", {"Audit"}}});
  CHECK(c.post(kMaps, config_map("noted")).status == 201);
  std::istringstream lines(*base::read_file(log));
  Json found;
  for (std::string line; std::getline(lines, line);) {
    const Json event = Json::parse(line);
    if (event["objectRef"]["name"] == "noted") found = event["annotations"];
  }
  CHECK(found["audited/name"] == "of noted");
  CHECK(found["validation.policy.admission.k8s.io/validation_failure"] ==
        R"([{"message":"told","policy":"audited","binding":"audited-b","expressionIndex":0,)"
        R"("validationActions":["Audit"]}])");
}

}  // namespace
}  // namespace orch::testing
