// Which form an endpoint answers in, by what it can serve.
#include "server/apiserver/negotiate.h"

#include "tests/catch.h"

namespace orch::server {
namespace {

constexpr const char* kTable = "application/json;as=Table;v=v1;g=meta.k8s.io";

base::Result<Negotiated> ask(std::string_view accept, Serves serves) {
  http::Request request;
  request.headers.emplace_back("Accept", std::string(accept));
  return negotiate(request, http::Query(), serves);
}

TEST_CASE("a table is refused where nothing shows one") {
  CHECK(ask(kTable, Serves::kForms)->form == Form::kTable);
  const auto refused = ask(kTable, Serves::kNoTable);
  REQUIRE_FALSE(refused.ok());
  CHECK(refused.error().code() == base::Code::kNotAcceptable);
  CHECK(refused.error().message() ==
        "only the following media types are accepted: application/json, application/yaml, "
        "application/vnd.kubernetes.protobuf");
}

TEST_CASE("a client that takes the object too gets it instead of a table") {
  const auto plain = ask(std::string(kTable) + ",application/json", Serves::kNoTable);
  REQUIRE(plain.ok());
  CHECK(plain->form == Form::kObject);
}

TEST_CASE("events come in no YAML") {
  CHECK(ask("application/yaml", Serves::kForms)->format == Format::kYaml);
  const auto refused = ask("application/yaml", Serves::kWatch);
  REQUIRE_FALSE(refused.ok());
  CHECK(refused.error().code() == base::Code::kNotAcceptable);
}

}  // namespace
}  // namespace orch::server
