// libFuzzer's entry: drives the target that ORCH_FUZZ_TARGET names.
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "tests/fuzz/targets.h"

namespace {

orch::fuzz::Target chosen() {
  const char* name = std::getenv("ORCH_FUZZ_TARGET");
  for (const auto& target : orch::fuzz::targets()) {
    if (name != nullptr && target.name == name) return target;
  }
  std::fprintf(stderr, "ORCH_FUZZ_TARGET must name one of:\n");
  for (const auto& target : orch::fuzz::targets()) {
    std::fprintf(stderr, "  %.*s\n", static_cast<int>(target.name.size()), target.name.data());
  }
  std::exit(2);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const orch::fuzz::Target target = chosen();
  target.run({reinterpret_cast<const char*>(data), size});
  return 0;
}
