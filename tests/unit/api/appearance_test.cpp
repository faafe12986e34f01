#include "api/appearance.h"

#include "tests/catch.h"

namespace orch::api {
namespace {

TEST_CASE("problems of fields are told in the order of the text") {
  struct Case {
    const char* text;
    std::vector<std::string> problems, sorted;
  };
  const Case cases[] = {
      {R"({"spec":{"unknownField":"foo","replicas":2,"replicas":3}})",
       {R"(duplicate field "spec.replicas")", R"(unknown field "spec.unknownField")"},
       {R"(unknown field "spec.unknownField")", R"(duplicate field "spec.replicas")"}},
      {R"({"a":1,"z":{"k":[{"x":1},{"y":1,"b\u0062":2}]},"a":2,"c":"{\"d\":1}"})",
       {R"(duplicate field "a")", R"(unknown field "c")", R"(unknown field "z.k[0].x")",
        R"(unknown field "z.k[1].bb")", R"(unknown field "z.k[1].y")"},
       {R"(unknown field "z.k[0].x")", R"(unknown field "z.k[1].y")", R"(unknown field "z.k[1].bb")",
        R"(duplicate field "a")", R"(unknown field "c")"}},
      {R"({"b":1,"a":2})",
       {"something else", R"(unknown field "b")"},
       {R"(unknown field "b")", "something else"}},
      {"{", {"x", "y"}, {"x", "y"}},
  };
  for (const Case& c : cases) {
    INFO(c.text);
    std::vector<std::string> problems = c.problems;
    sort_by_appearance(c.text, problems);
    CHECK(problems == c.sorted);
  }
}

}  // namespace
}  // namespace orch::api
