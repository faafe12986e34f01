// Priority and fairness seen from outside: headers, objects, refusals, and that one noisy client leaves the
// others their place.
#include <algorithm>
#include <atomic>
#include <thread>

#include "tests/integration/server/https_server.h"

using namespace orch;
using namespace orch::testing;
using namespace std::chrono_literals;

namespace {

const std::string kFlow = "/apis/flowcontrol.apiserver.k8s.io/v1/";

Credentials user(const Control& c, const std::string& name) {
  pki::CertificateRequest request;
  request.common_name = name;
  request.client = true;
  auto pair = pki::issue(c.client_ca(), request, base::SystemClock().now());
  REQUIRE(pair.ok());
  Credentials out;
  out.certificate = *pair;
  return out;
}

void let_read(const Control& c) {
  // What the role allows is gathered by a controller.
  const std::string role = "/apis/rbac.authorization.k8s.io/v1/clusterroles/view";
  REQUIRE(soon([&] { return c.get(role).tree()["rules"].is_array(); }));
  REQUIRE(c.post("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
                 {{"metadata", {{"name", "readers"}}},
                  {"roleRef",
                   {{"apiGroup", "rbac.authorization.k8s.io"}, {"kind", "ClusterRole"}, {"name", "view"}}},
                  {"subjects", Json::array({{{"apiGroup", "rbac.authorization.k8s.io"},
                                             {"kind", "Group"},
                                             {"name", "system:authenticated"}}})}})
              .status == 201);
}

/// One connection that stays: what is measured is not the time to shake hands.
class Connected {
 public:
  Connected(const Control& c, const Credentials& who) : curl_(curl_easy_init()), url_(c.url()) {
    if (curl_ == nullptr) throw std::bad_alloc();  // made by threads too
    const auto blob = [&](CURLoption option, const std::string& text) {
      curl_blob b{const_cast<char*>(text.data()), text.size(), CURL_BLOB_COPY};
      curl_easy_setopt(curl_, option, &b);
    };
    blob(CURLOPT_CAINFO_BLOB, c.ca());
    blob(CURLOPT_SSLCERT_BLOB, who.certificate.certificate_pem);
    blob(CURLOPT_SSLKEY_BLOB, who.certificate.key_pem);
    curl_easy_setopt(curl_, CURLOPT_TIMEOUT, 30L);
    curl_easy_setopt(curl_, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl_, CURLOPT_WRITEFUNCTION, append_to);
    headers_ = curl_slist_append(headers_, "Content-Type: application/json");
    curl_easy_setopt(curl_, CURLOPT_HTTPHEADER, headers_);
  }
  ~Connected() {
    curl_easy_cleanup(curl_);
    curl_slist_free_all(headers_);
  }
  Connected(const Connected&) = delete;
  Connected& operator=(const Connected&) = delete;
  /// The status; 0 without an answer.
  long send(const char* method, const std::string& path, const std::string& body = {}) {
    std::string answer;
    const std::string whole = url_ + path;
    curl_easy_setopt(curl_, CURLOPT_URL, whole.c_str());
    curl_easy_setopt(curl_, CURLOPT_CUSTOMREQUEST, method);
    curl_easy_setopt(curl_, CURLOPT_WRITEDATA, &answer);
    if (!body.empty()) curl_easy_setopt(curl_, CURLOPT_COPYPOSTFIELDS, body.c_str());
    long status = 0;
    if (curl_easy_perform(curl_) == CURLE_OK) curl_easy_getinfo(curl_, CURLINFO_RESPONSE_CODE, &status);
    return status;
  }

 private:
  CURL* curl_;
  const std::string url_;
  curl_slist* headers_ = nullptr;
};

}  // namespace

