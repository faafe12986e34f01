#include "agent/kubelet/tokens.h"

#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "tests/catch.h"
#include "tests/unit/agent/kubelet/fake_client.h"

namespace orch::agent {
namespace {

using std::chrono::hours;
using std::chrono::seconds;

struct Scene {
  base::FakeClock clock;
  testing::FakeClient client;
  KeptFiles files;
  std::string folder = base::cat("/tmp/orch-tokens-", ::getpid());
  Json tree{{"metadata", {{"name", "p"}, {"namespace", "n"}, {"uid", "u"}}},
            {"spec", {{"serviceAccountName", "robot"}}}};
  int asked = 0;
  bool away = false;
  Json last;

  Scene() {
    client.answer_post = [this](std::string_view, std::string_view, const Json& body) -> base::Result<Json> {
      if (away) return base::Status(base::Code::kServiceUnavailable, "away");
      last = body;
      const auto life = seconds(base::int_at(body, {"spec", "expirationSeconds"}));
      return Json{{"status",
                   {{"token", "token-" + std::to_string(++asked)},
                    {"expirationTimestamp", base::format_time(clock.now() + life)}}}};
    };
  }
  ~Scene() { (void)base::remove_all(folder); }
  std::string text(Tokens& tokens, const std::string& audience = "", int64_t life = 600) {
    const auto token = tokens.token(Pod(tree), audience, life);
    return token.ok() ? token->text : token.error().message();
  }
};

TEST_CASE("a token is asked for once, and again when most of its life is over") {
  Scene s;
  Tokens tokens(s.client, s.clock, s.files, s.folder);
  const auto first = tokens.token(Pod(s.tree), "me", 600);
  REQUIRE(first.ok());
  CHECK(first->refresh_at == s.clock.now() + seconds(480));
  CHECK(base::string_at(s.last, {"spec", "boundObjectRef", "uid"}) == "u");
  CHECK(s.last["spec"]["audiences"] == Json::array({"me"}));
  s.clock.advance(seconds(479));
  CHECK(s.text(tokens, "me") == "token-1");
  s.clock.advance(seconds(1));
  CHECK(s.text(tokens, "me") == "token-2");
  CHECK(s.text(tokens, "other") == "token-3");
  CHECK(s.text(tokens, "me", 7200) == "token-4");
  // A year's token is renewed every day.
  CHECK(s.text(tokens, "me", 365 * 86400) == "token-5");
  s.clock.advance(hours(24));
  CHECK(s.text(tokens, "me", 365 * 86400) == "token-6");
}

TEST_CASE("without the server a pod keeps the token it has, also over a restart") {
  Scene s;
  {
    Tokens tokens(s.client, s.clock, s.files, s.folder);
    CHECK(s.text(tokens) == "token-1");
    s.files.flush();
  }
  s.away = true;
  s.clock.advance(seconds(500));
  Tokens tokens(s.client, s.clock, s.files, s.folder);
  const auto held = tokens.token(Pod(s.tree), "", 600);
  REQUIRE(held.ok());
  CHECK(held->text == "token-1");
  CHECK(held->refresh_at == s.clock.now() + seconds(10));
  CHECK(s.text(tokens, "new") == "failed to fetch token: away");
  s.away = false;
  CHECK(s.text(tokens) == "token-2");
  tokens.forget("u");
  s.files.flush();
  CHECK_FALSE(base::file_exists(s.folder + "/u.json"));
  CHECK(s.text(tokens) == "token-3");
}

}  // namespace
}  // namespace orch::agent
