// Admission webhooks against a whole server: what they are sent, what their answers do, and what happens when
// they fail.
#include <map>
#include <mutex>
#include <thread>

#include "tests/integration/server/https_server.h"

namespace orch::testing {
namespace {

const std::string kMutating = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";
const std::string kValidating = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations";

/// Answers reviews by what is registered for their path; remembers the last request of each.
class HookServer {
 public:
  using Answer = std::function<Json(const Json& request)>;

  HookServer() : server_([this](http::Request& r) { return handle(r); }, {"hook.default.svc"}) {}
  void on(const std::string& path, Answer answer) {
    std::lock_guard lock(mutex_);
    answers_[path] = std::move(answer);
  }
  Json last(const std::string& path) {
    std::lock_guard lock(mutex_);
    return last_[path];
  }
  int calls(const std::string& path) {
    std::lock_guard lock(mutex_);
    return calls_[path];
  }
  HttpsServer& server() { return server_; }
  /// A webhook of this server for one resource of core/v1.
  Json hook(const std::string& name, const std::string& path, const std::string& resource,
            const std::vector<std::string>& operations = {"*"}) const {
    return {{"name", name + ".example.com"},
            {"clientConfig", {{"url", server_.url(path)}, {"caBundle", server_.ca_bundle()}}},
            {"sideEffects", "None"},
            {"admissionReviewVersions", {"v1"}},
            {"timeoutSeconds", 5},
            {"rules",
             {{{"operations", operations},
               {"apiGroups", {"*"}},
               {"apiVersions", {"*"}},
               {"resources", {resource}}}}}};
  }

 private:
  http::Response handle(http::Request& request) {
    auto review = base::parse_json(request.body);
    Answer answer;
    {
      std::lock_guard lock(mutex_);
      ++calls_[request.path];
      last_[request.path] = review.ok() ? (*review)["request"] : Json();
      answer = answers_[request.path];
    }
    if (!answer || !review.ok()) return http::Response::text("no such hook", 500);
    Json response = answer((*review)["request"]);
    if (response.is_string()) return http::Response::json(response.get<std::string>());
    response["uid"] = (*review)["request"]["uid"];
    return http::Response::json(Json{
        {"kind", "AdmissionReview"},
        {"apiVersion", (*review)["apiVersion"]},
        {"response",
         std::move(response)}}.dump());
  }

  std::mutex mutex_;
  std::map<std::string, Answer> answers_;
  std::map<std::string, Json> last_;
  std::map<std::string, int> calls_;
  HttpsServer server_;
};

Json allow() { return {{"allowed", true}}; }
Json patch(const char* operations) {
  return {{"allowed", true}, {"patchType", "JSONPatch"}, {"patch", pki::base64_encode(operations)}};
}
Json deny(Json status) { return {{"allowed", false}, {"status", std::move(status)}}; }

/// A configuration as long as this lives.
class Configuration {
 public:
  Configuration(const Control& c, const std::string& path, const std::string& name, std::vector<Json> hooks)
      : control_(c), path_(path + "/" + name) {
    const bool mutating = path == kMutating;
    const Json body = {{"kind", mutating ? "MutatingWebhookConfiguration" : "ValidatingWebhookConfiguration"},
                       {"apiVersion", "admissionregistration.k8s.io/v1"},
                       {"metadata", {{"name", name}}},
                       {"webhooks", std::move(hooks)}};
    const Answer made = c.post(path, body);
    INFO(made.body);
    REQUIRE(made.status == 201);
  }
  ~Configuration() { (void)control_.send("DELETE", path_); }