TEST_CASE("flow control: objects, headers, conditions and dumps") {
  DataFolder folder;
  Control c(folder);
  c.start();
  let_read(c);
  const auto bob = user(c, "bob");
  const Answer listed = c.get(kFlow + "flowschemas");
  INFO(listed.status << " " << listed.body.substr(0, 300));
  CHECK(listed.tree()["items"].size() == 11);
  CHECK(c.get(kFlow + "prioritylevelconfigurations").tree()["items"].size() == 8);
  const Json schema = c.get(kFlow + "flowschemas/global-default").tree();
  const Json level = c.get(kFlow + "prioritylevelconfigurations/global-default").tree();
  const Answer answer = c.send_as(bob, "GET", "/api/v1/namespaces/default/configmaps");
  CHECK(answer.status == 200);
  CHECK_THAT(
      answer.headers,
      contains("X-Kubernetes-Pf-Flowschema-Uid: " + schema["metadata"]["uid"].get<std::string>() + "\r\n"));
  CHECK_THAT(
      answer.headers,
      contains("X-Kubernetes-Pf-Prioritylevel-Uid: " + level["metadata"]["uid"].get<std::string>() + "\r\n"));

  // What is mandatory comes back; suggestions go by what people want.
  CHECK(c.send("DELETE", kFlow + "flowschemas/catch-all").status == 200);
  CHECK(soon([&] { return c.get(kFlow + "flowschemas/catch-all").status == 200; }));
  Json spoilt = c.get(kFlow + "prioritylevelconfigurations/catch-all").tree();
  spoilt["spec"]["limited"]["nominalConcurrencyShares"] = 7;
  const Answer refused = c.put(kFlow + "prioritylevelconfigurations/catch-all", spoilt);
  CHECK(refused.status == 422);
  CHECK_THAT(refused.body, contains("spec of 'catch-all' must equal the fixed value"));

  const Json lost = {
      {"metadata", {{"name", "lost"}}},
      {"spec",
       {{"priorityLevelConfiguration", {{"name", "later"}}},
        {"rules", Json::array({{{"subjects", Json::array({{{"kind", "User"}, {"user", {{"name", "x"}}}}})},
                                {"nonResourceRules",
                                 Json::array({{{"verbs", {"*"}}, {"nonResourceURLs", {"*"}}}})}}})}}}};
  const Answer made = c.post(kFlow + "flowschemas", lost);
  CHECK(made.status == 201);
  CHECK(made.tree()["spec"]["matchingPrecedence"] == 1000);
  const auto dangling = [&] {
    const Json tree = c.get(kFlow + "flowschemas/lost").tree();
    const Json* conditions = base::find_path(tree, {"status", "conditions"});
    return conditions == nullptr ? std::string() : (*conditions)[0]["status"].get<std::string>();
  };
  CHECK(soon([&] { return dangling() == "True"; }));
  CHECK(c.post(kFlow + "prioritylevelconfigurations",
               {{"metadata", {{"name", "later"}}},
                {"spec",
                 {{"type", "Limited"},
                  {"limited", {{"limitResponse", {{"type", "Queue"}, {"queuing", Json::object()}}}}}}}})
            .status == 201);
  CHECK(soon([&] { return dangling() == "False"; }));

  const std::string dump = "/debug/api_priority_and_fairness/dump_";
  CHECK_THAT(c.get(dump + "priority_levels").body, contains("PriorityLevelName,"));
  CHECK_THAT(c.get(dump + "queues").body, contains("later,"));
  CHECK_THAT(c.get(dump + "requests?includeRequestDetails=1").body, contains("UserName,"));
  const std::string metrics = c.get("/metrics").body;
  CHECK_THAT(metrics, contains("apiserver_flowcontrol_nominal_limit_seats{priority_level=\"workload-low\"}"));
}

TEST_CASE("flow control: what is too much is refused as in Kubernetes, and exempt requests pass") {
  DataFolder folder;
  Control c(folder);
  auto args = server::parse_api_server_args({"max-requests-inflight=1", "max-mutating-requests-inflight=1"});
  REQUIRE(args.ok());
  c.config().api = *args;
  c.start();
  let_read(c);
  // A level of one seat without a queue.
  CHECK(c.post(kFlow + "prioritylevelconfigurations", {{"metadata", {{"name", "narrow"}}},
                                                       {"spec",
                                                        {{"type", "Limited"},
                                                         {"limited",
                                                          {{"nominalConcurrencyShares", 0},
                                                           {"borrowingLimitPercent", 0},
                                                           {"limitResponse", {{"type", "Reject"}}}}}}}})
            .status == 201);
  CHECK(c.post(kFlow + "flowschemas",
               {{"metadata", {{"name", "narrow"}}},
                {"spec",
                 {{"priorityLevelConfiguration", {{"name", "narrow"}}},
                  {"matchingPrecedence", 5},
                  {"rules",
                   Json::array({{{"subjects", Json::array({{{"kind", "User"}, {"user", {{"name", "eve"}}}}})},
                                 {"resourceRules", Json::array({{{"verbs", {"*"}},
                                                                 {"apiGroups", {"*"}},
                                                                 {"resources", {"*"}},
                                                                 {"namespaces", {"*"}}}})}}})}}}})
            .status == 201);
  const auto eve = user(c, "eve");
  std::atomic<int> refused{0}, served{0};
  std::atomic<bool> right{true};
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 40; ++i) {
        const Answer a = c.send_as(eve, "GET", "/api/v1/namespaces/default/configmaps");
        if (a.status == 200) ++served;
        if (a.status != 429) continue;
        ++refused;
        right = right && a.body == "Too many requests, please try again later.\n" &&
                a.headers.find("Retry-After: ") != std::string::npos &&
                a.headers.find("X-Kubernetes-Pf-Flowschema-Uid: ") != std::string::npos;
      }
    });
  }
  for (int i = 0; i < 20; ++i) CHECK(c.get("/api/v1/namespaces/default").status == 200);
  for (auto& thread : threads) thread.join();
  CHECK(served > 0);
  CHECK(served + refused == 320);
  CHECK(right);
}

