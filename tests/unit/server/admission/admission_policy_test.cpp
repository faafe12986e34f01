// ValidatingAdmissionPolicies: for which requests they are, with which params, and what they answer.
#include "server/admission/admission_policy.h"

#include "api/schema/schema.h"
#include "server/admission/policy_plugins.h"
#include "tests/catch.h"
#include "tests/unit/server/admission/requests.h"

namespace orch::server {
namespace {

using testing::FakeLookup;
using testing::json;
using testing::object;
using testing::TestRequest;
using Operation = AdmissionRequest::Operation;

class Allow final : public Authorizer {
 public:
  Verdict authorize(const Attributes& a) override {
    last = base::cat(a.verb, " ", a.group, "/", a.version, "/", a.resource, " ", a.ns, "/", a.name);
    return {allowed ? Decision::kAllow : Decision::kNoOpinion, ""};
  }
  bool allowed = true;
  std::string last;
};

/// Policies of a small cluster.
struct Cluster {
  Cluster() {
    lookup.put("namespaces", R"({"apiVersion":"v1","kind":"Namespace",
      "metadata":{"name":"prod","uid":"1","labels":{"env":"prod"}}})");
  }
  /// A policy with this spec besides rules for deployments, bound by "b" with these members.
  void policy(const char* spec, const char* binding = R"({"validationActions":["Deny"]})",
              const std::string& name = "p", int64_t generation = 0) {
    Json tree = json(R"({"apiVersion":"admissionregistration.k8s.io/v1","kind":"ValidatingAdmissionPolicy",
      "metadata":{"uid":"u"},"spec":{"failurePolicy":"Fail","matchConstraints":{"matchPolicy":"Equivalent",
      "namespaceSelector":{},"objectSelector":{},"resourceRules":[{"operations":["*"],"apiGroups":["apps"],
      "apiVersions":["v1"],"resources":["deployments"],"scope":"*"}]}}})");
    tree["metadata"]["name"] = name;
    tree["metadata"]["generation"] = generation > 0 ? generation : ++generations;
    tree["spec"].merge_patch(json(spec));
    source.on_policy(nullptr, object(tree));
    if (binding != nullptr) bind(binding, name, "b");
  }
  void bind(const char* spec, const std::string& policy, const std::string& name) {
    Json tree = {{"apiVersion", "admissionregistration.k8s.io/v1"},
                 {"kind", "ValidatingAdmissionPolicyBinding"},
                 {"metadata", {{"name", name}}},
                 {"spec", {{"policyName", policy}}}};
    tree["spec"].merge_patch(json(spec));
    source.on_binding(nullptr, object(tree));
  }
  PolicyParts parts() { return {source, lookup, *table, authorizer, metrics}; }

  int64_t generations = 100;
  std::unique_ptr<const api::Schema> schema = api::Schema::builtin();
  std::unique_ptr<api::ResourceTable> table = api::ResourceTable::builtin(*schema);
  PolicySource source;
  FakeLookup lookup;
  Allow authorizer;
  base::Metrics metrics;
};

std::unique_ptr<TestRequest> deployment(const char* ns = "prod", int replicas = 7) {
  Json tree =
      json(R"({"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"web","labels":{"a":"b"}}})");
  tree["spec"]["replicas"] = replicas;
  return std::make_unique<TestRequest>(Operation::kCreate, "apps", "Deployment", "deployments", ns,
                                       std::move(tree));
}

std::string ask(Cluster& cluster, TestRequest& request) {
  return request.run(*make_validating_policies(cluster.parts()));
}

constexpr const char* kFive = R"({"validations":[{"expression":"object.spec.replicas <= 5"}]})";

