// matchConditions of webhooks, evaluated.
#include "server/admission/match_conditions.h"

#include "tests/catch.h"
#include "tests/unit/server/admission/requests.h"

namespace orch::server {
namespace {

using testing::json;
using testing::TestRequest;
using Operation = AdmissionRequest::Operation;

/// Allows what "allowed" asks, and remembers the last question.
class FakeAuthorizer final : public Authorizer {
 public:
  Verdict authorize(const Attributes& attributes) override {
    last = attributes.verb + " " + attributes.group + "/" + attributes.resource + " " + attributes.ns;
    last_user = attributes.user->name;
    const bool allowed = attributes.verb == "allowed";
    return {allowed ? Decision::kAllow : Decision::kNoOpinion, "reason"};
  }
  std::string last, last_user;
};

TEST_CASE("match conditions decide by request and objects") {
  TestRequest request(Operation::kUpdate, "apps", "Deployment", "deployments", "ns",
                      json(R"({"metadata":{"name":"d","labels":{"a":"b"}},"spec":{"replicas":3}})"),
                      json(R"({"metadata":{"name":"d"},"spec":{"replicas":2}})"));
  FakeAuthorizer authorizer;
  const Json none;
  const MatchSubject subject{request->requested(), *request->object, *request->old_object, authorizer};
  const auto match = [&](std::vector<std::string> expressions) -> std::string {
    Json conditions = Json::array();
    for (const auto& e : expressions) conditions.push_back({{"name", "c"}, {"expression", e}});
    auto result = make_match_conditions(conditions)->match(*request, subject);
    return result.ok() ? (*result ? "yes" : "no") : result.error().message();
  };
  CHECK(make_match_conditions(Json::array()) == nullptr);
  CHECK(match({"request.operation == 'UPDATE'"}) == "yes");
  CHECK(match({"request.resource.group == 'apps' && request.kind.kind == 'Deployment'"}) == "yes");
  CHECK(match({"request.userInfo.username == 'tester'", "request.namespace == 'other'"}) == "no");
  CHECK(match({"object.spec.replicas > oldObject.spec.replicas"}) == "yes");
  CHECK(match({"!('a' in object.metadata.labels)"}) == "no");
  CHECK(match({"!request.dryRun"}) == "yes");
  // A false condition wins over one that fails, wherever it stands.
  CHECK(match({"object.spec.nothing == 1"}) ==
        "expression 'object.spec.nothing == 1' resulted in error: no such key: nothing");
  CHECK(match({"object.spec.nothing == 1", "false"}) == "no");
  CHECK(
      match({"object.a == 1", "object.b == 1"}) ==
      "[expression 'object.a == 1' resulted in error: no such key: a, expression 'object.b == 1' resulted in "
      "error: no such key: b]");
  CHECK(match({"authorizer.group('apps').resource('x').namespace('n').check('allowed').allowed()"}) == "yes");
  CHECK(authorizer.last == "allowed apps/x n");
  CHECK(authorizer.last_user == "tester");
  CHECK(match({"authorizer.requestResource.check('other').allowed()"}) == "no");
  CHECK(authorizer.last == "other apps/deployments ns");
  CHECK(match({"authorizer.serviceAccount('n', 'sa').group('').resource('x').check('allowed').allowed()"}) ==
        "yes");
  CHECK(authorizer.last_user == "system:serviceaccount:n:sa");
  // A delete has no object.
  const MatchSubject removal{request->requested(), none, *request->old_object, authorizer};
  auto gone = make_match_conditions(json(R"([{"name":"c","expression":"object == null"}])"))
                  ->match(*request, removal);
  CHECK((gone.ok() && *gone));
}

}  // namespace
}  // namespace orch::server
