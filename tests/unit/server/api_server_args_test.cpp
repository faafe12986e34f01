// --kube-apiserver-arg, --feature-gates and --runtime-config: what is taken, and the one line that refuses.
#include <algorithm>

#include "api/resources/resource.h"
#include "api/schema/schema.h"
#include "server/api_server_args.h"
#include "server/feature_gates.h"
#include "server/runtime_config.h"
#include "tests/catch.h"

using namespace orch;
using namespace orch::server;
using orch::testing::contains;

namespace {

ApiServerArgs taken(const std::vector<std::string>& args) {
  auto parsed = parse_api_server_args(args);
  INFO(parsed.status().message());
  REQUIRE(parsed.ok());
  return *parsed;
}

}  // namespace

TEST_CASE("arguments set what they are named for") {
  const ApiServerArgs a =
      taken({"anonymous-auth=false", "--service-account-issuer=https://a,b",
             "service-account-issuer=https://c", "api-audiences=x,y", "api-audiences=z", "event-ttl=90m",
             "event-ttl=2h", "default-not-ready-toleration-seconds=7", "authorization-mode=Node,RBAC",
             "authorization-mode=AlwaysDeny", "enable-admission-plugins=AlwaysPullImages,NodeRestriction",
             "runtime-config=api/ga=true,batch/v1", "requestheader-username-headers=X-Remote-User",
             "requestheader-client-ca-file=/ca.crt", "service-account-max-token-expiration=2h",
             "profiling=false", "service-account-extend-token-expiration=F"});
  CHECK(a.anonymous_auth == std::optional<bool>(false));
  CHECK(a.service_account_issuers == std::vector<std::string>{"https://a,b", "https://c"});
  CHECK(a.api_audiences == std::vector<std::string>{"x", "y", "z"});
  CHECK(a.event_ttl == std::optional<base::Duration>(std::chrono::hours(2)));
  CHECK(a.default_not_ready_toleration_seconds == std::optional<int64_t>(7));
  CHECK(a.authorization_modes == std::vector<std::string>{"Node", "RBAC", "AlwaysDeny"});
  CHECK(a.enable_admission_plugins == std::vector<std::string>{"AlwaysPullImages", "NodeRestriction"});
  CHECK(a.runtime_config == std::map<std::string, bool>{{"api/ga", true}, {"batch/v1", true}});
  CHECK(a.request_header.username_headers == std::vector<std::string>{"X-Remote-User"});
  CHECK(a.service_account_max_token_expiration == std::chrono::hours(2));
  CHECK_FALSE(a.service_account_extend_token_expiration);
  CHECK(taken({"anonymous-auth"}).anonymous_auth == std::optional<bool>(true));
}

TEST_CASE("arguments that cannot be are refused with one line") {
  struct Row {
    std::vector<std::string> args;
    const char* part;
  };
  const std::vector<Row> rows = {
      {{"no-such-thing=1"}, "no-such-thing: orch does not have this argument"},
      {{"etcd-servers=http://x"}, "orch does not have this argument"},
      {{"secure-port=7"}, "use orch's own flag --https-listen-port"},
      {{"=1"}, "is not NAME=VALUE"},
      {{"token-auth-file"}, "is not NAME=VALUE"},
      {{"anonymous-auth=perhaps"}, "\"perhaps\" is neither true nor false"},
      {{"profiling=true"}, "orch has it false"},
      {{"event-ttl=soon"}, "is not a duration"},
      {{"default-not-ready-toleration-seconds=-1"}, "is not a number"},
      {{"authorization-mode=ABAC"}, "\"ABAC\" is not a mode that orch has"},
      {{"authorization-mode=RBAC", "authorization-mode=RBAC"}, "named twice"},
      {{"service-account-issuer=a", "service-account-issuer=a"}, "\"a\" is already specified"},
      {{"service-account-issuer="}, "should not be an empty string"},
      {{"service-account-jwks-uri=http://x"}, "requires https scheme, parsed as: http://x"},
      {{"service-account-max-token-expiration=5m"}, "must be between 1 hour and 2^32 seconds"},
      {{"requestheader-client-ca-file=/a"}, "go together"},
      {{"feature-gates=Nonsense=true"}, "unrecognized feature gate: Nonsense"},
      {{"runtime-config=apps/v1=x"}, "says neither true nor false"},
      {{"encryption-provider-config-automatic-reload"}, "must be set with encryption-provider-config"},
  };
  for (const Row& row : rows) {
    INFO(row.args[0]);
    auto parsed = parse_api_server_args(row.args);
    REQUIRE_FALSE(parsed.ok());
    CHECK(parsed.error().code() == base::Code::kBadRequest);
    CHECK_THAT(parsed.error().message(), contains(row.part));
    CHECK(parsed.error().message().find('\n') == std::string::npos);
  }
}

TEST_CASE("the table of arguments is sorted, as look-ups need it") {
  const auto names = api_server_arg_names();
  CHECK(std::is_sorted(names.begin(), names.end()));
  CHECK(std::adjacent_find(names.begin(), names.end()) == names.end());
}

TEST_CASE("feature gates") {
  CHECK(check_feature_gates("").ok());
  CHECK(check_feature_gates("AllAlpha=false, APIServerTracing=true,APIServingWithRoutine=false").ok());
  CHECK(check_feature_gates("APIServerTracing=false").message() ==
        "cannot set feature gate APIServerTracing to false, feature is locked to true");
  CHECK_THAT(check_feature_gates("APIServingWithRoutine=true").message(), contains("orch has it false"));
  CHECK_THAT(check_feature_gates("AllBeta=true").message(), contains("cannot be set to true"));
  CHECK(check_feature_gates("APIServer=true").message() == "unrecognized feature gate: APIServer");
  CHECK(check_feature_gates("APIServerTracing").message() == "missing bool value for APIServerTracing");
  CHECK_THAT(check_feature_gates("APIServerTracing=1x").message(), contains("neither true nor false"));
}

TEST_CASE("runtime-config") {
  const auto schema = api::Schema::builtin();
  const auto outcome = [&](const std::map<std::string, bool>& config) {
    auto table = api::ResourceTable::builtin(*schema);
    return apply_runtime_config(config, *table).message();
  };
  CHECK(outcome({}).empty());
  CHECK(
      outcome({{"api/ga", true}, {"v1", true}, {"apps/v1/deployments", true}, {"api/alpha", false}}).empty());
  CHECK_THAT(outcome({{"api/all", true}}), contains("serves what is on by default"));
  CHECK_THAT(outcome({{"batch/v2alpha1", true}}), contains("does not serve it"));
  CHECK_THAT(outcome({{"apps/v1", false}}), contains("cannot be switched off"));
  auto table = api::ResourceTable::builtin(*schema);
  REQUIRE(table->find("events.k8s.io", "v1", "events") != nullptr);
  CHECK(apply_runtime_config({{"events.k8s.io/v1", false}}, *table).ok());
  CHECK(table->find("events.k8s.io", "v1", "events") == nullptr);
  CHECK(table->find("", "v1", "events") != nullptr);
}