TEST_CASE("a policy in force refuses in Kubernetes' words") {
  Cluster c;
  c.policy(kFive);
  auto request = deployment();
  CHECK(
      ask(c, *request) ==
      "deployments.apps \"web\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: "
      "failed expression: object.spec.replicas <= 5");
  CHECK(request->code() == base::Code::kInvalid);
  CHECK(ask(c, *deployment("prod", 5)).empty());

  c.policy(R"({"validations":[{"expression":"false","message":"no","reason":"Forbidden"},
                              {"expression":"false","message":"never"}]})");
  request = deployment();
  CHECK(ask(c, *request).ends_with("denied request: no"));
  CHECK(request->code() == base::Code::kForbidden);
  c.policy(R"({"validations":[{"expression":"false","reason":"RequestEntityTooLarge"}]})");
  CHECK_FALSE(ask(c, *request).empty());
  CHECK(request->code() == base::Code::kRequestEntityTooLarge);
}

TEST_CASE("who is not concerned is not asked") {
  Cluster c;
  const auto plugin = make_validating_policies(c.parts());
  CHECK_FALSE(plugin->handles(**deployment()));  // no policy at all
  c.policy(kFive, nullptr);
  CHECK_FALSE(plugin->handles(**deployment()));  // none bound
  c.bind(R"({"validationActions":["Deny"]})", "p", "b");
  CHECK(plugin->handles(**deployment()));
  CHECK_FALSE(plugin->handles(**testing::create_pod(testing::pod_with())));
  c.policy(R"({"matchConstraints":{"resourceRules":[{"operations":["*"],"apiGroups":["*"],"apiVersions":["*"],
    "resources":["*/scale"],"scope":"*"}]}})");
  CHECK(plugin->handles(**testing::create_pod(testing::pod_with())));
  CHECK(ask(c, *testing::create_pod(testing::pod_with())).empty());
  TestRequest own(Operation::kCreate, "admissionregistration.k8s.io", "ValidatingAdmissionPolicy",
                  "validatingadmissionpolicies", "", json(R"({"metadata":{"name":"x"}})"));
  CHECK_FALSE(plugin->handles(*own));
  TestRequest review(Operation::kCreate, "authorization.k8s.io", "SubjectAccessReview",
                     "subjectaccessreviews", "", json(R"({"metadata":{}})"));
  CHECK_FALSE(plugin->handles(*review));
}

TEST_CASE("what constraints and bindings select") {
  struct Case {
    const char *spec, *binding;
    bool asked;
  };
  const std::vector<Case> cases = {
      {"{}", "{}", true},
      {R"({"matchConstraints":{"namespaceSelector":{"matchLabels":{"env":"prod"}}}})", "{}", true},
      {R"({"matchConstraints":{"namespaceSelector":{"matchLabels":{"env":"test"}}}})", "{}", false},
      {R"({"matchConstraints":{"objectSelector":{"matchLabels":{"a":"b"}}}})", "{}", true},
      {R"({"matchConstraints":{"objectSelector":{"matchLabels":{"a":"c"}}}})", "{}", false},
      {R"({"matchConstraints":{"resourceRules":[{"operations":["UPDATE"],"apiGroups":["apps"],
           "apiVersions":["v1"],"resources":["deployments"]}]}})",
       "{}", false},
      {R"({"matchConstraints":{"resourceRules":[{"operations":["*"],"apiGroups":["apps"],"apiVersions":["v1"],
           "resources":["deployments"],"resourceNames":["other","web"]}]}})",
       "{}", true},
      {R"({"matchConstraints":{"resourceRules":[{"operations":["*"],"apiGroups":["apps"],"apiVersions":["v1"],
           "resources":["deployments"],"resourceNames":["other"]}]}})",
       "{}", false},
      {R"({"matchConstraints":{"excludeResourceRules":[{"operations":["*"],"apiGroups":["*"],
           "apiVersions":["*"],"resources":["*"],"resourceNames":["web"]}]}})",
       "{}", false},
      {R"({"matchConstraints":{"excludeResourceRules":[{"operations":["DELETE"],"apiGroups":["*"],
           "apiVersions":["*"],"resources":["*"]}]}})",
       "{}", true},
      {"{}",
       R"({"matchResources":{"matchPolicy":"Equivalent","namespaceSelector":{"matchLabels":{"env":"prod"}},
           "objectSelector":{}}})",
       true},
      {"{}",
       R"({"matchResources":{"matchPolicy":"Equivalent","namespaceSelector":{"matchLabels":{"env":"test"}},
           "objectSelector":{}}})",
       false},
      {"{}",
       R"({"matchResources":{"matchPolicy":"Exact","namespaceSelector":{},"objectSelector":{},"resourceRules":
           [{"operations":["DELETE"],"apiGroups":["*"],"apiVersions":["*"],"resources":["*"]}]}})",
       false},
      {R"({"matchConditions":[{"name":"x","expression":"request.userInfo.username == 'tester'"}]})", "{}",
       true},
      {R"({"matchConditions":[{"name":"x","expression":"request.userInfo.username == 'other'"}]})", "{}",
       false},
  };
  for (const Case& one : cases) {
    INFO(one.spec << one.binding);
    Cluster c;
    c.policy(one.spec, nullptr);
    Json spec = json(one.spec);
    spec.merge_patch(json(R"({"validations":[{"expression":"false"}]})"));
    Json binding = json(one.binding);
    binding["validationActions"] = {"Deny"};
    c.policy(spec.dump().c_str(), binding.dump().c_str(), "p");
    CHECK(ask(c, *deployment()).empty() != one.asked);
  }
}

