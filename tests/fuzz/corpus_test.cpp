// The kept inputs of every fuzz target, run in each build: what was once found stays fixed.
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <string>

#include "tests/catch.h"
#include "tests/fuzz/targets.h"

namespace {

std::filesystem::path corpus() {
  const char* root = std::getenv("ORCH_ROOT");
  return std::filesystem::path(root != nullptr ? root : ".") / "tests/fuzz/corpus";
}

std::string read(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

}  // namespace

TEST_CASE("every kept input of every fuzz target runs through") {
  std::set<std::string> names;
  for (const auto& target : orch::fuzz::targets()) {
    names.emplace(target.name);
    INFO("target " << target.name);
    size_t inputs = 0;
    for (const auto& entry : std::filesystem::directory_iterator(corpus() / target.name)) {
      INFO("input " << entry.path().filename().string());
      target.run(read(entry.path()));
      ++inputs;
    }
    CHECK(inputs > 0);
  }
  for (const auto& entry : std::filesystem::directory_iterator(corpus())) {
    INFO("no target has the corpus " << entry.path().filename().string());
    CHECK(names.count(entry.path().filename().string()) == 1);
  }
}