 private:
  const Control& control_;
  const std::string path_;
};

std::string message(const Answer& answer) { return std::string(base::string_at(answer.tree(), {"message"})); }

TEST_CASE("a mutating webhook changes what is stored, and defaults follow") {
  Control& c = shared();
  HookServer hooks;
  hooks.on("/m", [](const Json&) {
    return patch(R"([{"op":"add","path":"/metadata/labels","value":{"by":"hook"}},
                     {"op":"add","path":"/spec/ports/-","value":{"name":"more","port":81}},
                     {"op":"add","path":"/nonsense","value":1}])");
  });
  Configuration configuration(c, kMutating, "m", {hooks.hook("m", "/m", "services", {"CREATE"})});
  const Json service = {{"kind", "Service"},
                        {"apiVersion", "v1"},
                        {"metadata", {{"generateName", "mutated-"}}},
                        {"spec", {{"ports", {{{"name", "one"}, {"port", 80}}}}}}};
  const Answer made = c.post("/api/v1/namespaces/default/services?fieldManager=me", service);
  INFO(made.body);
  REQUIRE(made.status == 201);
  const Json tree = made.tree();
  CHECK(tree["metadata"]["labels"] == Json{{"by", "hook"}});
  CHECK(tree["spec"]["ports"][1] ==
        Json{{"name", "more"}, {"port", 81}, {"protocol", "TCP"}, {"targetPort", 81}});
  CHECK_FALSE(tree.contains("nonsense"));
  const Json seen = hooks.last("/m");
  CHECK(seen["operation"] == "CREATE");
  CHECK(seen["options"] ==
        Json{{"kind", "CreateOptions"}, {"apiVersion", "meta.k8s.io/v1"}, {"fieldManager", "me"}});
  CHECK(seen["userInfo"]["username"] == "system:admin");
  CHECK(seen["resource"] == Json{{"group", ""}, {"version", "v1"}, {"resource", "services"}});
  CHECK(seen["namespace"] == "default");
  CHECK_FALSE(seen.contains("name"));
  CHECK(seen["oldObject"].is_null());
  CHECK(seen["object"]["kind"] == "Service");
  CHECK(seen["object"]["spec"]["type"] == "ClusterIP");     // with defaults
  CHECK_FALSE(seen["object"]["metadata"].contains("uid"));  // that comes later
  CHECK(seen["object"]["metadata"].contains("managedFields"));
  (void)c.send("DELETE",
               "/api/v1/namespaces/default/services/" + tree["metadata"]["name"].get<std::string>());
}

TEST_CASE("a validating webhook refuses in its own words") {
  Control& c = shared();
  HookServer hooks;
  hooks.on("/v", [](const Json& request) {
    const std::string_view what = base::string_at(request, {"object", "data", "refuse"});
    if (what == "plain") return deny({{"message", "because"}});
    if (what == "coded") return deny({{"message", "teapot"}, {"code", 418}, {"reason", "Short and stout"}});
    if (what == "bare") return Json{{"allowed", false}};
    Json answer = allow();
    answer["warnings"] = {"be careful"};
    return answer;
  });
  Configuration configuration(c, kValidating, "v", {hooks.hook("v", "/v", "configmaps")});
  const auto refused = [&](const char* how) { return c.post(kMaps, config_map("x", {{"refuse", how}})); };
  const std::string by = "admission webhook \"v.example.com\" denied the request";
  Answer answer = refused("plain");
  CHECK(answer.status == 400);
  CHECK(message(answer) == by + ": because");
  CHECK_FALSE(answer.tree().contains("reason"));
  answer = refused("coded");
  CHECK(answer.status == 418);
  CHECK(answer.tree()["reason"] == "Short and stout");
  CHECK(message(answer) == by + ": teapot");
  CHECK(message(refused("bare")) == by + " without explanation");
  answer = refused("not at all");
  CHECK(answer.status == 201);
  CHECK_THAT(answer.headers, contains("299 - \"be careful\""));

  const Answer changed = c.patch(kMaps + "/x", "merge-patch+json", {{"data", {{"b", "2"}}}});
  CHECK(changed.status == 200);
  Json seen = hooks.last("/v");
  CHECK(seen["operation"] == "UPDATE");
  CHECK(seen["object"]["data"]["b"] == "2");
  CHECK_FALSE(seen["oldObject"]["data"].contains("b"));
  CHECK(seen["options"]["kind"] == "UpdateOptions");
  CHECK(c.send("DELETE", kMaps + "/x?gracePeriodSeconds=0").status == 200);
  seen = hooks.last("/v");
  CHECK(seen["operation"] == "DELETE");
  CHECK(seen["object"].is_null());
  CHECK(seen["oldObject"]["metadata"]["name"] == "x");
  CHECK(seen["options"] ==
        Json{{"kind", "DeleteOptions"}, {"apiVersion", "meta.k8s.io/v1"}, {"gracePeriodSeconds", 0}});
}

TEST_CASE("a webhook that fails is a reason to fail, or none") {
  Control& c = shared();
  HookServer hooks;
  hooks.on("/slow", [](const Json&) {
    std::this_thread::sleep_for(std::chrono::seconds(2));
    return allow();
  });
  hooks.on("/nonsense", [](const Json&) { return Json("{}"); });
  const auto create = [&](Json hook) {
    Configuration configuration(c, kValidating, "f", {std::move(hook)});
    return c.post(kMaps + "?dryRun=All", config_map("f"));
  };
  const auto slow = [&](const char* policy) {
    Json hook = hooks.hook("f", "/slow", "configmaps");
    hook["timeoutSeconds"] = 1;
    hook["failurePolicy"] = policy;
    return hook;
  };
  Answer answer = create(slow("Fail"));
  check_error(answer, 500, "InternalError");
  CHECK(message(answer) ==
        "Internal error occurred: failed calling webhook \"f.example.com\": failed to call webhook: Post \"" +
            hooks.server().url("/slow") + "?timeout=1s\": context deadline exceeded");
  CHECK(create(slow("Ignore")).status == 201);

  Json hook = hooks.hook("f", "/missing", "configmaps");
  CHECK(message(create(hook)) ==
        "Internal error occurred: failed calling webhook \"f.example.com\": failed to call webhook: an error "
        "on "
        "the server (\"no such hook\") has prevented the request from succeeding");
  CHECK_THAT(message(create(hooks.hook("f", "/nonsense", "configmaps"))),
             contains("Object 'Kind' is missing"));
  hook = hooks.hook("f", "/v", "configmaps");
  hook["clientConfig"]["url"] = "https://127.0.0.1:1/";
  CHECK_THAT(message(create(hook)), contains("dial tcp 127.0.0.1:1: connect: connection refused"));
  hook = hooks.hook("f", "/v", "configmaps");
  hook["clientConfig"]["caBundle"] = pki::base64_encode(c.ca());
  CHECK_THAT(message(create(hook)),
             contains("tls: failed to verify certificate: x509: certificate signed by unknown authority"));
  hook["clientConfig"] = {{"service", {{"namespace", "default"}, {"name", "nobody"}}}};
  CHECK_THAT(message(create(hook)), contains("Post \"https://nobody.default.svc:443/?timeout=5s\": services "
                                             "\"nobody\" not found"));
}

TEST_CASE("webhooks are called again when others changed the object after them") {
  Control& c = shared();
  HookServer hooks;
  hooks.on("/first", [](const Json& request) {
    const bool second = request["object"]["data"].contains("second");
    return second ? patch(R"([{"op":"add","path":"/data/first","value":"saw it"}])") : allow();
  });
  hooks.on("/second",
           [](const Json&) { return patch(R"([{"op":"add","path":"/data/second","value":"yes"}])"); });
  const auto create = [&](const char* policy) {
    Json first = hooks.hook("first", "/first", "configmaps");
    first["reinvocationPolicy"] = policy;
    Configuration configuration(c, kMutating, "r", {first, hooks.hook("second", "/second", "configmaps")});
    return c.post(kMaps + "?dryRun=All", config_map("r")).tree()["data"];
  };
  CHECK(create("Never") == Json{{"a", "1"}, {"second", "yes"}});
  CHECK(hooks.calls("/first") == 1);
  CHECK(create("IfNeeded") == Json{{"a", "1"}, {"second", "yes"}, {"first", "saw it"}});
  CHECK(hooks.calls("/first") == 3);
  CHECK(hooks.calls("/second") == 2);
}

TEST_CASE("selectors keep webhooks from what is none of theirs") {
  Control& c = shared();
  HookServer hooks;
  hooks.on("/s", [](const Json&) { return deny({{"message", "selected"}}); });
  Json hook = hooks.hook("s", "/s", "configmaps");
  hook["objectSelector"] = {{"matchLabels", {{"hook", "yes"}}}};
  hook["namespaceSelector"] = {
      {"matchExpressions",
       {{{"key", "kubernetes.io/metadata.name"}, {"operator", "NotIn"}, {"values", {"kube-public"}}}}}};
  Configuration configuration(c, kValidating, "s", {hook});
  Json map = config_map("s");
  CHECK(c.post(kMaps + "?dryRun=All", map).status == 201);
  map["metadata"]["labels"] = {{"hook", "yes"}};
  CHECK(c.post(kMaps + "?dryRun=All", map).status == 400);
  CHECK(c.post("/api/v1/namespaces/kube-public/configmaps?dryRun=All", map).status == 201);
  // What configures webhooks is not theirs to refuse.
  HookServer others;
  others.on("/all", [](const Json&) { return deny({{"message", "no"}}); });
  Configuration all(c, kValidating, "all", {others.hook("all", "/all", "*/*")});
  CHECK(c.post(kMaps + "?dryRun=All", config_map("t")).status == 400);
  Configuration another(c, kMutating, "another", {});
  CHECK(c.send("DELETE", kValidating + "/all").status == 200);
}

TEST_CASE("subresources reach webhooks as the objects they are") {
  Control& c = shared();
  HookServer hooks;
  for (const char* path : {"/bind", "/scale", "/token", "/exec"})
    hooks.on(path, [](const Json&) { return allow(); });
  hooks.on("/scale",
           [](const Json&) { return patch(R"([{"op":"replace","path":"/spec/replicas","value":7}])"); });
  Configuration configuration(
      c, kMutating, "sub",
      {hooks.hook("bind", "/bind", "pods/binding"), hooks.hook("scale", "/scale", "*/scale"),
       hooks.hook("token", "/token", "serviceaccounts/token"),
       hooks.hook("exec", "/exec", "pods/exec", {"CONNECT"})});
  const std::string pods = "/api/v1/namespaces/default/pods";
  const Json pod = {{"kind", "Pod"},
                    {"apiVersion", "v1"},
                    {"metadata", {{"name", "hooked"}}},
                    {"spec", {{"schedulerName", "none"}, {"containers", {{{"name", "c"}, {"image", "i"}}}}}}};
  const Answer made = c.post(pods, pod);
  INFO(made.body);
  REQUIRE(made.status == 201);
  const Json binding = {{"kind", "Binding"},
                        {"apiVersion", "v1"},
                        {"metadata", {{"name", "hooked"}}},
                        {"target", {{"kind", "Node"}, {"name", "n"}}}};
  CHECK(c.post(pods + "/hooked/binding", binding).status == 201);
  Json seen = hooks.last("/bind");
  CHECK(seen["kind"] == Json{{"group", ""}, {"version", "v1"}, {"kind", "Binding"}});
  CHECK(seen["subResource"] == "binding");
  CHECK(seen["operation"] == "CREATE");
  CHECK(seen["object"]["target"]["name"] == "n");
  const Answer exec = c.send("POST", pods + "/hooked/exec?command=ls&command=-l&stdin=true&container=c");
  CHECK(exec.status >= 400);
  seen = hooks.last("/exec");
  CHECK(seen["operation"] == "CONNECT");
  CHECK(seen["object"] == Json{{"kind", "PodExecOptions"},
                               {"apiVersion", "v1"},
                               {"stdin", true},
                               {"container", "c"},
                               {"command", {"ls", "-l"}}});
  (void)c.send("DELETE", pods + "/hooked?gracePeriodSeconds=0");

  const std::string sets = "/apis/apps/v1/namespaces/default/replicasets";
  const Json labels = {{"app", "hooked"}};
  const Json set = {
      {"kind", "ReplicaSet"},
      {"apiVersion", "apps/v1"},
      {"metadata", {{"name", "hooked"}}},
      {"spec",
       {{"replicas", 0},
        {"selector", {{"matchLabels", labels}}},
        {"template",
         {{"metadata", {{"labels", labels}}},
          {"spec", {{"schedulerName", "none"}, {"containers", {{{"name", "c"}, {"image", "i"}}}}}}}}}}};
  REQUIRE(c.post(sets, set).status == 201);
  const Answer scaled =
      c.patch(sets + "/hooked/scale?dryRun=All", "merge-patch+json", {{"spec", {{"replicas", 1}}}});
  INFO(scaled.body);
  CHECK(scaled.status == 200);
  CHECK(scaled.tree()["spec"]["replicas"] == 7);
  seen = hooks.last("/scale");
  CHECK(seen["kind"] == Json{{"group", "autoscaling"}, {"version", "v1"}, {"kind", "Scale"}});
  CHECK(seen["object"]["spec"]["replicas"] == 1);
  CHECK(seen["dryRun"] == true);
  (void)c.send("DELETE", sets + "/hooked");
  const Json review = {
      {"kind", "TokenRequest"}, {"apiVersion", "authentication.k8s.io/v1"}, {"spec", Json::object()}};
  CHECK(c.default_token(review).status == 201);
  CHECK(hooks.last("/token")["object"]["kind"] == "TokenRequest");
}

TEST_CASE("webhooks behind a service and of the old review version are called") {
  if (own_address().empty()) return;
  Control& c = shared();
  HookServer hooks;
  hooks.on("/old/way", [](const Json&) {
    // The old version does not have to say what kind of patch it is.
    return Json{{"allowed", true},
                {"patch", pki::base64_encode(R"([{"op":"add","path":"/data/b","value":"2"}])")}};
  });
  make_service(c, "hook", hooks.server().port());
  Json hook = hooks.hook("old", "/", "configmaps");
  hook["clientConfig"].erase("url");
  hook["clientConfig"]["service"] = {{"namespace", "default"}, {"name", "hook"}, {"path", "/old/way"}};
  hook["admissionReviewVersions"] = {"v1beta1", "v1"};
  Configuration configuration(c, kMutating, "old", {hook});
  const Answer made = c.post(kMaps + "?dryRun=All", config_map("old"));
  INFO(made.body);
  REQUIRE(made.status == 201);
  CHECK(made.tree()["data"] == Json{{"a", "1"}, {"b", "2"}});
  const std::string metrics = c.get("/metrics").body;
  CHECK_THAT(metrics,
             contains("apiserver_admission_webhook_request_total{name=\"old.example.com\",type=\"admit\","
                      "operation=\"CREATE\",code=\"200\",rejected=\"false\"} 1"));
  (void)c.send("DELETE", "/api/v1/namespaces/default/services/hook");
}

TEST_CASE("match conditions keep webhooks from being called") {
  Control& c = shared();
  HookServer hooks;
  hooks.on("/c", [](const Json&) { return deny({{"message", "called"}}); });
  Json hook = hooks.hook("c", "/c", "configmaps");
  hook["matchConditions"] = {
      {{"name", "not-mine"}, {"expression", "!object.metadata.name.startsWith('free-')"}},
      {{"name", "by-admin"}, {"expression", "authorizer.requestResource.check('delete').allowed()"}}};
  Configuration configuration(c, kValidating, "c", {hook});
  CHECK(c.post(kMaps + "?dryRun=All", config_map("free-one")).status == 201);
  CHECK(hooks.calls("/c") == 0);
  CHECK(c.post(kMaps + "?dryRun=All", config_map("bound")).status == 400);
  hook["matchConditions"] = {{{"name", "broken"}, {"expression", "object.nothing == 1"}}};
  Configuration broken(c, kValidating, "d", {hook});
  const Answer answer = c.post(kMaps + "?dryRun=All", config_map("free-two"));
  check_error(
      answer, 403, "Forbidden",
      "configmaps \"free-two\" is forbidden: expression 'object.nothing == 1' resulted in error: no such "
      "key: nothing");
  hook["matchConditions"] = {{{"name", "x"}, {"expression", "1 +"}}};
  const Json bad = {{"kind", "ValidatingWebhookConfiguration"},
                    {"apiVersion", "admissionregistration.k8s.io/v1"},
                    {"metadata", {{"name", "bad"}}},
                    {"webhooks", {hook}}};
  check_error(c.post(kValidating, bad), 422, "Invalid",
              "compilation failed: ERROR: <input>:1:4: Syntax error");
}

Json widgets(const HttpsServer& converter) {
  const Json schema = {{"openAPIV3Schema",
                        {{"type", "object"},
                         {"properties",
                          {{"host", {{"type", "string"}}},
                           {"port", {{"type", "string"}}},
                           {"address", {{"type", "string"}}},
                           {"color", {{"type", "string"}, {"default", "red"}}}}}}}};
  const auto version = [&](const char* name, bool storage, const char* selectable) {
    return Json{{"name", name},
                {"served", true},
                {"storage", storage},
                {"schema", schema},
                {"selectableFields", {{{"jsonPath", selectable}}}}};
  };
  return {{"kind", "CustomResourceDefinition"},
          {"apiVersion", "apiextensions.k8s.io/v1"},
          {"metadata", {{"name", "widgets.stable.example.com"}}},
          {"spec",
           {{"group", "stable.example.com"},
            {"scope", "Namespaced"},
            {"names", {{"plural", "widgets"}, {"kind", "Widget"}}},
            {"versions", {version("v1", true, ".host"), version("v2", false, ".address")}},
            {"conversion",
             {{"strategy", "Webhook"},
              {"webhook",
               {{"clientConfig", {{"url", converter.url("/convert")}, {"caBundle", converter.ca_bundle()}}},
                {"conversionReviewVersions", {"v1"}}}}}}}}};
}

/// v1 has host and port, v2 an address.
http::Response convert_widgets(http::Request& request) {
  auto review = base::parse_json(request.body);
  Json out = Json::array();
  const std::string wanted = (*review)["request"]["desiredAPIVersion"];
  for (Json object : (*review)["request"]["objects"]) {
    object["apiVersion"] = wanted;
    if (wanted == "stable.example.com/v2") {
      object["address"] = object.value("host", "") + ":" + object.value("port", "");
      object.erase("host");
      object.erase("port");
    } else {
      const std::string address = object.value("address", ":");
      object["host"] = address.substr(0, address.find(':'));
      object["port"] = address.substr(address.find(':') + 1);
      object.erase("address");
    }
    out.push_back(std::move(object));
  }
  return http::Response::json(Json{{"kind", "ConversionReview"},
                                   {"apiVersion", "apiextensions.k8s.io/v1"},
                                   {"response",
                                    {{"uid", (*review)["request"]["uid"]},
                                     {"result", {{"status", "Success"}}},
                                     {"convertedObjects", out}}}}
                                  .dump());
}

TEST_CASE("custom resources are converted and changed by webhooks") {
  DataFolder folder;
  Control c(folder);
  c.start();
  HttpsServer converter(convert_widgets);
  const std::string definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
  const Answer defined = c.post(definitions, widgets(converter));
  INFO(defined.body);
  REQUIRE(defined.status == 201);
  const std::string v1 = "/apis/stable.example.com/v1/namespaces/default/widgets";
  const std::string v2 = "/apis/stable.example.com/v2/namespaces/default/widgets";
  const auto widget = [](const char* version, const char* name) {
    return Json{{"kind", "Widget"},
                {"apiVersion", std::string("stable.example.com/") + version},
                {"metadata", {{"name", name}}}};
  };
  Json one = widget("v1", "one");
  one["host"] = "h";
  one["port"] = "80";
  REQUIRE(c.post(v1, one).status == 201);
  Answer answer = c.get(v2 + "/one");
  INFO(answer.body);
  REQUIRE(answer.status == 200);
  CHECK(answer.tree()["address"] == "h:80");
  Json two = widget("v2", "two");
  two["address"] = "g:81";
  REQUIRE(c.post(v2, two).status == 201);
  CHECK(c.get(v1 + "/two").tree()["host"] == "g");
  const Json list = c.get(v2).tree();
  REQUIRE(list["items"].size() == 2);
  CHECK(list["items"][0]["address"] == "h:80");

  HookServer hooks;
  hooks.on("/w", [](const Json& request) {
    if (request["kind"]["version"] != "v2") return deny({{"message", "not my version"}});
    return patch(
        R"([{"op":"add","path":"/address","value":"z:9"},{"op":"add","path":"/unknown","value":1}])");
  });
  Json hook = hooks.hook("w", "/w", "widgets", {"CREATE"});
  hook["rules"][0]["apiGroups"] = {"stable.example.com"};
  hook["rules"][0]["apiVersions"] = {"v2"};
  Configuration configuration(c, kMutating, "w", {hook});
  answer = c.post(v1, widget("v1", "three"));
  INFO(answer.body);
  REQUIRE(answer.status == 201);
  CHECK(answer.tree()["host"] == "z");
  CHECK(answer.tree()["port"] == "9");
  CHECK(answer.tree()["color"] == "red");
  CHECK_FALSE(answer.tree().contains("unknown"));
  CHECK(hooks.last("/w")["requestKind"]["version"] == "v1");

  // What is selected by is a field of the converted object alone.
  CHECK(c.get(v2 + "?fieldSelector=address%3Dg:81").tree()["items"].size() == 1);
  REQUIRE(c.send("DELETE", v2 + "?fieldSelector=address%3Dg:81").status == 200);
  CHECK(c.get(v1 + "/two").status == 404);
  CHECK(c.get(v1 + "/one").status == 200);

  converter.stop();
  answer = c.get(v2 + "/one");
  CHECK(answer.status == 500);
  CHECK_THAT(answer.body, contains("conversion webhook for stable.example.com/v1, Kind=Widget failed: Post"));
}

}  // namespace
}  // namespace orch::testing