TEST_CASE("an equivalent version is what the policy sees") {
  Cluster c;
  c.policy(R"({"matchConstraints":{"resourceRules":[{"operations":["*"],"apiGroups":["events.k8s.io"],
      "apiVersions":["v1"],"resources":["events"]}]},
    "validations":[{"expression":"request.kind.group == 'core'","messageExpression":
      "request.kind.group + ' of ' + request.requestKind.group"}]})");
  const api::ResourcePtr event = c.table->find("", "v1", "events");
  TestRequest request(
      Operation::kCreate, "", "Event", "events", "prod",
      json(R"({"apiVersion":"v1","kind":"Event","metadata":{"name":"e","namespace":"prod"}})"));
  request->resource = event.get();
  CHECK(ask(c, request).ends_with("denied request: events.k8s.io of"));
  c.policy(R"({"matchConstraints":{"matchPolicy":"Exact","resourceRules":[{"operations":["*"],
      "apiGroups":["events.k8s.io"],"apiVersions":["v1"],"resources":["events"]}]},
    "validations":[{"expression":"false"}]})",
           R"({"validationActions":["Deny"]})", "p");
  CHECK(ask(c, request).empty());
}

TEST_CASE("actions besides denial") {
  Cluster c;
  c.policy(R"({"validations":[{"expression":"true"},{"expression":"false","message":"a<b"},
                              {"expression":"false","message":"later"}]})",
           R"({"validationActions":["Warn","Audit"]})");
  auto request = deployment();
  std::vector<std::pair<std::string, std::string>> notes;
  (*request)->audit = &notes;
  CHECK(ask(c, *request).empty());
  CHECK(request->warnings() ==
        std::vector<std::string>{
            "Validation failed for ValidatingAdmissionPolicy 'p' with binding 'b': a<b",
            "Validation failed for ValidatingAdmissionPolicy 'p' with binding 'b': later"});
  REQUIRE(notes.size() == 1);  // the first stays
  CHECK(notes[0].first == "validation.policy.admission.k8s.io/validation_failure");
  CHECK(notes[0].second == R"([{"message":"a\u003cb","policy":"p","binding":"b","expressionIndex":1,)"
                           R"("validationActions":["Warn","Audit"]}])");
  CHECK(c.metrics.expose().find(
            "apiserver_validating_admission_policy_check_total{policy=\"p\",policy_binding="
            "\"b\",error_type=\"invalid_error\",enforcement_action=\"warn\"} 2") != std::string::npos);
}

