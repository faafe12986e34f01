// Expressions from outside may be anything: pieces of good ones, cut and put together at random, must compile
// and run to some answer. Not one of them may take the process with it.
#include <filesystem>
#include <random>

#include "api/cel/cel.h"
#include "base/file.h"
#include "base/json.h"
#include "tests/catch.h"

namespace orch::api::cel {
namespace {

constexpr int kRounds = 4000;

std::vector<std::string> seeds() {
  std::vector<std::string> out;
  for (const auto& file : std::filesystem::directory_iterator("tests/unit/api/cel/cases")) {
    const base::Result<std::string> text = base::read_file(file.path().string());
    REQUIRE(text.ok());
    size_t start = 0;
    for (size_t end = 0; (end = text->find('\n', start)) != std::string::npos; start = end + 1) {
      const std::string line = text->substr(start, end - start);
      if (!line.empty() && line[0] != '@' && line.size() < 200) out.push_back(line);
    }
  }
  return out;
}

TEST_CASE("no expression brings the process down") {
  const std::vector<std::string> from = seeds();
  REQUIRE(from.size() > 1000);
  const Json tree = Json::parse(
      R"({"metadata":{"name":"web","labels":{"a":"b"}},"spec":{"replicas":3,"list":[1,"x",null,{"y":2.5}]}})");
  const Environment environment(
      {.variables = {{"object", dyn_type()}, {"x", dyn_type()}, {"self", dyn_type()}}, .mutation = true});
  Activation variables;
  variables.set("object", Value::view(tree));
  variables.set("x", Value::of(int64_t{5}));
  variables.set("self", Value::view(tree["spec"]));
  std::mt19937 random(7);
  auto pick = [&](size_t n) { return n == 0 ? 0 : random() % n; };
  size_t compiled = 0;
  for (int round = 0; round < kRounds; ++round) {
    const std::string& a = from[pick(from.size())];
    const std::string& b = from[pick(from.size())];
    std::string text = a.substr(0, pick(a.size() + 1)) + b.substr(pick(b.size() + 1));
    for (size_t i = pick(3); i > 0 && !text.empty(); --i) {
      text[pick(text.size())] = "()[]{}.,?:!-+'\"\\x0 \t\n\x80"[pick(22)];
    }
    const Compilation result = environment.compile(text);
    if (!result.program) {
      CHECK((!result.error.empty() || !result.instantiation_error.empty()));
      continue;
    }
    ++compiled;
    result.program->estimate_cost(nullptr);
    const Evaluation done = result.program->evaluate(variables, {.cost_limit = 20'000});
    Json out;
    if (done.ok()) done.value.to_json(out);
  }
  CHECK(compiled > 50);
}

}  // namespace
}  // namespace orch::api::cel