TEST_CASE("flow control: who comes by himself waits for a few of a noisy client's requests, not for all") {
  // Every create waits for a webhook, so that what is scarce are seats, and not this machine's processors.
  constexpr auto kSlow = 250ms;
  std::atomic<int> calls{0};
  DataFolder folder;
  Control c(folder);
  auto args =
      server::parse_api_server_args({"max-requests-inflight=80", "max-mutating-requests-inflight=20"});
  REQUIRE(args.ok());
  c.config().api = *args;
  c.start();
  HttpsServer slow([&](http::Request& request) {
    const auto review = base::parse_json(request.body);
    // Not all at one beat: seats come free one by one. Who waits does so for about as long as one of the
    // noisy requests takes: what runs is charged to its queue when it has ended.
    const bool noisy = base::string_at(*review, {"request", "userInfo", "username"}) == "noisy";
    std::this_thread::sleep_for(noisy ? kSlow / 5 + kSlow * (++calls % 16) / 40 : kSlow);
    const Json answer = {
        {"kind", "AdmissionReview"},
        {"apiVersion", "admission.k8s.io/v1"},
        {"response", {{"uid", base::string_at(*review, {"request", "uid"})}, {"allowed", true}}}};
    return http::Response::json(base::dump_json(answer));
  });
  REQUIRE(
      c.post(
           "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
           {{"metadata", {{"name", "all"}}},
            {"roleRef",
             {{"apiGroup", "rbac.authorization.k8s.io"}, {"kind", "ClusterRole"}, {"name", "cluster-admin"}}},
            {"subjects", Json::array({{{"apiGroup", "rbac.authorization.k8s.io"},
                                       {"kind", "Group"},
                                       {"name", "system:authenticated"}}})}})
          .status == 201);
  REQUIRE(c.post("/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations",
                 {{"metadata", {{"name", "slow"}}},
                  {"webhooks",
                   {{{"name", "slow.example.com"},
                     {"clientConfig", {{"url", slow.url("/")}, {"caBundle", slow.ca_bundle()}}},
                     {"sideEffects", "None"},
                     {"admissionReviewVersions", {"v1"}},
                     {"rules",
                      {{{"operations", {"CREATE"}},
                        {"apiGroups", {""}},
                        {"apiVersions", {"v1"}},
                        {"resources", {"configmaps"}}}}}}}}})
              .status == 201);
  // Four seats for both, whatever others lend.
  REQUIRE(c.post(kFlow + "prioritylevelconfigurations",
                 {{"metadata", {{"name", "both"}}},
                  {"spec",
                   {{"type", "Limited"},
                    {"limited",
                     {{"nominalConcurrencyShares", 10},
                      {"borrowingLimitPercent", 0},
                      {"limitResponse",
                       {{"type", "Queue"},
                        {"queuing", {{"queues", 64}, {"handSize", 6}, {"queueLengthLimit", 50}}}}}}}}}})
              .status == 201);
  Json everything = c.get(kFlow + "flowschemas/global-default").tree()["spec"];
  everything["priorityLevelConfiguration"]["name"] = "both";
  everything["matchingPrecedence"] = 5;
  everything["rules"][0]["subjects"] = {{{"kind", "User"}, {"user", {{"name", "noisy"}}}},
                                        {{"kind", "User"}, {"user", {{"name", "quiet"}}}}};
  REQUIRE(c.post(kFlow + "flowschemas", {{"metadata", {{"name", "both"}}}, {"spec", everything}}).status ==
          201);
  const auto noisy = user(c, "noisy"), quiet = user(c, "quiet");
  std::atomic<int> number{0};
  const auto create = [&](Connected& by) {
    return by.send("POST", "/api/v1/namespaces/default/configmaps",
                   Json{{"metadata", {{"name", "m" + std::to_string(++number)}}}}.dump());
  };
  Connected calm_one(c, quiet), exempt(c, c.admin());
  REQUIRE(create(calm_one) == 201);
  std::atomic<bool> stop{false};
  std::atomic<int> done{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 64; ++i) {
    threads.emplace_back([&] {
      Connected own(c, noisy);
      while (!stop) done += create(own) == 201 ? 1 : 0;
    });
  }
  CHECK(soon([&] { return done > 20; }));
  const std::string busy = c.get("/debug/api_priority_and_fairness/dump_priority_levels").body;
  // In the order they came, each of the calm one's requests would wait for the sixty before it. Counted, not
  // timed: how slow the machine is does not matter.
  std::vector<int> overtaken;
  for (int i = 0; i < 30; ++i) {
    const int before = done;
    REQUIRE(create(calm_one) == 201);
    overtaken.push_back(done - before);
  }
  std::sort(overtaken.begin(), overtaken.end());
  // Exempt requests do not wait, though every seat of the level is taken.
  base::Duration least = 1h;
  for (int i = 0; i < 10; ++i) {
    const auto began = std::chrono::steady_clock::now();
    CHECK(exempt.send("GET", "/api/v1/namespaces/default") == 200);
    least = std::min<base::Duration>(least, std::chrono::steady_clock::now() - began);
  }
  CHECK(least < kSlow);
  stop = true;
  for (auto& thread : threads) thread.join();
  INFO(busy);
  INFO("overtaken by " << overtaken.front() << " to " << overtaken.back() << ", of the noisy one " << done);
  CHECK_THAT(c.get("/metrics").body,
             contains("apiserver_flowcontrol_current_inqueue_requests{flow_schema=\"both\","
                      "priority_level=\"both\"} 0"));
  CHECK(overtaken[overtaken.size() / 2] < 32);
}
