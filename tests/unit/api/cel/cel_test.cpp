// What the vectors cannot say: names, lazily made members, what programs refer to, and values as JSON.
#include "api/cel/cel.h"

#include <thread>

#include "base/json.h"
#include "tests/catch.h"

namespace orch::api::cel {
namespace {

struct Doubles final : LazyMap {
  std::optional<Value> find(std::string_view key) const override {
    ++asked;
    if (key == "broken") return Value::error("composited variable \"broken\" fails to evaluate: x");
    if (key != "two") return std::nullopt;
    return Value::of(int64_t{2});
  }
  mutable int asked = 0;
};

Evaluation run(const Environment& environment, const Activation& variables, std::string_view expression) {
  const Compilation compiled = environment.compile(expression);
  INFO(compiled.error);
  REQUIRE(compiled.program);
  return compiled.program->evaluate(variables);
}

TEST_CASE("members of a lazy map are made when they are asked for") {
  const Environment environment(
      {.variables = {{"variables",
                      object_type("kubernetes.variables", {{"two", int_type()}, {"broken", dyn_type()}})}}});
  auto doubles = std::make_shared<Doubles>();
  Activation variables;
  variables.set("variables", Value::lazy(doubles));
  CHECK(run(environment, variables, "false && variables.two == 2").value.as_bool() == false);
  CHECK(doubles->asked == 0);
  CHECK(run(environment, variables, "variables.two + 1").value.as_int() == 3);
  CHECK(doubles->asked == 1);
  CHECK(run(environment, variables, "variables.broken").error ==
        "composited variable \"broken\" fails to evaluate: x");
  CHECK(environment.compile("variables.three").error.find("undefined field 'three'") != std::string::npos);
}

TEST_CASE("a program knows what it refers to") {
  const Environment environment({.variables = {{"self", dyn_type()}, {"oldSelf", dyn_type()}}});
  const Compilation compiled = environment.compile("self.a == 1 && [1].all(oldSelf, oldSelf > 0)");
  REQUIRE(compiled.program);
  CHECK(compiled.program->uses("self"));
  CHECK(compiled.program->uses("oldSelf"));  // by name, as Kubernetes looks
  CHECK_FALSE(environment.compile("self.a == 1").program->uses("oldSelf"));
}

TEST_CASE("what runs out of its budget says so and what it cost") {
  const Environment environment({});
  const Compilation compiled = environment.compile("[1, 2, 3, 4, 5].map(x, x * x).map(x, x + 1)");
  REQUIRE(compiled.program);
  const Evaluation all = compiled.program->evaluate({});
  CHECK(all.ok());
  const Evaluation part = compiled.program->evaluate({}, {.cost_limit = all.cost - 1});
  CHECK(part.out_of_budget);
  CHECK(part.error == "operation cancelled: actual cost limit exceeded");
  CHECK(compiled.program->evaluate({}, {.cost_limit = all.cost}).ok());
}

TEST_CASE("values are trees again") {
  const Environment environment({.mutation = true});
  const auto json = [&](std::string_view expression) {
    Json out;
    const Evaluation result = run(environment, {}, expression);
    CHECK(result.ok());
    return result.value.to_json(out) ? out : Json("no JSON form");
  };
  CHECK(json("dyn({'a': dyn([dyn(1), dyn(2.5), dyn('x'), dyn(null), dyn(true)]), 'b': dyn({})})") ==
        Json::parse(R"({"a":[1,2.5,"x",null,true],"b":{}})"));
  CHECK(json("Object{spec: Object.spec{replicas: 3}}") == Json::parse(R"({"spec":{"replicas":3}})"));
  CHECK(json("[JSONPatch{op: 'add', path: '/a', value: quantity('1Gi')}]") ==
        Json::parse(R"([{"op":"add","path":"/a","from":"","value":"1Gi"}])"));
  CHECK(json("duration('90s')") == "90s");
  CHECK(json("timestamp('2024-01-01T00:00:00Z')") == "2024-01-01T00:00:00Z");
  CHECK(json("b'abc'") == "YWJj");
  CHECK(json("type(1)") == "no JSON form");
  CHECK(json("{1: 2}") == "no JSON form");
}

TEST_CASE("property names become identifiers and back") {
  std::string out;
  for (const auto& [name, escaped] :
       {std::pair("plain", "plain"), std::pair("a-b", "a__dash__b"), std::pair("a.b", "a__dot__b"),
        std::pair("a/b", "a__slash__b"), std::pair("a__b", "a__underscores__b"), std::pair("in", "__in__"),
        std::pair("_x", "_x"), std::pair("namespace", "__namespace__")}) {
    CHECK(escape_name(name, out));
    CHECK(out == escaped);
    CHECK(unescape_name(escaped, out));
    CHECK(out == name);
  }
  CHECK_FALSE(escape_name("", out));
  CHECK_FALSE(escape_name("1a", out));
  CHECK_FALSE(escape_name("a b", out));
  CHECK_FALSE(escape_name("ä", out));
  CHECK_FALSE(unescape_name("a__nope__b", out));
}

TEST_CASE("one program serves many threads") {
  const Environment environment({.variables = {{"x", dyn_type()}}});
  const Compilation compiled = environment.compile("[1, 2, 3].map(y, y * x).sum() + int(x.y.orValue(0))");
  const Compilation sum = environment.compile("[1, 2, 3].map(y, y * x).sum()");
  REQUIRE(sum.program);
  std::vector<std::thread> threads;
  std::vector<int64_t> results(4);
  for (size_t t = 0; t < results.size(); ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 200; ++i) {
        Activation variables;
        variables.set("x", Value::of(static_cast<int64_t>(t)));
        results[t] = *sum.program->evaluate(variables).value.as_int();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (size_t t = 0; t < results.size(); ++t) CHECK(results[t] == static_cast<int64_t>(6 * t));
}

}  // namespace
}  // namespace orch::api::cel