TEST_CASE("annotations of audit events") {
  Cluster c;
  c.policy(R"x({"paramKind":{"apiVersion":"v1","kind":"ConfigMap"},"auditAnnotations":[
      {"key":"n","valueExpression":"string(params.data.x)"},{"key":"none","valueExpression":"null"}]})x",
           R"({"validationActions":["Deny"],"paramRef":{"selector":{},"parameterNotFoundAction":"Deny"}})");
  for (const char* name : {"one", "two", "three"}) {
    Json map = {{"apiVersion", "v1"},
                {"kind", "ConfigMap"},
                {"metadata", {{"name", name}, {"namespace", "prod"}}},
                {"data", {{"x", name[0] == 't' ? "t" : "o"}}}};
    c.lookup.put("configmaps", object(map));
  }
  auto request = deployment();
  std::vector<std::pair<std::string, std::string>> notes;
  (*request)->audit = &notes;
  CHECK(ask(c, *request).empty());
  REQUIRE(notes.size() == 1);
  CHECK(notes[0] == std::pair<std::string, std::string>("p/n", "o, t"));
  c.policy(R"x({"auditAnnotations":[{"key":"n","valueExpression":"string(object.nope)"}]})x",
           R"({"validationActions":["Warn"]})", "p");
  CHECK(ask(c, *request).ends_with("expression 'string(object.nope)' resulted in error: no such key: nope"));
}

TEST_CASE("params of a binding") {
  struct Case {
    const char *kind, *ref, *ns, *answer;
  };
  constexpr const char* kMap = R"({"apiVersion":"v1","kind":"ConfigMap"})";
  constexpr const char* kClass = R"({"apiVersion":"storage.k8s.io/v1","kind":"StorageClass"})";
  const std::vector<Case> cases = {
      {kMap, R"({"name":"limit","parameterNotFoundAction":"Deny"})", "prod",
       "failed expression: variables.ok"},
      {kMap, R"({"name":"limit","namespace":"other","parameterNotFoundAction":"Allow"})", "prod", ""},
      {kMap, R"({"name":"limit","namespace":"other","parameterNotFoundAction":"Deny"})", "prod",
       "failed to configure binding: no params found for policy binding with `Deny` "
       "parameterNotFoundAction"},
      {kMap, R"({"selector":{"matchLabels":{"x":"z"}},"parameterNotFoundAction":"Allow"})", "prod", ""},
      {kMap, R"({"selector":{"matchLabels":{"x":"y"}},"parameterNotFoundAction":"Allow"})", "prod",
       "failed expression: variables.ok"},
      {kMap, R"({"parameterNotFoundAction":"Allow"})", "prod",
       "failed to configure binding: one of name or selector must be provided"},
      {kMap, R"({"name":"limit","parameterNotFoundAction":"Allow"})", "",
       "failed to configure binding: cannot use namespaced paramRef in policy binding that matches "
       "cluster-scoped resources"},
      {kClass, R"({"name":"limit","namespace":"x","parameterNotFoundAction":"Allow"})", "prod",
       "failed to configure binding: paramRef.namespace must not be provided for a cluster-scoped "
       "`paramKind`"},
      {kClass, R"({"name":"limit","parameterNotFoundAction":"Allow"})", "prod", ""},
      {R"({"apiVersion":"a.b/v1","kind":"None"})", R"({"name":"limit","parameterNotFoundAction":"Allow"})",
       "prod",
       "failed to configure policy: failed to find resource referenced by paramKind: 'a.b/v1, Kind=None'"},
  };
  for (const Case& one : cases) {
    INFO(one.kind << one.ref);
    Cluster c;
    c.lookup.put("configmaps", R"({"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"limit",
      "namespace":"prod","labels":{"x":"y"}},"data":{"max":"5"}})");
    Json spec =
        json(R"x({"variables":[{"name":"ok","expression":"object.spec.replicas <= int(params.data.max)"}],
        "validations":[{"expression":"variables.ok"}]})x");
    spec["paramKind"] = json(one.kind);
    Json binding = {{"validationActions", {"Deny"}}, {"paramRef", json(one.ref)}};
    c.policy(spec.dump().c_str(), binding.dump().c_str());
    const std::string answer = ask(c, *deployment(one.ns));
    if (*one.answer == '\0') {
      CHECK(answer.empty());
    } else {
      CHECK(answer.ends_with(base::cat("denied request: ", one.answer)));
    }
    spec["failurePolicy"] = "Ignore";
    c.policy(spec.dump().c_str(), binding.dump().c_str(), "p");
    const bool misconfigured = std::string_view(one.answer).starts_with("failed to configure");
    CHECK(ask(c, *deployment(one.ns)).empty() == (misconfigured || *one.answer == '\0'));
  }
}

