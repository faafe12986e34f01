#include "api/field_error.h"

#include "api/go_text.h"
#include "base/json.h"
#include "tests/catch.h"

using namespace orch;
using namespace orch::api;

TEST_CASE("paths read like Go's") {
  const FieldPath containers = FieldPath("spec").child("template").child("containers").index(0);
  CHECK(containers.text() == "spec.template.containers[0]");
  CHECK(containers.child("ports").index(12).child("name").text() ==
        "spec.template.containers[0].ports[12].name");
  CHECK(FieldPath("metadata").child("labels").key("a/b").text() == "metadata.labels[a/b]");
  CHECK(FieldPath().child("kind").text() == "kind");
}

TEST_CASE("each type of error has its reason and wording") {
  const FieldPath path("f");
  const auto add = [&](int which, FieldErrors& errors) {
    switch (which) {
      case 0:
        errors.required(path);
        break;
      case 1:
        errors.required(path, "detail");
        break;
      case 2:
        errors.invalid(path, -1, "must be greater than or equal to 0");
        break;
      case 3:
        errors.invalid(path, "a\"b", "");
        break;
      case 4:
        errors.invalid(path, Json{{"a", {1, "<"}}}, "no");
        break;
      case 5:
        errors.not_supported(path, "x", {"A", "B"});
        break;
      case 6:
        errors.not_supported(path, "x", {});
        break;
      case 7:
        errors.duplicate(path, "x");
        break;
      case 8:
        errors.forbidden(path, "no");
        break;
      case 9:
        errors.not_found(path, "x");
        break;
      case 10:
        errors.too_long(path, 63);
        break;
      case 11:
        errors.too_long(path, 1);
        break;
      case 12:
        errors.too_many(path, 5, 3);
        break;
      case 13:
        errors.too_many(path, -1, 1);
        break;
      case 14:
        errors.type_invalid(path, 1.5, "must be a string");
        break;
      case 15:
        errors.internal(path, "broken");
        break;
      default:
        errors.invalid(path, nullptr, "x");
        break;
    }
  };
  const auto [which, reason, message] = GENERATE(table<int, const char*, const char*>({
      {0, "FieldValueRequired", "Required value"},
      {1, "FieldValueRequired", "Required value: detail"},
      {2, "FieldValueInvalid", "Invalid value: -1: must be greater than or equal to 0"},
      {3, "FieldValueInvalid", R"(Invalid value: "a\"b")"},
      {4, "FieldValueInvalid", "Invalid value: {\"a\":[1,\"\\u003c\"]}: no"},
      {5, "FieldValueNotSupported", R"(Unsupported value: "x": supported values: "A", "B")"},
      {6, "FieldValueNotSupported", R"(Unsupported value: "x")"},
      {7, "FieldValueDuplicate", R"(Duplicate value: "x")"},
      {8, "FieldValueForbidden", "Forbidden: no"},
      {9, "FieldValueNotFound", R"(Not found: "x")"},
      {10, "FieldValueTooLong", "Too long: may not be more than 63 bytes"},
      {11, "FieldValueTooLong", "Too long: may not be more than 1 byte"},
      {12, "FieldValueTooMany", "Too many: 5: must have at most 3 items"},
      {13, "FieldValueTooMany", "Too many: must have at most 1 item"},
      {14, "FieldValueTypeInvalid", "Invalid value: 1.5: must be a string"},
      {15, "InternalError", "Internal error: broken"},
      {16, "FieldValueInvalid", "Invalid value: null: x"},
  }));
  FieldErrors errors;
  add(which, errors);
  REQUIRE(errors.causes().size() == 1);
  CHECK(errors.causes()[0].reason == reason);
  CHECK(errors.causes()[0].message == message);
  CHECK(errors.causes()[0].field == "f");
}

TEST_CASE("errors become one Invalid status") {
  FieldErrors errors;
  CHECK(errors.to_status("apps", "Deployment", "x").ok());
  errors.invalid(FieldPath("spec.replicas"), -1, "must be greater than or equal to 0");
  base::Status status = errors.to_status("apps", "Deployment", "x");
  CHECK(status.code() == base::Code::kInvalid);
  CHECK(status.message() ==
        "Deployment.apps \"x\" is invalid: spec.replicas: Invalid value: -1: must be greater than or equal "
        "to 0");
  FieldErrors more;
  more.required(FieldPath("spec.selector"));
  more.required(FieldPath("spec.selector"));
  errors.append(more);
  status = errors.to_status("", "Pod", "");
  CHECK(status.message() ==
        "Pod \"\" is invalid: [spec.replicas: Invalid value: -1: must be greater than or equal to 0, "
        "spec.selector: Required value]");
  REQUIRE(status.details() != nullptr);
  CHECK(status.details()->causes.size() == 3);
  CHECK(status.details()->kind == "Pod");
}

TEST_CASE("strings are quoted as Go does") {
  const auto [text, quoted] = GENERATE(table<std::string, std::string>({
      {"", "\"\""},
      {"a'b", "\"a'b\""},
      {"a\"\\", R"("a\"\\")"},
      {"\n\t\x01\x7f\a", R"("\n\t\x01\x7f\a")"},
      {"\xC3\xA9", "\"\xC3\xA9\""},
      {"\xFFz", R"("\xffz")"},
      {"\xE2\x80\x8B", R"("\u200b")"},
      {"\xF0\x9F\x98\x80", "\"\xF0\x9F\x98\x80\""},
  }));
  CHECK(go_quote(text) == quoted);
}

TEST_CASE("numbers print as Go's %v") {
  CHECK(go_value(0.1) == "0.1");
  CHECK(go_value(1.0) == "1");
  CHECK(go_value(1e6) == "1000000");
  CHECK(go_value(true) == "true");
  CHECK(go_value(int64_t{-5}) == "-5");
}
