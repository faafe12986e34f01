// Admission and conversion webhooks as values: rules, reviews, answers.
#include "server/admission/webhook.h"

#include "server/admission/conversion_webhook.h"
#include "server/admission/service_resolver.h"
#include "server/admission/webhook_plugins.h"
#include "tests/catch.h"
#include "tests/unit/server/admission/requests.h"

namespace orch::server {
namespace {

using testing::FakeLookup;
using testing::json;
using testing::TestRequest;
using Operation = AdmissionRequest::Operation;

HookRule rule(std::vector<std::string> operations, std::vector<std::string> groups,
              std::vector<std::string> versions, std::vector<std::string> resources,
              std::string scope = "*") {
  return {std::move(operations), std::move(groups), std::move(versions), std::move(resources),
          std::move(scope)};
}

TEST_CASE("rules of webhooks match as in Kubernetes") {
  struct Case {
    HookRule rule;
    RuleTarget target;
    bool matches;
  };
  const RuleTarget pod{"CREATE", "", "v1", "pods", "", "ns"};
  const RuleTarget exec{"CONNECT", "", "v1", "pods", "exec", "ns"};
  const RuleTarget node{"UPDATE", "", "v1", "nodes", "", ""};
  const RuleTarget ns{"DELETE", "", "v1", "namespaces", "", "ns"};
  const RuleTarget deployment{"UPDATE", "apps", "v1", "deployments", "scale", "ns"};
  const std::vector<Case> cases = {
      {rule({"CREATE"}, {""}, {"v1"}, {"pods"}), pod, true},
      {rule({"UPDATE", "CREATE"}, {"apps", ""}, {"v2", "v1"}, {"nodes", "pods"}), pod, true},
      {rule({"UPDATE"}, {""}, {"v1"}, {"pods"}), pod, false},
      {rule({"CREATE"}, {"apps"}, {"v1"}, {"pods"}), pod, false},
      {rule({"CREATE"}, {""}, {"v2"}, {"pods"}), pod, false},
      {rule({"CREATE"}, {""}, {"v1"}, {"nodes"}), pod, false},
      {rule({}, {""}, {"v1"}, {"pods"}), pod, false},
      {rule({"*"}, {"*"}, {"*"}, {"*"}), pod, true},
      {rule({"*"}, {"*"}, {"*"}, {"*"}), exec, false},
      {rule({"*"}, {"*"}, {"*"}, {"*/*"}), exec, true},
      {rule({"*"}, {"*"}, {"*"}, {"*/*"}), pod, true},
      {rule({"*"}, {"*"}, {"*"}, {"pods/*"}), pod, true},
      {rule({"*"}, {"*"}, {"*"}, {"pods/exec"}), exec, true},
      {rule({"*"}, {"*"}, {"*"}, {"pods/exec"}), pod, false},
      {rule({"*"}, {"*"}, {"*"}, {"*/scale"}), deployment, true},
      {rule({"*"}, {"*"}, {"*"}, {"pods"}, "Namespaced"), pod, true},
      {rule({"*"}, {"*"}, {"*"}, {"pods"}, "Cluster"), pod, false},
      {rule({"*"}, {"*"}, {"*"}, {"*"}, "Cluster"), node, true},
      {rule({"*"}, {"*"}, {"*"}, {"*"}, "Namespaced"), node, false},
      // A namespace is in itself, and of the cluster all the same.
      {rule({"*"}, {"*"}, {"*"}, {"*"}, "Cluster"), ns, true},
      {rule({"*"}, {"*"}, {"*"}, {"*"}, "Namespaced"), ns, false},
      {rule({"*"}, {"*"}, {"*"}, {"*"}, "Other"), pod, false},
  };
  for (size_t i = 0; i < cases.size(); ++i) {
    INFO(i);
    CHECK(rule_matches(cases[i].rule, cases[i].target) == cases[i].matches);
  }
}

api::ResourcePtr row(const char* group, const char* version, const char* plural, const char* kind) {
  auto r = std::make_shared<api::Resource>();
  r->group = group;
  r->version = version;
  r->plural = plural;
  r->kind = kind;
  r->subresources = {{"status", group, version, kind, {"get"}},
                     {"scale", "autoscaling", "v1", "Scale", {"get"}}};
  return r;
}

TEST_CASE("a webhook is called in a version it knows") {
  TestRequest request(Operation::kCreate, "apps", "Deployment", "deployments", "ns",
                      json(R"({"metadata":{}})"));
  const std::vector<api::ResourcePtr> others = {row("extensions", "v1beta1", "deployments", "Deployment"),
                                                row("apps", "v1beta1", "deployments", "Deployment")};
  Hook hook;
  hook.rules = {rule({"CREATE"}, {"apps"}, {"v1beta1"}, {"deployments"}),
                rule({"CREATE"}, {"extensions"}, {"*"}, {"deployments"})};
  auto found = match_rules(hook, *request, others);
  REQUIRE(found);
  CHECK(found->row->group == "apps");  // the earlier rule
  hook.equivalent = false;
  CHECK_FALSE(match_rules(hook, *request, others));
  hook.rules.push_back(rule({"CREATE"}, {"apps"}, {"v1"}, {"deployments"}));
  found = match_rules(hook, *request, others);
  REQUIRE(found);
  CHECK(found->row == nullptr);
  request->subresource = "scale";
  CHECK(kind_of_request(*request, *others[1]).api_version() == "autoscaling/v1");
  request->object_kind = "Binding";
  request->object_api_version = "v1";
  CHECK(kind_of_request(*request, *others[1]).kind == "Binding");
}

TEST_CASE("configurations are read with their webhooks") {
  const auto object = api::Object::from_tree(json(R"({"kind":"MutatingWebhookConfiguration",
    "apiVersion":"admissionregistration.k8s.io/v1","metadata":{"name":"c"},"webhooks":[
    {"name":"a.b.c","clientConfig":{"service":{"namespace":"ns","name":"svc","path":"//x/./y/","port":8443},
     "caBundle":"Y2E="},"failurePolicy":"Ignore","matchPolicy":"Exact","reinvocationPolicy":"IfNeeded",
     "sideEffects":"None","timeoutSeconds":3,"admissionReviewVersions":["v2","v1beta1","v1"],
     "objectSelector":{"matchLabels":{"a":"b"}},"rules":[{"operations":["CREATE"],"apiGroups":[""],
     "apiVersions":["v1"],"resources":["pods"],"scope":"Namespaced"}]},
    {"name":"a.b.c","clientConfig":{"url":"https://h:1/p"},"failurePolicy":"Fail","matchPolicy":"Equivalent"}]})"));
  REQUIRE(object.ok());
  const auto hooks = parse_hooks(**object);
  REQUIRE(hooks.size() == 2);
  CHECK(hooks[0].uid == "c/a.b.c/0");
  CHECK(hooks[1].uid == "c/a.b.c/1");
  CHECK(hooks[0].target.request_url(3) == "https://svc.ns.svc:8443/x/y?timeout=3s");
  CHECK(hooks[1].target.request_url(10) == "https://h:1/p?timeout=10s");
  CHECK(hooks[0].target.ca_pem == "ca");
  CHECK(hooks[0].ignore_failures);
  CHECK_FALSE(hooks[0].equivalent);
  CHECK(hooks[0].reinvoke);
  CHECK(hooks[0].objects->text() == "a=b");
  CHECK(hooks[1].objects->empty());
  CHECK(review_version(hooks[0]) == "v1beta1");
  CHECK(review_version(hooks[1]).empty());
  CHECK(HookTarget{"https://h", "", "", "", 443, ""}.request_url(1) == "https://h/?timeout=1s");

  WebhookSource source;
  source.on_change(nullptr, *object);
  CHECK(source.hooks()->size() == 2);
  source.on_change(*object, nullptr);
  CHECK(source.hooks()->empty());
}

TEST_CASE("a review says what the request is about") {
  TestRequest request(Operation::kUpdate, "", "Pod", "pods", "ns", json(R"({"metadata":{"name":"p"}})"),
                      json(R"({"metadata":{"name":"p","labels":{"a":"b"}}})"));
  request->dry_run = true;
  const Json object = *request->object, old = *request->old_object;
  const Json options = json(R"({"fieldManager":"kubectl"})");
  request->options = &options;
  const Json review = json(make_review(*request, {request->requested(), object, old}, "v1", "u").c_str());
  CHECK(review["apiVersion"] == "admission.k8s.io/v1");
  CHECK(review["kind"] == "AdmissionReview");
  Json expected = json(R"({"uid":"u","kind":{"group":"","version":"v1","kind":"Pod"},
    "resource":{"group":"","version":"v1","resource":"pods"},
    "requestKind":{"group":"","version":"v1","kind":"Pod"},
    "requestResource":{"group":"","version":"v1","resource":"pods"},
    "name":"p","namespace":"ns","operation":"UPDATE","dryRun":true,
    "options":{"kind":"UpdateOptions","apiVersion":"meta.k8s.io/v1","fieldManager":"kubectl"},
    "object":{"metadata":{"name":"p"}},"oldObject":{"metadata":{"name":"p","labels":{"a":"b"}}}})");
  expected["userInfo"] = user_to_json(request.requester());
  CHECK(review["request"] == expected);