TEST_CASE("without paramRef params are null, and the namespace is there") {
  Cluster c;
  c.policy(R"({"paramKind":{"apiVersion":"v1","kind":"ConfigMap"},
    "validations":[{"expression":"params != null","messageExpression":"'in ' + namespaceObject.metadata.labels.env"}]})");
  CHECK(ask(c, *deployment()).ends_with("denied request: in prod"));
  CHECK(ask(c, *deployment("gone")) == "namespaces \"gone\" not found");
}

TEST_CASE("what is compiled stays until the spec changes") {
  Cluster c;
  c.policy(kFive, R"({"validationActions":["Deny"]})", "p", 1);
  const auto before = c.source.policies()->policies.at(0).policy;
  c.policy(kFive, nullptr, "p", 1);  // a change of its status
  CHECK(c.source.policies()->policies.at(0).policy == before);
  c.bind(R"({"validationActions":["Warn"]})", "p", "b2");
  CHECK(c.source.policies()->policies.at(0).policy == before);
  CHECK(c.source.policies()->policies.at(0).bindings.size() == 2);
  c.policy(kFive, nullptr, "p", 2);
  CHECK(c.source.policies()->policies.at(0).policy != before);
  Json gone = {{"apiVersion", "v1"}, {"kind", "X"}, {"metadata", {{"name", "p"}}}};
  c.source.on_policy(object(gone), nullptr);
  CHECK(c.source.policies()->policies.empty());
}

TEST_CASE("who writes a policy that reads params may read them") {
  Cluster c;
  const auto plugin = make_policy_param_access(c.parts());
  TestRequest policy(
      Operation::kCreate, "admissionregistration.k8s.io", "ValidatingAdmissionPolicy",
      "validatingadmissionpolicies", "",
      json(R"({"metadata":{"name":"x"},"spec":{"paramKind":{"apiVersion":"v1","kind":"ConfigMap"}}})"));
  CHECK(policy.run(*plugin).empty());
  CHECK(c.authorizer.last == "get /v1/configmaps */*");
  c.authorizer.allowed = false;
  policy.requester().groups = {"g1", "g2"};
  CHECK(policy.run(*plugin) ==
        "ValidatingAdmissionPolicy.admissionregistration.k8s.io \"x\" is invalid: spec.paramKind: Forbidden: "
        "user "
        "&{tester  [g1 g2] map[]} must have \"get\" permission on all objects of the referenced paramKind "
        "(kind=ConfigMap, apiVersion=v1)");
  TestRequest binding(
      Operation::kCreate, "admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding",
      "validatingadmissionpolicybindings", "",
      json(R"({"metadata":{"name":"x"},"spec":{"policyName":"p","paramRef":{"selector":{}}}})"));
  CHECK(
      binding.run(*plugin).ends_with("unable to get policy p to determine minimum required permissions and "
                                     "user &{tester  [] map[]} does not "
                                     "have \"list\" permission for all groups, versions and resources"));
  CHECK(c.authorizer.last == "list */*/* /");
  binding.requester().groups = {"system:masters"};
  CHECK(binding.run(*plugin).empty());
}

}  // namespace
}  // namespace orch::server
