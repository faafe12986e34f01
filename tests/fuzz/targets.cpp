#include "tests/fuzz/targets.h"

#include <cstdio>
#include <cstdlib>

namespace orch::fuzz {

std::vector<Target> targets() {
  std::vector<Target> all = api_targets();
  for (auto more : {wire_targets(), server_targets()}) all.insert(all.end(), more.begin(), more.end());
  return all;
}

void require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "this must hold and does not: %s\n", what);
  std::abort();
}

std::string_view next_part(std::string_view& rest) {
  const size_t end = rest.find('\0');
  const std::string_view part = rest.substr(0, end);
  rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
  return part;
}

}  // namespace orch::fuzz