  TestRequest removal(Operation::kDelete, "", "Namespace", "namespaces", "", nullptr,
                      json(R"({"metadata":{"name":"n"}})"));
  const Json none, gone = *removal->old_object;
  const Json second =
      json(make_review(*removal, {removal->requested(), none, gone}, "v1beta1", "u").c_str())["request"];
  CHECK(second["object"].is_null());
  CHECK(second["namespace"] == "n");
  CHECK(second["options"]["kind"] == "DeleteOptions");
}

std::string problem(const char* body, const char* version, bool mutating) {
  auto answer = read_review(body, version, "u", mutating);
  return answer.ok() ? "" : answer.error().message();
}

TEST_CASE("answers of webhooks are checked as kube-apiserver does") {
  const std::string v1 = R"({"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","response":)";
  const auto one = [&](const char* response, bool mutating) {
    return problem((v1 + response + "}").c_str(), "v1", mutating);
  };
  constexpr const char* kInvalid = "received invalid webhook response: ";
  CHECK(one(R"({"uid":"u","allowed":true})", true).empty());
  CHECK(one(R"({"uid":"u","allowed":true,"patch":"W10=","patchType":"JSONPatch"})", true).empty());
  CHECK(one(R"({"uid":"w","allowed":true})", true) ==
        std::string(kInvalid) + R"(expected response.uid="u", got "w")");
  CHECK(one("null", true) == std::string(kInvalid) + "webhook response was absent");
  CHECK(one(R"({"uid":"u","allowed":true,"patch":"W10="})", true) ==
        std::string(kInvalid) + "webhook returned response.patch but not response.patchType");
  CHECK(one(R"({"uid":"u","allowed":true,"patchType":"JSONPatch"})", true) ==
        std::string(kInvalid) + "webhook returned response.patchType but not response.patch");
  CHECK(one(R"({"uid":"u","allowed":true,"patch":"W10=","patchType":"Other"})", true) ==
        "unsupported patch type \"Other\"");
  CHECK(one(R"({"uid":"u","allowed":true,"patch":"W10="})", false) ==
        std::string(kInvalid) + "validating webhook may not return response.patch");
  CHECK(one(R"({"uid":"u","allowed":true,"patchType":"JSONPatch"})", false) ==
        std::string(kInvalid) + "validating webhook may not return response.patchType");
  CHECK(problem(
            R"({"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1beta1","response":{"uid":"u"}})",
            "v1", true) == std::string(kInvalid) +
                               "expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got "
                               "admission.k8s.io/v1beta1, Kind=AdmissionReview");
  // The older version checks neither, and knows one kind of patch.
  CHECK(
      problem(
          R"({"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1beta1","response":{"patch":"W10="}})",
          "v1beta1", true)
          .empty());
  CHECK(problem("{}", "v1", true) == "failed to call webhook: Object 'Kind' is missing in '{}'");
  CHECK_FALSE(problem("<html>", "v1", true).empty());
  CHECK_FALSE(problem("[]", "v1", true).empty());

  auto answer = read_review(v1 + R"({"uid":"u","allowed":true,"warnings":["w"],"auditAnnotations":{"k":"v"},
    "patchType":"JSONPatch","patch":"W3sib3AiOiJhZGQiLCJwYXRoIjoiL2EiLCJ2YWx1ZSI6MX1d"}})",
                            "v1", "u", true);
  REQUIRE(answer.ok());
  CHECK(answer->allowed);
  CHECK(answer->warnings == std::vector<std::string>{"w"});
  CHECK(answer->audit_annotations.at(0) == std::pair<std::string, std::string>("k", "v"));
  CHECK(answer->patch == json(R"([{"op":"add","path":"/a","value":1}])"));
}

