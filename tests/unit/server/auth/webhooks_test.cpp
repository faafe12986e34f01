// Webhooks that authenticate and authorize: what they are asked, and what is made of their answers.
#include "server/auth/webhooks.h"

#include "tests/catch.h"
#include "tests/unit/server/auth/fakes.h"

using namespace orch;
using namespace orch::server;
using namespace orch::testing;

namespace {

/// Answers with a status; keeps what it was asked.
struct Hook {
  std::string status = "{}";
  bool away = false;
  std::vector<Json> asked;
  Post post() {
    return [this](const std::string& body) -> base::Result<std::string> {
      asked.push_back(json(body));
      if (away) return base::Status(base::Code::kServiceUnavailable, "away");
      Json answer = asked.back();
      answer["status"] = json(status);
      return answer.dump();
    };
  }
};

}  // namespace

TEST_CASE("a webhook tells whose token it is") {
  Hook hook;
  base::FakeClock clock;
  WebhookTokenAuthenticator a(hook.post(), "v1", std::chrono::minutes(2), {"api"}, clock);
  const auto ask = [&](const char* token, const std::vector<std::string>& audiences = {}) -> std::string {
    auto found = a.authenticate_token(token, audiences);
    if (!found.ok()) return "!" + found.error().message();
    return found->has_value() ? (*found)->user.name : "nobody";
  };
  CHECK(ask("t") == "nobody");
  CHECK(hook.asked[0] == json(R"({"apiVersion":"authentication.k8s.io/v1","kind":"TokenReview",
                                  "spec":{"token":"t","audiences":["api"]}})"));
  hook.status =
      R"({"authenticated":true,"user":{"username":"bob","uid":"7","groups":["g"],"extra":{"k":["v"]}}})";
  CHECK(ask("t") == "nobody");
  CHECK(hook.asked.size() == 1);
  clock.advance(std::chrono::seconds(121));
  CHECK(ask("t") == "bob");
  CHECK(ask("t") == "bob");
  CHECK(hook.asked.size() == 2);
  CHECK(ask("t", {"other"}) == "nobody");
  const auto user = (**a.authenticate_token("t", {})).user;
  CHECK(user.groups == std::vector<std::string>{"g"});
  CHECK(user.extra.at("k") == std::vector<std::string>{"v"});
  hook.status = R"({"authenticated":false,"error":"broken"})";
  CHECK(ask("u") == "!broken");
  hook.away = true;
  CHECK(ask("v") == "!away");
  hook.away = false;
  hook.status = R"({"authenticated":true,"user":{"username":"eve"}})";
  CHECK(ask("v") == "eve");
}

TEST_CASE("a webhook allows, denies, or has no opinion") {
  Hook hook;
  base::FakeClock clock;
  WebhookAuthorizer a(hook.post(), "v1", std::chrono::minutes(5), std::chrono::seconds(30), clock);
  UserInfo user;
  user.name = "bob";
  user.groups = {"g"};
  Attributes ask;
  ask.user = &user;
  ask.verb = "get";
  ask.resource_request = true;
  ask.resource = "pods";
  ask.ns = "ns";
  const auto decision = [&] { return a.authorize(ask).decision; };
  hook.status = R"({"allowed":false,"reason":"why"})";
  CHECK(decision() == Decision::kNoOpinion);
  CHECK(a.authorize(ask).reason == "why");
  CHECK(hook.asked.size() == 1);
  CHECK(hook.asked[0]["spec"] == json(R"({"user":"bob","groups":["g"],
        "resourceAttributes":{"verb":"get","resource":"pods","namespace":"ns"}})"));
  hook.status = R"({"allowed":true})";
  clock.advance(std::chrono::seconds(31));
  CHECK(decision() == Decision::kAllow);
  hook.status = R"({"allowed":true,"denied":true})";
  clock.advance(std::chrono::seconds(200));
  CHECK(decision() == Decision::kAllow);
  clock.advance(std::chrono::seconds(200));
  CHECK(a.authorize(ask).error == "webhook subject access review returned both allow and deny response");
  clock.advance(std::chrono::seconds(31));
  CHECK(decision() == Decision::kDeny);
  hook.away = true;
  ask.resource_request = false;
  ask.path = "/x";
  CHECK(decision() == Decision::kNoOpinion);
  CHECK_FALSE(a.authorize(ask).error.empty());
  CHECK(hook.asked.back()["spec"]["nonResourceAttributes"] == json(R"({"verb":"get","path":"/x"})"));
}
