// Audit: which rule decides, what an event holds, where it goes.
#include "server/audit/audit.h"

#include <stdlib.h>

#include <atomic>
#include <future>

#include "base/file.h"
#include "base/json.h"
#include "tests/catch.h"

using namespace orch;
using namespace orch::server;
using orch::testing::contains;

namespace {

const std::string kHead = "apiVersion: audit.k8s.io/v1\nkind: Policy\n";

AuditPolicy policy(const std::string& text) {
  auto parsed = AuditPolicy::parse(kHead + text);
  INFO(parsed.status().message());
  REQUIRE(parsed.ok());
  return *parsed;
}

struct Ask {
  std::string user = "bob";
  std::vector<std::string> groups = {};
  std::string verb = "get", group = {}, resource = {}, subresource = {}, ns = {}, name = {}, path = {};
};

AuditRule outcome(const AuditPolicy& p, const Ask& ask) {
  UserInfo user;
  user.name = ask.user;
  user.groups = ask.groups;
  Attributes a;
  a.user = &user;
  a.verb = ask.verb;
  a.resource_request = !ask.resource.empty();
  a.group = ask.group;
  a.resource = ask.resource;
  a.subresource = ask.subresource;
  a.ns = ask.ns;
  a.name = ask.name;
  a.path = ask.path;
  return p.evaluate(a);
}

std::string level(const AuditPolicy& p, const Ask& ask) {
  return std::string(audit_level_name(outcome(p, ask).level));
}

class Collector final : public AuditBackend {
 public:
  explicit Collector(std::vector<Json>& events) : events_(events) {}
  void write(const std::string& event) override { events_.push_back(*base::parse_json(event)); }

 private:
  std::vector<Json>& events_;
};

AuditLog log_to(std::vector<Json>& events, const std::string& rules, const base::Clock& clock) {
  std::vector<std::unique_ptr<AuditBackend>> backends;
  backends.push_back(std::make_unique<Collector>(events));
  return AuditLog(policy(rules), std::move(backends), clock);
}

}  // namespace