TEST_CASE("a refusal is answered as the webhook words it") {
  CHECK(denial("a.b.c", nullptr) ==
        json(R"({"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure",
    "message":"admission webhook \"a.b.c\" denied the request without explanation","code":400})"));
  CHECK(denial("a.b.c", json(R"({"message":"no","code":403,"reason":"Forbidden","status":"Success"})")) ==
        json(R"({"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","reason":"Forbidden",
    "message":"admission webhook \"a.b.c\" denied the request: no","code":403})"));
  CHECK(denial("a.b.c", json(R"({"reason":"Teapot","code":418})"))["message"] ==
        "admission webhook \"a.b.c\" denied the request: Teapot");
  CHECK(denial("a.b.c", json(R"({"code":200})"))["code"] == 400);
}

TEST_CASE("what webhooks configure is exempt from them") {
  for (const char* kind : {"ValidatingWebhookConfiguration", "MutatingWebhookConfiguration",
                           "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"}) {
    TestRequest request(Operation::kCreate, "admissionregistration.k8s.io", kind, "x", "");
    CHECK(is_exempt(*request));
  }
  TestRequest other(Operation::kCreate, "", "Pod", "pods", "ns");
  CHECK_FALSE(is_exempt(*other));
}

TEST_CASE("services of webhooks are found at their endpoints") {
  FakeLookup lookup;
  lookup.put("services", R"({"apiVersion":"v1","kind":"Service","metadata":{"name":"s","namespace":"n"},
    "spec":{"type":"ClusterIP","ports":[{"name":"https","port":443}]}})");
  lookup.put("services", R"({"apiVersion":"v1","kind":"Service","metadata":{"name":"e","namespace":"n"},
    "spec":{"type":"ExternalName"}})");
  const auto error = [&](const char* name, int64_t port) {
    auto found = resolve_service(lookup, "n", name, port);
    return found.ok() ? found->text() : found.error().message();
  };
  CHECK(error("none", 443) == "services \"none\" not found");
  CHECK(error("e", 443) == "unsupported service type \"ExternalName\"");
  CHECK(error("s", 80) == "no service port 80 found for service \"s\"");
  CHECK(error("s", 443) == "no endpoints available for service \"s\"");
  lookup.put("endpointslices.discovery.k8s.io", R"({"apiVersion":"discovery.k8s.io/v1","kind":"EndpointSlice",
    "metadata":{"name":"s-1","namespace":"n","labels":{"kubernetes.io/service-name":"s"}},"addressType":"IPv4",
    "ports":[{"name":"other","port":1},{"name":"https","port":8443}],
    "endpoints":[{"addresses":["10.0.0.1"],"conditions":{"ready":false}},{"addresses":["10.0.0.2"]}]})");
  CHECK(error("s", 443) == "10.0.0.2:8443");
  HookTarget target;
  target.service_ns = "n";
  target.service_name = "s";
  auto call = locate_hook(target, 7, lookup, {});
  REQUIRE(call.ok());
  CHECK(call->url == "https://s.n.svc:443/?timeout=7s");
  CHECK(call->connect_to == "10.0.0.2:8443");
  target.service_port = 80;
  call = locate_hook(target, 7, lookup, {});
  CHECK(call.error().message() ==
        "Post \"https://s.n.svc:80/?timeout=7s\": no service port 80 found for service \"s\"");
}

