#include "base/status.h"

#include "tests/catch.h"

using orch::base::cat;
using orch::base::Cause;
using orch::base::Code;
using orch::base::Result;
using orch::base::Status;
using orch::base::StatusDetails;

namespace {

struct Row {
  Code code;
  int http;
  std::string reason;
};

const Row kRows[] = {
    {Code::kOk, 200, ""},
    {Code::kBadRequest, 400, "BadRequest"},
    {Code::kUnauthorized, 401, "Unauthorized"},
    {Code::kForbidden, 403, "Forbidden"},
    {Code::kNotFound, 404, "NotFound"},
    {Code::kMethodNotAllowed, 405, "MethodNotAllowed"},
    {Code::kNotAcceptable, 406, "NotAcceptable"},
    {Code::kAlreadyExists, 409, "AlreadyExists"},
    {Code::kConflict, 409, "Conflict"},
    {Code::kGone, 410, "Gone"},
    {Code::kExpired, 410, "Expired"},
    {Code::kRequestEntityTooLarge, 413, "RequestEntityTooLarge"},
    {Code::kUnsupportedMediaType, 415, "UnsupportedMediaType"},
    {Code::kInvalid, 422, "Invalid"},
    {Code::kTooManyRequests, 429, "TooManyRequests"},
    {Code::kInternal, 500, "InternalError"},
    {Code::kUnknown, 500, ""},
    {Code::kServerTimeout, 500, "ServerTimeout"},
    {Code::kServiceUnavailable, 503, "ServiceUnavailable"},
    {Code::kTimeout, 504, "Timeout"},
    {Code::kStoreReadOnly, 500, "InternalError"},
    {Code::kCanceled, 499, ""},
};

}  // namespace

TEST_CASE("each code has its HTTP status and reason, and survives the wire") {
  for (const Row& row : kRows) {
    const Status status(row.code, "m");
    INFO(row.reason << " " << row.http);
    CHECK(status.http_code() == row.http);
    CHECK(status.reason() == row.reason);
    const Status back = Status::from_response(status.http_code(), status.to_json());
    CHECK(back.http_code() == row.http);
    if (!row.reason.empty() && row.code != Code::kStoreReadOnly) CHECK(back.code() == row.code);
    if (row.code != Code::kOk) CHECK(back.message() == "m");
  }
}

TEST_CASE("a status is written as the API writes it") {
  CHECK(Status().to_json() ==
        R"({"kind":"Status","apiVersion":"v1","metadata":{},"status":"Success","code":200})");
  CHECK(
      Status(Code::kNotFound, "pods \"x\" not found", {"x", "", "pods", "", {}, 0}).to_json() ==
      R"({"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure",)"
      R"("message":"pods \"x\" not found","reason":"NotFound","details":{"name":"x","kind":"pods"},"code":404})");
  const StatusDetails details{
      "d", "apps", "Deployment", "u-1", {{"FieldValueRequired", "Required value", "spec.a"}, {"R", "", ""}},
      30};
  CHECK(Status(Code::kInvalid, "a < b & c > d", details).to_json() ==
        R"({"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure",)"
        R"("message":"a \u003c b \u0026 c \u003e d","reason":"Invalid",)"
        R"("details":{"name":"d","group":"apps","kind":"Deployment","uid":"u-1","causes":[)"
        R"({"reason":"FieldValueRequired","message":"Required value","field":"spec.a"},{"reason":"R"}],)"
        R"("retryAfterSeconds":30},"code":422})");
  CHECK(Status(Code::kUnknown, "", StatusDetails{}).to_json() ==
        R"({"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","details":{},"code":500})");
}

TEST_CASE("details come back from a response") {
  const StatusDetails details{"d", "apps", "Deployment", "u", {{"r", "m", "f"}, {"r2", "m2", "f2"}}, 7};
  const Status back = Status::from_response(422, Status(Code::kInvalid, "bad", details).to_json());
  REQUIRE(back.details());
  CHECK(back.details()->name == "d");
  CHECK(back.details()->group == "apps");
  CHECK(back.details()->kind == "Deployment");
  CHECK(back.details()->uid == "u");
  CHECK(back.details()->retry_after_seconds == 7);
  REQUIRE(back.details()->causes.size() == 2);
  CHECK(back.details()->causes[1].field == "f2");
}

TEST_CASE("a response without a Status object still gives a useful error") {
  struct Case {
    int http;
    std::string body;
    Code code;
    std::string text;
  };
  const Case cases[] = {
      {404, "404 page not found\n", Code::kNotFound,
       "the server could not find the requested resource (HTTP 404): 404 page not found"},
      {502, "", Code::kUnknown, "the server responded with an unknown status (HTTP 502)"},
      {409, "{}", Code::kConflict, "conflict"},
      {410, "", Code::kExpired, "410"},
      {503, "<html>", Code::kServiceUnavailable, "currently unable"},
      {401, R"({"kind":"Pod"})", Code::kUnauthorized, "credentials"},
  };
  for (const Case& c : cases) {
    const Status status = Status::from_response(c.http, c.body);
    INFO(c.http);
    CHECK(status.code() == c.code);
    CHECK_THAT(status.message(), orch::testing::contains(c.text));
  }
  CHECK(Status::from_response(200, "anything").ok());
  CHECK(Status::from_response(201, "{}").ok());
}

TEST_CASE("context goes in front and keeps code and details") {
  const Status status = Status(Code::kConflict, "inner", {"n", "", "", "", {}, 0}).with_context("outer");
  CHECK(status.message() == "outer: inner");
  CHECK(status.code() == Code::kConflict);
  REQUIRE(status.details());
  CHECK(status.details()->name == "n");
  CHECK(Status().with_context("x").ok());
  CHECK(Status().message().empty());
}

TEST_CASE("a result holds a value or an error") {
  const Result<std::string> good(std::string("v"));
  CHECK(good.ok());
  CHECK(*good == "v");
  CHECK(good.status().ok());
  const Result<std::string> bad(Status(Code::kGone, "gone"));
  CHECK_FALSE(bad.ok());
  CHECK(bad.status().code() == Code::kGone);
  CHECK(bad.error().message() == "gone");
}

TEST_CASE("cat joins text and numbers") { CHECK(cat("a", 1, 'b', std::string("c"), -2) == "a1bc-2"); }