TEST_CASE("the first rule that matches decides") {
  const AuditPolicy p = policy(R"(omitStages: [RequestReceived]
rules:
- {level: None, users: [system:kube-proxy], verbs: [watch], resources: [{group: "", resources: [endpoints, services]}]}
- {level: None, userGroups: [system:authenticated], nonResourceURLs: ["/api*", /version]}
- {level: Request, resources: [{group: "", resources: [configmaps], resourceNames: [one]}], namespaces: [kube-system]}
- {level: RequestResponse, resources: [{group: "", resources: [pods]}], omitStages: [ResponseStarted]}
- {level: Metadata, resources: [{group: "", resources: [pods/log, "*/scale", secrets/*]}], omitManagedFields: true}
- {level: Request, resources: [{group: apps}]}
- {level: Metadata, namespaces: [""], verbs: [list]}
)");
  CHECK(level(p, {"system:kube-proxy", {}, "watch", "", "services"}) == "None");
  CHECK(level(p, {"bob", {}, "watch", "", "services"}) == "None");
  CHECK(level(p, {"bob", {"system:authenticated"}, "get", "", "", "", "", "", "/apis/apps"}) == "None");
  CHECK(level(p, {"bob", {}, "get", "", "configmaps", "", "kube-system", "one"}) == "Request");
  CHECK(level(p, {"bob", {}, "get", "", "configmaps", "", "kube-system", "two"}) == "None");
  CHECK(level(p, {"bob", {}, "get", "", "pods", "", "x", "p"}) == "RequestResponse");
  CHECK(level(p, {"bob", {}, "get", "", "pods", "log", "x", "p"}) == "Metadata");
  CHECK(level(p, {"bob", {}, "get", "", "pods", "exec", "x", "p"}) == "None");
  CHECK(level(p, {"bob", {}, "get", "", "replicationcontrollers", "scale", "x", "p"}) == "Metadata");
  CHECK(level(p, {"bob", {}, "get", "", "secrets", "", "x", "p"}) == "Metadata");
  CHECK(level(p, {"bob", {}, "get", "apps", "deployments", "status", "x", "p"}) == "Request");
  CHECK(level(p, {"bob", {}, "list", "", "nodes"}) == "Metadata");
  CHECK(level(p, {"bob", {}, "list", "", "", "", "", "", "/x"}) == "None");
  const AuditRule pods = outcome(p, {"bob", {}, "get", "", "pods", "", "x", "p"});
  CHECK(pods.omits(AuditStage::kRequestReceived));
  CHECK(pods.omits(AuditStage::kResponseStarted));
  CHECK_FALSE(pods.omits(AuditStage::kResponseComplete));
  CHECK(outcome(p, {"bob", {}, "get", "", "pods", "log", "x", "p"}).omit_managed_fields);
}

TEST_CASE("policies that are none") {
  struct Row {
    const char *rules, *part;
  };
  for (const Row& row : {
           Row{"rules: []", "loaded illegal policy with 0 rules"},
           Row{"rules: [{level: Much}]", "rules[0].level: Unsupported value: \"Much\""},
           Row{"rules: [{users: [a]}]", "rules[0].level: Required value"},
           Row{"rules: [{level: None, nonResourceURLs: [x]}]", "must begin with a '/' character"},
           Row{"rules: [{level: None, nonResourceURLs: ['/a*b']}]", "must be the final character"},
           Row{"rules: [{level: None, nonResourceURLs: [/a], namespaces: [x]}]", "cannot apply to both"},
           Row{"rules: [{level: None, resources: [{group: a/v1}]}]", "rules[0].resources.group"},
           Row{"rules: [{level: None, resources: [{group: '', resourceNames: [x]}]}]",
               "requires at least one resource"},
           Row{"omitStages: [Later]\nrules: [{level: None}]", "allowed stages are"},
       }) {
    INFO(row.rules);
    auto parsed = AuditPolicy::parse(kHead + row.rules);
    REQUIRE_FALSE(parsed.ok());
    CHECK_THAT(parsed.error().message(), contains(row.part));
  }
  CHECK_FALSE(AuditPolicy::parse("kind: Pod").ok());
}

TEST_CASE("events hold what their level says, and no token") {
  base::FakeClock clock;
  std::vector<Json> events;
  AuditLog log = log_to(events,
                        "omitManagedFields: true\nrules:\n- {level: Metadata, verbs: [list]}\n"
                        "- {level: Request, verbs: [update]}\n- {level: RequestResponse}\n",
                        clock);
  http::Request request;
  request.target = "/api/v1/namespaces/ns/pods?x=1";
  request.remote_address = "[fd00::1]:80";
  request.headers = {{"Authorization", "Bearer secret-token"},
                     {"X-Forwarded-For", "1.2.3.4, bad, 5.6.7.8"},
                     {"User-Agent", "kubectl"},
                     {"Audit-ID", "my-id"}};
  UserInfo user;
  user.name = "bob";
  Attributes a;
  a.user = &user;
  a.resource_request = true;
  a.resource = "pods";
  a.version = "v1";
  a.ns = "ns";
  const Json body = {{"kind", "Pod"},
                     {"metadata", {{"name", "p"}, {"uid", "u"}, {"managedFields", Json::array({1})}}}};
  for (const char* verb : {"list", "update", "create"}) {
    a.verb = verb;
    auto event = log.begin(request, a);
    REQUIRE(event != nullptr);
    event->emit(AuditStage::kRequestReceived);
    event->annotate("authorization.k8s.io/decision", "allow");
    event->request_object(body);
    event->response(200, &body);
    event->emit(AuditStage::kResponseComplete);
  }
  REQUIRE(events.size() == 6);
  const Json& first = events[0];
  CHECK(first["stage"] == "RequestReceived");
  CHECK(first["auditID"] == "my-id");
  CHECK(first["requestURI"] == "/api/v1/namespaces/ns/pods?x=1");
  CHECK(first["sourceIPs"] == Json({"1.2.3.4", "5.6.7.8", "fd00::1"}));
  CHECK(first["user"] == Json{{"username", "bob"}});
  CHECK(first["objectRef"] == Json{{"resource", "pods"}, {"namespace", "ns"}, {"apiVersion", "v1"}});
  CHECK(first["requestReceivedTimestamp"] == "2026-01-01T00:00:00.000000Z");
  CHECK_FALSE(first.contains("annotations"));
  const Json &listed = events[1], &updated = events[3], &created = events[5];
  CHECK(listed["annotations"]["authorization.k8s.io/decision"] == "allow");
  CHECK(listed["responseStatus"] == Json{{"metadata", Json::object()}, {"code", 200}});
  CHECK(listed["objectRef"]["name"] == "p");
  CHECK_FALSE(listed.contains("requestObject"));
  CHECK(updated["requestObject"]["metadata"] == Json{{"name", "p"}, {"uid", "u"}});
  CHECK_FALSE(updated.contains("responseObject"));
  CHECK(created["responseObject"]["metadata"] == Json{{"name", "p"}, {"uid", "u"}});
  for (const Json& e : events) CHECK(e.dump().find("secret-token") == std::string::npos);

  events.clear();
  auto event = log.begin(request, a);
  event->request_object({{"kind", "TokenReview"}, {"spec", {{"token", "secret-token"}}}});
  const Json token = {{"kind", "TokenRequest"}, {"status", {{"token", "secret-token"}}}};
  event->response(201, &token);
  event->emit(AuditStage::kResponseComplete);
  REQUIRE(events.size() == 1);
  CHECK(events[0].dump().find("secret-token") == std::string::npos);
}

TEST_CASE("failed authentication says what was tried") {
  http::Request request;
  CHECK(failed_authentication(request) == "Authentication failed, no credentials provided");
  request.headers = {{"Authorization", "bearer x"}};
  request.peer.error = "x509: bad";
  CHECK(failed_authentication(request) == "Authentication failed, attempted: bearer, x509");
}

TEST_CASE("log files rotate by size, number and age") {
  std::string folder = "/var/tmp/orch-audit-XXXXXX";
  REQUIRE(::mkdtemp(folder.data()) != nullptr);
  base::FakeClock clock;
  base::Counter errors;
  auto file = AuditLogFile::open({folder + "/audit.log", 2, 3, 1}, clock, errors);
  REQUIRE(file.ok());
  const std::string event(400'000, 'x');
  for (int i = 0; i < 20; ++i) {
    (*file)->write(event);
    clock.advance(std::chrono::seconds(1));
  }
  auto names = *base::list_dir(folder);
  CHECK(names.size() == 4);
  CHECK(names[0] == "audit-2026-01-01T00-00-14.000.log");
  CHECK(names[3] == "audit.log");
  CHECK(base::read_file(folder + "/" + names[0])->size() == 2 * (event.size() + 1));
  clock.advance(std::chrono::hours(72));
  (*file)->write(event);
  (*file)->write(event);
  names = *base::list_dir(folder);
  CHECK(names == std::vector<std::string>{"audit-2026-01-04T00-00-20.000.log", "audit.log"});
  CHECK(errors.value() == 0);
  CHECK_FALSE(AuditLogFile::open({folder}, clock, errors).ok());
  (void)base::remove_all(folder);
}

TEST_CASE("batches are sent when full, when old enough, and at the end") {
  std::mutex mutex;
  std::vector<size_t> sizes;
  std::atomic<int> failures{0};
  base::Counter dropped;
  AuditBatchOptions o;
  o.max_batch = 3;
  o.buffer = 10;
  o.max_wait = std::chrono::milliseconds(50);
  o.per_second = 1000;
  o.initial_backoff = std::chrono::milliseconds(1);
  std::promise<void> old_enough;
  bool told = false;
  const AuditSend send = [&](const std::string& list) -> base::Status {
    if (failures > 0) {
      --failures;
      return {base::Code::kServiceUnavailable, "away"};
    }
    const Json tree = *base::parse_json(list);
    CHECK(tree["kind"] == "EventList");
    std::lock_guard lock(mutex);
    sizes.push_back(tree["items"].size());
    if (sizes.back() == 1 && !told) {
      told = true;
      old_enough.set_value();
    }
    return {};
  };
  {
    AuditBatches batches(o, send, dropped);
    batches.write("{}");
    old_enough.get_future().wait();
    failures = 2;
    for (int i = 0; i < 3; ++i) batches.write("{}");
    const auto sent = [&] {
      std::lock_guard lock(mutex);
      return sizes.size();
    };
    for (int i = 0; i < 1000 && sent() < 2; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    batches.write("{}");
  }
  CHECK(sizes == std::vector<size_t>{1, 3, 1});
  CHECK(dropped.value() == 0);
  failures = 5;
  {
    AuditBatches batches(o, send, dropped);
    for (int i = 0; i < 3; ++i) batches.write("{}");
    for (int i = 0; i < 200 && failures > 0; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  CHECK(dropped.value() == 3);
}