TEST_CASE("conversion reviews are made and read") {
  Json a = json(R"({"apiVersion":"g/v1","kind":"Foo","metadata":{"name":"a","namespace":"n","uid":"1",
    "labels":{"x":"y"}},"host":"h"})");
  const Json sent = json(make_conversion_review({&a}, "g/v2", "v1", "u").c_str());
  CHECK(sent["request"] == Json{{"uid", "u"}, {"desiredAPIVersion", "g/v2"}, {"objects", {a}}});
  const auto read = [](Json object, const std::string& converted) {
    const std::string body = R"({"kind":"ConversionReview","apiVersion":"apiextensions.k8s.io/v1","response":
      {"uid":"u","result":{"status":"Success"},"convertedObjects":[)" +
                             converted + "]}}";
    const auto status = read_conversion_review(body, "g/v2", "v1", "u", {&object});
    return status.ok() ? object.dump() : status.message();
  };
  const Json good = json(read(a, R"({"apiVersion":"g/v2","kind":"Foo","metadata":{"name":"a","namespace":"n",
    "uid":"1","labels":{"l":"m"},"generation":9},"hosts":["h"]})")
                             .c_str());
  CHECK(good == json(R"({"apiVersion":"g/v2","kind":"Foo","metadata":{"name":"a","namespace":"n","uid":"1",
    "labels":{"l":"m"}},"hosts":["h"]})"));
  const std::string what = "conversion webhook for g/v1, Kind=Foo ";
  CHECK(read(a, "") == what + "returned 0 objects, expected 1");
  CHECK(read(a, R"({"apiVersion":"g/v3","kind":"Foo","metadata":{}})") ==
        what +
            "returned invalid converted object at index 0: invalid groupVersion (expected g/v2, received "
            "g/v3)");
  CHECK(read(a, R"({"apiVersion":"g/v2","kind":"Bar","metadata":{}})") ==
        what + "returned invalid converted object at index 0: invalid kind (expected Foo, received Bar)");
  CHECK(read(a, R"({"apiVersion":"g/v2","kind":"Foo","metadata":{"name":"b"}})") ==
        what + "returned invalid converted object at index 0: must have the same name: a != b");
  const auto failure = [&](const char* response) {
    Json object = a;
    return read_conversion_review(
               std::string(
                   R"({"kind":"ConversionReview","apiVersion":"apiextensions.k8s.io/v1","response":)") +
                   response + "}",
               "g/v2", "v1", "u", {&object})
        .message();
  };
  CHECK(failure("null") == what + "failed: no response provided");
  CHECK(failure(R"({"uid":"x"})") == what + R"(failed: expected response.uid="u", got "x")");
  CHECK(failure(R"({"uid":"u","result":{"status":"Failed","message":"because"}})") ==
        what + "failed: because");
  CHECK(failure(R"({"uid":"u","result":{"status":"Failed"}})") ==
        what + "failed: response.result.status was 'Failed', not 'Success'");
}

}  // namespace
}  // namespace orch::server
