#include "server/apiserver/forward.h"

#include "tests/catch.h"

namespace orch::server {
namespace {

TEST_CASE("where redirects of a proxied server lead") {
  const struct {
    std::string location, result;
  } cases[] = {
      {"/a?b=c#d", "/p/proxy/a?b=c#d"},
      {"http://10.0.0.5:80/a", "/p/proxy/a"},
      {"https://api:6443/a", "/p/proxy/a"},
      {"//10.0.0.5:80/a", "/p/proxy/a"},
      {"http://elsewhere/a", "http://elsewhere/a"},
      {"//elsewhere/a", "//elsewhere/a"},
      {"a/b", "a/b"},
      {"", ""},
      {"/p/proxy/already", "/p/proxy/already"},
      {"/redirect?to=http://10.0.0.5:80/x", "/p/proxy/redirect?to=http://10.0.0.5:80/x"},
  };
  for (const auto& c : cases) {
    INFO(c.location);
    CHECK(proxied_location(c.location, "10.0.0.5:80", "api:6443", "/p/proxy") == c.result);
  }
}

}  // namespace
}  // namespace orch::server
